"""Output of `scoresweep status`."""

from __future__ import annotations

import dataclasses
import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faked_study import (
    CONTENT,
    fake_metrics,
    fake_plan,
    fake_run,
    fake_samples,
    fake_score_error,
)
from rich.console import Console

from scoresweep.pipeline.cluster.job_table import Job, collect_jobs
from scoresweep.pipeline.commands.status import status
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.batch_state import BatchState
from scoresweep.pipeline.system.console import duration
from scoresweep.pipeline.system.job_state import JobState


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return fake_plan(tmp_path)


def printed(plan: Plan, limit: int = 40) -> str:
    console = Console(file=io.StringIO(), width=160)
    status(plan, limit, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def first(plan: Plan) -> Job:
    """Return the job of the first run."""
    return collect_jobs(plan)[0]


def write(plan: Plan, **changes: object) -> None:
    """Write the progress file of the first run, including the time of its last update."""
    state = JobState("running", 50, 200, images_per_second=800.0, seconds=10.0, updated=time.time())
    state = dataclasses.replace(state, **changes)
    write_json(plan.paths.progress(plan.runs[0].id), dataclasses.asdict(state))


def test_all_jobs_wait_at_first(plan: Plan) -> None:
    found = collect_jobs(plan)
    assert [job.run for job in found[:4]] == [run.id for run in plan.runs]
    assert len(found) == 4 + 12
    assert {job.state for job in found} == {"waiting"}
    assert "settings: 12: 12 waiting" in printed(plan)


def test_running_job_shows_time_left(plan: Plan) -> None:
    write(plan, restarts=1)
    assert first(plan).state == "running"
    assert first(plan).seconds_left == pytest.approx(30.0)
    text = printed(plan)
    assert "50 of 200" in text
    assert "800" in text
    assert "30 s" in text


def test_job_without_update_for_five_minutes_is_stale(plan: Plan) -> None:
    write(plan, updated=time.time() - 299, host="elsewhere", pid=0)
    assert first(plan).state == "running"
    write(plan, updated=time.time() - 600, host="elsewhere", pid=0)
    assert first(plan).state == "stale"
    assert first(plan).message == "no activity for 10 min"
    assert first(plan).seconds_left is None


def test_dead_process_is_stale_at_once(plan: Plan) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    write(plan, pid=child.pid, message="step 50")
    assert first(plan).state == "stale"
    assert first(plan).message == "its process is gone; step 50"
    write(plan, pid=os.getpid(), host=socket.gethostname())
    assert first(plan).state == "running"


def test_failed_job_shows_its_message(plan: Plan) -> None:
    write(plan, state="failed", message="loss is [nan] at step 50")
    assert first(plan).state == "failed"
    assert "loss is [nan] at step 50" in printed(plan)
    assert "runs: 4: 3 waiting, 1 failed" in printed(plan)


def test_stopped_job_waits(plan: Plan) -> None:
    write(plan, state="stopped", message="stopped on request at step 50")
    assert first(plan).state == "waiting"
    assert first(plan).message == "stopped on request at step 50"


def test_results_take_precedence_over_progress_files(plan: Plan) -> None:
    run = plan.runs[0]
    fake_run(plan, run)
    write(plan, state="failed", message="an earlier start")
    assert first(plan).state == "done"
    plan.paths.weights(run.id).unlink()
    write(plan, state="done")
    assert first(plan).state == "stale"


def test_settings_go_from_sampling_to_done(plan: Plan) -> None:
    run, (one, two, three) = plan.runs[1], plan.settings
    fake_run(plan, run)
    fake_samples(plan, run, one)
    fake_metrics(plan, run, one)
    fake_samples(plan, run, two)
    JobState("running", 1, 4).write(plan.paths.samples_progress(run.id, three.store))
    states = {
        job.setting: job.state for job in collect_jobs(plan) if job.run == run.id and job.setting
    }
    assert states == {one.id: "done", two.id: "sampled", three.id: "running"}
    text = printed(plan)
    assert "1 done, 9 waiting, 1 sampled, 1 running" in text
    assert f"{run.id} / {one.id}" not in text
    assert f"{run.id} / {two.id}" in text


def test_metrics_of_other_options_are_outdated(plan: Plan, tmp_path: Path) -> None:
    run, (one, two, _) = plan.runs[1], plan.settings
    fake_run(plan, run)
    fake_metrics(plan, run, one)
    fake_samples(plan, run, one)
    fake_metrics(plan, run, two)
    changed = fake_plan(tmp_path, evaluate={"extractors": ["classifier"], "neighbours": 3})
    states = {
        job.setting: job for job in collect_jobs(changed) if job.run == run.id and job.setting
    }
    assert states[one.id].state == "sampled"
    assert states[one.id].message == "outdated: measured with other options"
    assert states[two.id].state == "waiting"


def write_batch(plan: Plan, run: str, **changes: object) -> Path:
    """Write the progress file of the only batch of a run, and return its log."""
    state = BatchState("running", 0, 4, **changes)
    progress = plan.paths.batch_progress(run, "1-of-1")
    progress.parent.mkdir(parents=True, exist_ok=True)
    state.write(progress)
    log = plan.paths.batch_log(run, "1-of-1")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    return log


def test_a_batch_tells_what_it_measures_and_what_failed(plan: Plan) -> None:
    run, (one, two, three) = plan.runs[1].id, plan.settings
    fake_run(plan, plan.runs[1])
    for setting in (one, two):
        fake_samples(plan, plan.runs[1], setting)
    log = write_batch(plan, run, failed={one.id: "no room", three.id: "no GPU"}, current=two.id)
    found = {job.setting: job for job in collect_jobs(plan) if job.run == run}
    assert (found[one.id].state, found[one.id].message) == ("failed", "evaluation: no room")
    assert (found[two.id].state, found[two.id].message) == ("sampled", "evaluation: started")
    assert (found[three.id].state, found[three.id].message) == ("failed", "no GPU")
    assert printed(plan).count(f"log: {log}\n") == 1


def test_a_failure_to_measure_other_options_is_shown(plan: Plan, tmp_path: Path) -> None:
    run, one = plan.runs[1], plan.settings[0]
    fake_run(plan, run)
    fake_samples(plan, run, one)
    fake_metrics(plan, run, one)
    changed = fake_plan(tmp_path, evaluate={"extractors": ["classifier"], "neighbours": 3})
    time.sleep(0.02)
    write_batch(plan, run.id, failed={one.id: "no room"})
    found = {job.setting: job for job in collect_jobs(changed) if job.run == run.id}
    assert (found[one.id].state, found[one.id].message) == ("failed", "evaluation: no room")


def test_an_earlier_batch_says_nothing_about_new_samples(plan: Plan) -> None:
    run, (one, two, _) = plan.runs[1], plan.settings
    fake_run(plan, run)
    write_batch(plan, run.id, failed={one.id: "no room"}, current=two.id)
    time.sleep(0.02)
    for setting in (one, two):
        fake_samples(plan, run, setting)
    found = {job.setting: job for job in collect_jobs(plan) if job.run == run.id}
    assert {found[s.id].message for s in (one, two)} == {"not evaluated yet"}
    assert "log: " not in printed(plan)


def test_a_failed_score_error_makes_its_run_fail(plan: Plan) -> None:
    run = plan.runs[0]
    fake_run(plan, run)
    log = write_batch(plan, run.id, failed={"score_error": "no weights"})
    assert (first(plan).state, first(plan).message) == ("failed", "score error: no weights")
    assert f"log: {log}\n" in printed(plan)
    fake_score_error(plan, run)
    assert (first(plan).state, first(plan).message) == ("done", "")


@pytest.mark.parametrize("left", [0, 5000, -1])
def test_truncated_metrics_are_damaged(plan: Plan, left: int) -> None:
    run, setting = plan.runs[1], plan.settings[0]
    fake_metrics(plan, run, setting)
    metrics = plan.paths.metrics(run.id, setting.id)
    metrics.write_bytes(metrics.read_bytes()[:left])
    (failed,) = (job for job in collect_jobs(plan) if job.state == "failed")
    assert failed.name == f"{run.id} / {setting.id}"
    assert failed.message == f"{metrics} is damaged; run the workflow again"


def test_damaged_progress_file_is_ignored(plan: Plan) -> None:
    write(plan)
    progress = plan.paths.progress(plan.runs[0].id)
    progress.write_text(progress.read_text()[:-20])
    assert first(plan).state == "waiting"
    plan.paths.weights(plan.runs[0].id).write_bytes(b"weights")
    assert (first(plan).state, first(plan).progress) == ("done", None)
    assert "1 done" in printed(plan)


def test_long_tables_list_urgent_jobs_and_count_the_rest(tmp_path: Path) -> None:
    grid = {"sampler.step_size": [1e-6 * (k + 1) for k in range(500)]}
    plan = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": grid})
    run, setting = plan.runs[3], plan.settings[400]
    JobState("failed", 1, 4, message="diverged").write(
        plan.paths.samples_progress(run.id, setting.store)
    )
    started = time.process_time()
    text = printed(plan, limit=5)
    assert time.process_time() - started < 3
    assert "and 1,995 more settings" in text
    assert "diverged" in text
    assert "settings: 2,000: 1,999 waiting, 1 failed" in text
    assert len(text.splitlines()) < 40


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys, scoresweep.pipeline.commands.status\n"
        "heavy = {'torch', 'xarray', 'numpy', 'pandas', 'matplotlib', 'zarr'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41, "41 s"), (725, "12 min"), (3 * 3600 + 300, "3 h 05 min"), (52 * 3600, "2 d 4 h")],
)
def test_format_of_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
