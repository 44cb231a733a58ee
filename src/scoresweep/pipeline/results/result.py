"""The state of one result, and of all results of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from scoresweep.pipeline.results.code_version import CodeVersion
from scoresweep.pipeline.results.halving_choice import Choice
from scoresweep.pipeline.results.input_hashes import changed_inputs
from scoresweep.pipeline.study import Setting

__all__ = [
    "INPUT_NAMES",
    "RULES",
    "SWEEP_STEPS",
    "Key",
    "Result",
    "Results",
    "Rule",
    "State",
    "score_error_key",
]

State = Literal["done", "missing", "outdated"]
"""`outdated`: made from inputs that have changed since; kept until it is replaced."""

Rule = Literal[
    "stage", "reference", "train", "score_error", "sample", "evaluate", "sweep", "report"
]
RULES: tuple[Rule, ...] = get_args(Rule)
SWEEP_STEPS: tuple[Rule, ...] = ("score_error", "sample", "evaluate")
"""Steps of a task of the rule `sweep`; each is a command, and has a result of its own."""

Key = tuple[str, ...]
"""A rule and the ids of its job: ("sweep", RUN, BATCH); or a step: ("sample", RUN, SETTING)."""

INPUT_NAMES = {
    **dict.fromkeys(("data", "training_data"), "its data"),
    **dict.fromkeys(("weights", "weights_file"), "its network"),
    "samples": "its samples",
}
"""Names of inputs in records and in messages."""


def score_error_key(run: str, weights: str) -> Key:
    """Return the key of the score error of a run's weights."""
    return ("score_error", run, weights) if weights else ("score_error", run)


@dataclass
class Result:
    """The result of one job, or of one step of a task."""

    rule: Rule
    output: Path
    """The file that shows that it is done; the one that a rule declares to Snakemake."""
    state: State = "done"
    reason: str = ""
    """Why it is not `done`, or why its job is due."""
    sha256: str | None = None
    """Hash of its content; None if unknown."""
    is_recorded: bool = False
    """Whether it records its inputs; results of earlier versions do not."""
    is_due: bool = False
    """Whether the next `snakemake` runs its job: it is not done, or an input of it is due."""
    is_damaged: bool = False
    """Whether its file exists but cannot be read."""
    held: int = 0
    """Samples in a store that holds fewer than asked for; they are not drawn again."""
    code: CodeVersion | None = None
    """Which code computed it; None if it cannot be read, or is a network without provenance."""
    other_code: str = ""
    """Which code computed it, if that was examined and is not this code."""
    hashes: dict[str, str | None] = field(default_factory=dict)
    """Hashes under which results made from it may record it."""

    def compare_inputs(self, record: Mapping[str, str], inputs: Mapping[str, str | None]) -> Result:
        """Mark this result as outdated if `record` names other inputs; return it."""
        if changed := changed_inputs(record, inputs):
            self.state = "outdated"
            names = dict.fromkeys(INPUT_NAMES[name] for name in changed)
            self.reason = f"{' and '.join(names)} changed since"
        return self

    def mark_due(self, *others: tuple[bool, str]) -> None:
        """Mark the job as due if the result is not done, or for the first true one of `others`."""
        self.is_due = self.state != "done"
        for is_changing, reason in others:
            if is_changing and not self.is_due:
                self.is_due, self.reason = True, reason


@dataclass
class Results:
    """All results of a study."""

    by_key: dict[Key, Result] = field(default_factory=dict)
    settings: dict[str, list[Setting]] = field(default_factory=dict)
    """Settings that have results here, by run. With successive halving, a setting is listed at
    every count that it goes on to, as far as that is known, or has been measured at."""
    stages: dict[tuple[str, int], list[Setting]] = field(default_factory=dict)
    """Settings to draw and measure at each count of successive halving, by run and count; a run
    whose choice is not known yet is left out."""
    kept: dict[tuple[str, str], Result] = field(default_factory=dict)
    """Weights other than the default ones that settings use, by run and name; no jobs."""
    best_steps: dict[tuple[str, str], Choice] = field(default_factory=dict)
    """Known choices of the best training step, by run and setting."""
    choices: dict[tuple[str, int], Choice] = field(default_factory=dict)
    """Known choices of successive halving, by group and by the count that settings go on to."""

    def __getitem__(self, key: Key) -> Result:
        return self.by_key[key]

    def settings_at(self, run: str, count: int) -> list[Setting]:
        """Return the settings of a run with `count` samples."""
        return [setting for setting in self.settings.get(run, ()) if setting.sample.count == count]

    def of(self, rule: Rule) -> list[Result]:
        """Return the results of one rule."""
        return [result for key, result in self.by_key.items() if key[0] == rule]

    @property
    def due(self) -> list[Result]:
        """The results that the next `snakemake` computes."""
        return [result for result in self.by_key.values() if result.is_due]

    @property
    def due_jobs(self) -> list[Result]:
        """Those that are jobs of their own, not steps of a task."""
        return [result for result in self.due if result.rule not in SWEEP_STEPS]

    def content_sha256(self) -> str:
        """Return a hash of the results and choices that a report is made from."""
        parts = [
            [*key, result.sha256 or ""]
            for key, result in sorted(self.by_key.items())
            if key[0] in ("train", "score_error", "evaluate") and not result.is_due
        ]
        choices = {json.dumps(key): choice.made_from for key, choice in self.choices.items()}
        content = [*parts, sorted(choices.items())] if choices else parts
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
