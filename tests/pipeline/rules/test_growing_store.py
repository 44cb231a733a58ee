"""A store grows if more samples are asked for: only the missing chunks are drawn."""

import hashlib
import json
import os
import shutil
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from faults.processes import die_in
from forked import fork_context
from tiny_study import TINY, give_data, save_untrained_networks

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.estimate.costs import costs_of_jobs, sample_key
from scoresweep.pipeline.commands.estimate.task_seconds import TaskSeconds
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.tables.compute_cost import read_sampling_cost
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules import sample as sample_module
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import assemble as assemble_module
from scoresweep.pipeline.sampling import chunks as chunk_module
from scoresweep.pipeline.sampling.sample_store import read_levels, read_samples, read_trajectories
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.locks import file_lock

CHUNK = 20


@pytest.fixture(scope="module")
def trained(staged, tmp_path_factory):
    """A folder with data, real features and untrained networks of the tiny study."""
    root = tmp_path_factory.mktemp("trained")
    give_data(root, staged)
    plan = plan_in(root)
    save_untrained_networks(plan)
    reference(plan, "digits", "pixels")
    return root


@pytest.fixture
def root(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "work", symlinks=True)


def plan_in(root, count=50, trajectories=25, **changes):
    """The tiny study with one setting and its number of samples."""
    content = parse_yaml(TINY, "tiny.yaml")
    content["sample"] |= {"grid": {}, "count": count, "trajectories": trajectories} | changes
    content["evaluate"] |= {"metrics": ["frechet"], "extractors": ["pixels"]}
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    return plan_study(parse_study(content, "study.yaml"), root)


def draw(plan, setting=0):
    sample(plan, plan.runs[0].id, plan.settings[setting].id)


def measure(plan, setting=0):
    evaluate(plan, plan.runs[0].id, plan.settings[setting].id)


def store_of(plan):
    return plan.paths.samples(plan.runs[0].id, plan.settings[0].store)


def manifest_of(plan):
    path = plan.paths.samples_manifest(plan.runs[0].id, plan.settings[0].store)
    return json.loads(path.read_text())


def metrics_of(plan, setting=0):
    path = plan.paths.metrics(plan.runs[0].id, plan.settings[setting].id)
    return xr.load_dataset(path, engine="h5netcdf")


def content_of(plan):
    """Return the content of the store, without what tells how it was made."""
    found = xr.load_dataset(store_of(plan), engine="zarr", consolidated=False)
    return found.assign_attrs(seconds=0)


def state_of(plan, setting=0, rule="sample"):
    return examine_results(plan)[rule, plan.runs[0].id, plan.settings[setting].id]


@pytest.fixture
def chunks(monkeypatch):
    """The chunks that are drawn."""
    numbers, draw_chunk = [], chunk_module._draw_chunk

    def record(job, chunk, inputs):
        numbers.append(chunk)
        return draw_chunk(job, chunk, inputs)

    monkeypatch.setattr(chunk_module, "_draw_chunk", record)
    return numbers


# ── growing ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "drawn"),
    [(40, [2, 3, 4]), (50, [2, 3, 4]), (10, [0, 1, 2, 3, 4]), (30, [1, 2, 3, 4])],
)
def test_a_grown_store_is_the_same_as_one_drawn_at_once(root, tmp_path, chunks, first, drawn):
    small = plan_in(root, first)
    draw(small)
    large = plan_in(root, 90)
    assert store_of(large) == store_of(small)
    assert large.settings[0].id != small.settings[0].id
    assert state_of(large).reason == f"{first} of 90 samples are drawn"
    chunks.clear()
    draw(large)
    assert chunks == drawn
    grown = content_of(large)
    shutil.rmtree(store_of(large).parent)
    draw(large)
    xr.testing.assert_identical(grown, content_of(large))
    assert sorted(path.suffix for path in store_of(large).parent.iterdir()) == sorted(
        [".lock", ".json", ".json", ".zarr"]
    )


def test_the_manifest_holds_the_hash_of_every_number_of_samples(root):
    for count in (30, 50, 90):
        draw(plan_in(root, count))
    plan = plan_in(root, 90)
    values = content_of(plan).image.values
    manifest = manifest_of(plan)
    assert manifest["count"] == 90
    assert manifest["sha256"] == hashlib.sha256(values.tobytes()).hexdigest()
    assert manifest["sha256_of_first"] == {
        str(n): hashlib.sha256(values[:n].tobytes()).hexdigest() for n in (30, 50, 90)
    }


