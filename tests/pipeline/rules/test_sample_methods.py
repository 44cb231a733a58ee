"""Samplers other than annealed Langevin dynamics, in-painting and interpolation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from pydantic import TypeAdapter
from sampled_study import assert_same_samples, draw

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.rules import sample as module
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.sampling import chunks as chunk_module
from scoresweep.pipeline.study.methods.networks import Oracle
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.training.weights import build_network, load_network, save_network
from scoresweep.samplers import initial_samples, langevin
from scoresweep.seeds import generator_for


def test_a_sampler_of_one_level_stores_that_level(make_setting):
    sampler = {"name": "langevin", "step_size": 2e-3, "steps": 3, "denoise": False}
    plan = make_setting(sampler=sampler, trajectories=50)
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
        {"sampler": {"name": "predictor_corrector", "predictor": "none"}},
        {"sampler": {"name": "probability_flow"}},
        {"sampler": {"name": "edm", "s_churn": 1.0}},
        {"task": {"name": "inpainting", "mask": "centre"}},
        {"task": {"name": "interpolation", "steps": 4}},
    ],
    ids=str,
)
def test_the_distribution_of_chunks_makes_no_difference(make_setting, monkeypatch, changes):
    one = draw(make_setting("one", **changes))

    def drawn_apart(work, chunks):
        for done, chunk in enumerate(reversed(chunks), start=1):
            list(chunk_module.draw_chunks(work, [chunk], "cpu"))
            yield done

    monkeypatch.setattr(module, "draw_in_processes", drawn_apart)
    found = draw(make_setting("apart", **changes))
    assert_same_samples(found, one)
    assert found.sizes["level"] == 5
    assert np.isfinite(found.score_norm).all()


def test_in_painting_keeps_the_known_part_of_test_samples(make_setting):
    task = {"name": "inpainting", "mask": "lower_half"}
    plan = make_setting(task=task, count=50, trajectories=3)
    found = draw(plan)
    split = read_split(plan.paths.dataset_store("digits"), "test")
    real = np.round(split.model_space()[:50].permute(0, 2, 3, 1).numpy() * 255)
    np.testing.assert_array_equal(found.original, np.arange(50))
    np.testing.assert_array_equal(found.image[:, :4], real[:, :4])
    assert (found.image[:, 4:] != real[:, 4:]).mean() > 0.5
    assert found.attrs["task"] == "inpainting"


def test_test_samples_are_reused_if_there_are_too_few(make_setting):
    plan = make_setting(task={"name": "inpainting", "mask": "centre"}, count=400, chunk=400)
    found = draw(plan)
    available = len(read_split(plan.paths.dataset_store("digits"), "test").model_space())
    np.testing.assert_array_equal(found.original, np.arange(400) % available)
    assert available < 400


def test_interpolation_draws_rows_that_change_from_one_sample_to_another(make_setting):
    # Small steps from one starting point follow the noise alone.
    sampler = {"name": "annealed_langevin", "step_size": 1e-6, "denoise": False}
    plan = make_setting(
        task={"name": "interpolation", "steps": 5}, sampler=sampler, trajectories=40
    )
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
def test_all_kinds_of_samples_can_be_evaluated(make_setting, changes):
    plan = make_setting(**changes)
    draw(plan)
    evaluate(plan, plan.runs[0].id, plan.settings[0].id)
    found = xr.load_dataset(plan.paths.metrics(plan.runs[0].id, plan.settings[0].id))
    assert float(found.frechet_pixels) > 0
    if "trajectories" in changes:
        assert found.sizes["level"] == (1 if "sampler" in changes else 5)
        assert np.isfinite(found.path_score_error_sigma2).all()


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_metropolis_draws_from_the_energy_of_an_oracle(make_setting, precision):
    plan = make_setting(trajectories=50)
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
