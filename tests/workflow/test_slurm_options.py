"""Options of `snakemake --profile slurm` that cannot work are named before anything is submitted.

No SLURM is needed: `scontrol` and `sacct`, which the executor looks for, do not answer here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_study import TINY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def refused(tmp_path):
    """Return what `snakemake --profile slurm` says when it refuses to start."""
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    (tmp_path / "study.yaml").write_text(TINY)
    (tmp_path / "bin").mkdir()
    for name in ("scontrol", "sacct"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def start(*arguments):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "study.yaml", "--profile", "slurm", *arguments]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path},
        )
        assert ended.returncode == 1
        assert not list(tmp_path.glob("results/*/slurm_runs.txt"))
        return ended.stdout + ended.stderr

    return start


def test_fewer_jobs_than_an_array_may_wait_for(refused):
    assert "--jobs 15: 16 jobs are to be run, and those of a rule in slurm-array-jobs" in refused(
        "--jobs", "15"
    )


def test_what_a_training_cannot_ask_for(refused):
    said = refused("--set-resources", "train:mem_mb_per_cpu=500", "train:tasks=2")
    assert "resources of train: mem_mb_per_cpu, tasks: a training cannot ask for these" in said
