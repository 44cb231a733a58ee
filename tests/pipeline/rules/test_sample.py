"""Samples are a function of (weights, setting, seed, sample index) only."""

import functools
import multiprocessing
import resource
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
import xarray as xr
import yaml
from pydantic import TypeAdapter
from tiny_study import TINY, give_data

from scoresweep.noise import step_size_by_technique_4, uniform
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules import sample as module
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import chunks as chunk_module
from scoresweep.pipeline.sampling import worker_pool
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.study.methods.networks import Oracle
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels
from scoresweep.pipeline.training.weights import build_network, load_network, save_network
from scoresweep.samplers import annealed_langevin, initial_samples, langevin, step_sizes
from scoresweep.seeds import derive_seed, generator_for

# Python 3.12 warns of every fork of a process with threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def write_weights(plan, seed=0):
    """Give every run of `plan` a network of random weights."""
    points = torch.tensor([[0.0], [1.0]])
    for run in plan.runs:
        torch.manual_seed(seed)
        sigmas = resolve_noise_levels(run.train.noise, lambda: points)
        network = build_network(run.train.network, (1, 8, 8), sigmas)
        save_network(plan.paths.weights(run.id), network, run.train.network)


@pytest.fixture
def make(staged, tmp_path):
    """Make a plan with trained runs and one setting; keywords replace parts of `sample`."""

    def plan_in(folder="work", **changes):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        if not (root / "data").exists():
            give_data(root, staged)
        content = parse_yaml(TINY, "tiny.yaml")
        content["sample"] |= {"grid": {}, "trajectories": 25} | changes
        (root / "study.yaml").write_text(yaml.safe_dump(content))
        plan = plan_study(parse_study(content, "study.yaml"), root)
        if not plan.paths.weights(plan.runs[0].id).exists():
            write_weights(plan)
        return plan

    return plan_in


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def draw(plan, run=0, **options):
    """Draw the samples of one run; return the content of the store."""
    run, setting = plan.runs[run], plan.settings[0]
    sample(plan, run.id, setting.id, **options)
    return drawn(plan, run, setting)


def drawn(plan, run, setting):
    store = plan.paths.samples(run.id, setting.store)
    return xr.load_dataset(store, engine="zarr", consolidated=False)


def state_of(plan, run=0):
    path = plan.paths.samples_progress(plan.runs[run].id, plan.settings[0].store)
    return JobState.read(path)


def assert_same_samples(ours, theirs):
    xr.testing.assert_identical(ours.assign_attrs(seconds=0), theirs.assign_attrs(seconds=0))


def note_chunks(monkeypatch, stop_before=None):
    """List the chunks that are drawn; raise before one of them."""
    chunks, draw_chunk = [], chunk_module._draw_chunk

    def record(job, chunk, inputs):
        if chunk == stop_before:
            raise KeyboardInterrupt
        chunks.append(chunk)
        return draw_chunk(job, chunk, inputs)

    monkeypatch.setattr(chunk_module, "_draw_chunk", record)
    return chunks


# ── samples ───────────────────────────────────────────────────────────────────────────────


def by_hand(plan, start="uniform", step_size=2e-3, seed=0):
    """Draw the samples of a tiny setting with the library alone, and observe them."""
    run, options = plan.runs[0], plan.settings[0].sample
    network = load_network(plan.paths.run(run.id))
    sigmas = network.sigmas.double()
    data = read_split(plan.paths.dataset_store("digits"), "train").model_space()
    xs, states, scores = [], [], []
    for chunk in range(3):  # 20 samples each; 10 of the last one are dropped
        generator = generator_for(seed, "sample", chunk)
        shape, sigma_max = (1, 8, 8), float(sigmas[0])
        x = initial_samples(start, 20, shape, sigma_max=sigma_max, data=data, generator=generator)
        seen = []
        arguments = options.sampler.arguments() | {"step_size": step_size, "generator": generator}
        observe = lambda _, x, s, seen=seen: seen.append((x.clone(), s.clone()))  # noqa: E731
        xs.append(annealed_langevin(network, x, sigmas, observe=observe, **arguments))
        states.append(torch.stack([x for x, _ in seen], dim=1))
        scores.append(torch.stack([s for _, s in seen], dim=1))
    return torch.cat(xs), torch.cat(states), torch.cat(scores), sigmas


