"""`scoresweep status` and `scoresweep cancel` with jobs in SLURM's queue.

`squeue` and `scancel` are fake scripts here; tests/cluster uses a real SLURM.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faked_study import fake_plan, fake_run
from rich.console import Console

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.job_table import Job
from scoresweep.pipeline.cluster.workflow_head import record_workflow_end, record_workflow_start
from scoresweep.pipeline.commands.cancel import cancel
from scoresweep.pipeline.commands.progress.status_table import status
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.job_state import JobState

OURS = "faked.run.0123"
Queue = Callable[..., None]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return fake_plan(tmp_path)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Set the lines that `squeue` prints: id, state, nodes, reason, name, comment.

    It prints `theirs`, the jobs of another user, if called with `--name`.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    asked, cancelled = tmp_path / "asked", tmp_path / "cancelled"
    choose = f"case $* in *--name*) cat {folder}/theirs ;; *) cat {folder}/answer ;; esac"
    script(folder / "squeue", f"echo $* >> {asked}; {choose}")
    script(folder / "scancel", f"echo $@ >> {cancelled}")

    def answer(*rows: str, theirs: tuple[str, ...] = ()) -> None:
        (folder / "answer").write_text("".join(f"{row}\n" for row in rows))
        (folder / "theirs").write_text("".join(f"{row}\n" for row in theirs))

    return answer


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def record(plan: Plan, job_id: str | None = "12") -> None:
    """Record job `job_id` as the one that trains the first run."""
    JobRecord(OURS, job_id, 1).write(plan.paths.job_record(plan.runs[0].id))


def write_progress(plan: Plan, **changes: object) -> None:
    """Write a progress file of the first run, as job 12."""
    state = JobState("running", 50, 200, message="step 50", host="n1", job_id="12", nodes="n1")
    state = dataclasses.replace(state, updated=time.time())
    state = dataclasses.replace(state, **changes)
    write_json(plan.paths.progress(plan.runs[0].id), dataclasses.asdict(state))


def printed(plan: Plan) -> tuple[list[Job], str]:
    console = Console(file=io.StringIO(), width=200)
    found = status(plan, console=console)
    assert isinstance(console.file, io.StringIO)
    return found, console.file.getvalue()


def first(plan: Plan) -> tuple[str, str]:
    """State and message of the first run."""
    job = printed(plan)[0][0]
    return job.state, job.message


RUNNING = "12|RUNNING|n[1-2]|None|faked.run.0123|(null)"
PENDING = "12|PENDING||BeginTime|faked.run.0123|(null)"


def test_a_job_in_the_queue_is_queued_with_slurms_reason(plan: Plan, queue: Queue) -> None:
    record(plan)
    queue("12|PENDING||Resources|faked.run.0123|(null)")
    assert first(plan) == ("queued", "Resources")
    write_progress(plan, state="failed", message="stopped by SIGUSR2")
    queue(PENDING)
    assert first(plan) == ("queued", "BeginTime")
    queue("12|CONFIGURING|n1|None|faked.run.0123|(null)")
    assert first(plan) == ("queued", "configuring")
    assert "1 queued" in printed(plan)[1]


def test_a_running_job_shows_its_number_and_nodes(plan: Plan, queue: Queue) -> None:
    record(plan)
    queue(RUNNING)
    assert first(plan) == ("running", "starting")
    write_progress(plan)
    assert first(plan) == ("running", "step 50")
    text = printed(plan)[1]
    row = next(line for line in text.splitlines() if "step 50" in line)
    assert [cell.strip() for cell in row.split("│")][2:6] == [
        "running",
        "12",
        "n[1-2]",
        "50 of 200 steps",
    ]


def test_progress_of_an_earlier_start_is_ignored_while_the_job_runs(
    plan: Plan, queue: Queue
) -> None:
    record(plan)
    queue(RUNNING)
    write_progress(plan, state="failed", message="stopped at step 50")
    assert first(plan) == ("running", "stopped at step 50")
    write_progress(plan, updated=time.time() - 600)
    assert first(plan) == ("stale", "no activity for 10 min; step 50")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "SLURM job 12 is gone; step 50"),
        (["12|RUNNING|n1|None|other.run.4567|(null)"], "SLURM job 12 is gone; step 50"),
        (
            ["12|NODE_FAIL|n1|NodeDown|faked.run.0123|(null)"],
            "SLURM job 12 ended: NODE_FAIL; step 50",
        ),
    ],
    ids=["forgotten", "id reused", "ended"],
)
def test_a_job_that_left_the_queue_is_stale(
    plan: Plan, queue: Queue, rows: list[str], message: str
) -> None:
    record(plan)
    write_progress(plan)
    queue(*rows)
    assert first(plan) == ("stale", message)


def test_a_job_that_ended_without_progress_is_stale(plan: Plan, queue: Queue) -> None:
    record(plan)
    queue("12|FAILED|n1|NonZeroExitCode|faked.run.0123|(null)")
    assert first(plan) == ("stale", "SLURM job 12 ended: FAILED")
    record(plan, job_id=None)
    queue()
    assert first(plan) == ("waiting", "")


@pytest.mark.parametrize(("said", "state"), [("stopped", "waiting"), ("failed", "failed")])
def test_a_recorded_end_is_shown(plan: Plan, queue: Queue, said: str, state: str) -> None:
    record(plan)
    write_progress(plan, state=said, message="stopped at step 50")
    queue("12|CANCELLED|n1|None|faked.run.0123|(null)")
    assert first(plan) == (state, "stopped at step 50")


def test_a_training_outside_its_last_job_is_not_matched_with_it(plan: Plan, queue: Queue) -> None:
    record(plan)
    write_progress(plan, job_id="", nodes="")
    queue("12|COMPLETED|n1|None|faked.run.0123|(null)")
    assert first(plan) == ("running", "step 50")
    write_progress(plan, job_id="99")
    queue("99|RUNNING|n1|None|bash|(null)")  # in an allocation
    assert first(plan) == ("running", "step 50")


def test_a_finished_run_is_done_whatever_slurm_says(plan: Plan, queue: Queue) -> None:
    fake_run(plan, plan.runs[0])
    record(plan)
    queue(RUNNING)
    assert first(plan)[0] == "done"


def test_a_setting_is_stale_once_its_job_is_gone(plan: Plan, queue: Queue) -> None:
    record_workflow_start(plan.paths, "uuid-1")
    run, setting = plan.runs[1], plan.settings[2]
    state = JobState("running", 1, 4, host="n3", job_id="15_2", nodes="n3")
    state.write(plan.paths.samples_progress(run.id, setting.store))
    queue("15_2|RUNNING|n3|None|uuid-1|rule_sample")
    (job,) = (job for job in printed(plan)[0] if job.progress)
    assert (job.state, job.name) == ("running", f"{run.id} / {setting.id}")
    queue("15_1|RUNNING|n3|None|uuid-1|rule_sample")
    (job,) = (job for job in printed(plan)[0] if job.progress)
    assert (job.state, job.message) == ("stale", "SLURM job 15_2 is gone")


def test_jobs_of_the_other_rules_are_counted(plan: Plan, queue: Queue) -> None:
    record_workflow_start(plan.paths, "uuid-1")
    record_workflow_start(plan.paths, "uuid-2")
    queue(
        "15_1|RUNNING|n3|None|uuid-1|rule_sample_wildcards_a_b",
        "15_2|PENDING||Resources|uuid-1|rule_sample_wildcards_a_b",
        "15_3|PENDING||Resources|uuid-1|rule_sample_wildcards_a_b",
        "16|RUNNING|n3|None|uuid-2|rule_score_error_wildcards_a",
        "17|RUNNING|n3|None|uuid-2|(null)",
        "18|RUNNING|n3|None|uuid-3|rule_sample",
        "14|COMPLETED|n3|None|uuid-1|rule_stage",
    )
    lines = printed(plan)[1].splitlines()
    assert [line for line in lines if line.startswith("on SLURM")] == [
        "on SLURM: other jobs: 1 running",
        "on SLURM: sample jobs: 1 running, 2 queued",
        "on SLURM: score_error jobs: 1 running",
    ]


@pytest.mark.parametrize("problem", ["SLURM does not answer", "this machine has no `squeue`"])
def test_without_an_answer_only_the_files_are_used(
    plan: Plan, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    record(plan)
    write_progress(plan)
    queue()
    assert first(plan)[0] == "stale"
    script(tmp_path / "bin/squeue", "exit 1")
    if "squeue" in problem:
        monkeypatch.setenv("PATH", "/nowhere")
    found, text = printed(plan)
    assert (found[0].state, found[0].message) == ("running", "step 50")
    assert re.search(f"{problem}.*: states are from files", text)
    with pytest.raises(RunError, match=f"{problem}.*; nothing was cancelled"):
        cancel(plan)


def test_a_job_id_in_a_progress_file_does_not_cause_a_query(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    """It may be of an allocation on another cluster."""
    write_progress(plan, job_id="987654")
    queue()
    assert first(plan) == ("running", "step 50")
    assert not (tmp_path / "asked").exists()


def test_slurm_is_queried_only_for_a_study_that_used_it(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    queue()
    printed(plan)
    assert not (tmp_path / "asked").exists()
    for run in plan.runs:
        JobRecord(run.id, "12", 1).write(plan.paths.job_record(run.id))
        fake_run(plan, run)
    printed(plan)
    (question,) = (tmp_path / "asked").read_text().splitlines()
    assert "--me" in question
    for run in plan.runs[:2]:
        plan.paths.weights(run.id).unlink()
    printed(plan)
    names = ",".join(sorted(run.id for run in plan.runs[:2]))
    assert f"--name={names}" in (tmp_path / "asked").read_text().splitlines()[-1]


def test_jobs_of_another_user_of_the_study_are_shown(plan: Plan, queue: Queue) -> None:
    record(plan)
    record_workflow_start(plan.paths, "uuid-1")
    queue(theirs=(RUNNING, "15_1|PENDING||Priority|uuid-1|rule_sample"))
    assert first(plan) == ("running", "starting")
    assert "on SLURM: sample jobs: 1 queued" in printed(plan)[1]


def test_logs_of_failures_are_listed(plan: Plan) -> None:
    log = plan.paths.run(plan.runs[0].id) / "logs" / "latest.log"
    log.parent.mkdir(parents=True)
    log.write_text("...")
    write_progress(plan, job_id="", message="diverged")
    assert "log: " not in printed(plan)[1]
    write_progress(plan, job_id="", state="failed", message="diverged")
    assert f"log: {log}\n" in printed(plan)[1]


def test_cancel_stops_this_studys_jobs_and_no_others(
    plan: Plan, queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = plan.runs[0].id
    record(plan, job_id=None)  # submitted by a process that died at once
    JobRecord("faked.removed.89ab", "13", 1).write(plan.paths.job_record("removed"))
    JobRecord("faked.ended.cdef", "14", 1).write(plan.paths.job_record(plan.runs[1].id))
    JobRecord("faked.reused.cdef", "20", 1).write(plan.paths.job_record(plan.runs[2].id))
    plan.paths.workflow_heads.write_text("uuid-1 login2 12 1700000000\n")  # of a head that is gone
    queue(
        RUNNING,
        "13|PENDING||Resources|faked.removed.89ab|(null)",
        "14|COMPLETED|n1|None|faked.ended.cdef|(null)",
        "15_1|RUNNING|n3|None|uuid-1|rule_sample",
        "15_2|PENDING||Resources|uuid-1|rule_sample",
        "20|RUNNING|n3|None|other.run.4567|(null)",
        "21|RUNNING|n3|None|uuid-3|rule_sample",
    )
    cancel(plan)
    assert (tmp_path / "cancelled").read_text() == "12 13 15_1 15_2\n"
    output = capsys.readouterr().err.splitlines()
    assert f"cancelled: training of {run}, SLURM job 12 (running)" in output
    assert "cancelled: training of removed, SLURM job 13 (pending)" in output
    assert "cancelled: sample jobs: 1 running, 1 queued" in output
    left = {path.parent.name for path in plan.paths.results.glob("runs/*/job.json")}
    assert left == {plan.runs[1].id, plan.runs[2].id}


def test_nothing_to_cancel_is_fine(
    plan: Plan, queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cancel(plan)
    assert "no SLURM job of the study faked is queued or running" in capsys.readouterr().err
    record(plan)
    queue("12|RUNNING|n3|None|other.run.4567|(null)")
    cancel(plan)
    assert not (tmp_path / "cancelled").exists()


def test_a_refused_cancellation_is_an_error(plan: Plan, queue: Queue, tmp_path: Path) -> None:
    record(plan)
    queue(RUNNING)
    script(tmp_path / "bin/scancel", "exit 1")
    with pytest.raises(RunError, match="did not cancel"):
        cancel(plan)
    assert plan.paths.job_record(plan.runs[0].id).exists()


def test_the_record_of_a_job_submitted_meanwhile_is_kept(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    record(plan)
    queue(RUNNING)
    path = plan.paths.job_record(plan.runs[0].id)
    script(tmp_path / "bin/scancel", f"sed -i s/{OURS}/faked.run.4567/ {path}")
    cancel(plan)
    found = JobRecord.read(path)
    assert found is not None
    assert found.name == "faked.run.4567"


HEAD = """
import signal, sys, time
from pathlib import Path
from scoresweep.pipeline.cluster.workflow_head import record_workflow_start
from scoresweep.pipeline.study import StudyPaths

