"""Command `schema`: the JSON schema of study files."""

from __future__ import annotations

from typing import Any

from scoresweep.pipeline.study import Study

__all__ = ["study_schema"]


def study_schema() -> dict[str, Any]:
    """Return the JSON schema of study files (`workflow/schemas/study.schema.json`)."""
    return Study.model_json_schema() | {"title": "A scoresweep study"}