def test_samples_and_diagnostics_are_those_of_the_library(make):
    plan = make()
    found = draw(plan)
    x, states, scores, sigmas = by_hand(plan)
    pixels = np.floor(255 * x[:50].clamp(0, 1).numpy() + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(found.image, pixels.transpose(0, 2, 3, 1))
    assert found.image.dims == ("sample", "y", "x", "channel")
    assert 0 < int((found.image == 255).sum()) < found.image.size / 2
    np.testing.assert_array_equal(found.trajectory, states[:25].numpy().transpose(0, 1, 3, 4, 2))
    assert found.trajectory.dims == ("path", "level", "y", "x", "channel")
    states, scores = states.double().flatten(2), scores.double().flatten(2)
    rms = (states.norm(dim=2) / 8).mean(0)
    norm = (sigmas * scores.norm(dim=2) / 8).mean(0)
    np.testing.assert_allclose(found.rms.mean("chunk"), rms, rtol=1e-6)
    np.testing.assert_allclose(found.score_norm.mean("chunk"), norm, rtol=1e-6)
    first = (states[:20].norm(dim=2) / 8).mean(0)
    np.testing.assert_allclose(found.rms[0], first, rtol=1e-6)
    np.testing.assert_array_equal(found.sigma, sigmas)
    np.testing.assert_allclose(found.step_size, 2e-3 * (sigmas / sigmas[-1]) ** 2, rtol=1e-12)
    seeds = [derive_seed(0, "sample", chunk) for chunk in (0, 1, 2)]
    np.testing.assert_array_equal(found.chunk_seed, np.repeat(seeds, (20, 20, 10)))


def test_the_store_describes_its_contents(make):
    plan = make()
    found = draw(plan)
    run, setting = plan.runs[0], plan.settings[0]
    digest = module.sha256_of(plan.paths.weights(run.id))
    wanted = {"run": run.id, "setting": setting.id, "seed": 0, "task": "none", "device": "cpu"}
    wanted |= {"weights_sha256": digest, "sample": setting.sample.model_dump_json()}
    assert {key: found.attrs[key] for key in wanted} == wanted
    assert found.attrs["seconds"] > 0
    manifest = parse_yaml(
        plan.paths.samples_manifest(run.id, setting.store).read_text(), "manifest"
    )
    assert manifest["count"] == 50
    assert manifest["shape"] == [1, 8, 8]
    assert manifest["seconds"] == found.attrs["seconds"]
    assert manifest["devices"] == 1
    assert manifest["weights_sha256"] == digest
    assert found.image.attrs["pixel_range"] == [0, 255]


@pytest.mark.parametrize("start", ["uniform", "normal", "data_plus_noise"])
def test_samples_start_from_the_chosen_distribution(make, start):
    sampler = {"name": "annealed_langevin", "step_size": 1e-14, "steps_per_level": 1}
    plan = make(initial=start, sampler=sampler)
    found = draw(plan).trajectory[:, 0].values
    _, states, _, _ = by_hand(plan, start, step_size=1e-14)
    np.testing.assert_allclose(found[..., 0], states[:25, 0, 0].numpy(), atol=1e-6)
    if start == "uniform":
        assert found.min() > -1e-3
        assert found.max() < 1 + 1e-3
    else:
        assert found.std() == pytest.approx(8, rel=0.05)


def test_a_setting_can_have_another_ladder(make):
    noise = {"name": "uniform", "sigma_max": 4.0, "sigma_min": 0.2, "levels": 3}
    found = draw(make(noise=noise))
    np.testing.assert_array_equal(found.sigma, uniform(4.0, 0.2, 3))
    assert found.sizes["level"] == 3


def test_the_ladder_of_a_setting_can_depend_on_the_data(make):
    noise = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.2, "levels": 3}
    plan = make(noise=noise)
    points = read_split(plan.paths.dataset_store("digits"), "train").model_space().flatten(1)
    assert float(draw(plan).sigma[0]) == pytest.approx(float(torch.cdist(points, points).max()))


