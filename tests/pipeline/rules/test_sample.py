"""Samples are a function of (weights, setting, seed, sample index) only."""

import functools

import numpy as np
import pytest
import torch
from sampled_study import draw

from scoresweep.noise import step_size_by_technique_4, uniform
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.rules import sample as module
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.training.weights import load_network
from scoresweep.samplers import annealed_langevin, initial_samples, step_sizes
from scoresweep.seeds import derive_seed, generator_for


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


def test_samples_and_diagnostics_are_those_of_the_library(make_setting):
    plan = make_setting()
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


def test_the_store_describes_its_contents(make_setting):
    plan = make_setting()
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
def test_samples_start_from_the_chosen_distribution(make_setting, start):
    sampler = {"name": "annealed_langevin", "step_size": 1e-14, "steps_per_level": 1}
    plan = make_setting(initial=start, sampler=sampler)
    found = draw(plan).trajectory[:, 0].values
    _, states, _, _ = by_hand(plan, start, step_size=1e-14)
    np.testing.assert_allclose(found[..., 0], states[:25, 0, 0].numpy(), atol=1e-6)
    if start == "uniform":
        assert found.min() > -1e-3
        assert found.max() < 1 + 1e-3
    else:
        assert found.std() == pytest.approx(8, rel=0.05)


def test_a_setting_can_have_another_ladder(make_setting):
    noise = {"name": "uniform", "sigma_max": 4.0, "sigma_min": 0.2, "levels": 3}
    found = draw(make_setting(noise=noise))
    np.testing.assert_array_equal(found.sigma, uniform(4.0, 0.2, 3))
    assert found.sizes["level"] == 3


def test_the_ladder_of_a_setting_can_depend_on_the_data(make_setting):
    noise = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.2, "levels": 3}
    plan = make_setting(noise=noise)
    points = read_split(plan.paths.dataset_store("digits"), "train").model_space().flatten(1)
    assert float(draw(plan).sigma[0]) == pytest.approx(float(torch.cdist(points, points).max()))


def test_an_automatic_step_size_is_technique_4s(make_setting):
    plan = make_setting(
        sampler={"name": "annealed_langevin", "step_size": "auto", "steps_per_level": 2}
    )
    found = draw(plan)
    sigmas = load_network(plan.paths.run(plan.runs[0].id)).sigmas.double()
    np.testing.assert_allclose(
        found.step_size,
        step_sizes("variance", sigmas, step_size_by_technique_4(sigmas, 2)),
        rtol=1e-12,
    )


def test_trajectories_end_in_the_samples_without_denoising(make_setting):
    sampler = {"name": "annealed_langevin", "step_size": 2e-3, "denoise": False}
    found = draw(make_setting(sampler=sampler, trajectories=50))
    assert found.sizes["path"] == 50
    last = np.floor(255 * found.trajectory[:, -1].clip(0, 1) + np.float32(0.5))
    np.testing.assert_array_equal(found.image, last)
    assert "trajectory" not in draw(make_setting("none", trajectories=0))


def test_mixed_precision_is_close_but_not_equal(make_setting):
    # With steps this small, differences do not grow.
    sampler = {"name": "annealed_langevin", "step_size": 1e-5}
    full, mixed = (
        draw(make_setting(precision, precision=precision, sampler=sampler))
        for precision in ("no", "bf16")
    )
    difference = np.abs(full.trajectory - mixed.trajectory)
    assert mixed.trajectory.dtype == np.float32
    assert 0 < float(difference.max()) < 0.02


def test_a_compiled_network_draws_the_same_samples(make_setting, monkeypatch):
    """It is compiled once for all chunks; without machine code, which takes half a minute."""
    calls = []

    def count(graph, _inputs):
        calls.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=count))
    plain = draw(make_setting("plain"))
    assert not calls
    compiled = draw(make_setting("compiled", compile=True))
    assert len(calls) == 1
    np.testing.assert_allclose(compiled["image"].astype(float), plain["image"], atol=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_samples_of_the_same_distribution(make_setting):
    ours, theirs = (
        draw(make_setting("gpu", count=2000), gpus=1),
        draw(make_setting("cpu", count=2000)),
    )
    assert ours.attrs["device"] == torch.cuda.get_device_name()
    np.testing.assert_allclose(ours.rms, theirs.rms, rtol=0.05)
    np.testing.assert_allclose(ours.score_norm, theirs.score_norm, rtol=0.05)


def test_without_a_seed_repeats_of_the_run_are_independent(make_setting):
    plan = make_setting()
    assert [run.train.seed for run in plan.runs] == [0, 1]
    ours, theirs = draw(plan, 0), draw(plan, 1)
    assert [data.attrs["seed"] for data in (ours, theirs)] == [0, 1]
    first = [data.trajectory[:, 0].values.ravel() for data in (ours, theirs)]
    assert abs(np.corrcoef(first)[0, 1]) < 0.1
    np.testing.assert_array_equal(
        theirs.trajectory[:, 0], by_hand(plan, seed=1)[1][:25, 0].permute(0, 2, 3, 1)
    )


def test_the_seed_of_a_setting_applies_to_every_run(make_setting):
    plan = make_setting(seed=0)
    first, second = draw(plan, 0), draw(plan, 1)
    np.testing.assert_array_equal(first.image, second.image)  # the weights are equal here
    np.testing.assert_array_equal(first.image, draw(make_setting("other")).image)


def test_more_samples_begin_with_the_same_ones(make_setting):
    few, many = draw(make_setting("few", count=33)), draw(make_setting("many", count=70))
    np.testing.assert_array_equal(few.image, many.image[:33])
