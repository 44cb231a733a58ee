"""Command `schema`: the JSON schema of study files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoresweep.pipeline.commands.methods import study_methods
from scoresweep.pipeline.study.plugins.study_models import study_model

__all__ = ["study_schema"]


def study_schema(study: Path | None = None) -> dict[str, Any]:
    """Return the JSON schema of study files (`workflow/schemas/study.schema.json`).

    That of a file includes the methods of its plugins; the rest of the file may be wrong.
    """
    return study_model(study_methods(study)).model_json_schema() | {"title": "A scoresweep study"}
