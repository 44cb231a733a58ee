"""Jobs continue on the cluster if the head, `snakemake`, dies or is interrupted."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from faults.run_comparison import assert_same_run
from slurm_cluster import run, wait_until
from test_workflow_on_cluster import PATIENCE, QUICK, ROOT, SNAKEMAKE
from tiny_study import TINY, give_data

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.squeue import is_live, query_jobs
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.system.locks import lock_if_free

ON_SLURM = ("--profile", "slurm", *QUICK, "--set-resources", "train:nodes=2", "train:mem_mb=1000")


@pytest.fixture
def steps():
    """Training steps of the run: some seconds of work."""
    return 3000


@pytest.fixture
def plan(cluster, staged, tmp_path, steps):
    """One run on two nodes, with two settings."""
    give_data(tmp_path, staged)
    shutil.copytree(ROOT / "slurm", tmp_path / "slurm")
    study = yaml.safe_load(TINY)
    study["train"] |= {"steps": steps, "checkpoint": {"steps": 200}, "grid": {}}
    study["train"]["log"] = {"image_count": 0}
    study["sample"] |= {
        "count": 100,
        "sampler": study["sample"]["sampler"] | {"steps_per_level": 300},
    }
    study["evaluate"]["metrics"] = ["frechet"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return plan_study(load_study(tmp_path / "study.yaml"), tmp_path)


def head(plan, *arguments, programs="/nowhere"):
    """Start `snakemake --profile slurm` as a terminal does, in a process group of its own.

    Files in the folder `programs` replace programs of the same name.
    """
    command = [*SNAKEMAKE, "--configfile", "study.yaml", *ON_SLURM, *arguments]
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (plan.paths.root / "output").open("w") as output:
        return subprocess.Popen(
            command,
            cwd=plan.paths.root,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": path},
            start_new_session=True,
        )


def dies(process):
    """Kill a head and all processes that it runs on this machine."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def unlock(plan):
    """Unlock, as Snakemake asks for after a head has died."""
    command = [*SNAKEMAKE, "--configfile", "study.yaml", "--unlock"]
    subprocess.run(command, cwd=plan.paths.root, check=True)


def scoresweep(root, *arguments):
    subprocess.run([sys.executable, "-m", "scoresweep", *arguments], cwd=root, check=True)


def undisturbed(plan):
    """Return a folder with the same study, not yet run."""
    root = plan.paths.root / "undisturbed"
    root.mkdir()
    (root / "data").symlink_to(plan.paths.root / "data")
    shutil.copy(plan.paths.root / "study.yaml", root)
    return root


def said(plan):
    return (plan.paths.root / "output").read_text()


def job(plan):
    """Return the SLURM job that trains the run."""
    record = JobRecord.read(plan.paths.job_record(plan.runs[0].id))
    assert record is not None
    (found,) = query_jobs(record.name) or pytest.fail(f"{record.name} is not known")
    return found


def trains(plan, process):
    """Wait for a checkpoint."""
    folder = plan.paths.checkpoints(plan.runs[0].id)

    def saved():
        assert process.poll() is None, said(plan)
        return list(folder.glob("step-*"))

    wait_until(saved, "a checkpoint", PATIENCE)


@contextlib.contextmanager
def suspended(job_id):
    """Keep a SLURM job from ending within this block."""
    run("scontrol", "suspend", job_id)
    try:
        yield
    finally:
        run("scontrol", "resume", job_id)


def test_a_new_head_finds_the_training_of_a_killed_one(plan):
    first = head(plan, "--until", "train")
    trains(plan, first)
    before = job(plan)
    with suspended(before.job_id):
        dies(first)
        assert is_live(job(plan).state)
        unlock(plan)
        second = head(plan, "--until", "train")
        message = f"SLURM job {before.job_id} does this work already; waiting for it"
        wait_until(lambda: message in said(plan), "the message", PATIENCE)
    assert second.wait(PATIENCE) == 0, said(plan)
    assert job(plan).job_id == before.job_id
    folder = plan.paths.run(plan.runs[0].id)
    assert len(list((folder / "logs").glob("*_submission.sh"))) == 1
    root = undisturbed(plan)
    scoresweep(root, "train", "study.yaml", "--processes", "2")
    assert_same_run(folder, root / folder.relative_to(plan.paths.root))


