"""Read a study file: YAML 1.2, then the types of `models.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.models import Study
from scoresweep.pipeline.study.plugins.find_methods import find_methods
from scoresweep.pipeline.study.plugins.study_models import Methods, study_model
from scoresweep.pipeline.study.validation_errors import describe_errors
from scoresweep.pipeline.study.yaml_loader import Loader

__all__ = ["load_study", "parse_study", "parse_yaml", "read_yaml"]


def load_study(path: Path | str) -> Study:
    """Read and validate the study file at `path`; raise `InputError` listing every problem."""
    return parse_study(read_yaml(Path(path)), path, Path(path).parent)


def parse_study(
    content: Any, path: Path | str, folder: Path | None = None, methods: Methods = ()
) -> Study:
    """Validate the content of a study file.

    Args:
        content: what the file contains.
        path: its name in error messages.
        folder: its folder, relative to which it names plugins; None: load no plugins.
        methods: methods that it may use beside those of this package and of its plugins.

    Raises:
        InputError: listing every problem, or the first one of a plugin.
    """
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {type(content).__name__}"
        raise InputError(
            f"{path}: is {found}; expected the keys study, dataset, train, sample and evaluate"
        )
    model = study_model((*methods, *find_methods(content, folder, str(path))))
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(describe_errors(error, content, str(path), model)) from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file; raise `InputError` if it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a UTF-8 text file; expected a study in YAML") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path | str) -> Any:
    """Parse YAML 1.2 into plain values; `path` is its name in error messages."""
    try:
        return yaml.load(text, Loader=Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{place}: is not valid YAML: {problem}") from None
