"""`--set-resources` and `--resources` reach SLURM."""

import subprocess
import sys

import pytest
import yaml
from slurm_cluster import run, wait_until
from test_workflow_on_cluster import PATIENCE, QUICK, started, work_folder
from tiny_study import TINY, give_data

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.squeue import query_jobs
from scoresweep.pipeline.study import load_study, plan_study


@pytest.fixture
def make_plan(cluster, staged, tmp_path):
    """A study of short runs, in a folder with the unchanged profile."""

    def make(seeds):
        study = yaml.safe_load(TINY)
        study["train"] |= {"steps": 20, "checkpoint": {"steps": 20}, "grid": {"seed": seeds}}
        give_data(tmp_path, staged)
        work_folder(tmp_path, study)
        return plan_study(load_study(tmp_path / "study.yaml"), tmp_path)

    return make


@pytest.fixture
def friday(cluster):
    """A reservation of a node with a feature; other nodes have another feature."""
    run("scontrol", "update", "nodename=n1", "availablefeatures=a100", "activefeatures=a100")
    run("scontrol", "update", "nodename=n2", "availablefeatures=h100", "activefeatures=h100")
    reserve = "reservationname=friday users=root starttime=now duration=10 nodes=n1"
    run("scontrol", "create", *reserve.split(), "flags=ignore_jobs")
    yield "friday"
    run("scontrol", "delete", "reservationname=friday")
    run("scontrol", "update", "nodename=n[1-2]", "availablefeatures=", "activefeatures=")


ASKED = (
    "qos=normal",
    "constraint='a100|h100'",
    "gres=gpu:2",
    "slurm_extra='--exclusive --comment=hello'",
    "gpu=1",
    "processes=1",
    "mem_mb=900",
    "runtime=2000",  # the partition allows 1440
    "slurm_partition=short",
    "slurm_account=root",
)


def test_training_requests_the_resources_of_its_rule(make_plan, friday):
    """It reports why its job waits forever, and is cancelled together with the head."""
    plan = make_plan([0])
    folder, train = plan.paths.root, plan.paths.run(plan.runs[0].id)
    options = ("--profile", "slurm", *QUICK, "--printshellcmds")
    options += (f"--scoresweep-slurm-reservation={friday}",)
    asked = ("--set-resources", *(f"train:{one}" for one in ASKED), "--set-threads", "train=2")
    with started(folder, *options, *asked) as head:
        said = folder / "output"
        hint = "PENDING forever: it requests more time than the partition allows"
        wait_until(lambda: head.poll() is not None or hint in said.read_text(), hint, PATIENCE)
        assert head.poll() is None, said.read_text()
        assert " --gpus 1 " in said.read_text()
        record = JobRecord.read(train / "job.json")
        (job,) = query_jobs(record.name)
        assert (job.state, job.reason) == ("PENDING", "PartitionTimeLimit")
        shown = run("scontrol", "show", "job", job.job_id).stdout
        cancel = [sys.executable, "-m", "scoresweep", "cancel", "study.yaml"]
        subprocess.run(cancel, cwd=folder, check=True)
        assert head.poll() is not None
    for fact in (
        "Account=root QOS=normal",
        "TimeLimit=1-09:20:00",
        "Partition=short",
        "NumNodes=1",
        "CPUs/Task=2",
        "MinMemoryNode=900M",
        "Features=a100|h100",
        "Reservation=friday",
        "OverSubscribe=NO",
        "Comment=hello",
        "TresPerNode=gres:gpu:2",
    ):
        assert fact in shown, shown
    (script,) = (train / "logs").glob("*_submission.sh")
    lines = [line for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --ntasks-per-node=1" in lines
    assert "gpus" not in "".join(lines)  # `gres` says which ones


def test_training_slots_limit_the_trainings_at_a_time(make_plan):
    plan = make_plan([0, 1, 2])
    asked = ("--set-resources", "train:processes=2", "train:mem_mb=1000", "--set-threads=train=2")
    slots = ("--resources", "training_slots=1", "--until", "train")
    with started(plan.paths.root, "--profile", "slurm", *QUICK, *asked, *slots) as head:
        assert head.wait(PATIENCE) == 0, (plan.paths.root / "output").read_text()
    # A training is done when its weights are there, a moment before SLURM has ended its job.
    submitted = [JobRecord.read(plan.paths.job_record(run.id)).submitted for run in plan.runs]
    ended = [plan.paths.weights(run.id).stat().st_mtime for run in plan.runs]
    first, second, third = sorted(zip(submitted, ended, strict=True))
    assert first[1] <= second[0]
    assert second[1] <= third[0]
