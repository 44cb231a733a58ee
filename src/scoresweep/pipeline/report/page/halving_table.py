"""The choices of successive halving, as a table of the page."""

from __future__ import annotations

from collections.abc import Sequence

from scoresweep.pipeline.report.format import format_interval, format_number
from scoresweep.pipeline.results import Choice
from scoresweep.pipeline.results.halving import Configuration

__all__ = ["MAX_CHOICES", "doubt_note", "halving_rows"]

MAX_CHOICES = 100
"""Maximum number of choices that are listed."""


def halving_rows(choices: Sequence[Choice]) -> list[dict[str, str]]:
    """Return a row for each choice, with the worst configuration kept and the best one dropped."""
    return [_row(choice) for choice in choices[:MAX_CHOICES]]


def _row(choice: Choice) -> dict[str, str]:
    kept = [each for each in choice.configurations if each.kept]
    dropped = [each for each in choice.configurations if not each.kept]
    doubts = [each.in_doubt for each in dropped]
    return {
        "group": choice.group,
        "count": format_number(choice.count),
        "measured": format_number(len(choice.configurations)),
        "kept": format_number(len(kept)),
        "worst_kept": _format(kept[-1:]),
        "best_dropped": _format(dropped[:1]),
        "in_doubt": "unknown" if None in doubts else format_number(sum(map(bool, doubts))),
    }


def _format(side: Sequence[Configuration]) -> str:
    """Format the value of a configuration with its interval; "–" if there is none."""
    if not side:
        return "–"
    interval = format_interval({"low": side[0].low, "high": side[0].high})
    return format_number(side[0].value) + (f" ({interval})" if interval else "")


def doubt_note(choices: Sequence[Choice]) -> str:
    """Say whether dropped configurations could not be told apart from kept ones."""
    dropped = [each for choice in choices for each in choice.configurations if not each.kept]
    doubts, unknown = (sum(each.in_doubt is value for each in dropped) for value in (True, None))
    parts = []
    if doubts:
        parts.append(
            f"{doubts:,} of {len(dropped):,} dropped configurations could not be told apart from a "
            f"kept one: their 95 % intervals overlap."
        )
    if unknown:
        parts.append(
            f"For {unknown:,} of {len(dropped):,} that is not known: an interval is missing."
        )
    certain = "Every dropped configuration is beyond the 95 % intervals of those that were kept."
    return " ".join(parts) or certain