late = Path(sys.argv[2])
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in sys.argv[3:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
record_workflow_start(StudyPaths("faked", Path(sys.argv[1])), "uuid-1")
try:
    time.sleep(60)
except KeyboardInterrupt:
    late.write_text("16|PENDING||None|uuid-1|rule_evaluate\\n")
"""


@pytest.fixture
def head(plan: Plan, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process recorded as a head, which submits a job when it is interrupted."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", HEAD, plan.paths.root, tmp_path / "bin/answer"]
            process = stack.enter_context(subprocess.Popen([*command, *arguments]))
            stack.callback(process.kill)
            while not (
                plan.paths.workflow_heads.exists() and plan.paths.workflow_heads.read_text()
            ):
                assert process.poll() is None
                time.sleep(0.01)
            return process

        yield start


def test_cancel_ends_the_head_first(
    plan: Plan, queue: Queue, head: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue("15_1|RUNNING|n3|None|uuid-1|rule_sample")
    process = head()
    cancel(plan)
    assert process.poll() is not None
    output = capsys.readouterr().err.splitlines()
    assert f"ended: snakemake (process {process.pid})" in output
    assert "cancelled: sample jobs: 1 running" in output
    assert "cancelled: evaluate jobs: 1 queued" in output
    assert (tmp_path / "cancelled").read_text() == "15_1\n16\n"
    queue()
    cancel(plan)
    assert "snakemake" not in capsys.readouterr().err


def test_a_head_in_the_background_is_ended(plan: Plan, queue: Queue, head: Any) -> None:
    queue()
    process = head("SIGINT")
    cancel(plan)
    assert process.wait() == -signal.SIGTERM


def test_a_head_that_does_not_end_is_an_error(
    plan: Plan, queue: Queue, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoresweep.pipeline.commands.cancel.TIMEOUT_SECONDS", 0.0)
    queue()
    process = head("SIGINT", "SIGTERM")
    with pytest.raises(RunError, match=f"does not end: `kill -9 {process.pid}`"):
        cancel(plan)


def test_a_head_on_another_machine_is_an_error_while_it_may_run(
    plan: Plan, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "login2")
    record_workflow_start(plan.paths, "uuid-1")
    monkeypatch.setattr("socket.gethostname", lambda: "login1")
    lock = plan.paths.root / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    queue("15_1|RUNNING|n3|None|uuid-1|rule_sample")
    with pytest.raises(InputError, match=rf"\(process {os.getpid()}\) .* on login2"):
        cancel(plan)
    record_workflow_end(plan.paths)  # this process, on this machine
    with pytest.raises(InputError, match="on login2"):
        cancel(plan)
    assert not (tmp_path / "cancelled").exists()
    lock.unlink()  # snakemake --unlock
    cancel(plan)
    assert (tmp_path / "cancelled").read_text() == "15_1\n"
    lock.touch()
    monkeypatch.setattr("socket.gethostname", lambda: "login2")
    record_workflow_end(plan.paths)
    monkeypatch.setattr("socket.gethostname", lambda: "login1")
    cancel(plan)


def test_another_process_with_the_pid_of_a_head_is_left_alone(
    plan: Plan, queue: Queue, head: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    process = head()
    *words, created = plan.paths.workflow_heads.read_text().split()
    plan.paths.workflow_heads.write_text(" ".join([*words, f"{int(created) - 60}\n"]))
    queue()
    cancel(plan)
    assert "snakemake" not in capsys.readouterr().err
    assert process.poll() is None


def test_a_truncated_line_is_ignored(plan: Plan, queue: Queue, tmp_path: Path) -> None:
    plan.paths.results.mkdir(parents=True)
    plan.paths.workflow_heads.write_text("uuid-1 n1 12 1700000000\nuuid-2 n1")
    queue("15|RUNNING|n3|None|uuid-1|rule_sample", "16|RUNNING|n3|None|uuid-2|rule_sample")
    cancel(plan)
    assert (tmp_path / "cancelled").read_text() == "15\n"
