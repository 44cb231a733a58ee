"""Command `schema`: the JSON schema of study files, and of what commands print."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from scoresweep.pipeline.commands.methods import study_methods
from scoresweep.pipeline.study.plugins.study_models import study_model

__all__ = ["output_schema", "study_schema"]


def output_schema(command: Literal["status", "plan"]) -> dict[str, Any]:
    """Return the JSON schema of what a command prints with `--json` (`docs/schemas/`)."""
    from scoresweep.pipeline.commands.json_output.plan_json import PlanObject
    from scoresweep.pipeline.commands.json_output.status_json import JsonObject, StatusObject

    kinds: dict[str, type[JsonObject]] = {"status": StatusObject, "plan": PlanObject}
    return kinds[command].model_json_schema(mode="serialization")


def study_schema(study: Path | None = None) -> dict[str, Any]:
    """Return the JSON schema of study files (`workflow/schemas/study.schema.json`).

    That of a file includes the methods of its plugins; the rest of the file may be wrong.
    """
    return study_model(study_methods(study)).model_json_schema() | {"title": "A scoresweep study"}
