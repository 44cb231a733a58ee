"""`snakemake --profile slurm` refuses options that cannot work before it submits a job.

No SLURM is needed: `scontrol` and `sacct`, which the executor calls, fail here.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from forked import call
from tiny_study import TINY


@pytest.fixture
def refused(tmp_path):
    """Return the output of `snakemake --profile slurm` that refuses to start."""
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    (tmp_path / "study.yaml").write_text(TINY)
    (tmp_path / "bin").mkdir()
    for name in ("scontrol", "sacct"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def start(*arguments, folder=tmp_path):
        options = ("--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml")
        options += ("--profile", "slurm", *arguments)
        environment = os.environ | {"PATH": path}
        ended = call("snakemake.cli:main", *options, cwd=folder, env=environment)
        assert ended.returncode == 1
        assert not list(tmp_path.glob("results/*/slurm_runs.txt"))
        return ended.stdout + ended.stderr

    return start


def test_the_executor_that_does_not_wait(refused):
    """Of a profile of an earlier version; the message names the keys to change."""
    said = refused("--executor", "slurm")
    assert "executor: slurm: expected scoresweep-slurm" in said
    assert "slurm-status-command: scoresweep-slurm-status-command" in said


def test_options_of_the_other_executor_in_a_profile(refused, tmp_path):
    profile = tmp_path / "slurm/config.yaml"
    profile.write_text(profile.read_text() + "slurm-qos: long\n")
    assert "--slurm-qos: " in refused()


def test_jobs_on_another_cluster(refused, monkeypatch):
    monkeypatch.setenv("SLURM_CLUSTERS", "other")
    assert "SLURM_CLUSTERS=other: " in refused()


def test_a_folder_with_a_pattern_that_slurm_replaces(refused, tmp_path):
    (tmp_path / "100%").mkdir()
    for name in ("slurm", "study.yaml", "bin"):
        (tmp_path / name).rename(tmp_path / "100%" / name)
    said = refused(folder=tmp_path / "100%")
    assert f"{tmp_path}/100%/results/" in said


def test_resources_that_training_does_not_support(refused):
    said = refused("--set-resources", "train:mem_mb_per_cpu=500", "train:tasks=2")
    assert "resources of train: mem_mb_per_cpu, tasks: not supported for training" in said
