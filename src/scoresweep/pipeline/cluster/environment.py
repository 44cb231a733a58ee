"""Which of a user's environment variables reach SLURM, submitit and Accelerate.

Variables choose what SLURM's programs print (`SQUEUE_FORMAT`), overrule the options of a batch file
(`SBATCH_QOS`, https://slurm.schedmd.com/sbatch.html#SECTION_INPUT-ENVIRONMENT-VARIABLES), and say
that a process is one of several (`WORLD_SIZE`). Only what this program sets may do that.
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
    "for_questions",
    "for_submission",
    "ignore_modules_here",
    "launcher_variables",
    "remove_launcher_variables",
    "remove_slurm_variables",
]

KEPT = frozenset(
    {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_SOCKET", "SQUEUE_ALL"}
)
"""Where SLURM is, who the user is, and that jobs in hidden partitions are listed."""

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
"""Site defaults: they hold for all jobs unless an option sets them."""

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
"""What submitit replaces in paths by the numbers of job and task (submitit 1.5, `JobPaths`)."""


def for_questions() -> dict[str, str]:
    """Return the environment for a program that asks SLURM: no variable changes the answer."""
    return {name: value for name, value in os.environ.items() if not _is_of_slurm(name)}


@contextmanager
def for_submission(options: Collection[str]) -> Iterator[None]:
    """Keep from `sbatch` what would change the job and does not come from its options.

    `options` are the names of the options in the batch file, which `SBATCH_*` would overrule. Site
    defaults for other options count. What an allocation has set (`SLURM_*`) does not.
    """
    given = {f"SBATCH_{name.upper().replace('-', '_')}" for name in options}
    unwanted = _slurm_variables() | (given & os.environ.keys())
    taken = {name: os.environ.pop(name) for name in unwanted}
    try:
        yield
    finally:
        os.environ.update(taken)


def remove_slurm_variables() -> None:
    """Remove what would change the questions and the jobs of this process; print what a user set.

    Site defaults for jobs stay. What SLURM itself has set in an allocation is not printed.
    """
    in_job, names = "SLURM_JOB_ID" in os.environ, _slurm_variables()
    own = {name for name in names if not (in_job and name.startswith("SLURM_"))}
    _remove(names, own, "options of jobs belong in the profile (slurm/README.md)")


def remove_launcher_variables() -> None:
    """Remove what a launcher of distributed programs, or submitit, has set; print what it was.

    Processes of this program are started by the program itself, never by such a launcher.
    """
    names = launcher_variables() | {name for name in os.environ if name.startswith("SUBMITIT_")}
    own = {name for name in names if not name.startswith(SET_BY_SRUN)}
    _remove(names, own, "this program starts its processes itself (--processes)")


def ignore_modules_here() -> None:
    """Keep `python -m`, in processes that this one starts, from importing files of the folder.

    A file `random.py` in the working directory would replace Python's own module.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def launcher_variables() -> set[str]:
    """Return the names of the variables by which a launcher tells each process what it is."""
    return {name for name in os.environ if name in LAUNCHER_NAMES or name.startswith(LAUNCHERS)}


def check_clusters() -> None:
    """Raise `InputError` if the shell asks for jobs on another cluster than this machine's."""
    for name in ("SLURM_CLUSTERS", "SBATCH_CLUSTERS"):
        if value := os.environ.get(name):
            raise InputError(
                f"{name}={value}: jobs are submitted to the cluster of this machine only; expected "
                f"no such variable (`unset {name}`), and a machine of that cluster"
            )


def check_paths(folder: Path, cluster: str) -> None:
    """Raise `InputError` if no job can run in `folder`, or with this Python.

    submitit replaces patterns such as `%j` in paths, folders included, and SLURM more of them.
    Snakemake writes paths into the scripts of jobs by `repr`, and a shell reads them there.
    """
    path = str(folder.absolute())
    bad = [pattern for pattern in SUBMITIT_PATTERNS if pattern in path]
    if cluster == "slurm":
        bad += [letter for letter in path if letter in "%'" or repr(letter) != f"'{letter}'"]
    if bad:
        raise InputError(
            f"{path}: {bad[0]!r} in a path would be read as something else by jobs on this "
            f"{'cluster' if cluster == 'slurm' else 'machine'}; expected a folder without it: "
            f"rename it"
        )
    if cluster == "slurm" and shlex.quote(sys.executable) != sys.executable:
        raise InputError(
            f"{sys.executable}: a shell does not read this path of Python as one word, and jobs on "
            f"SLURM would not find it; expected an environment in another folder"
        )


def _is_of_slurm(name: str) -> bool:
    return name.startswith(SLURM_PROGRAMS) and name not in KEPT


def _slurm_variables() -> set[str]:
    return {name for name in os.environ if _is_of_slurm(name)} - SITE_DEFAULTS


def _remove(names: Iterable[str], own: Iterable[str], why: str) -> None:
    for name in names:
        del os.environ[name]
    if listed := sorted(own):
        say(f"ignored environment variables: {', '.join(listed)}: {why}")
