"""A batch of settings, drawn and measured by one process."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import xarray as xr
from tiny_study import TINY, untrained_plan

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.sweep import sweep
from scoresweep.pipeline.sampling import worker_pool
from scoresweep.pipeline.sampling.sampling_job import Devices
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import SCORE_ERROR
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.job_state import JobState

SLOW = {"name": "annealed_langevin", "step_size": 2e-3, "steps_per_level": 1000}
DIVERGES = {"sampler": {"name": "predictor_corrector", "snr": 1e30}}


@pytest.fixture
def make(staged: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Make a plan of one run with random weights; keywords replace parts of `sample`."""

    def plan_in(folder: str = "work", **changes: object) -> Plan:
        content = parse_yaml(TINY, "tiny.yaml")
        content["train"]["grid"] = {}
        content["sample"] |= {"initial": "data_plus_noise"} | changes
        return untrained_plan(tmp_path / folder, staged, content)

    return plan_in


def contents(plan: Plan) -> dict[str, xr.Dataset]:
    """Return the content of every store and every file of measurements, without costs."""
    run, found = plan.runs[0].id, {}
    for setting in plan.settings:
        found[f"{setting.id} samples"] = xr.open_zarr(
            plan.paths.samples(run, setting.store), consolidated=False
        ).load()
    for path in [*(plan.paths.metrics(run, s.id) for s in plan.settings)]:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            found[path.name] = file.load()
    with xr.open_dataset(plan.paths.score_error(run), engine="h5netcdf") as file:
        found[SCORE_ERROR] = file.load()
    return found


def test_results_do_not_depend_on_batches(make: Callable[..., Plan]) -> None:
    """They equal those of the commands for one setting."""
    plans = [make(folder) for folder in ("whole", "parts", "commands")]
    run, settings = plans[0].runs[0].id, plans[0].settings
    sweep(plans[0], run, "1-of-1")
    for number in (3, 1, 2):
        sweep(plans[1], run, f"{number}-of-3")
    for setting in settings:
        sample(plans[2], run, setting.id)
        evaluate(plans[2], run, setting.id)
    score_error(plans[2], run)
    first, *others = (contents(plan) for plan in plans)
    assert len(first) == 2 * len(settings) + 1
    for other in others:
        assert first.keys() == other.keys()
        for name, content in first.items():
            xr.testing.assert_equal(content, other[name])


