"""Options of `snakemake --profile slurm` that cannot work are named before anything is submitted.

No SLURM is needed: `scontrol` and `sacct`, which the executor looks for, do not answer here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from tiny_study import TINY


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

    def start(*arguments, folder=tmp_path):
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", "study.yaml", "--profile", "slurm", *arguments]
        ended = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PATH": path},
        )
        assert ended.returncode == 1
        assert not list(tmp_path.glob("results/*/slurm_runs.txt"))
        return ended.stdout + ended.stderr

    return start


def test_arrays(refused):
    assert "slurm-array-jobs: sample: " in refused("--slurm-array-jobs", "sample")


def test_jobs_on_another_cluster(refused, monkeypatch):
    monkeypatch.setenv("SLURM_CLUSTERS", "other")
    assert "SLURM_CLUSTERS=other: " in refused()


def test_a_folder_whose_name_slurm_replaces(refused, tmp_path):
    """The executor resolves the folder, whatever it is called from."""
    (tmp_path / "100%").mkdir()
    for name in ("slurm", "study.yaml", "bin"):
        (tmp_path / name).rename(tmp_path / "100%" / name)
    said = refused(folder=tmp_path / "100%")
    assert f"{tmp_path}/100%/results/" in said


def test_what_a_training_cannot_ask_for(refused):
    said = refused("--set-resources", "train:mem_mb_per_cpu=500", "train:tasks=2")
    assert "resources of train: mem_mb_per_cpu, tasks: a training cannot ask for these" in said
