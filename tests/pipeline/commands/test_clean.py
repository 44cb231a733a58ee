"""`scoresweep clean` removes what can be recomputed or is no longer named, and nothing else."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from faked_study import CONTENT, fake_plan, fake_report, fake_study
from halved_study import halving_plan, measure_due
from rich.console import Console

from scoresweep.pipeline.cluster.activity import active_jobs
from scoresweep.pipeline.commands.clean import clean
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.input_hashes import write_weights_manifest
from scoresweep.pipeline.results.removable import find_removable
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.batch_state import BatchState
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock

ONE_RUN = {"train": {**CONTENT["train"], "grid": {}}}
ONE_SETTING = {"sample": {**CONTENT["sample"], "grid": {}}}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A finished study with one run and one setting."""
    plan = fake_plan(tmp_path, **ONE_RUN, **ONE_SETTING)
    fake_study(plan)
    fake_report(plan)
    return plan


def fill(path: Path, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def ids(plan: Plan) -> tuple[str, str]:
    return plan.runs[0].id, plan.settings[0].store


def cleaned(plan: Plan, *only: str) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    freed = clean(plan, only, yes=True, console=console)
    assert isinstance(console.file, io.StringIO)
    return freed, console.file.getvalue()


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def recomputable(plan: Plan) -> dict[str, Path]:
    """Write one file of each kind that can be recomputed, 1,000 to 5,000 bytes."""
    (run, store), paths = ids(plan), plan.paths
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    unfinished = f".{store}.zarr.{socket.gethostname()}.{ended.pid}.part"
    return {
        "features": fill(paths.features(run, store, "classifier")),
        "chunks": fill(paths.chunk_folder(run, store) / "chunk-000000.safetensors", 2000),
        "checkpoints": fill(paths.checkpoints(run) / "step-00000100" / "state.json", 3000),
        "earlier": fill(paths.metrics(run, store).parent / "earlier" / f"{store}.ab.nc", 4000),
        "unfinished": fill(paths.samples(run, store).with_name(unfinished) / "image", 5000),
    }


def test_what_can_be_recomputed_is_removed_and_nothing_else(plan: Plan) -> None:
    before = files(plan.paths.root)
    made = recomputable(plan)
    freed, text = cleaned(plan)
    assert freed == 15_000
    assert "15 kB" in text
    assert files(plan.paths.root) == before
    assert not any(path.parent.exists() for path in made.values() if path.parent.name != "samples")
    assert examine_results(plan).due == []
    assert cleaned(plan)[0] == 0


def test_only_some_kinds(plan: Plan) -> None:
    made = recomputable(plan)
    assert cleaned(plan, "features", "earlier")[0] == 5000
    assert {kind for kind, path in made.items() if path.exists()} == {
        "chunks",
        "checkpoints",
        "unfinished",
    }
    with pytest.raises(InputError, match=r"--only feature: .*'features'"):
        clean(plan, ["feature"])


def test_results_that_the_study_no_longer_names(tmp_path: Path) -> None:
    """After one run, one setting and the score error are taken out of the study."""
    before = fake_plan(tmp_path)
    fake_study(before)
    kept = fake_plan(
        tmp_path,
        train={**CONTENT["train"], "grid": {"noise.levels": [6, 4], "seed": [0]}},
        sample={**CONTENT["sample"], "grid": {"sampler.step_size": [8e-5, 2e-5]}},
        evaluate={**CONTENT["evaluate"], "metrics": ["frechet"]},
    )
    for run in kept.runs:
        fill(kept.paths.run(run.id) / "notes.txt")
    mine = fill(kept.paths.results / "runs" / "notes" / "mine.txt")
    data = files(tmp_path / "data")
    cleaned(kept)
    paths, runs, stores = kept.paths, {r.id for r in kept.runs}, {s.store for s in kept.settings}
    assert {path.name for path in (paths.results / "runs").iterdir()} == runs | {"notes"}
    assert mine.exists()
    assert files(tmp_path / "data") == data
    for name in ("samples", "metrics"):
        assert {path.name for path in (paths.results / name).iterdir()} == runs
    for run in runs:
        assert (paths.run(run) / "notes.txt").exists()
        found = {path.name for path in (paths.results / "samples" / run).iterdir()}
        assert found == {f"{store}.{end}" for store in stores for end in ("zarr", "json")}
        found = {path.name for path in (paths.results / "metrics" / run).iterdir()}
        assert found == {f"{setting.id}.nc" for setting in kept.settings}


def test_other_studies_and_unknown_files_stay(plan: Plan) -> None:
    run, store = ids(plan)
    other = fake_plan(plan.paths.root, **ONE_RUN, **ONE_SETTING, study="other")
    stay = [
        fill(other.paths.features(run, store, "classifier")),
        fill(plan.paths.samples(run, store).with_name("notes_3f2a9c1b.txt")),
        fill(plan.paths.metrics(run, store).with_name("mine.nc")),
        fill(plan.paths.results / "runs" / "my run" / "model.safetensors"),
        fill(
            plan.paths.samples(run, store).with_name(
                f".x.{socket.gethostname()}.{os.getpid()}.part"
            )
        ),
        fill(plan.paths.samples(run, store).with_name(".x.another-host.1.part")),
    ]
    assert cleaned(plan) == (0, "Nothing to remove.\n")
    assert all(path.exists() for path in stay)


def test_stages_of_successive_halving_are_named(tmp_path: Path) -> None:
    """Until the study has other counts."""
    study = halving_plan(tmp_path)
    fake_study(study, metrics=False)
    measure_due(study)
    choices = [
        fill(study.paths.halving_choice(study.runs[0].id, count)) for count in study.counts[1:]
    ]
    assert find_removable(study) == []
    other = halving_plan(tmp_path, {"counts": [10]})
    removed = {each.path for each in find_removable(other)}
    measured = {
        study.paths.metrics(run.id, setting.at(15).id)
        for run in study.runs
        for setting in study.settings
    }
    assert removed == {choices[0]} | {path for path in measured if path.exists()}
    assert len(removed) == 7


def test_copies_of_manifests_of_an_earlier_version(plan: Plan) -> None:
    """They go, but for the only record of a store."""
    manifest = plan.paths.samples_manifest(*ids(plan))
    copy = fill(manifest.with_name(f".{manifest.stem}.manifest"))
    assert [(each.kind, each.path) for each in find_removable(plan)] == [("earlier", copy)]
    manifest.unlink()
    assert find_removable(plan) == []


def test_records_of_batches_of_an_earlier_size(plan: Plan) -> None:
    def record(name: str, time: int) -> set[Path]:
        paths = {plan.paths.batch(run, name), plan.paths.batch_progress(run, name)}
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            BatchState("done", 1, 1).write(path)
            os.utime(path, (time, time))
        return paths

    run, _ = ids(plan)
    last = record("1-of-2", 30) | record("2-of-2", 10)
    earlier = record("1-of-1", 20) | record("1-of-2-at-500", 40)
    assert {each.path for each in find_removable(plan)} == earlier
    running = plan.paths.batch_progress(run, "2-of-2")
    BatchState("running", 0, 1).write(running)
    assert find_removable(plan) == []
    BatchState("done", 1, 1).write(running)
    cleaned(plan, "earlier")
    assert files(plan.paths.batches(run)) == last


def test_unfinished_work_stays(plan: Plan) -> None:
    """Chunks of samples that are not complete, and checkpoints of a run that is not finished."""
    made, (run, store) = recomputable(plan), ids(plan)
    plan.paths.samples_manifest(run, store).unlink()
    plan.paths.weights(run).unlink()
    cleaned(plan)
    assert made["chunks"].exists()
    assert made["checkpoints"].exists()
    assert not made["features"].exists()


@pytest.mark.parametrize("data", [None, "0" * 64])
def test_checkpoints_that_are_needed_stay(plan: Plan, data: str | None) -> None:
    """They alone record the data that the network was trained on, or it is trained again."""
    made, weights = recomputable(plan), plan.paths.weights(plan.runs[0].id)
    record = {"data": data} if data else {}
    write_weights_manifest(weights, plan.paths.weights_manifest(plan.runs[0].id), record)
    cleaned(plan)
    assert made["checkpoints"].exists()


@pytest.mark.parametrize("kind", ["chunks", "checkpoints"])
def test_what_a_process_uses_stays(plan: Plan, kind: str) -> None:
    made, (run, store) = recomputable(plan), ids(plan)
    locks = {"chunks": plan.paths.samples_lock, "checkpoints": plan.paths.training_lock}
    lock = locks[kind](run, store) if kind == "chunks" else plan.paths.training_lock(run)
    with file_lock(lock):
        freed, text = cleaned(plan)
    assert [name for name, path in made.items() if path.exists()] == [kind]
    assert freed == 15_000 - {"chunks": 2000, "checkpoints": 3000}[kind]
    assert str(made[kind].parent if kind == "chunks" else made[kind].parents[1]) in text


def test_samples_that_are_being_drawn_stay(tmp_path: Path) -> None:
    """Of a setting, and of a run, that the study no longer names."""
    before = fake_plan(tmp_path)
    fake_study(before)
    kept = fake_plan(tmp_path, **ONE_RUN, **ONE_SETTING)
    setting = next(s for s in before.settings if s.store not in {k.store for k in kept.settings})
    locked = before.runs[0].id, setting.store
    with file_lock(before.paths.samples_lock(*locked)):
        cleaned(kept)
        assert before.paths.samples(*locked).exists()
        assert before.paths.samples_manifest(*locked).exists()
    cleaned(kept)
    assert not before.paths.samples(*locked).exists()


def starts_job(plan: Plan) -> None:
    """Mark the run as in training."""
    run = plan.runs[0].id
    plan.paths.weights(run).unlink()
    JobState("running", 1, 100).write(plan.paths.progress(run))


def runs_snakemake(plan: Plan) -> None:
    fill(plan.paths.root / ".snakemake" / "locks" / "0.output.lock").write_text(
        "results/faked/report.nc\n"
    )


def begins_batch(plan: Plan) -> None:
    """Begin a batch of an earlier version of the study, on another machine."""
    state = BatchState("running", 0, 1, host="elsewhere", current="gone_0123abcd")
    path = plan.paths.batch_progress(plan.runs[0].id, "1-of-7")
    path.parent.mkdir(parents=True)
    state.write(path)


@pytest.mark.parametrize("start", [starts_job, runs_snakemake, begins_batch])
def test_unnamed_results_stay_while_the_study_runs(
    tmp_path: Path, start: Callable[[Plan], None]
) -> None:
    before = fake_plan(tmp_path)
    fake_study(before)
    kept = fake_plan(tmp_path, train={**CONTENT["train"], "grid": {"noise.levels": [6]}})
    fill(kept.paths.features(*ids(kept), "classifier"))
    start(kept)
    everything = files(kept.paths.results / "samples")
    freed, text = cleaned(kept)
    assert files(kept.paths.results / "samples") == everything
    assert freed == 1000
    assert "no longer names: left alone" in text


def test_a_job_that_starts_while_the_user_thinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_study(fake_plan(tmp_path))
    kept = fake_plan(tmp_path, **ONE_RUN)

    def answer(_: str) -> bool:
        runs_snakemake(kept)
        return True

    monkeypatch.setattr(typer, "confirm", answer)
    everything = files(kept.paths.results)
    assert clean(kept) == 0
    assert files(kept.paths.results) == everything


def test_a_killed_removal_leaves_no_samples_that_look_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that comes back is drawn again."""
    before = fake_plan(tmp_path, **ONE_RUN)
    fake_study(before)
    kept = fake_plan(tmp_path, **ONE_RUN, **ONE_SETTING)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scoresweep.pipeline.system.removal.remove", killed)
    manifests = list(before.paths.results.glob("samples/*/*.json"))
    assert len(manifests) == 3
    for _ in range(len(find_removable(kept))):
        with pytest.raises(KeyboardInterrupt):
            cleaned(kept)
        for result in examine_results(before).of("sample"):
            store = result.output.with_suffix(".zarr")
            assert result.state == "missing" or (store / "zarr.json").exists()
    assert find_removable(kept) == []
    assert sum(path.exists() for path in manifests) == 1


def test_batches_that_have_ended_do_not_count_as_running(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path, **ONE_RUN, **ONE_SETTING)
    fake_study(plan)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    states = [
        BatchState("done", 1, 1),
        BatchState("running", 0, 1, pid=ended.pid),
        BatchState("running", 0, 1, host="elsewhere", job_id="12"),
    ]
    for number, state in enumerate(states, start=1):
        path = plan.paths.batch_progress(plan.runs[0].id, f"{number}-of-7")
        path.parent.mkdir(parents=True, exist_ok=True)
        state.write(path)
    assert active_jobs(plan) == []
    BatchState("running", 0, 1).write(path)
    assert active_jobs(plan) == [f"batch 3-of-7 of {plan.runs[0].id}"]


@pytest.mark.parametrize("folder", ["runs", "samples"])
def test_leftovers_of_a_killed_removal_are_found(plan: Plan, folder: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    name = f".removed-1a2b3c4d.{socket.gethostname()}.{ended.pid}.part"
    left = fill(plan.paths.results / folder / name / "image")
    assert [(each.kind, each.path) for each in find_removable(plan)] == [
        ("unfinished", left.parent)
    ]


@pytest.mark.parametrize(
    ("answer", "code", "removed"), [("y\n", 0, True), ("n\n", 0, False), ("", 2, False)]
)
def test_it_asks_first(plan: Plan, answer: str, code: int, removed: bool) -> None:
    root = plan.paths.root
    (root / "study.yaml").write_text(yaml.safe_dump(CONTENT | ONE_RUN | ONE_SETTING))
    features = fill(plan.paths.features(*ids(plan), "classifier"))
    command = [sys.executable, "-m", "scoresweep", "clean", "study.yaml"]
    done = subprocess.run(
        command, cwd=root, input=answer, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert features.exists() != removed
    assert "features of samples" in done.stdout
