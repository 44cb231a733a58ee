"""The GPUs that the environment allows: the variable CUDA_VISIBLE_DEVICES.

SLURM sets it to indices ("0,1"), or a site to UUIDs ("GPU-8f3c…") or slices of a GPU ("MIG-3a41…").
This module does not import PyTorch.
"""

from __future__ import annotations

import itertools
import os
import re

from scoresweep.pipeline.errors import InputError

__all__ = ["VARIABLE", "allot_gpus", "check_slices", "visible_gpus"]

VARIABLE = "CUDA_VISIBLE_DEVICES"

NAME = re.compile(r"\d+|(GPU|MIG)-.+")


def visible_gpus() -> list[str] | None:
    """Return the names of the GPUs that this process may use; None: all of the machine.

    As in CUDA, the list ends at the first entry that is neither an index nor a UUID ("-1", SLURM's
    "NoDevFiles"), and no GPU is visible if an entry is repeated.
    """
    if VARIABLE not in os.environ:
        return None
    entries = [entry.strip() for entry in os.environ[VARIABLE].split(",")]
    names = list(itertools.takewhile(NAME.fullmatch, entries))
    return names if len(set(names)) == len(names) else []


def allot_gpus(gpus: int) -> str:
    """Return the value of CUDA_VISIBLE_DEVICES for a job of `gpus` GPUs on this machine.

    Raises:
        InputError: if the environment allows fewer.
    """
    names = visible_gpus()
    if names is None:
        return ",".join(map(str, range(gpus)))
    if gpus > len(names):
        raise InputError(
            f"gpus: {gpus}: {VARIABLE}={os.environ[VARIABLE]!r} lists {len(names)}; expected "
            f"{len(names)} or fewer"
        )
    check_slices(gpus)
    return ",".join(names[:gpus])


def check_slices(gpus: int) -> None:
    """Raise `InputError` if `gpus` is above 1 and the GPUs are slices of GPUs (MIG).

    A process sees only the first of several slices
    (https://docs.nvidia.com/datacenter/tesla/mig-user-guide/), and NCCL does not connect slices.
    """
    names = visible_gpus() or []
    if gpus > 1 and any(name.startswith("MIG-") for name in names):
        raise InputError(
            f"gpus: {gpus}: {VARIABLE}={os.environ[VARIABLE]!r} lists slices of GPUs (MIG), of "
            f"which a job can use one; expected 1"
        )