def test_readers_of_fewer_samples_see_the_same_before_and_after(root):
    small = plan_in(root, 50, trajectories=70)
    draw(small)

    def seen():
        store = store_of(small)
        states = read_trajectories(store, 50).states
        return [read_samples(store, 50).values, states, *read_levels(store, 3).values()]

    before = seen()
    assert len(before[1]) == 50
    draw(plan_in(root, 90, trajectories=70))
    assert len(read_trajectories(store_of(small), 90).states) == 70
    for ours, theirs in zip(seen(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_metrics_of_fewer_samples_stay_valid(root):
    small, large = plan_in(root, 50), plan_in(root, 90)
    draw(small)
    measure(small)
    before = metrics_of(small)
    draw(large)
    measure(large)
    for plan in (small, large):
        assert state_of(plan).state == state_of(plan, rule="evaluate").state == "done"
    measure(small)  # again, from the larger store
    after = metrics_of(small)
    assert after["frechet_pixels"].identical(before["frechet_pixels"])
    assert after["signal_to_noise"].identical(before["signal_to_noise"])
    assert after["frechet_pixels"].attrs["n_generated"] == 50
    assert after.attrs["made_from"] == before.attrs["made_from"]
    assert metrics_of(large)["frechet_pixels"].attrs["n_generated"] == 90


def test_the_cost_of_a_grown_store_is_that_of_all_its_samples(root):
    draw(plan_in(root, 50))
    before = manifest_of(plan_in(root, 50))["seconds"]
    draw(plan_in(root, 90))
    manifest = manifest_of(plan_in(root, 90))
    assert manifest["seconds"] > before > 0


def test_only_missing_samples_are_estimated(root):
    draw(plan_in(root, 50))
    plan = plan_in(root, grid={"count": [50, 70, 90]})
    jobs = collect_jobs(plan)
    assert [job.state for job in jobs if job.run == plan.runs[0].id][1:] == [
        *("sampled", "waiting", "waiting")
    ]
    assert jobs[3].message == "50 of 70 samples are drawn"
    costs = costs_of_jobs(plan, jobs)
    key = sample_key(plan.runs[0], plan.settings[0])
    evaluations = costs.evaluations_per_sample(plan, plan.runs[0], plan.settings[0])
    seconds = TaskSeconds(plan, jobs, costs).drawing
    of_a_chunk = 20 * costs.sample_seconds[key] * evaluations
    run, (_, middle, large) = plan.runs[0].id, plan.settings
    # Two full chunks are held; the third is drawn again.
    assert seconds[run, middle.id] == pytest.approx(2 * of_a_chunk)
    assert seconds[run, large.id] == pytest.approx(of_a_chunk)
    other = plan.runs[1].id
    assert sum(s for (run, _), s in seconds.items() if run == other) == pytest.approx(
        5 * of_a_chunk
    )


def test_the_cost_of_fewer_samples_is_their_share(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"seconds": 8.0, "devices": 2, "count": 100}))
    assert read_sampling_cost(path, 25)["seconds"] == 2.0
    assert read_sampling_cost(path, 100)["seconds"] == 8.0
    assert read_sampling_cost(tmp_path / "none.json", 25) == {}


# ── a lower or a swept number of samples ────────────────────────────────────────────────────────


def test_a_lower_number_draws_nothing(root, chunks):
    large, small = plan_in(root, 90), plan_in(root, 30)
    draw(large)
    chunks.clear()
    assert state_of(small).state == "done"
    measure(small)
    draw(small)
    assert chunks == []
    assert len(read_samples(store_of(large)).values) == 90
    first = hashlib.sha256(content_of(large).image.values[:30].tobytes()).hexdigest()
    assert manifest_of(small)["sha256_of_first"]["30"] == first
    found = metrics_of(small)
    assert json.loads(found.attrs["made_from"])["made_from"]["samples"] == first
    assert found["frechet_pixels"].attrs["n_generated"] == 30
    assert state_of(small, rule="evaluate").state == "done"
    assert state_of(large).state == "done"


def test_a_swept_number_shares_a_store(root, chunks):
    plan = plan_in(root, grid={"count": [90, 50]})
    assert plan.settings[0].store == plan.settings[1].store
    draw(plan)
    assert chunks == [0, 1, 2, 3, 4]
    draw(plan, 1)
    assert chunks == [0, 1, 2, 3, 4]
    assert {"50", "90"} <= manifest_of(plan)["sha256_of_first"].keys()
    for setting in (0, 1):
        measure(plan, setting)
        assert state_of(plan, setting, "evaluate").state == "done"


def test_too_few_samples_are_not_measured_nor_discarded(root):
    draw(plan_in(root, 50))
    large = plan_in(root, 90)
    with pytest.raises(InputError, match=r"holds 50 of 90 samples.*scoresweep sample"):
        measure(large)
    assert manifest_of(large)["count"] == 50


# ── faults ──────────────────────────────────────────────────────────────────────────────────────


def test_a_damaged_store_is_drawn_again_when_it_grows(root, chunks, capsys):
    draw(plan_in(root, 50))
    shard = store_of(plan_in(root, 50)) / "image/c/0/0/0/0"
    content = bytearray(shard.read_bytes())
    content[10] ^= 1
    shard.write_bytes(content)
    chunks.clear()
    plan = plan_in(root, 90)
    draw(plan)
    assert chunks == [0, 1, 2, 3, 4]
    assert "damaged" in capsys.readouterr().err
    grown = content_of(plan)
    shutil.rmtree(store_of(plan).parent)
    draw(plan)
    xr.testing.assert_identical(grown, content_of(plan))