def test_an_automatic_step_size_is_technique_4s(make):
    plan = make(sampler={"name": "annealed_langevin", "step_size": "auto", "steps_per_level": 2})
    found = draw(plan)
    sigmas = load_network(plan.paths.run(plan.runs[0].id)).sigmas.double()
    np.testing.assert_allclose(
        found.step_size,
        step_sizes("variance", sigmas, step_size_by_technique_4(sigmas, 2)),
        rtol=1e-12,
    )


def test_trajectories_end_in_the_samples_without_denoising(make):
    sampler = {"name": "annealed_langevin", "step_size": 2e-3, "denoise": False}
    found = draw(make(sampler=sampler, trajectories=50))
    assert found.sizes["path"] == 50
    last = np.floor(255 * found.trajectory[:, -1].clip(0, 1) + np.float32(0.5))
    np.testing.assert_array_equal(found.image, last)
    assert "trajectory" not in draw(make("none", trajectories=0))


def test_mixed_precision_is_close_but_not_equal(make):
    # With steps this small, differences do not grow.
    sampler = {"name": "annealed_langevin", "step_size": 1e-5}
    full, mixed = (
        draw(make(precision, precision=precision, sampler=sampler)) for precision in ("no", "bf16")
    )
    difference = np.abs(full.trajectory - mixed.trajectory)
    assert mixed.trajectory.dtype == np.float32
    assert 0 < float(difference.max()) < 0.02


# ── other samplers, in-painting, interpolation ──────────────────────────────────────────────────


def test_a_sampler_of_one_level_stores_that_level(make):
    sampler = {"name": "langevin", "step_size": 2e-3, "steps": 3, "denoise": False}
    plan = make(sampler=sampler, trajectories=50)
    found = draw(plan)
    assert found.sigma.values == pytest.approx([0.1])
    assert found.step_size.values.tolist() == [2e-3]
    assert found.sizes["level"] == found.rms.sizes["level"] == 1
    network = load_network(plan.paths.run(plan.runs[0].id))
    start = initial_samples("uniform", 20, (1, 8, 8), sigma_max=8.0, generator=(g := noise_of(0)))
    x = langevin(network, start, network.sigmas.double(), generator=g, **without_name(sampler))
    expected = x.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found.trajectory[:20, 0], expected)


def noise_of(chunk):
    return generator_for(0, "sample", chunk)


def without_name(options):
    return {key: value for key, value in options.items() if key != "name"}


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": {"name": "consistent", "step_size": 0.008}},
        {"sampler": {"name": "denoise_renoise"}},
        {"sampler": {"name": "predictor_corrector"}},
        {"sampler": {"name": "probability_flow"}},
        {"task": {"name": "inpainting", "mask": "centre"}},
        {"task": {"name": "interpolation", "steps": 4}},
    ],
    ids=str,
)
def test_the_distribution_of_chunks_makes_no_difference(make, monkeypatch, changes):
    one = draw(make("one", **changes))

    def drawn_apart(work, chunks):
        for done, chunk in enumerate(reversed(chunks), start=1):
            list(chunk_module.draw_chunks(work, [chunk], "cpu"))
            yield done

    monkeypatch.setattr(module, "draw_in_processes", drawn_apart)
    found = draw(make("apart", **changes))
    assert_same_samples(found, one)
    assert found.sizes["level"] == 5
    assert np.isfinite(found.score_norm).all()


