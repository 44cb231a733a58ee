"""What SLURM adds to what the files say, and what `scoresweep cancel` stops.

`squeue` and `scancel` are scripts here, which print and keep what the test wants; the same is tried
on a real SLURM in tests/cluster.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faked_study import fake_plan, fake_run
from rich.console import Console

from scoresweep.errors import RunError
from scoresweep.files import write_json
from scoresweep.jobstate import JobState
from scoresweep.launch.record import JobRecord
from scoresweep.pipeline.cancel import cancel
from scoresweep.pipeline.slurm_jobs import note_end, note_head
from scoresweep.pipeline.status import Job, status
from scoresweep.study import Plan

OURS = "faked.run.0123"
Queue = Callable[..., None]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return fake_plan(tmp_path)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Give `squeue` lines to print: id, state, nodes, reason, name, comment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    asked, cancelled = tmp_path / "asked", tmp_path / "cancelled"
    script(folder / "squeue", f"echo x >> {asked}; cat {folder}/answer")
    script(folder / "scancel", f"echo $@ >> {cancelled}")

    def answer(*rows: str) -> None:
        (folder / "answer").write_text("".join(f"{row}\n" for row in rows))

    return answer


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def record(plan: Plan, job_id: str | None = "12") -> None:
    """Write that job `job_id` trains the first run."""
    JobRecord(OURS, job_id, 1).write(plan.layout.job_record(plan.runs[0].id))


def say(plan: Plan, **changes: object) -> None:
    """Let the first run have said that it runs as job 12."""
    state = JobState("running", 50, 200, message="step 50", host="n1", job_id="12", nodes="n1")
    state = dataclasses.replace(state, updated=time.time())
    state = dataclasses.replace(state, **changes)
    write_json(plan.layout.progress(plan.runs[0].id), dataclasses.asdict(state))


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
    say(plan, state="failed", message="stopped by SIGUSR2")
    queue(PENDING)
    assert first(plan) == ("queued", "BeginTime")
    queue("12|CONFIGURING|n1|None|faked.run.0123|(null)")
    assert first(plan) == ("queued", "configuring")
    assert "1 queued" in printed(plan)[1]


def test_a_running_job_shows_its_number_and_nodes(plan: Plan, queue: Queue) -> None:
    record(plan)
    queue(RUNNING)
    assert first(plan) == ("running", "starting")
    say(plan)
    assert first(plan) == ("running", "step 50")
    text = printed(plan)[1]
    row = next(line for line in text.splitlines() if "step 50" in line)
    assert [cell.strip() for cell in row.split("│")][2:6] == [
        "running",
        "12",
        "n[1-2]",
        "50 of 200",
    ]


def test_what_an_earlier_start_said_does_not_count_while_slurm_runs_it(
    plan: Plan, queue: Queue
) -> None:
    record(plan)
    queue(RUNNING)
    say(plan, state="failed", message="stopped at step 50")
    assert first(plan) == ("running", "stopped at step 50")
    say(plan, updated=time.time() - 600)
    assert first(plan) == ("stale", "no sign of life for 10 min; step 50")


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
    ids=["forgotten", "number used again", "ended"],
)
def test_a_job_that_is_gone_does_not_run(
    plan: Plan, queue: Queue, rows: list[str], message: str
) -> None:
    record(plan)
    say(plan)
    queue(*rows)
    assert first(plan) == ("stale", message)


def test_a_job_that_ended_before_it_said_anything_is_stale(plan: Plan, queue: Queue) -> None:
    record(plan)
    queue("12|FAILED|n1|NonZeroExitCode|faked.run.0123|(null)")
    assert first(plan) == ("stale", "SLURM job 12 ended: FAILED")
    record(plan, job_id=None)
    queue()
    assert first(plan) == ("waiting", "")


@pytest.mark.parametrize(("said", "state"), [("stopped", "waiting"), ("failed", "failed")])
def test_a_job_that_said_how_it_ended_is_believed(
    plan: Plan, queue: Queue, said: str, state: str
) -> None:
    record(plan)
    say(plan, state=said, message="stopped at step 50")
    queue("12|CANCELLED|n1|None|faked.run.0123|(null)")
    assert first(plan) == (state, "stopped at step 50")


def test_a_training_outside_its_last_job_is_no_part_of_it(plan: Plan, queue: Queue) -> None:
    record(plan)
    say(plan, job_id="", nodes="")
    queue("12|COMPLETED|n1|None|faked.run.0123|(null)")
    assert first(plan) == ("running", "step 50")
    say(plan, job_id="99")
    queue("99|RUNNING|n1|None|bash|(null)")  # in an allocation
    assert first(plan) == ("running", "step 50")


def test_a_finished_run_is_done_whatever_slurm_says(plan: Plan, queue: Queue) -> None:
    fake_run(plan, plan.runs[0])
    record(plan)
    queue(RUNNING)
    assert first(plan)[0] == "done"


def test_a_setting_is_stale_once_its_job_is_gone(plan: Plan, queue: Queue) -> None:
    note_head(plan.layout, "uuid-1")
    run, setting = plan.runs[1], plan.settings[2]
    state = JobState("running", 1, 4, host="n3", job_id="15_2", nodes="n3")
    state.write(plan.layout.samples_progress(run.id, setting.id))
    queue("15_2|RUNNING|n3|None|uuid-1|rule_sample")
    (job,) = (job for job in printed(plan)[0] if job.progress)
    assert (job.state, job.name) == ("running", f"{run.id} / {setting.id}")
    queue("15_1|RUNNING|n3|None|uuid-1|rule_sample")
    (job,) = (job for job in printed(plan)[0] if job.progress)
    assert (job.state, job.message) == ("stale", "SLURM job 15_2 is gone")


def test_jobs_of_the_other_rules_are_counted(plan: Plan, queue: Queue) -> None:
    note_head(plan.layout, "uuid-1")
    note_head(plan.layout, "uuid-2")
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
def test_without_an_answer_the_files_count(
    plan: Plan, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    record(plan)
    say(plan)
    queue()
    assert first(plan)[0] == "stale"
    script(tmp_path / "bin/squeue", "exit 1")
    if "squeue" in problem:
        monkeypatch.setenv("PATH", "/nowhere")
    found, text = printed(plan)
    assert (found[0].state, found[0].message) == ("running", "step 50")
    assert re.search(f"{problem}.*: this is what the files say", text)
    with pytest.raises(RunError, match=f"{problem}.*; nothing was cancelled"):
        cancel(plan)


def test_a_number_in_a_file_is_no_reason_to_ask_slurm(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    """Somebody has run it by hand in an allocation, maybe of another cluster."""
    say(plan, job_id="987654")
    queue()
    assert first(plan) == ("running", "step 50")
    assert not (tmp_path / "asked").exists()


def test_slurm_is_asked_once_and_only_for_a_study_that_used_it(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    queue()
    printed(plan)
    assert not (tmp_path / "asked").exists()
    for run in plan.runs:
        JobRecord(run.id, "12", 1).write(plan.layout.job_record(run.id))
    printed(plan)
    assert (tmp_path / "asked").read_text() == "x\n"


def test_logs_of_what_went_wrong_are_named(plan: Plan) -> None:
    log = plan.layout.run(plan.runs[0].id) / "logs" / "latest.log"
    log.parent.mkdir(parents=True)
    log.write_text("...")
    say(plan, job_id="", message="diverged")
    assert "log: " not in printed(plan)[1]
    say(plan, job_id="", state="failed", message="diverged")
    assert f"log: {log}\n" in printed(plan)[1]


def test_cancel_stops_this_studys_jobs_and_no_others(
    plan: Plan, queue: Queue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = plan.runs[0].id
    record(plan, job_id=None)  # submitted by a process that died at once
    JobRecord("faked.removed.89ab", "13", 1).write(plan.layout.job_record("removed"))
    JobRecord("faked.ended.cdef", "14", 1).write(plan.layout.job_record(plan.runs[1].id))
    JobRecord("faked.reused.cdef", "20", 1).write(plan.layout.job_record(plan.runs[2].id))
    note_head(plan.layout, "uuid-1")
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
    told = capsys.readouterr().err.splitlines()
    assert f"cancelled: training of {run}, SLURM job 12 (running)" in told
    assert "cancelled: training of removed, SLURM job 13 (pending)" in told
    assert "cancelled: sample jobs: 1 running, 1 queued" in told
    left = {path.parent.name for path in plan.layout.results.glob("runs/*/job.json")}
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
    assert plan.layout.job_record(plan.runs[0].id).exists()


def test_a_job_that_was_submitted_meanwhile_stays_on_record(
    plan: Plan, queue: Queue, tmp_path: Path
) -> None:
    record(plan)
    queue(RUNNING)
    path = plan.layout.job_record(plan.runs[0].id)
    script(tmp_path / "bin/scancel", f"sed -i s/{OURS}/faked.run.4567/ {path}")
    cancel(plan)
    found = JobRecord.read(path)
    assert found is not None
    assert found.name == "faked.run.4567"


NOTE = (
    "import sys, time; from pathlib import Path; from scoresweep.study import Layout; "
    "from scoresweep.pipeline.slurm_jobs import note_head; "
    "note_head(Layout('faked', Path(sys.argv[1])), 'uuid-1'); time.sleep(60)"
)


def test_a_snakemake_that_would_submit_again_is_named(
    plan: Plan, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    queue()
    with subprocess.Popen([sys.executable, "-c", NOTE, plan.layout.root]) as head:
        while not (plan.layout.slurm_runs.exists() and plan.layout.slurm_runs.read_text()):
            assert head.poll() is None
            time.sleep(0.01)
        cancel(plan)
        head.kill()
    told = capsys.readouterr().err
    assert told.count("still runs this study") == 1
    assert f"kill -INT {head.pid}" in told
    cancel(plan)
    assert "snakemake" not in capsys.readouterr().err


def test_a_snakemake_of_another_machine_is_named_unless_it_has_noted_its_end(
    plan: Plan, queue: Queue, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "login2")
        note_head(plan.layout, "uuid-1")
    queue()
    cancel(plan)
    told = capsys.readouterr().err
    assert f"snakemake (process {os.getpid()} on login2) may submit again if it still runs" in told
    note_end(plan.layout)  # this process, on this machine
    cancel(plan)
    assert "on login2" in capsys.readouterr().err
    monkeypatch.setattr("socket.gethostname", lambda: "login2")
    note_end(plan.layout)
    monkeypatch.setattr("socket.gethostname", lambda: "login1")
    cancel(plan)
    assert "snakemake" not in capsys.readouterr().err


def test_another_process_with_the_number_of_a_dead_head_is_not_named(
    plan: Plan, queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    note_head(plan.layout, "uuid-1")
    *words, created = plan.layout.slurm_runs.read_text().split()
    queue()
    cancel(plan)
    assert "still runs this study" in capsys.readouterr().err
    plan.layout.slurm_runs.write_text(" ".join([*words, f"{int(created) - 60}\n"]))
    cancel(plan)
    assert "snakemake" not in capsys.readouterr().err


def test_a_line_that_was_cut_short_tells_nothing(plan: Plan, queue: Queue, tmp_path: Path) -> None:
    plan.layout.results.mkdir(parents=True)
    plan.layout.slurm_runs.write_text("uuid-1 n1 12 1700000000\nuuid-2 n1")
    queue("15|RUNNING|n3|None|uuid-1|rule_sample", "16|RUNNING|n3|None|uuid-2|rule_sample")
    cancel(plan)
    assert (tmp_path / "cancelled").read_text() == "15\n"