def test_a_store_damaged_while_it_grows_is_drawn_again(root, chunks, monkeypatch, capsys):
    draw(plan_in(root, 50))
    plan = plan_in(root, 90)
    chunks.clear()
    read_arrays, calls = assemble_module.read_arrays, []

    def damage(store):
        if not calls:
            calls.append(store)
            shard = store / "image/c/0/0/0/0"
            shard.write_bytes(shard.read_bytes()[:-1])
        return read_arrays(store)

    monkeypatch.setattr(assemble_module, "read_arrays", damage)
    draw(plan)
    assert chunks == [2, 3, 4, 0, 1]
    assert manifest_of(plan)["count"] == 90
    assert len(read_samples(store_of(plan), 90).values) == 90


def die_between_moves():
    """Kill this process when the old store has been moved and the new one has not."""
    replace = Path.replace

    def dying(path, target):
        if target.suffix == ".zarr":
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = dying


def dying(plan, fault):
    fault()
    draw(plan)


SAMPLING = "scoresweep.pipeline.sampling"
MOMENTS = {
    "writing a chunk": (partial(die_in, f"{SAMPLING}.chunk_files.save_safetensors", 2), [3, 4]),
    "writing the store": (partial(die_in, f"{SAMPLING}.sample_store.consolidate_metadata", 1), []),
    "moving stores": (die_between_moves, []),
    "writing the manifest": (partial(die_in, f"{SAMPLING}.assemble.write_json", 1), []),
    "removing the old store": (partial(die_in, f"{SAMPLING}.assemble.remove", 1), []),
    "removing chunks": (partial(die_in, "scoresweep.pipeline.rules.sample.remove_chunks", 1), []),
}


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("measured_first", [False, True])
def test_a_kill_at_any_moment_loses_nothing(root, undisturbed, chunks, moment, measured_first):
    small, large = plan_in(root, 50), plan_in(root, 90)
    draw(small)
    fault, missing = MOMENTS[moment]
    job = fork_context().Process(target=dying, args=(large, fault))
    job.start()
    job.join(60)
    assert job.exitcode == -signal.SIGKILL
    chunks.clear()
    if measured_first:
        measure(small)
        assert state_of(small).state == "done"
    draw(large)
    assert chunks == missing
    xr.testing.assert_identical(content_of(large), undisturbed)
    draw(large)
    assert chunks == missing
    assert state_of(small).state == state_of(large).state == "done"
    left = [path.name for path in store_of(large).parent.iterdir() if "part" in path.suffix]
    assert [name for name in left if "replaced" in name] == []
    measure(large)


@pytest.fixture(scope="module")
def undisturbed(trained):
    """The content of the large store, drawn at once."""
    plan = plan_in(trained, 90)
    draw(plan)
    content = content_of(plan)
    shutil.rmtree(store_of(plan).parent)
    return content


def test_two_processes_that_grow_a_store_take_turns(root, undisturbed, chunks):
    draw(plan_in(root, 50))
    chunks.clear()
    middle, large = plan_in(root, 70), plan_in(root, 90)
    threads = [threading.Thread(target=draw, args=(plan,)) for plan in (large, middle)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(chunks)) == [2, 3, 4]
    assert len(chunks) - len(set(chunks)) <= 1  # the last chunk of the middle, if that was first
    xr.testing.assert_identical(content_of(large), undisturbed)
    assert {"50", "70", "90"} >= manifest_of(large)["sha256_of_first"].keys() >= {"50", "90"}
    assert state_of(middle).state == state_of(large).state == "done"


def test_samples_are_read_while_another_process_replaces_their_store(root):
    """A reader that finds neither the old nor the new store waits; it does not discard it."""
    small, large = plan_in(root, 50), plan_in(root, 90)
    draw(small)
    store, run = store_of(small), small.runs[0].id
    replaced = store.with_name(f".{store.name}.replaced")
    done = []

    def reader():
        measure(small)
        done.append(True)

    with file_lock(small.paths.samples_lock(run, small.settings[0].store)):
        store.rename(replaced)
        thread = threading.Thread(target=reader)
        thread.start()
        thread.join(1)
        assert done == []
        replaced.rename(store)
    thread.join()
    assert done == [True]
    assert manifest_of(large)["count"] == 50


def test_chunks_of_a_larger_number_outlast_a_smaller_one(root, undisturbed, chunks, monkeypatch):
    """A job for fewer samples that comes between two starts of a larger one keeps its chunks."""
    small, large = plan_in(root, 50), plan_in(root, 90)
    assembled = sample_module.assemble

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sample_module, "assemble", stop)
    with pytest.raises(KeyboardInterrupt):
        draw(large)
    monkeypatch.setattr(sample_module, "assemble", assembled)
    chunks.clear()
    draw(small)
    assert chunks == []
    draw(large)
    assert set(chunks) <= {2}
    xr.testing.assert_identical(content_of(large), undisturbed)
    assert not large.paths.chunk_folder(large.runs[0].id, large.settings[0].store).exists()