def test_options_that_do_not_fit_the_ladder_of_a_trained_run_are_refused(make, monkeypatch):
    plan = make(sampler={"name": "consistent", "step_size": 0.008})
    sampler = plan.settings[0].sample.sampler.model_copy(update={"step_size": 0.001})
    sample_ = plan.settings[0].sample.model_copy(update={"sampler": sampler})
    plan = replace(plan, settings=[replace(plan.settings[0], sample=sample_)])
    chunks = note_chunks(monkeypatch)
    with pytest.raises(InputError, match=r"does not fit run .*step_size: 0\.001: "):
        draw(plan)
    assert chunks == []


def test_an_unsupported_precision_is_recorded_as_the_failure_of_the_setting(make, monkeypatch):
    answers = {"device_count": 1, "get_device_name": "V100", "get_device_capability": (7, 0)}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    plan = make(precision="bf16")
    with pytest.raises(InputError, match=r"GPU 0 \(V100\).*expected 'no'") as raised:
        draw(plan, gpus=1)
    assert (state_of(plan).state, state_of(plan).message) == ("failed", str(raised.value))


def test_in_painting_keeps_the_known_part_of_test_samples(make):
    task = {"name": "inpainting", "mask": "lower_half"}
    plan = make(task=task, count=50, trajectories=3)
    found = draw(plan)
    split = read_split(plan.paths.dataset_store("digits"), "test")
    real = np.round(split.model_space()[:50].permute(0, 2, 3, 1).numpy() * 255)
    np.testing.assert_array_equal(found.original, np.arange(50))
    np.testing.assert_array_equal(found.image[:, :4], real[:, :4])
    assert (found.image[:, 4:] != real[:, 4:]).mean() > 0.5
    assert found.attrs["task"] == "inpainting"


def test_test_samples_are_reused_if_there_are_too_few(make):
    plan = make(task={"name": "inpainting", "mask": "centre"}, count=400, chunk=400)
    found = draw(plan)
    available = len(read_split(plan.paths.dataset_store("digits"), "test").model_space())
    np.testing.assert_array_equal(found.original, np.arange(400) % available)
    assert available < 400


def test_interpolation_draws_rows_that_change_from_one_sample_to_another(make):
    # Small steps from one starting point follow the noise alone.
    sampler = {"name": "annealed_langevin", "step_size": 1e-6, "denoise": False}
    plan = make(task={"name": "interpolation", "steps": 5}, sampler=sampler, trajectories=40)
    found = draw(plan)
    assert found.attrs["task"] == "interpolation"
    generator = noise_of(0)
    start = initial_samples("uniform", 20, (1, 8, 8), sigma_max=8.0, generator=generator)
    start = start[::5].repeat_interleave(5, dim=0).permute(0, 2, 3, 1).numpy()
    moved = (found.trajectory.values[:20, -1] - start).reshape(4, 5, 64)
    correlations = [np.corrcoef(row)[0] for row in moved]
    angles = np.cos(np.pi / 2 * np.arange(5) / 4)
    np.testing.assert_allclose(np.mean(correlations, axis=0), angles, atol=0.2)
    assert "original" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": {"name": "langevin", "step_size": 2e-3, "steps": 3}, "trajectories": 4},
        {"task": {"name": "inpainting", "mask": "right_half"}, "trajectories": 4},
        {"task": {"name": "interpolation", "steps": 4}},
    ],
)
def test_all_kinds_of_samples_can_be_evaluated(make, changes):
    plan = make(**changes)
    draw(plan)
    reference(plan, "digits", "pixels")
    evaluate(plan, plan.runs[0].id, plan.settings[0].id)
    found = xr.load_dataset(plan.paths.metrics(plan.runs[0].id, plan.settings[0].id))
    assert float(found.frechet_pixels) > 0
    if "trajectories" in changes:
        assert found.sizes["level"] == (1 if "sampler" in changes else 5)
        assert np.isfinite(found.path_score_error_sigma2).all()


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_metropolis_draws_from_the_energy_of_an_oracle(make, precision):
    plan = make(trajectories=50)
    run, component = plan.runs[0], Oracle(name="oracle")
    sigmas = torch.tensor([2.0, 0.5], dtype=torch.float64)
    network = build_network(component, (1, 8, 8), sigmas)
    network.set_mixture(torch.ones(1), torch.full((1, 1, 8, 8), 0.3), torch.zeros(1))
    save_network(plan.paths.weights(run.id), network, component)
    options = {"name": "metropolis", "step_size": 0.01, "steps": 200, "denoise": False}
    sampler = TypeAdapter(AnySampler).validate_python(options)
    changes = {"sampler": sampler, "precision": precision}
    sample_ = plan.settings[0].sample.model_copy(update=changes)
    plan = replace(plan, settings=[replace(plan.settings[0], sample=sample_)])
    found = draw(plan).trajectory[:, -1].values.ravel()
    # N(0.3, 0.5²) in 64 dimensions, from which 50 samples have moved far after 200 proposals.
    assert found.mean() == pytest.approx(0.3, abs=0.1)
    assert found.std() == pytest.approx(0.5, rel=0.1)


