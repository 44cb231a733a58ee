"""`scoresweep status` and `scoresweep cancel` with two studies of the same name."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from slurm_cluster import clean_environment, run, wait_until
from test_workflow_on_cluster import QUICK

from scoresweep.pipeline.study import load_study, plan_study

SCORESWEEP = (sys.executable, "-c", "from scoresweep.pipeline.cli import main; main()")
SNAKEMAKE = (sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"))
STUDY = """
study: endless
dataset: {name: digits}
train:
  network: {name: mlp, width: 16, blocks: 1}
  noise: {name: geometric, sigma_max: 8.0, sigma_min: 0.1, levels: 5}
  steps: 10000000
sample: {sampler: {name: annealed_langevin, step_size: 2e-3}, count: 50}
evaluate: {metrics: [frechet], extractors: [pixels]}
"""


@pytest.fixture
def start(tmp_path):
    """Start a command in a folder; kill it and the folder's jobs after the test."""
    with contextlib.ExitStack() as stack:

        def started(folder, *command):
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            log = stack.enter_context((folder / "output").open("w"))
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment() | {"PATH": path},
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield started
    for job in queue(tmp_path).values():
        run("scancel", job[0])


@pytest.fixture
def plans(staged, tmp_path):
    """Two studies of the same name in two folders, which train for hours."""
    found = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        (folder / "data").mkdir(parents=True)
        for entry in (staged / "data").iterdir():
            (folder / "data" / entry.name).symlink_to(entry)
        (folder / "study.yaml").write_text(STUDY)
        found.append(plan_study(load_study(folder / "study.yaml"), folder))
    return found


def queue(folder):
    """Return (id, state, nodes) of the queued and running jobs of `folder`, by name."""
    rows = run("squeue", "--me", "--noheader", "--format=%j|%Z|%i|%T|%N").stdout.splitlines()
    jobs = (row.split("|") for row in rows)
    return {name: job for name, at, *job in jobs if Path(at).is_relative_to(folder)}


def scoresweep(plan, command):
    """Run a command on a study; return its output."""
    done = subprocess.run(
        [*SCORESWEEP, command, "study.yaml"],
        cwd=plan.paths.root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def train(plan, start, nodes):
    command = ("train", "study.yaml", "--cluster=slurm", "--minutes=30", f"--nodes={nodes}")
    return start(plan.paths.root, *SCORESWEEP, *command)


def training_job(plan):
    """Return (id, state, nodes) of the training job, Nones if there is none."""
    path = plan.paths.job_record(plan.runs[0].id)
    name = json.loads(path.read_text())["name"] if path.exists() else ""
    return queue(plan.paths.root).get(name, [None] * 3)


def shown(plan):
    """Return the cells of the run's row in the table that `status` prints."""
    rows = (line for line in scoresweep(plan, "status").splitlines() if plan.runs[0].id in line)
    return [cell.strip() for cell in next(rows).split("│")[1:-1]]


def test_cancel_stops_the_jobs_of_one_of_two_studies(cluster, plans, start, tmp_path):
    one, two = plans
    driver, other_driver = train(one, start, nodes=2), train(two, start, nodes=1)
    run("sbatch", "--job-name=stranger", f"--chdir={tmp_path}", "--wrap=sleep 600")
    root = one.paths.root
    (root / "head").mkdir()
    held = ("--default-resources", "slurm_extra='--hold'", "mem_mb=500", "runtime=10")
    head = start(
        root / "head",
        *SNAKEMAKE,
        *("--directory", root, "--configfile", root / "study.yaml"),
        *("--executor", "scoresweep-slurm", "--jobs", "4", "--retries", "2", *held, *QUICK),
        *("--scoresweep-slurm-status-command", "squeue", "--"),
        one.paths.reference("digits", "pixels").relative_to(root),
    )
    wait_until(lambda: "reference jobs: 1 queued" in scoresweep(one, "status"), "the held job", 180)
    for plan in plans:
        wait_until(lambda plan=plan: "of 10,000,000" in str(shown(plan)), "a training", 120)

    number, _, nodes = training_job(one)
    assert nodes.startswith("n[")
    assert shown(one)[1:4] == ["running", number, nodes]
    assert "reference jobs" not in scoresweep(two, "status")

    output = scoresweep(one, "cancel")
    assert f"cancelled: training of {one.runs[0].id}, SLURM job {number} (running)" in output
    assert "cancelled: reference jobs: 1 queued" in output
    assert f"ended: snakemake (process {head.pid})" in output
    assert head.poll() == 1
    wait_until(lambda: len(queue(tmp_path)) == 2, "the study's jobs to end")
    assert queue(tmp_path)["stranger"][1] in ("PENDING", "RUNNING")
    assert training_job(two)[1] == "RUNNING"
    assert driver.wait(60) == 1
    assert "was cancelled" in (root / "output").read_text()
    assert list(one.paths.checkpoints(one.runs[0].id).glob("step-*"))
    assert other_driver.poll() is None
    assert shown(one)[1] == "waiting"
    assert (root / "head/output").read_text().count("has been submitted") == 1
    assert "no SLURM job of the study endless is queued or running" in scoresweep(one, "cancel")
