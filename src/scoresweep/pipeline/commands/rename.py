"""Rename a study: its name in the study file and the folder of its results."""

from __future__ import annotations

import re
from pathlib import Path

from scoresweep.pipeline.cluster.progress import collect_jobs
from scoresweep.pipeline.cluster.study_jobs import study_jobs
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["rename"]

NAME = re.compile(r"^(study:[ \t]*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s#]+)", re.MULTILINE)
"""The line of a study file that names the study."""


def rename(plan: Plan, path: Path, name: str) -> None:
    """Give the study in the file `path` another name; its results move to `results/NAME`.

    Comments and everything else in the file stay. What is finished stays finished; the report is
    written again, since it shows the name.

    Raises:
        InputError: if the name is not valid or taken, if jobs of the study run, or if the file does
            not name the study in a line of its own. Nothing has changed then.
    """
    text = path.read_text(encoding="utf-8")
    new_text = NAME.sub(rf"\g<1>{name}", text, count=1)
    before, after = parse_yaml(text, path), parse_yaml(new_text, path)
    if after != before | {"study": name}:
        raise InputError(
            f"{path}: study: the name cannot be replaced; expected a line `study: {name}`, which "
            f"may be written by hand after results/{plan.study.study} is moved"
        )
    renamed = plan_study(parse_study(after, path), plan.paths.root, where=str(path))
    old, new = plan.paths.results, renamed.paths.results
    if new.exists():
        raise InputError(f"{new}: exists; expected a name that no other study has")
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
    say(f"{path}: the study is called {name}; its results are in {new}")
    if renamed.paths.report.exists():
        from scoresweep.pipeline.rules.report import report

        report(plan_study(parse_study(after, path), plan.paths.root, where=str(path)))


def _check_idle(plan: Plan) -> None:
    """Raise `InputError` if jobs of the study run or wait in a queue."""
    busy = [job.name for job in collect_jobs(plan) if job.state in ("running", "queued")]
    slurm = study_jobs(plan)
    if slurm and (waiting := [*slurm.rule_jobs(), *slurm.training_jobs().values()]):
        busy += [f"SLURM job {job.job_id}" for job in waiting]
    if busy:
        raise InputError(
            f"study {plan.study.study}: {busy[0]} runs{' and others' if busy[1:] else ''}; wait "
            f"until it ends, or stop it (`scoresweep cancel STUDY`)"
        )