# ── seeds ─────────────────────────────────────────────────────────────────────────────


def test_without_a_seed_repeats_of_the_run_are_independent(make):
    plan = make()
    assert [run.train.seed for run in plan.runs] == [0, 1]
    ours, theirs = draw(plan, 0), draw(plan, 1)
    assert [data.attrs["seed"] for data in (ours, theirs)] == [0, 1]
    first = [data.trajectory[:, 0].values.ravel() for data in (ours, theirs)]
    assert abs(np.corrcoef(first)[0, 1]) < 0.1
    np.testing.assert_array_equal(
        theirs.trajectory[:, 0], by_hand(plan, seed=1)[1][:25, 0].permute(0, 2, 3, 1)
    )


def test_the_seed_of_a_setting_applies_to_every_run(make):
    plan = make(seed=0)
    first, second = draw(plan, 0), draw(plan, 1)
    np.testing.assert_array_equal(first.image, second.image)  # the weights are equal here
    np.testing.assert_array_equal(first.image, draw(make("other")).image)


def test_more_samples_begin_with_the_same_ones(make):
    few, many = draw(make("few", count=33)), draw(make("many", count=70))
    np.testing.assert_array_equal(few.image, many.image[:33])


# ── processes and stops ───────────────────────────────────────────────────────


def test_two_processes_draw_the_same_as_one(make):
    one, two = make("one"), make("two")
    assert_same_samples(draw(two, processes=2), draw(one))
    assert not list(two.paths.results.rglob("*part*"))
    state = state_of(two)
    assert (state.state, state.step, state.steps) == ("done", 3, 3)


def test_a_stop_loses_only_the_interrupted_chunk(make, monkeypatch):
    undisturbed = draw(make("undisturbed"))
    plan = make()
    with monkeypatch.context() as patch:
        assert note_chunks(patch, stop_before=2) == []
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    state = state_of(plan)
    assert (state.state, state.step, state.steps) == ("running", 2, 3)
    state.seconds = 1000.0
    state.write(plan.paths.samples_progress(plan.runs[0].id, plan.settings[0].store))
    chunks = note_chunks(monkeypatch)
    assert_same_samples(draw(plan), undisturbed)
    assert chunks == [2]
    state = state_of(plan)
    assert (state.state, state.step, state.restarts) == ("done", 3, 1)
    assert state.seconds > 1000  # those before the stop are counted
    assert not plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store).exists()


def test_finished_samples_are_not_redrawn(make, monkeypatch):
    plan = make()
    draw(plan)
    chunks = note_chunks(monkeypatch)
    draw(plan)
    assert chunks == []


def test_samples_of_other_weights_are_redrawn(make, capsys):
    plan = make()
    first = draw(plan)
    write_weights(plan, seed=1)
    second = draw(plan)
    assert "other weights" in capsys.readouterr().err
    assert second.attrs["weights_sha256"] != first.attrs["weights_sha256"]
    assert not np.array_equal(second.image, first.image)


