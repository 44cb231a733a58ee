"""Which study a workflow runs: the options of `snakemake`, or the `config` of a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.batches import check_settings_per_job

__all__ = ["WorkflowOptions", "module_options", "workflow_options"]

DEFAULT_STUDY = "config/config.yaml"


@dataclass(frozen=True)
class WorkflowOptions:
    """What is configured outside the study file."""

    study: str
    """Path of the study file."""
    settings_per_job: int | None
    """None: chosen by the workflow."""


def workflow_options(config: Mapping[str, Any], files: Sequence[str | Path]) -> WorkflowOptions:
    """Return the options of `snakemake --config CONFIG --configfile FILES`.

    Raises:
        InputError: if other options than `settings_per_job`, or several files, are given.
    """
    settings_per_job, others = _split(config)
    if others:
        raise InputError(
            f"--config {' '.join(others)}: expected only settings_per_job, since the study file "
            f"configures a study; edit a copy of it and pass that with --configfile"
        )
    if len(files) > 1:
        raise InputError(
            f"--configfile {' '.join(map(str, files))}: expected one study file; run snakemake "
            f"once for each"
        )
    return WorkflowOptions(str((*files, DEFAULT_STUDY)[0]), settings_per_job)


def module_options(config: Mapping[str, Any], files: Sequence[str | Path]) -> WorkflowOptions:
    """Return the options of a workflow that another one imports with `module`.

    Args:
        config: the module's `config`: `{"study_file": PATH}`, or the content of a study file.
        files: the configuration files of the other workflow, one of which that study file then is.

    Raises:
        InputError: if `config` is neither.
    """
    settings_per_job, others = _split(config)
    if "study_file" in others:
        study = others.pop("study_file")
        if others or not isinstance(study, str):
            raise InputError(
                f"config of the module scoresweep: {', '.join(others) or repr(study)}: expected "
                f"study_file, the path of a study, and settings_per_job only"
            )
        return WorkflowOptions(study, settings_per_job)
    for file in reversed(files):
        if yaml.safe_load(Path(file).read_text("utf-8")) == others:
            return WorkflowOptions(str(file), settings_per_job)
    raise InputError(
        f"config of the module scoresweep: expected the content of one configuration file "
        f"({', '.join(map(str, files)) or 'none is given'}), or {{'study_file': PATH}}, found the "
        f"keys {', '.join(others) or 'none'}"
    )


def _split(config: Mapping[str, Any]) -> tuple[int | None, dict[str, Any]]:
    """Return `settings_per_job`, checked, and the other options."""
    others = dict(config)
    if "settings_per_job" not in others:
        return None, others
    check_settings_per_job(value := others.pop("settings_per_job"))
    return value, others
