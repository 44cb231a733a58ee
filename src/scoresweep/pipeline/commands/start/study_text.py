"""The text of a new study: every number has a comment that says where it comes from."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scoresweep import __version__
from scoresweep.noise import levels_by_technique_2
from scoresweep.pipeline.commands.start.data_facts import DataFacts
from scoresweep.pipeline.commands.start.ladder_numbers import SMALLEST_DIMENSION, LadderNumbers
from scoresweep.pipeline.commands.start.measures import Measures
from scoresweep.pipeline.commands.start.sigma_mins import SIGMA_MIN, SIGMA_MIN_OF_MLP
from scoresweep.pipeline.commands.start.training_choice import Device, TrainingChoice
from scoresweep.pipeline.study.load import parse_yaml

__all__ = ["StudyNumbers", "step_sizes", "study_text"]

CLOSEST_TO_LIMIT = 0.9
"""Largest step size of the grid, in units of the limit of stability. There, the noise that stays
in samples is 3.2 sigma_min; at the limit it is infinite."""


@dataclass(frozen=True)
class StudyNumbers:
    """What a new study is written from."""

    study: str
    """Name of the study."""
    data: str
    """The option `--data`."""
    device: Device
    facts: DataFacts
    ladder: LadderNumbers
    training: TrainingChoice
    measures: Measures


def study_text(output: str, numbers: StudyNumbers) -> str:
    """Return the content of the study file `output`."""
    parts = [
        _head(output, numbers),
        _train(numbers),
        _sample(numbers),
        _evaluate(numbers.measures),
    ]
    return "\n".join(parts)


def step_sizes(ladder: LadderNumbers, factors: Sequence[float]) -> dict[float, str]:
    """Return the step sizes of the grid, rounded, each with its reason.

    `factors` are in units of Technique 4's. Those near the limit of stability or above it are
    left out.
    """
    found = {_round(ladder.step_size * factor, 2): _times(factor) for factor in factors}
    largest = CLOSEST_TO_LIMIT * ladder.step_size_limit
    return {size: why for size, why in found.items() if size <= largest}


def _times(factor: float) -> str:
    if factor == 1:
        return "Technique 4 of NCSNv2"
    return f"{factor:g} times Technique 4's" if factor > 1 else "a third of Technique 4's"


def _head(output: str, numbers: StudyNumbers) -> str:
    facts, study = numbers.facts, shlex.quote(output)
    resources = ""
    if numbers.device == "gpu":
        resources = " \\\n#     --set-resources train:gpu=1 reference:gpu=1 sweep:gpu=1"
    options = facts.dataset.model_dump(mode="json", exclude_defaults=True)
    kind = "pixels in [0, 1]" if facts.is_image else "the points"
    lines = [
        f"# Written by scoresweep {__version__}: scoresweep init {study} "
        f"--data {shlex.quote(numbers.data)} --device {numbers.device}",
        f"# {facts.train_count:,} training and {facts.test_count:,} test samples: {_size(facts)}.",
        f"# Noise levels (sigma) are in units of {kind}, step sizes in their square.",
        "#",
        "# The numbers are a start. NCSNv2: Song and Ermon 2020, https://arxiv.org/abs/2006.09011.",
        f"#   scoresweep suggest {study}    the noise levels and step sizes for other sigma_min",
        f"#   scoresweep plan {study}       what will run, and how long it takes",
        "#   snakemake --snakefile $SCORESWEEP/Snakefile --cores 2 "
        f"--configfile {study}{resources}",
        "# where SCORESWEEP is the folder of the checkout, the one with the Snakefile.",
        f"study: {_yaml(numbers.study)}",
        f"dataset: {_yaml(options)}    # as given with --data",
        "",
    ]
    return "\n".join(lines)


def _size(facts: DataFacts) -> str:
    classes = f", {facts.num_classes} classes" if facts.num_classes else ", no classes"
    if not facts.is_image:
        return f"points of {facts.dimension:,} values{classes}"
    channels, height, width = facts.shape
    return f"images of {width} x {height} pixels, channels: {channels}{classes}"


def _train(numbers: StudyNumbers) -> str:
    training, ladder, facts = numbers.training, numbers.ladder, numbers.facts
    return f"""\