@pytest.mark.parametrize("damage", [lambda b: b[:0], lambda b: b[:1000], lambda b: b[:-1] + b"?"])
def test_a_damaged_chunk_is_named_and_redrawn(make, monkeypatch, capsys, damage):
    undisturbed = draw(make("undisturbed"))
    plan = make()
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=2)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    damaged = sorted(parts.iterdir())[1]
    damaged.write_bytes(damage(damaged.read_bytes()))
    chunks = note_chunks(monkeypatch)
    assert_same_samples(draw(plan), undisturbed)
    assert chunks == [1, 2]
    assert f"{damaged} is damaged" in capsys.readouterr().err


def test_chunks_of_other_weights_are_not_used(make, monkeypatch):
    plan = make()
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=2)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    write_weights(plan, seed=1)
    with monkeypatch.context() as patch:
        note_chunks(patch, stop_before=0)
        with pytest.raises(KeyboardInterrupt):
            draw(plan)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    assert list(parts.iterdir()) == []
    chunks = note_chunks(monkeypatch)
    ours = draw(plan)
    assert chunks == [0, 1, 2]
    assert state_of(plan).restarts == 0
    other = make("other")
    write_weights(other, seed=1)
    assert_same_samples(ours, draw(other))


@pytest.fixture
def fast_workers(monkeypatch):
    """Start workers by forking, without importing torch again."""
    monkeypatch.setattr(worker_pool, "START_METHOD", "fork")


def wait_for(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError


def test_a_killed_worker_is_reported_as_probably_out_of_memory(make, fast_workers):
    plan = make(count=100_000)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)

    def kill():
        wait_for(lambda: any(parts.glob("chunk-*")))
        multiprocessing.active_children()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    message = r"run seed=0_.*, setting .*probably out of memory.*sample\.chunk"
    with pytest.raises(RunError, match=message):
        draw(plan, processes=2)
    killer.join()
    assert state_of(plan).state == "failed"
    assert multiprocessing.active_children() == []


def test_the_other_workers_stop_after_their_chunk_if_one_fails(make, fast_workers):
    """Each has 2,500 chunks to draw; one may open no more files."""
    plan = make(count=100_000)
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)

    def forbid():
        wait_for(lambda: len({int(path.stem[-6:]) % 2 for path in parts.glob("chunk-*")}) == 2)
        worker = multiprocessing.active_children()[0]
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (0, 0))

    forbidding = threading.Thread(target=forbid)
    forbidding.start()
    with pytest.raises(Exception, match="Too many open files"):
        draw(plan, processes=2)
    forbidding.join()
    assert len(list(parts.glob("chunk-*"))) < 2500


def test_workers_end_with_the_process_that_started_them(make, fast_workers):
    plan = make(count=100_000)
    parent = multiprocessing.get_context("fork").Process(
        target=sample, args=(plan, plan.runs[0].id, plan.settings[0].id, 2)
    )
    parent.start()
    parts = plan.paths.chunk_folder(plan.runs[0].id, plan.settings[0].store)
    wait_for(lambda: len(list(parts.glob("chunk-*"))) > 2)
    workers = psutil.Process(parent.pid).children()
    parent.kill()
    parent.join()
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


# ── refusals and failures ─────────────────────────────────────────────────────────────────


def test_a_step_size_that_diverges_is_refused_before_any_work(make, monkeypatch):
    plan = make()
    setting = plan.settings[0]  # not covered by the study's own check
    sampler = setting.sample.sampler.model_copy(update={"step_size": 0.03})
    setting = replace(setting, sample=setting.sample.model_copy(update={"sampler": sampler}))
    plan = replace(plan, settings=[setting])
    chunks = note_chunks(monkeypatch)
    message = r"setting \w+ .*run seed=0_\w+: step_size: 0.03: .* 0.02"
    with pytest.raises(InputError, match=message) as error:
        draw(plan)
    assert error.value.exit_code == 2
    assert chunks == []
    state = state_of(plan)
    assert (state.state, state.message) == ("failed", str(error.value))
    folder = plan.paths.samples_progress(plan.runs[0].id, plan.settings[0].store).parent
    store = plan.settings[0].store
    assert names(folder) == [f".{store}.lock", f"{store}.progress.json"]