@pytest.mark.slow
def test_processes_are_started_once_and_give_the_same_samples(
    make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    original = worker_pool.Workers.__init__

    def count(self: worker_pool.Workers, processes: int) -> None:
        started.append(processes)
        original(self, processes)

    monkeypatch.setattr(worker_pool.Workers, "__init__", count)
    include = [{"chunk": 20}, {"chunk": 10}, {"count": 20}]  # 3, 5 and 1 chunk
    plans = [make(folder, grid={}, include=include) for folder in ("one", "two")]
    run = plans[0].runs[0].id
    sweep(plans[0], run, "1-of-1")
    sweep(plans[1], run, "1-of-1", Devices(processes=2))
    assert started == [2]
    first, second = (contents(plan) for plan in plans)
    for name, content in first.items():
        xr.testing.assert_equal(content, second[name])
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_killed_process_costs_one_setting(make: Callable[..., Plan]) -> None:
    plan = make(include=[{"sampler": SLOW}])
    run, slow = plan.runs[0].id, plan.settings[2]

    def kill() -> None:
        while not (workers := multiprocessing.active_children()):
            time.sleep(0.05)
        while not plan.paths.chunk_folder(run, slow.store).exists():
            time.sleep(0.05)
        workers[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RunError) as raised:
        sweep(plan, run, "1-of-1", Devices(processes=2))
    killer.join()
    assert f"1 of 4 tasks of run {run} failed" in str(raised.value)
    progress = json.loads(plan.paths.batch_progress(run, "1-of-1").read_text())
    assert "killed" in progress["failed"][slow.id]
    assert not multiprocessing.active_children()


def test_a_batch_with_nothing_to_do_says_so(
    make: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make()
    run = plan.runs[0].id
    sweep(plan, run, "1-of-1")
    for batch in ("1-of-1", "2-of-2", "1-of-99"):
        capsys.readouterr()
        sweep(plan, run, batch)
        assert f"{run}, batch {batch}: " in capsys.readouterr().err
        assert plan.paths.batch(run, batch).exists()


def test_only_due_tasks_are_computed(make: Callable[..., Plan]) -> None:
    plan = make()
    run, (one, two) = plan.runs[0].id, plan.settings
    sweep(plan, run, "1-of-1")
    record = json.loads(plan.paths.batch(run, "1-of-1").read_text())
    assert record["seconds_by_task"].keys() == {one.id, two.id, SCORE_ERROR}
    files = [plan.paths.samples_manifest(run, s.store) for s in (one, two)]
    files += [plan.paths.metrics(run, two.id), plan.paths.score_error(run)]
    before = [path.stat().st_mtime_ns for path in files]
    plan.paths.metrics(run, one.id).unlink()
    sweep(plan, run, "1-of-1")
    record = json.loads(plan.paths.batch(run, "1-of-1").read_text())
    assert record["seconds_by_task"].keys() == {one.id}
    assert [path.stat().st_mtime_ns for path in files] == before
    grown = make(grid={"sampler.step_size": [2e-3, 4e-3, 6e-3]})
    sweep(grown, run, "1-of-1")
    record = json.loads(plan.paths.batch(run, "1-of-1").read_text())
    assert record["seconds_by_task"].keys() == {grown.settings[2].id}
    assert {result.rule for result in examine_results(grown).due} == {"report"}
    sweep(grown, run, "1-of-1")  # nothing is due: the record stays
    assert json.loads(plan.paths.batch(run, "1-of-1").read_text()) == record


def test_a_failed_task_does_not_stop_the_others(
    make: Callable[..., Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make(include=[DIVERGES])
    run, bad = plan.runs[0].id, plan.settings[2]
    with pytest.raises(RunError) as raised:
        sweep(plan, run, "1-of-1")
    assert f"1 of 4 tasks of run {run} failed" in str(raised.value)
    assert bad.id in str(raised.value)
    assert f"{run} / {bad.id}: failed: " in capsys.readouterr().err
    assert not plan.paths.batch(run, "1-of-1").exists()
    due = {key for key, result in examine_results(plan).by_key.items() if result.is_due}
    assert due == {("sample", run, bad.id), ("evaluate", run, bad.id), ("report",)}
    state = {job.setting: job.state for job in collect_jobs(plan)}
    assert state == {None: "done", bad.id: "failed"} | {s.id: "done" for s in plan.settings[:2]}
    others = [plan.paths.metrics(run, s.id).stat().st_mtime_ns for s in plan.settings[:2]]
    with pytest.raises(RunError, match="1 of 1 tasks"):
        sweep(plan, run, "1-of-1")
    assert [plan.paths.metrics(run, s.id).stat().st_mtime_ns for s in plan.settings[:2]] == others


def test_a_bug_in_one_setting_does_not_stop_the_others(
    make: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make()
    run, (one, two) = plan.runs[0].id, plan.settings

    def fails(*arguments: object, **options: object) -> None:
        if arguments[2] == one.id:
            raise ZeroDivisionError("of a plugin")
        sample(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("scoresweep.pipeline.rules.sweep.sample", fails)
    with pytest.raises(RunError):
        sweep(plan, run, "1-of-1")
    assert "Traceback" in capsys.readouterr().err
    assert plan.paths.metrics(run, two.id).exists()
    progress = json.loads(plan.paths.batch_progress(run, "1-of-1").read_text())
    assert progress["failed"] == {one.id: "ZeroDivisionError: of a plugin"}


def test_results_of_other_code_are_computed_again_on_request(make: Callable[..., Plan]) -> None:
    plan = make()
    run, (one, two) = plan.runs[0].id, plan.settings
    sweep(plan, run, "1-of-1")
    manifest = plan.paths.samples_manifest(run, one.store)
    write_json(manifest, json.loads(manifest.read_text()) | {"made_by": {"code": "older"}})
    sweep(plan, run, "1-of-1")
    assert json.loads(manifest.read_text())["made_by"]["code"] == "older"
    before = plan.paths.metrics(run, two.id).stat().st_mtime_ns
    sweep(plan, run, "1-of-1", this_code=True)
    record = json.loads(plan.paths.batch(run, "1-of-1").read_text())
    assert record["seconds_by_task"].keys() == {one.id}
    assert json.loads(manifest.read_text())["made_by"] == current_code("samples").record()
    assert plan.paths.metrics(run, two.id).stat().st_mtime_ns == before


@pytest.mark.slow
def test_two_processes_share_a_batch(
    make: Callable[..., Plan], scoresweep: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """None of them draws what the other has drawn."""
    plan = make(sampler=SLOW | {"steps_per_level": 100})
    run, root = plan.runs[0].id, plan.paths.root
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: scoresweep("sweep", "study.yaml", cwd=root), range(2)))
    assert [one.returncode for one in ended] == [0, 0], ended
    assert not [result for result in examine_results(plan).due if result.rule != "report"]
    for setting in plan.settings:
        progress = JobState.read(plan.paths.samples_progress(run, setting.store))
        assert progress is not None
        assert progress.restarts == 0


def test_a_batch_that_does_not_exist(make: Callable[..., Plan]) -> None:
    plan = make()
    with pytest.raises(InputError, match="--batch 3-of-2"):
        sweep(plan, plan.runs[0].id, "3-of-2")
    assert not plan.paths.batches(plan.runs[0].id).exists()


def test_more_gpus_than_available_are_refused_before_the_first_task(
    make: Callable[..., Plan],
) -> None:
    plan = make()
    gpus = torch.cuda.device_count() + 1
    with pytest.raises(InputError, match=f"gpus: {gpus}: "):
        sweep(plan, plan.runs[0].id, "1-of-1", Devices(gpus=gpus))
    assert not plan.paths.batches(plan.runs[0].id).exists()
