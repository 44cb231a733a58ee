"""Run commands in processes that are forked from one that has imported everything.

A new Python process takes seconds to import PyTorch, xarray and Snakemake. Tests of the
start itself (imports, the interpreter's options, files beside the program) start a new process.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

__all__ = ["call", "fork_context"]

PRELOAD = [
    "scoresweep.pipeline.training.artifacts",
    "scoresweep.pipeline.training.setup",
    "scoresweep.pipeline.rules.train",
    "scoresweep.pipeline.rules.sweep",
    "scoresweep.pipeline.rules.report",
    "scoresweep.pipeline.commands.plan",
    "torch._dynamo",  # AdamW imports it
    "torch.distributed.tensor",
    "h5netcdf",
    "snakemake.cli",
]

Completed = subprocess.CompletedProcess[str]


def fork_context() -> ForkServerContext:
    """Return the context of the processes that are forked from the server of this one."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _start(
    function: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: Path,
    stderr: Path,
) -> BaseProcess:
    """Start `function`, written "module:name", which reads its arguments from `sys.argv`."""
    words = [function.partition(":")[0], *map(str, arguments)]
    folder, environment = str(cwd or Path.cwd()), dict(env or os.environ)
    process = fork_context().Process(
        target=_run, args=(function, words, folder, environment, stdout, stderr)
    )
    process.start()
    return process


def call(
    function: str,
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run `function` to its end, as `subprocess.run` does with text and captured output."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, stream) for stream in ("stdout", "stderr")]
        process = _start(function, *arguments, cwd=cwd, env=env, stdout=files[0], stderr=files[1])
        process.join()
        said = [file.read_text() for file in files]
        return Completed([function, *map(str, arguments)], process.exitcode or 0, *said)


def _run(
    function: str, words: list[str], cwd: str, env: dict[str, str], stdout: Path, stderr: Path
) -> None:
    for number, path in ((1, stdout), (2, stderr)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = words
    module, _, name = function.partition(":")
    main: Callable[[], Any] = getattr(import_module(module), name)
    try:
        main()
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()