def test_samples_that_are_not_finite_are_named(make, monkeypatch):
    plan = make()

    def spoil(network, options):
        def score(x, sigma):
            found = network(x, sigma)
            if sigma[0] < 1:
                found[3:5] = float("nan")
            return found

        return score

    monkeypatch.setattr(chunk_module, "score_in_precision", spoil)
    run, setting = plan.runs[0].id, plan.settings[0].id
    message = (
        rf"run {run}, setting {setting}: 2 of 20 samples of chunk 0 are not finite from level 3 on "
        rf"\(sigma 0.8944\)"
    )
    with pytest.raises(RunError, match=message) as error:
        draw(plan)
    assert error.value.exit_code == 1
    assert state_of(plan).state == "failed"
    assert not plan.paths.samples_manifest(run, plan.settings[0].store).exists()


def test_non_finite_samples_after_the_last_step_are_named(make, monkeypatch):
    plan = make()
    calls = []

    def spoil(network, options):
        def score(x, sigma):
            calls.append(1)
            return network(x, sigma) * (float("inf") if len(calls) == 11 else 1)

        return score

    monkeypatch.setattr(chunk_module, "score_in_precision", spoil)
    with pytest.raises(RunError, match=r"20 of 20 samples .* from level 5 on \(sigma 0.1\)"):
        draw(plan)


def test_an_untrained_run_is_named(make):
    plan = make()
    plan.paths.weights(plan.runs[0].id).unlink()
    with pytest.raises(InputError, match=r"model.safetensors: is missing; train the run first"):
        draw(plan)
    assert state_of(plan).state == "failed"


def test_more_gpus_than_available_are_refused(make):
    gpus = torch.cuda.device_count() + 1
    with pytest.raises(InputError, match=f"gpus: {gpus}: expected {gpus - 1} or fewer"):
        draw(make(), gpus=gpus)


def test_gpus_are_assigned_round_robin(make):
    plan = make()

    def work(processes):
        setting = plan.settings[0]
        return SamplingJob(plan.runs[0], setting, plan.paths, processes, 1, 2, "")

    assert [work(3).device(process) for process in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert [work(processes).devices for processes in (1, 2, 3)] == [1, 2, 2]


def test_a_compiled_network_draws_the_same_samples(make, monkeypatch):
    """It is compiled once for all chunks; without machine code, which takes half a minute."""
    calls = []

    def count(graph, _inputs):
        calls.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=count))
    plain = draw(make("plain"))
    assert not calls
    compiled = draw(make("compiled", compile=True))
    assert len(calls) == 1
    np.testing.assert_allclose(compiled["image"].astype(float), plain["image"], atol=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_samples_of_the_same_distribution(make):
    ours, theirs = draw(make("gpu", count=2000), gpus=1), draw(make("cpu", count=2000))
    assert ours.attrs["device"] == torch.cuda.get_device_name()
    np.testing.assert_allclose(ours.rms, theirs.rms, rtol=0.05)
    np.testing.assert_allclose(ours.score_norm, theirs.score_norm, rtol=0.05)


def test_two_commands_that_draw_the_same_setting_take_turns(make, monkeypatch):
    plan, outcomes = make(), []
    chunks = note_chunks(monkeypatch)

    def draw_it():
        sample(plan, plan.runs[0].id, plan.settings[0].id)
        outcomes.append("drawn")

    commands = [threading.Thread(target=draw_it) for _ in range(2)]
    for command in commands:
        command.start()
    for command in commands:
        command.join()
    assert outcomes == ["drawn", "drawn"]
    assert chunks == [0, 1, 2]