train:
  # {_comment(training.network_reason)}
  network: {_yaml(training.network)}
  objective: {{name: dsm, weighting: sigma2}}
  noise:
    name: geometric
    # Technique 1 of NCSNv2, the largest distance of two training samples: {ladder.sigma_max:.6g}
    sigma_max: {_yaml(_round(ladder.sigma_max, 3))}
    # {_reason_of_sigma_min(facts, ladder.sigma_min)}
    sigma_min: {_yaml(ladder.sigma_min)}
    # {_reason_of_levels(numbers)}
    levels: {ladder.levels}
  # {training.optimizer_reason}
  optimizer: {_yaml(training.optimizer)}
  steps: {training.steps}    # {training.steps_reason}
  batch_size: {training.batch_size}    # {training.batch_reason}
  ema: 0.999    # Technique 5 of NCSNv2: averaged weights
  grid:
    # Student's factor of a 95 % interval: 12.7 for two seeds, 4.3 for three, 2.8 for five
    seed: [0, 1, 2]
    # noise.levels: [{ladder.levels}, {2 * ladder.levels}]    # to sweep the ladder too
"""


def _comment(text: str) -> str:
    """Return a text of several lines as a comment in a block, without the first "# "."""
    return text.replace("\n", "\n  # ")


def _reason_of_sigma_min(facts: DataFacts, sigma_min: float) -> str:
    if facts.is_image and sigma_min == SIGMA_MIN_OF_MLP:
        return "that of config/config.yaml; NCSN and NCSNv2 have 0.01, with larger networks"
    if facts.is_image:
        return f"that of NCSN and NCSNv2: {SIGMA_MIN * 255:.3g} of 255 grey levels"
    return f"a hundredth of the standard deviation of the data, {facts.std:.3g}, rounded"


def _reason_of_levels(numbers: StudyNumbers) -> str:
    facts, ladder = numbers.facts, numbers.ladder
    if facts.dimension < SMALLEST_DIMENSION:
        return f"that of NCSN; Technique 2 needs {SMALLEST_DIMENSION} dimensions or more"
    wanted = levels_by_technique_2(ladder.sigma_max, ladder.sigma_min, facts.dimension)
    if wanted > ladder.levels:
        return f"to be quick on a CPU; Technique 2 of NCSNv2 gives {wanted}"
    return f"Technique 2 of NCSNv2, for {facts.dimension:,} dimensions"


def _sample(numbers: StudyNumbers) -> str:
    training, ladder = numbers.training, numbers.ladder
    found = step_sizes(ladder, training.factors)
    sizes = [f"      - {_yaml(size)}    # {why}\n" for size, why in found.items()]
    technique_4 = f"Technique 4 of NCSNv2: {ladder.step_size:.4g}"
    return f"""\
sample:
  sampler:
    name: annealed_langevin
    step_size: {_yaml(_round(ladder.step_size, 2))}    # {technique_4}
    steps_per_level: {training.steps_per_level}    # {training.steps_per_level_reason}
    denoise: true
{_initial(numbers.facts)}\
  count: {training.count}    # {training.count_reason}
  grid:
    # Samples diverge with step sizes of 2 sigma_min^2 = {ladder.step_size_limit:.4g} or more
    sampler.step_size:
{"".join(sizes)}{_consistent(ladder)}"""


def _consistent(ladder: LadderNumbers) -> str:
    """Return a setting of consistent sampling beside those of the grid, if the ladder has one."""
    if ladder.consistent_step_size is None:
        return ""
    steps = f", steps_per_level: {ladder.steps_per_level}" * (ladder.steps_per_level > 1)
    size = _yaml(_round(ladder.consistent_step_size, 2))
    return f"""\
  include:
    # Consistent annealed sampling, https://arxiv.org/abs/2009.05475, at the same cost; its step
    # size is twice the smallest possible one on this ladder
    - sampler: {{name: consistent, step_size: {size}{steps}, denoise: true}}
"""


def _initial(facts: DataFacts) -> str:
    """Return the option `initial`; points may be far from the unit cube."""
    if facts.is_image:
        return "  initial: normal    # N(0, sigma_max^2), which consistent sampling expects\n"
    if facts.distance_of_mean < facts.sigma_max:
        return "  initial: normal    # N(0, sigma_max^2): points need not lie in [0, 1]\n"
    return (
        f"  # the mean of the points is {facts.distance_of_mean:.3g} from the origin, which "
        f"is beyond sigma_max\n"
        f"  initial: data_plus_noise\n"
    )


def _evaluate(measures: Measures) -> str:
    real_count = ""
    if measures.real_count is not None:
        real_count = (
            f"  real_count: {measures.real_count}    # a random subset, to be quick on a CPU\n"
        )
    return f"""\
evaluate:
  metrics: {_yaml(measures.metrics)}
  # {measures.reason}
  extractors: {_yaml(measures.extractors)}
{real_count}"""


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _yaml(value: Any) -> str:
    """Return `value` in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str):
        is_plain = re.fullmatch(r"[\w./][\w./+-]*", value) and parse_yaml(value, "") == value
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
