"""Training on two nodes survives faults and ends with the weights of an uninterrupted run."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults.processes import finish
from faults.run_comparison import assert_same_run
from plugin_study import METHODS, plan_in
from tiny_study import give_data, tiny_plan

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live, query_jobs
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.plugins.plugin_files import plugin_sha256
from scoresweep.pipeline.system.job_state import JobState

LONG = {
    "steps": 2000,
    "checkpoint": {"steps": 100},
    "log": {"scalars": 25, "image_count": 0},
    "precision": "bf16",
}
PATIENCE = 240
STOPPED = r"stopped on request at step (\d+)"


class Command:
    """`scoresweep train` of the first run of `plan` or of the tiny study, on two nodes."""

    def __init__(
        self,
        root: Path,
        *arguments: str,
        steps: int = LONG["steps"],
        inside: tuple[str, ...] = (),
        plan: Plan | None = None,
    ) -> None:
        self.plan = plan or tiny_plan(root, **LONG | {"steps": steps})
        self.run = self.plan.paths.run(self.plan.runs[0].id)
        self.checkpoints = self.plan.paths.checkpoints(self.plan.runs[0].id)
        self.output = root / "output.txt"
        command = [
            *inside,
            sys.executable,
            "-m",
            "scoresweep",
            "train",
            "study.yaml",
            "--run",
            self.run.name,
        ]
        command += ["--cluster", "slurm", "--nodes", "2", "--memory", "1000"]
        with self.output.open("a") as file:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=root, stdout=file, stderr=subprocess.STDOUT
            )

    def said(self, pattern: str) -> re.Match[str]:
        """Wait until its output matches a pattern."""
        return self.until(lambda: re.search(pattern, self.output.read_text()), pattern)

    def saved(self, step: int) -> None:
        """Wait for a checkpoint of this step or a later one."""
        first = f"step-{step:08d}"
        self.until(lambda: any(p.name >= first for p in self.checkpoints.glob("step-*")), first)

    def job(self) -> QueuedJob:
        """Return its SLURM job."""
        record = JobRecord.read(self.run / "job.json")
        assert record is not None
        jobs = query_jobs(record.name)
        assert jobs
        return jobs[0]

    def ends(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(PATIENCE)

    def until(self, happened, what):
        deadline = time.monotonic() + PATIENCE
        while not (result := happened()):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, f"{what}: {self.output.read_text()}"
            time.sleep(0.05)
        return result


@pytest.fixture
def root(staged, tmp_path):
    give_data(tmp_path, staged)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(staged, tmp_path_factory):
    """The same run in two processes on this machine, without SLURM."""
    root = tmp_path_factory.mktemp("undisturbed")
    give_data(root, staged)
    return finish(tiny_plan(root, **LONG))


def slurm(*command: str) -> None:
    subprocess.run(command, check=True)


def log(command: Command) -> str:
    """Return the log of the first process, over all its starts."""
    return (command.run / "logs" / f"{command.job().job_id}_0_log.out").read_text()


def stopped_by(command: Command, *slurm_command: str) -> str:
    """Run a command on the job; return the step at which the job stops."""
    slurm(*slurm_command)
    return str(command.until(lambda: re.search(STOPPED, log(command)), STOPPED)[1])


def submissions(command: Command) -> int:
    return len(list((command.run / "logs").glob("*_submission.sh")))


def restarts(command: Command) -> int:
    return json.loads((command.run / "progress.json").read_text())["restarts"]


def test_two_nodes_train_the_same_weights_as_two_processes(cluster, root, undisturbed):
    command = Command(root)
    assert command.ends() == 0, command.output.read_text()
    assert_same_run(command.run, undisturbed)
    assert (command.run / "logs" / "latest.log").resolve().name.endswith("_0_log.out")


def test_a_node_refuses_a_plugin_that_is_not_the_one_of_the_plan(cluster, root):
    """Edited while the job waits."""
    plan = plan_in(root, train={"network": {"name": "Small"}, "steps": 20})
    command = Command(root, "--extra", "--hold", plan=plan)
    command.said("SLURM job [0-9]+ submitted")
    (root / "my_methods.py").write_text(METHODS + "# edited\n")
    slurm("scontrol", "release", command.job().job_id)
    assert command.ends() == 2, command.output.read_text()
    said = command.output.read_text()
    assert plan.runs[0].train.network.plugin in said
    assert plugin_sha256(root / "my_methods.py") in said
    assert submissions(command) == 1
    assert not command.checkpoints.exists()


def test_a_requeued_job_resumes_from_its_last_checkpoint(cluster, root, undisturbed):
    command = Command(root)
    command.saved(500)
    slurm("scontrol", "requeue", command.job().job_id)
    assert command.ends() == 0, command.output.read_text()
    assert submissions(command) == 1
    assert restarts(command) == 1
    assert_same_run(command.run, undisturbed)


def test_a_signalled_job_saves_and_is_requeued(cluster, root, undisturbed):
    command = Command(root)
    command.saved(300)
    step = stopped_by(command, "scancel", "--signal=USR2", command.job().job_id)
    assert command.ends() == 0, command.output.read_text()
    assert f"resuming from step {step} of" in log(command)  # nothing is lost
    assert submissions(command) == 1
    assert_same_run(command.run, undisturbed)


def test_a_job_at_its_time_limit_saves_and_is_requeued(cluster, root, undisturbed):
    """The limit is lowered below the time between signal and limit."""
    command = Command(root)
    command.saved(100)
    job, training = command.job().job_id, JobState.read(command.run / "progress.json").pid
    os.kill(training, signal.SIGSTOP)  # SLURM looks at time limits every half minute
    slurm("scontrol", "update", f"jobid={job}", "timelimit=1")
    told = time.monotonic() + 35

    def stopped():
        if time.monotonic() > told:  # SLURM's signal may have come without a SIGCONT
            with contextlib.suppress(ProcessLookupError):
                os.kill(training, signal.SIGCONT)
        return re.search(STOPPED, log(command))

    step = command.until(stopped, STOPPED)[1]
    slurm("scontrol", "update", f"jobid={job}", "timelimit=30")
    assert command.ends() == 0, command.output.read_text()
    assert f"resuming from step {step} of" in log(command)  # nothing is lost
    assert submissions(command) == 1
    assert_same_run(command.run, undisturbed)


def test_a_dead_node_is_replaced(cluster, root, undisturbed):
    command = Command(root)
    command.saved(500)
    node = command.job().nodes.replace("n[", "n").split("-")[0].split(",")[0].rstrip("]")
    cluster.kill_node(node)
    try:
        assert command.ends() == 0, command.output.read_text()
    finally:
        cluster.start_node(node)
        cluster.wait_idle()
    assert restarts(command) == 1
    assert_same_run(command.run, undisturbed)


def test_a_killed_process_is_replaced(cluster, root, undisturbed):
    command = Command(root)
    command.saved(500)
    state = json.loads((command.run / "progress.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    assert command.ends() == 0, command.output.read_text()
    assert "starting again" in command.output.read_text()
    assert submissions(command) == 2
    assert_same_run(command.run, undisturbed)


def test_a_killed_command_reattaches_to_its_job(cluster, root, undisturbed):
    first = Command(root)
    first.saved(200)
    job = first.job()
    first.process.kill()
    first.process.wait()
    second = Command(root)
    second.said(f"SLURM job {job.job_id} does this work already; waiting for it")
    assert second.ends() == 0, second.output.read_text()
    assert submissions(second) == 1
    assert restarts(second) == 0
    assert_same_run(second.run, undisturbed)


def test_a_job_without_a_recorded_id_is_found_by_its_name(cluster, root):
    """The command was killed after `sbatch`, before it recorded the job id."""
    first = Command(root)
    first.saved(100)
    job, path = first.job(), first.run / "job.json"
    first.process.kill()
    first.process.wait()
    dataclasses.replace(JobRecord.read(path), job_id=None).write(path)
    second = Command(root)
    second.said(f"SLURM job {job.job_id} does this work already; waiting for it")
    assert JobRecord.read(path).job_id == job.job_id
    slurm("scancel", job.job_id)
    second.ends()
    assert submissions(second) == 1


SBATCH_OF_A_BUSY_SITE = """#!/bin/sh
if [ ! -e {root}/refused ]; then
    touch {root}/refused
    echo "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying" >&2