@pytest.mark.parametrize("steps", [1_000_000])  # ends only by `scoresweep cancel`
def test_an_interrupted_head_says_what_continues(plan):
    process = head(plan)
    trains(plan, process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) != 0
    assert f"SLURM job {job(plan).job_id} continues" in said(plan)
    assert "scoresweep cancel" in said(plan)
    before = job(plan)
    assert is_live(before.state)
    scoresweep(plan.paths.root, "cancel", "study.yaml")
    wait_until(lambda: not is_live(query_jobs(before.name)[0].state), "the end of the job")


def test_a_new_head_waits_for_the_sampling_of_a_killed_one(plan):
    """The jobs of the killed head continue; those of the new one wait for them."""
    scoresweep(plan.paths.root, "train", "study.yaml")
    first = head(plan)
    run_id = plan.runs[0].id
    lock = plan.paths.samples_lock(run_id, plan.settings[0].store)

    def samples():
        assert first.poll() is None, said(plan)
        with lock_if_free(lock) as free:
            return not free

    wait_until(samples, "sampling", PATIENCE)
    dies(first)
    unlock(plan)
    second = head(plan)
    assert second.wait(PATIENCE) == 0, said(plan)
    assert plan.paths.report_page.exists()
    root = undisturbed(plan)
    (root / "results").mkdir()
    shutil.copytree(
        plan.paths.run(run_id), root / plan.paths.run(run_id).relative_to(plan.paths.root)
    )
    scoresweep(root, "sample", "study.yaml")
    for setting in plan.settings:
        manifest = plan.paths.samples_manifest(run_id, setting.store)
        theirs = root / manifest.relative_to(plan.paths.root)
        assert (
            json.loads(manifest.read_text())["sha256"] == json.loads(theirs.read_text())["sha256"]
        )


def test_the_end_of_a_failed_jobs_log_is_shown(plan):
    weights = plan.paths.weights(plan.runs[0].id)
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"no weights")
    process = head(plan, "--retries", "0", "--until", "sweep")
    message = f"{weights.name}: expected the weights of a scoresweep network"
    wait_until(lambda: message in said(plan), "the message", PATIENCE)
    dies(process)


def test_cancel_ends_a_head_that_waits_for_a_training(plan):
    """Otherwise the head would resubmit the cancelled job."""
    process = head(plan)
    trains(plan, process)
    before = job(plan)
    scoresweep(plan.paths.root, "cancel", "study.yaml")
    assert process.poll() is not None
    assert "was cancelled" in said(plan)
    wait_until(lambda: not is_live(query_jobs(before.name)[0].state), "the end of the job")
    assert len(list((plan.paths.run(plan.runs[0].id) / "logs").glob("*_submission.sh"))) == 1


def test_a_site_without_accounting(plan, tmp_path):
    """No command queries it, with the profile unchanged."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sacct", "sacctmgr", "sshare"):
        (programs / name).write_text(f"#!/bin/sh\ntouch '{tmp_path}/asked'\nexit 1\n")
        (programs / name).chmod(0o755)
    target = plan.paths.reference("digits", "pixels").relative_to(plan.paths.root)
    process = head(plan, "--", str(target), programs=programs)
    assert process.wait(PATIENCE) == 0, said(plan)
    assert not (tmp_path / "asked").exists()
    assert (plan.paths.root / target).exists()
    start, end = plan.paths.workflow_heads.read_text().splitlines()
    assert end == f"{start.split()[0]} ended"
