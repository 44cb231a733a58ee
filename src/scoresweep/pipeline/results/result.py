"""The state of one result, and of all results of a study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scoresweep.pipeline.results.made_from import differences

__all__ = ["RULES", "WHAT", "Key", "Result", "Results", "Rule", "State"]

State = Literal["done", "missing", "outdated"]
"""`outdated`: made from something else than what is there now; kept until it is replaced."""

Rule = Literal["stage", "reference", "train", "score_error", "sample", "evaluate", "report"]
RULES: tuple[Rule, ...] = (
    *("stage", "reference", "train", "score_error", "sample", "evaluate", "report"),
)

Key = tuple[str, ...]
"""A rule and the ids that its job is for: ("sample", RUN, SETTING)."""

WHAT = {
    **dict.fromkeys(("data", "training_data"), "its data"),
    **dict.fromkeys(("weights", "weights_file"), "its network"),
    "samples": "its samples",
}
"""What a result is made from, by the name in its record."""


@dataclass
class Result:
    """What one job of a rule makes."""

    rule: Rule
    output: Path
    """The file that the rule declares to Snakemake."""
    state: State = "done"
    reason: str = ""
    """Why it is not `done`."""
    sha256: str | None = None
    """Hash of its content; None if unknown."""
    is_recorded: bool = False
    """Whether it says what it was made from: an earlier version's does not."""
    is_due: bool = False
    """Whether the next `snakemake` runs its job: it is not done, or is made from what is due."""
    is_damaged: bool = False
    """Whether it is there and cannot be read."""
    other_code: str = ""
    """Which code made it, if that was asked and is not this one."""
    hashes: dict[str, str | None] = field(default_factory=dict)
    """Hashes by which the results that are made from it may know it."""

    def unless_made_from(
        self, record: Mapping[str, str], inputs: Mapping[str, str | None]
    ) -> Result:
        """Return this result; `outdated` if `record` names other inputs."""
        if changed := differences(record, inputs):
            self.state = "outdated"
            names = dict.fromkeys(WHAT[name] for name in changed)
            self.reason = f"{' and '.join(names)} changed since"
        return self

    def follow(self, *others: tuple[bool, str]) -> None:
        """Make the job due if the result is not done, or for the first of `others` that is true."""
        self.is_due = self.state != "done"
        for is_changing, reason in others:
            if is_changing and not self.is_due:
                self.is_due, self.reason = True, reason


@dataclass
class Results:
    """All results of a study by rule and ids."""

    found: dict[Key, Result] = field(default_factory=dict)

    def __getitem__(self, key: Key) -> Result:
        return self.found[key]

    def of(self, rule: Rule) -> list[Result]:
        """Return the results of a rule."""
        return [result for key, result in self.found.items() if key[0] == rule]

    @property
    def due(self) -> list[Result]:
        """The results whose jobs the next `snakemake` runs."""
        return [result for result in self.found.values() if result.is_due]

    def content_sha256(self) -> str:
        """Return a hash of the results that a report is made from."""
        parts = [
            [*key, result.sha256 or ""]
            for key, result in sorted(self.found.items())
            if key[0] in ("train", "score_error", "evaluate") and not result.is_due
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
