"""Command `init`: look at a dataset, and write a commented study for it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any, get_args

import torch

from scoresweep.pipeline.commands.start.data_facts import DataFacts, describe_data
from scoresweep.pipeline.commands.start.ladder_numbers import ladder_numbers
from scoresweep.pipeline.commands.start.measures import choose_measures
from scoresweep.pipeline.commands.start.sigma_mins import smallest_sigma
from scoresweep.pipeline.commands.start.study_text import StudyNumbers, study_text
from scoresweep.pipeline.commands.start.training_choice import Device, choose_training
from scoresweep.pipeline.data.file_formats import find_dataset_name
from scoresweep.pipeline.errors import InputError, did_you_mean, join_names
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.data_checks import check_data
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.study.methods.datasets import AnyDataset, UserData
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["init"]


def init(output: Path, data: str, device: Device | None, root: Path) -> None:
    """Stage `data` and write a study for it to `output`.

    Args:
        output: the new study file; it gives the study its name.
        data: a file or folder, the name of a dataset, or a `dataset` block in YAML.
        device: where networks will be trained; None: a GPU if this machine has one.
        root: folder of `data/` and `results/`.

    Raises:
        InputError: if the file exists, or the data cannot be read.
    """
    _check_output(output)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", output.stem).lstrip("_.-") or "study"
    plan = _plan_of_data(name, _dataset_options(data), root)
    dataset = plan.study.dataset[0]
    try:
        stage(plan, dataset.id)
    except InputError as error:
        raise InputError(f"{error}{_hint(str(error), data)}") from None
    used = device or ("gpu" if torch.cuda.is_available() else "cpu")
    numbers = _numbers(name, data, used, describe_data(plan, dataset))
    text = study_text(str(output), numbers)
    _check_study(text, output, root)
    with atomic_write(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"{output}: written. Next: scoresweep plan {shlex.quote(str(output))}")


def _check_output(output: Path) -> None:
    if output.exists() or output.is_symlink():
        raise InputError(f"{output}: exists already. Choose another name, or delete it.")
    if not output.parent.is_dir():
        raise InputError(f"{output}: there is no folder {output.parent}. Create it first.")


def _dataset_options(data: str) -> dict[str, Any]:
    """Return the `dataset` block that `data` means."""
    if data.lstrip().startswith("{"):
        options: dict[str, Any] = parse_yaml(data, "--data")
        return options
    classes = get_args(get_args(AnyDataset)[0])
    names = [
        get_args(each.model_fields["name"].annotation)[0]
        for each in classes
        if not issubclass(each, UserData)
    ]
    path = Path(data)
    if data in names and path.exists():
        raise InputError(
            f"--data {data}: is both a dataset and a file or folder. Write ./{data} for the path, "
            f"or '{{name: {data}}}' for the dataset."
        )
    if data in names:
        return {"name": data}
    if not path.exists():
        raise InputError(
            f"--data {data}: no such file or folder in {Path.cwd()}, and no such dataset."
            f"{did_you_mean(data, names)} Datasets are {join_names(names)}."
        )
    return {"name": find_dataset_name(path), "path": data}


def _plan_of_data(name: str, dataset: dict[str, Any], root: Path) -> Plan:
    """Return the plan of a study of the dataset, with the least that a study needs."""
    content = {
        "study": name,
        "dataset": dataset,
        "train": {
            "network": {"name": "mlp"},
            "noise": {"name": "explicit", "sigmas": [1.0]},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "probability_flow"}},
        "evaluate": {"extractors": ["pixels"]},
    }
    return plan_study(parse_study(content, "--data"), root, "--data")


def _hint(problem: str, data: str) -> str:
    """Return how to give options of the dataset, if `problem` names one."""
    options = {} if data.lstrip().startswith("{") else _dataset_options(data)
    if "path" not in options or "dataset." not in problem:
        return ""
    block = f"{{name: {options['name']}, path: {data}, OPTION: VALUE}}"
    end = "" if problem.endswith(".") else "."
    return f"{end} With init, give options as --data '{block}'."


def _numbers(name: str, data: str, device: Device, facts: DataFacts) -> StudyNumbers:
    training = choose_training(facts, device)
    sigma_min = smallest_sigma(facts, training.network["name"])
    if facts.sigma_max <= sigma_min:
        raise InputError(
            f"--data {data}: the largest distance of two training samples is "
            f"{facts.sigma_max:.3g}; expected more than the smallest noise level, {sigma_min:g}. "
            f"Are the samples all alike?"
        )
    ladder = ladder_numbers(
        sigma_max=facts.sigma_max,
        sigma_min=sigma_min,
        dimension=facts.dimension,
        steps_per_level=training.steps_per_level,
        max_levels=training.max_levels,
    )
    measures = choose_measures(facts, device)
    return StudyNumbers(name, data, device, facts, ladder, training, measures)


def _check_study(text: str, output: Path, root: Path) -> None:
    """Check the study as `scoresweep plan` does."""
    where = str(output)
    plan = plan_study(parse_study(parse_yaml(text, where), where), root, where)
    check_data(plan, where)