else
    {sbatch} "$@" >> {root}/answers
    echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv" >&2
fi
exit 1
"""


def test_a_retried_submission_makes_no_second_job(cluster, root):
    program = root / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(SBATCH_OF_A_BUSY_SITE.format(root=root, sbatch=shutil.which("sbatch")))
    program.chmod(0o755)
    path = f"PATH={program.parent}:{os.environ['PATH']}"
    command = Command(root, steps=20, inside=("env", path))
    assert command.ends() == 0, command.output.read_text()
    assert "SLURM did not accept the job: sbatch: error" in command.output.read_text()
    answers = (root / "answers").read_text().splitlines()
    assert answers == [f"Submitted batch job {command.job().job_id}"]


def test_an_allocation_around_the_command_does_not_change_the_order_of_ranks(cluster, root):
    allocation = ("salloc", "--quiet", "--mem=500", "--distribution=cyclic")
    command = Command(root, "--processes", "2", steps=20, inside=allocation)
    assert command.ends() == 0, command.output.read_text()
    logs = command.run / "logs"
    told = [(logs / f"{command.job().job_id}_{rank}_log.out").read_text() for rank in range(4)]
    places = [re.search(r"local_rank=(\d).* node=(\d).* global_rank=(\d)", log) for log in told]
    assert [place.groups() for place in places] == [
        ("0", "0", "0"),
        ("1", "0", "1"),
        ("0", "1", "2"),
        ("1", "1", "3"),
    ]
    assert JobState.read(command.run / "progress.json").job_id == command.job().job_id


def test_an_interrupted_command_says_that_its_job_continues(cluster, root):
    command = Command(root)
    command.saved(100)
    job = command.job()
    command.process.send_signal(signal.SIGINT)
    assert command.ends() == 130
    assert f"SLURM job {job.job_id} continues" in command.output.read_text()
    assert is_live(command.job().state)
    slurm("scancel", job.job_id)


def test_a_reused_job_id_is_not_taken_for_this_run(cluster, root, undisturbed):
    """If SLURM loses its state, job ids start from one: another job has the recorded id."""
    done = subprocess.run(
        ["sbatch", "--parsable", "--mem=100", "--wrap=sleep 600"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    other = done.stdout.strip()
    plan = tiny_plan(root, **LONG)
    JobRecord("tiny.run.0123456789ab", other, 2).write(plan.paths.job_record(plan.runs[0].id))
    try:
        command = Command(root)
        assert command.ends() == 0, command.output.read_text()
    finally:
        slurm("scancel", other)
    assert command.job().job_id != other
    assert_same_run(command.run, undisturbed)


def test_a_second_command_does_not_submit_a_second_job(cluster, root):
    first = Command(root)
    first.saved(100)
    second = Command(root)
    second.said("waiting for another process")
    assert first.ends() == second.ends() == 0
    assert submissions(first) == 1


def test_some_time_without_the_controller_is_waited_for(cluster, root, undisturbed):
    command = Command(root)
    command.saved(100)
    cluster.stop("slurmctld")
    try:
        command.said("SLURM does not answer")
        time.sleep(15)
    finally:
        cluster.start("slurmctld")
    assert command.ends() == 0, command.output.read_text()
    assert submissions(command) == 1
    assert_same_run(command.run, undisturbed)


def test_a_job_is_submitted_when_the_controller_is_back(cluster, root):
    cluster.stop("slurmctld")
    try:
        command = Command(root)
        command.said("SLURM does not answer")
    finally:
        cluster.start("slurmctld")
    assert command.ends() == 0, command.output.read_text()
    assert submissions(command) == 1


def test_a_cancelled_job_is_not_started_again(cluster, root, undisturbed):
    command = Command(root)
    command.saved(300)
    slurm("scancel", command.job().job_id)
    assert command.ends() == 1
    assert "was cancelled" in command.output.read_text()
    assert submissions(command) == 1
    again = Command(root)
    assert again.ends() == 0
    assert restarts(again) == 1
    assert_same_run(again.run, undisturbed)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--partition", "nowhere"], "invalid partition specified: nowhere"),
        (["--account", "nobody"], "Invalid account"),
        (["--extra", "qos=long"], "extra: 'qos=long': expected options of sbatch"),
    ],
)
def test_a_rejected_job_is_an_input_error(cluster, root, option, words):
    command = Command(root, *option)
    assert command.ends() == 2
    assert re.search(words, command.output.read_text())
    assert not (command.run / "job.json").exists()


def test_the_job_gets_the_requested_resources(cluster, root):
    options = ["--threads", "2", "--gpus", "1", "--minutes", "17", "--account", "scoresweep"]
    command = Command(root, *options, "--extra", "--comment=hello --exclusive")
    command.said("SLURM job [0-9]+ submitted: 2 nodes x 1 processes")
    job = command.job().job_id
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, check=True
    ).stdout
    slurm("scancel", job)
    command.ends()
    for fact in (
        "NumNodes=2",
        "CPUs/Task=2",
        "TimeLimit=00:17:00",
        "Account=scoresweep",
        "Comment=hello",
        "OverSubscribe=NO",
        "MinMemoryNode=1000M",
        "TresPerNode=gres:gpu:1",
        "Requeue=1",
    ):
        assert fact in shown, shown
