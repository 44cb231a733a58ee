"""Output of `scoresweep status`."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from checkout import ROOT
from faked_study import (
    CONTENT,
    fake_dataset,
    fake_metrics,
    fake_plan,
    fake_report,
    fake_run,
    fake_samples,
    fake_score_error,
    fake_study,
)
from halved_study import halving_plan
from rich.console import Console

from scoresweep.pipeline.cluster.job_table import Job, collect_jobs
from scoresweep.pipeline.commands.progress import watch
from scoresweep.pipeline.commands.progress.status_table import status
from scoresweep.pipeline.commands.progress.watch import watch_status
from scoresweep.pipeline.commands.schema import output_schema
from scoresweep.pipeline.commands.status import run_status
from scoresweep.pipeline.errors import InputError
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


def test_settings_of_successive_halving_show_their_number_of_samples(tmp_path: Path) -> None:
    text = printed(halving_plan(tmp_path))
    assert "step_size=1e-06_" in text
    assert text.count(" (10 samples)") == 12
    assert "settings at each count: 12: 12 waiting" in text


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
    listed = [text.index(f"{run.id} / {setting.id}") for setting in (three, two, one)]
    assert listed == sorted(listed), "done settings come after those in work"
    assert text.index("1 of 4 chunks") < listed[1]


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
    text = printed(plan)
    assert text.count(f"log: {log}\n") == 1
    assert f"now: {run}, batch 1-of-1, task 1 of 4: {two.id}, evaluation: started" in text


def test_a_batch_tells_what_it_draws(plan: Plan) -> None:
    run, setting = plan.runs[1], plan.settings[0]
    fake_run(plan, run)
    write_batch(plan, run.id, current=setting.id)
    JobState("running", 3, 8).write(plan.paths.samples_progress(run.id, setting.store))
    assert f"task 1 of 4: {setting.id}, drawing: 3 of 8 chunks" in printed(plan)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_batch(plan, run.id, current=setting.id, pid=ended.pid)
    assert "now: " not in printed(plan)


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


def test_the_json_has_every_job_and_follows_its_schema(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (one, _, three) = plan.runs[1], plan.settings
    fake_run(plan, run)
    fake_samples(plan, run, one)
    fake_metrics(plan, run, one)
    write(plan, updated=time.time())
    state = JobState("running", 1, 4, images_per_second=20.0, seconds=6.0)
    state.write(plan.paths.samples_progress(run.id, three.store))
    write_batch(plan, run.id, current=three.id)
    run_status(plan, Path("study.yaml"), as_json=True)
    found = json.loads(capsys.readouterr().out)
    schema = json.loads((ROOT / "docs/schemas/status.schema.json").read_text("utf-8"))
    assert schema == output_schema("status")
    jsonschema.validate(found, schema)
    assert set(schema["required"]) == set(found)
    assert (found["study"], found["done"]) == ("faked", False)
    assert found["runs"] == {"running": 1, "done": 1, "waiting": 2}
    assert found["settings"] == {"done": 1, "running": 1, "waiting": 10}
    assert (found["due"]["train"], found["due"]["evaluate"]) == (3, 11)
    assert len(found["jobs"]) == 4 + 12
    job = next(job for job in found["jobs"] if (job["run"], job["setting"]) == (run.id, three.id))
    assert (job["state"], job["done"], job["total"], job["unit"]) == ("running", 1, 4, "chunks")
    assert (job["images_per_second"], job["seconds_left"]) == (20.0, 18.0)
    assert job["slurm_job"] is job["log"] is None
    (batch,) = found["batches"]
    assert (batch["run"], batch["batch"], batch["current"]) == (run.id, "1-of-1", three.id)


def test_watching_ends_when_all_is_done(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_study(plan, metrics=False)
    pairs = [(run, setting) for run in plan.runs for setting in plan.settings]
    waits = list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            for run, setting in pairs:
                fake_metrics(plan, run, setting)
        if len(waits) == 3:
            fake_report(plan)

    monkeypatch.setattr(watch.time, "sleep", wait)
    console = Console(file=io.StringIO(), width=160)
    watch_status(plan, 100.0, console)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line[9:] for line in lines[:2]] == [
        "runs: 4: 4 done; settings: 12: 12 sampled",
        "runs: 4: 4 done; settings: 12: 12 done",
    ]
    assert lines[2].startswith("Study faked"), "a line for each change, then the table"
    assert len(waits) == 3
    assert all(90 < seconds <= 100 for seconds in waits)


def test_a_terminal_is_redrawn_in_place_until_ctrl_c(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", stop)
    size = {"width": 100, "height": 20}
    console = Console(file=io.StringIO(), force_terminal=True, highlight=False, **size)
    watch_status(plan, 2.0, console)
    assert isinstance(console.file, io.StringIO)
    screen, after = console.file.getvalue().split("\x1b[?1049l")
    assert screen.startswith("\x1b[?1049h"), "the alternate screen, without scrolling"
    assert len(screen.splitlines()) <= size["height"]
    assert "every 2 s" in screen
    assert "settings: 12: 12 waiting" in after


def test_a_study_in_another_folder_is_not_here(plan: Plan) -> None:
    with pytest.raises(InputError, match=r"no study faked here.*--root.*--configfile my\.yaml"):
        run_status(plan, Path("my.yaml"))
    fake_dataset(plan, "digits")
    run_status(plan, Path("my.yaml"))


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
