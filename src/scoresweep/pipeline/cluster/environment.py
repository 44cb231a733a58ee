"""Filter the environment variables that SLURM, submitit and Accelerate read.

Variables in a user's shell can change the output of SLURM's programs (`SQUEUE_FORMAT`), override
the options of a batch file
(`SBATCH_QOS`, https://slurm.schedmd.com/sbatch.html#SECTION_INPUT-ENVIRONMENT-VARIABLES), and
declare a process one of several (`WORLD_SIZE`). Such variables are removed.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.console import say

__all__ = [
    "check_clusters",
    "check_paths",
    "ignore_local_modules",
    "launcher_variables",
    "query_environment",
    "remove_launcher_variables",
    "remove_slurm_variables",
    "submission_environment",
]

KEPT = frozenset(
    {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET", "SQUEUE_ALL"}
)
"""Location of SLURM, authentication, and listing of jobs in hidden partitions."""

SLURM_PROGRAMS = (
    *("SACCT_", "SACCTMGR_", "SALLOC_", "SBATCH_", "SCANCEL_", "SCONTROL_", "SINFO_", "SLURM_"),
    *("SPRIO_", "SQUEUE_", "SRUN_", "SSHARE_", "SSTAT_"),
)

SITE_DEFAULTS = frozenset(
    f"SBATCH_{name}"
    for name in (
        *("ACCOUNT", "ACCTG_FREQ", "BURST_BUFFER", "CLUSTER_CONSTRAINT", "CONSTRAINT", "CORE_SPEC"),
        *("EXCLUSIVE", "GRES_FLAGS", "HINT", "MEM_BIND", "NETWORK", "PARTITION"),
        *("POWER", "PROFILE", "QOS", "REQ_SWITCH", "RESERVATION", "THREAD_SPEC"),
        *("THREADS_PER_CORE", "USE_MIN_NODES", "WAIT4SWITCH", "WCKEY"),
    )
)
"""Defaults of a site or user: they apply to all jobs unless an option sets them."""

LAUNCHER_NAMES = frozenset(
    {
        *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"),
        *("GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_NAME", "ROLE_WORLD_SIZE", "MASTER_ADDR"),
        *("MASTER_PORT", "FORK_LAUNCHED", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
    }
)
LAUNCHERS = (
    *("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "MV2_COMM_", "OMPI_COMM_", "PARALLELISM_CONFIG_"),
    *("PMI_", "PMIX_", "TORCHELASTIC_"),
)
"""Set by torchrun, `accelerate launch` and MPI, read by Accelerate and torch.distributed."""
SET_BY_SRUN = ("PMI_", "PMIX_")

SUBMITIT_PATTERNS = ("%j", "%t", "%A", "%a")
"""Replaced in paths by submitit 1.5 (`JobPaths`)."""


def query_environment() -> dict[str, str]:
    """Return the environment for programs that query SLURM, without variables that affect them."""
    return {name: value for name, value in os.environ.items() if not _is_slurm_variable(name)}


@contextmanager
def submission_environment(options: Collection[str]) -> Iterator[None]:
    """Hide variables that would change a submitted job.

    `options` are the names of the options in the batch file, which `SBATCH_*` would override. Site
    defaults for other options apply. Variables of an allocation (`SLURM_*`) are hidden.
    """
    overriding = {f"SBATCH_{name.upper().replace('-', '_')}" for name in options}
    unwanted = _slurm_variables() | (overriding & os.environ.keys())
    hidden = {name: os.environ.pop(name) for name in unwanted}
    try:
        yield
    finally:
        os.environ.update(hidden)


def remove_slurm_variables() -> None:
    """Remove variables that affect SLURM's programs; print those that a user set.

    Site defaults for jobs stay. Variables that SLURM sets in an allocation are not printed.
    """
    in_job, names = "SLURM_JOB_ID" in os.environ, _slurm_variables()
    by_user = {name for name in names if not (in_job and name.startswith("SLURM_"))}
    _remove(names, by_user, "set options of jobs in the profile (slurm/README.md)")


def remove_launcher_variables() -> None:
    """Remove variables set by a launcher of distributed programs, or by submitit; print them.

    scoresweep starts its own processes, never through such a launcher.
    """
    names = launcher_variables() | {name for name in os.environ if name.startswith("SUBMITIT_")}
    by_user = {name for name in names if not name.startswith(SET_BY_SRUN)}
    _remove(names, by_user, "scoresweep starts its own processes (--processes)")


def ignore_local_modules() -> None:
    """Keep `python -m` in child processes from importing files of the working directory.

    A file `random.py` there would replace Python's own module.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def launcher_variables() -> set[str]:
    """Return the names of the variables by which a launcher numbers its processes."""
    return {name for name in os.environ if name in LAUNCHER_NAMES or name.startswith(LAUNCHERS)}


def check_clusters() -> None:
    """Raise `InputError` if variables select another cluster than this machine's."""
    for name in ("SLURM_CLUSTERS", "SBATCH_CLUSTERS"):
        if value := os.environ.get(name):
            raise InputError(
                f"{name}={value}: jobs are only submitted to the cluster of this machine; run "
                f"`unset {name}`, and start on a machine of the cluster that you want"
            )


def check_paths(folder: Path, cluster: str) -> None:
    """Raise `InputError` if jobs cannot run in `folder`, or with this Python.

    submitit replaces patterns such as `%j` in paths, and SLURM replaces more of them. Snakemake
    writes paths into job scripts with `repr`, and a shell parses them there.
    """
    path = str(folder.absolute())
    bad = [pattern for pattern in SUBMITIT_PATTERNS if pattern in path]
    if cluster == "slurm":
        bad += [letter for letter in path if letter in "%'" or repr(letter) != f"'{letter}'"]
    if bad:
        raise InputError(
            f"{path}: jobs on this {'cluster' if cluster == 'slurm' else 'machine'} cannot handle "
            f"{bad[0]!r} in a path; rename the folder"
        )
    if cluster == "slurm" and shlex.quote(sys.executable) != sys.executable:
        raise InputError(
            f"{sys.executable}: jobs on SLURM cannot start a Python whose path needs quoting in a "
            f"shell; install the environment in another folder"
        )


def _is_slurm_variable(name: str) -> bool:
    return name.startswith(SLURM_PROGRAMS) and name not in KEPT


def _slurm_variables() -> set[str]:
    return {name for name in os.environ if _is_slurm_variable(name)} - SITE_DEFAULTS


def _remove(names: Iterable[str], printed: Iterable[str], advice: str) -> None:
    for name in names:
        del os.environ[name]
    if listed := sorted(printed):
        say(f"ignored environment variables: {', '.join(listed)}: {advice}")
