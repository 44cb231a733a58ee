"""Command `schema`: the JSON schema of study files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.load import read_yaml
from scoresweep.pipeline.study.plugins.find_methods import find_methods, included_methods
from scoresweep.pipeline.study.plugins.study_models import study_model

__all__ = ["study_schema"]


def study_schema(study: Path | None = None) -> dict[str, Any]:
    """Return the JSON schema of study files (`workflow/schemas/study.schema.json`).

    That of a file includes the methods of its plugins; the rest of the file may be wrong.
    """
    methods = dict.fromkeys(included_methods())
    if study is not None:
        content = read_yaml(study)
        if not isinstance(content, dict):
            raise InputError(f"{study}: expected a study, found {type(content).__name__}")
        methods |= dict.fromkeys(find_methods(content, study.parent, str(study)))
    return study_model(tuple(methods)).model_json_schema() | {"title": "A scoresweep study"}
