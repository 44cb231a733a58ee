"""Command `rename`: change the name of a study in its file and the folder of its results."""

from __future__ import annotations

import re
from pathlib import Path

from scoresweep.pipeline.cluster.activity import active_jobs
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["rename"]

NAME = re.compile(r"^(study:[ \t]*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s#]+)", re.MULTILINE)
"""The line of a study file that holds its name."""


def rename(plan: Plan, path: Path, name: str) -> None:
    """Rename the study in the file `path` and move its results to `results/NAME`.

    Comments in the file are kept, and no result is recomputed. The report is rewritten, because it
    shows the name.

    Raises:
        InputError: if the name is invalid or taken, if jobs of the study are queued or running, or
            if the file has no line `study: NAME`. Nothing is changed then.
    """
    text = path.read_text(encoding="utf-8")
    new_text = NAME.sub(rf"\g<1>{name}", text, count=1)
    before, after = parse_yaml(text, path), parse_yaml(new_text, path)
    if after != before | {"study": name}:
        raise InputError(
            f"{path}: study: {plan.study.study}: is not on a line of its own, so it cannot be "
            f"replaced; move {plan.paths.results} to {plan.paths.results.with_name(name)} and "
            f"write `study: {name}` by hand"
        )
    renamed = plan_study(parse_study(after, path, path.parent), plan.paths.root, where=str(path))
    old, new = plan.paths.results, renamed.paths.results
    if new.exists():
        raise InputError(f"{new}: exists; expected a name that is not in use")
    _check_idle(plan)
    if old.exists():
        old.rename(new)
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(new_text, encoding="utf-8")
    except BaseException:
        if new.exists():
            new.rename(old)
        raise
    say(f"{path}: renamed to {name}; results are in {new}")
    if renamed.paths.report.exists():
        from scoresweep.pipeline.rules.report import report

        report(plan_study(parse_study(after, path, path.parent), plan.paths.root, where=str(path)))


def _check_idle(plan: Plan) -> None:
    """Raise `InputError` if jobs of the study are queued or running."""
    if busy := active_jobs(plan):
        raise InputError(
            f"study {plan.study.study}: {len(busy)} jobs are queued or running, such as {busy[0]}; "
            f"wait until they finish, or stop them (`scoresweep cancel STUDY`)"
        )
