"""Which variables and paths reach SLURM, Accelerate and jobs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.cluster.environment import (
    check_clusters,
    check_paths,
    launcher_variables,
    query_environment,
    remove_launcher_variables,
    remove_slurm_variables,
    submission_environment,
)
from scoresweep.pipeline.cluster.slurm_job import _batch_options, _executor
from scoresweep.pipeline.errors import InputError

FORMATS = [
    "SQUEUE_FORMAT",
    "SQUEUE_FORMAT2",
    "SQUEUE_STATES",
    "SQUEUE_PARTITION",
    "SQUEUE_USERS",
    "SACCT_FORMAT",
    "SINFO_FORMAT",
    "SLURM_TIME_FORMAT",
    "SCONTROL_ONELINER",
    "SCANCEL_STATE",
    "SRUN_CPUS_PER_TASK",
    "SALLOC_PARTITION",
    "SLURM_EXPORT_ENV",
]
BREAKING = ["SBATCH_EXPORT", "SBATCH_ARRAY_INX", "SBATCH_WAIT", "SBATCH_JOB_NAME", "SBATCH_OUTPUT"]
SITE_DEFAULTS = ["SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION"]
LAUNCHERS = [
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "ACCELERATE_USE_FSDP",
    "ACCELERATE_MIXED_PRECISION",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "PMIX_RANK",
    "TORCHELASTIC_RUN_ID",
]


@pytest.fixture
def shell(monkeypatch):
    """Set variables as in a user's shell, for one test."""
    for name in (*FORMATS, *BREAKING, *SITE_DEFAULTS, *LAUNCHERS, "SUBMITIT_EXECUTOR"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/slurm.conf")
    return monkeypatch


def test_queries_ignore_all_of_them(shell):
    removed = os.environ.keys() - query_environment().keys()
    assert removed == {*FORMATS, *BREAKING, *SITE_DEFAULTS}


def test_sbatch_gets_site_defaults_unless_an_option_is_given(shell):
    resources = Resources(cluster="slurm", account="ours", extra="--qos=long")
    before = dict(os.environ)
    with submission_environment(_batch_options(_executor(resources, Path("logs"), "name"))):
        removed = before.keys() - os.environ.keys()
    assert removed == {*FORMATS, *BREAKING, "SBATCH_ACCOUNT", "SBATCH_QOS"}
    assert dict(os.environ) == before


@pytest.fixture(autouse=True)
def sbatch(tmp_path, monkeypatch):
    """submitit looks for `srun` before it writes a batch file."""
    (tmp_path / "srun").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_the_head_keeps_site_defaults_and_lists_removed_variables(shell, capsys):
    before = dict(os.environ)
    remove_slurm_variables()
    assert before.keys() - os.environ.keys() == {*FORMATS, *BREAKING}
    said = capsys.readouterr().err
    assert all(f" {name}," in said or f" {name}:" in said for name in (*FORMATS, *BREAKING))


def test_variables_of_an_allocation_are_removed_silently(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    remove_slurm_variables()
    assert not {"SLURM_JOB_ID", "SLURM_NTASKS"} & os.environ.keys()
    assert capsys.readouterr().err == ""


def test_a_clean_shell_prints_nothing(capsys):
    remove_slurm_variables()
    remove_launcher_variables()
    assert capsys.readouterr().err == ""


def test_variables_of_launchers_are_removed(shell, capsys):
    assert launcher_variables() == set(LAUNCHERS)
    remove_launcher_variables()
    assert not {*LAUNCHERS, "SUBMITIT_EXECUTOR"} & os.environ.keys()
    said = capsys.readouterr().err
    assert "WORLD_SIZE" in said
    assert "SUBMITIT_EXECUTOR" in said


def test_the_command_line_ignores_launchers(tmp_path):
    code = (
        "import sys, os; sys.argv = ['scoresweep', '--help']\n"
        "from scoresweep.pipeline.cli import main\n"
        "try: main()\n"
        "finally: print('left:', os.environ.get('WORLD_SIZE'))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"WORLD_SIZE": "4"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "left: None" in ended.stdout


@pytest.mark.parametrize("name", ["SLURM_CLUSTERS", "SBATCH_CLUSTERS"])
def test_another_cluster_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, "other")
    with pytest.raises(InputError, match=f"{name}=other"):
        check_clusters()


@pytest.mark.parametrize(
    ("folder", "cluster"),
    [
        *(("50%jump", "local"), ("a%t", "local"), ("a%t", "slurm"), ("100%", "slurm")),
        *(("it's", "slurm"), ("a\\b", "slurm"), ("a\nb", "slurm"), ("a\tb", "slurm")),
    ],
)
def test_paths_that_jobs_cannot_handle_are_refused(folder, cluster, tmp_path):
    with pytest.raises(InputError) as refused:
        check_paths(tmp_path / folder / "logs", cluster)
    assert str(tmp_path / folder) in str(refused.value)


def test_other_paths_are_accepted(tmp_path):
    check_paths(tmp_path / "100% of 'it', $HOME ü", "local")
    check_paths(tmp_path / 'a "c" $HOME `d` ü 日本', "slurm")


def test_a_python_that_jobs_cannot_start_is_refused(tmp_path, monkeypatch):
    check_paths(tmp_path, "slurm")
    monkeypatch.setattr(sys, "executable", "/my envs/bin/python")
    check_paths(tmp_path, "local")
    with pytest.raises(InputError, match="/my envs/bin/python"):
        check_paths(tmp_path, "slurm")
