"""Command `clean`: remove what can be recomputed, and results that a study no longer names."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

import typer
from rich.console import Console
from rich.table import Table

from scoresweep.pipeline.cluster.activity import active_jobs
from scoresweep.pipeline.commands.estimate.disk_space import format_bytes
from scoresweep.pipeline.errors import InputError, RunError, did_you_mean
from scoresweep.pipeline.results.removable import (
    KINDS,
    Removable,
    find_removable,
)
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.locks import lock_if_free
from scoresweep.pipeline.system.removal import bytes_of, remove_at_once

__all__ = ["clean"]


def clean(
    plan: Plan, only: Collection[str] = (), yes: bool = False, console: Console | None = None
) -> int:
    """List what can be removed, ask, and remove it; return the number of bytes removed.

    What a process has locked stays. While jobs of the study are queued or running, results that the
    study no longer names stay too: the jobs may belong to an earlier version of the study.

    Args:
        plan: the study.
        only: kinds to remove; empty: all.
        yes: remove without asking.
        console: where to print.

    Raises:
        InputError: if there is no such kind, or nobody can be asked.
    """
    console = console or Console(highlight=False)
    found, kept_because = _find(plan, only)
    if kept_because:
        console.print(f"{KINDS['unnamed']}: left alone, since {kept_because}", markup=False)
    if not found:
        console.print("Nothing to remove.")
        return 0
    _list(found, console)
    if not (yes or _confirm()):
        console.print("Nothing was removed.")
        return 0
    now, _ = _find(plan, only)  # jobs may have started meanwhile
    freed = _remove([each for each in found if each in now], console)
    console.print(f"Removed {format_bytes(freed)}.")
    return freed


def _find(plan: Plan, only: Collection[str]) -> tuple[list[Removable], str]:
    """Return what can be removed now, and why results that the study no longer names stay."""
    for kind in only:
        if kind not in KINDS:
            raise InputError(
                f"--only {kind}: expected one of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}"
            )
    found = [each for each in find_removable(plan) if not only or each.kind in only]
    named = [each for each in found if each.kind != "unnamed"]
    if len(named) < len(found) and (reason := _activity(plan)):
        return named, reason
    return found, ""


def _activity(plan: Plan) -> str:
    """Return which jobs may use results that the study no longer names, or ""."""
    try:
        jobs = active_jobs(plan)
    except RunError as error:
        return str(error)
    if jobs:
        return f"{len(jobs)} jobs are queued or running, such as {jobs[0]}"
    for lock in (plan.paths.root / ".snakemake/locks").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if f"results/{plan.study.study}/" in lock.read_text(encoding="utf-8"):
                return "a `snakemake` runs this study, or was killed (try `snakemake --unlock`)"
    return ""


def _list(found: Sequence[Removable], console: Console) -> None:
    """Print number and size of each kind, and every result that the study no longer names."""
    sizes = {each.path: bytes_of(each.path) for each in found}
    for each in found:
        if each.kind == "unnamed":
            line = f"  {each.path}: {format_bytes(sizes[each.path])}"
            console.print(line, markup=False, soft_wrap=True)
    table = Table(title="To remove", title_justify="left")
    table.add_column("what")
    for heading in ("number", "size"):
        table.add_column(heading, justify="right")
    for kind, name in KINDS.items():
        paths = [each.path for each in found if each.kind == kind]
        if paths:
            size = sum(sizes[path] for path in paths)
            table.add_row(f"{kind}: {name}", f"{len(paths):,}", format_bytes(size))
    table.add_section()
    table.add_row("all", f"{len(found):,}", format_bytes(sum(sizes.values())))
    console.print(table)


def _confirm() -> bool:
    try:
        return typer.confirm("Remove all of it?")
    except typer.Abort:
        raise InputError(
            "nothing was removed, since there was no answer; to remove without a question, add "
            "--yes"
        ) from None


def _remove(found: Sequence[Removable], console: Console) -> int:
    """Remove what is not locked, and print what is; return the number of bytes removed."""
    freed = 0
    for each in found:
        with contextlib.ExitStack() as stack:
            if not all(stack.enter_context(lock_if_free(lock)) for lock in each.locks):
                console.print(f"in use, left alone: {each.path}", markup=False, soft_wrap=True)
                continue
            size = bytes_of(each.path)
            remove_at_once(each.path)
            freed += size
    return freed
