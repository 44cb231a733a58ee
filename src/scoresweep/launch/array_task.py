"""Tasks of the job arrays that Snakemake's executor for SLURM submits.

Each task of such an array starts a Snakemake for the array's *first* job, which runs the task's own
command and then looks for the first job's outputs: a task that ends before the first one fails,
and one that fails deletes what the first one has written (executor 2.8.0,
https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/447). So a task becomes its own
command, before there is anything to look for or to delete.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import zlib
from collections.abc import Mapping, Sequence

__all__ = ["become_own_task", "own_command"]

OPTION = "--slurm-jobstep-array-execs="


def become_own_task() -> None:
    """Replace this process by the task's own command where it is a later task of an array."""
    command = own_command(sys.argv, os.environ)
    if command is not None:
        os.execlp("bash", "bash", "-c", command)


def own_command(arguments: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Return the own command of a later task of an array; the first one runs what it is given."""
    payload = next((a.removeprefix(OPTION) for a in arguments if a.startswith(OPTION)), "")
    if not payload:
        return None
    commands = json.loads(base64.b64decode(payload))
    packed = commands.get(environment["SLURM_ARRAY_TASK_ID"])
    return zlib.decompress(bytes.fromhex(packed)).decode() if packed else None
