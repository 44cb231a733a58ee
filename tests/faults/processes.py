"""Training processes that start fast (see `forked`).

They run the function that `scoresweep train` starts on a machine or on the nodes of a SLURM job.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing.process import BaseProcess
from pathlib import Path

from forked import fork_context

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.study import Plan

__all__ = ["die_in", "end", "finish", "start", "wait"]

Fault = Callable[[], None]


def start(plan: Plan, processes: int = 2, faults: dict[int, Fault] | None = None):
    """Start the training of the first run of `plan`; `faults` are prepared in the given ranks."""
    context = fork_context()
    port = _free_port()
    ranks = [
        context.Process(target=_train, args=(plan, processes, rank, port, (faults or {}).get(rank)))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def log(plan: Plan, rank: int) -> Path:
    """Return the log file of a process."""
    return plan.paths.root / f"rank{rank}.log"


def _train(plan: Plan, processes: int, rank: int, port: int, fault: Fault | None) -> None:
    descriptor = os.open(log(plan, rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 2)
    import torch

    from scoresweep.pipeline.errors import RunError, StoppedError
    from scoresweep.pipeline.rules.train import train_here

    torch.set_num_threads(1)
    if processes > 1:
        os.environ |= {"RANK": f"{rank}", "WORLD_SIZE": f"{processes}", "LOCAL_RANK": f"{rank}"}
        os.environ |= {"LOCAL_WORLD_SIZE": f"{processes}"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    if fault:
        fault()
    try:
        train_here(plan.runs[0], plan.paths, Resources(processes=processes))
    except StoppedError as stopped:
        sys.stderr.write(f"{stopped}\n")
        sys.exit(3 if stopped.requeue else 4)
    except RunError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


def end(ranks: list[BaseProcess]) -> list[int | None]:
    """Wait until one process has ended, kill the others as a launcher does; return all codes."""
    multiprocessing.connection.wait([rank.sentinel for rank in ranks], timeout=60)
    for rank in ranks:
        rank.join(timeout=0.1)
        rank.kill()
        rank.join()
    return [rank.exitcode for rank in ranks]


def wait(ranks: list[BaseProcess]) -> list[int | None]:
    """Wait until every process has ended by itself; return the codes."""
    for rank in ranks:
        rank.join(timeout=120)
    return [rank.exitcode for rank in ranks]


def finish(plan: Plan, processes: int = 2) -> Path:
    """Train the first run of `plan` to its end; return its folder."""
    codes = wait(start(plan, processes))
    assert codes == [0] * processes, log(plan, 0).read_text()
    return plan.paths.run(plan.runs[0].id)


def die_in(name: str, call: int) -> None:
    """Kill this process in the `call`-th call of the function `name`.

    Of a file that `save_safetensors` writes, half has been written then.
    """
    module, _, attribute = name.rpartition(".")
    function, calls = getattr(import_module(module), attribute), 0

    def dying(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == call:
            if attribute == "save_safetensors":
                function(*arguments, **options)
                os.truncate(arguments[0], arguments[0].stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    setattr(import_module(module), attribute, dying)
