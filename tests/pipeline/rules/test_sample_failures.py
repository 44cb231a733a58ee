"""Settings that cannot be drawn are refused, or fail with what is wrong."""

from dataclasses import replace

import pytest
import torch
from sampled_study import draw, note_chunks, state_of

from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.sampling import chunks as chunk_module


def test_a_step_size_that_diverges_is_refused_before_any_work(make_setting, monkeypatch):
    plan = make_setting()
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
    assert {path.name for path in folder.iterdir()} == {f".{store}.lock", f"{store}.progress.json"}


def test_options_that_do_not_fit_the_ladder_of_a_trained_run_are_refused(make_setting, monkeypatch):
    plan = make_setting(sampler={"name": "consistent", "step_size": 0.008})
    sampler = plan.settings[0].sample.sampler.model_copy(update={"step_size": 0.001})
    sample_ = plan.settings[0].sample.model_copy(update={"sampler": sampler})
    plan = replace(plan, settings=[replace(plan.settings[0], sample=sample_)])
    chunks = note_chunks(monkeypatch)
    with pytest.raises(InputError, match=r"does not fit run .*step_size: 0\.001: "):
        draw(plan)
    assert chunks == []


def test_an_unsupported_precision_is_recorded_as_the_failure_of_the_setting(
    make_setting, monkeypatch
):
    answers = {"device_count": 1, "get_device_name": "V100", "get_device_capability": (7, 0)}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    plan = make_setting(precision="bf16")
    with pytest.raises(InputError, match=r"GPU 0 \(V100\).*expected 'no'") as raised:
        draw(plan, gpus=1)
    assert (state_of(plan).state, state_of(plan).message) == ("failed", str(raised.value))


def test_samples_that_are_not_finite_are_named(make_setting, monkeypatch):
    plan = make_setting()

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


def test_non_finite_samples_after_the_last_step_are_named(make_setting, monkeypatch):
    plan = make_setting()
    calls = []

    def spoil(network, options):
        def score(x, sigma):
            calls.append(1)
            return network(x, sigma) * (float("inf") if len(calls) == 11 else 1)

        return score

    monkeypatch.setattr(chunk_module, "score_in_precision", spoil)
    with pytest.raises(RunError, match=r"20 of 20 samples .* from level 5 on \(sigma 0.1\)"):
        draw(plan)


def test_an_untrained_run_is_named(make_setting):
    plan = make_setting()
    plan.paths.weights(plan.runs[0].id).unlink()
    with pytest.raises(InputError, match=r"model.safetensors: is missing; train the run first"):
        draw(plan)
    assert state_of(plan).state == "failed"


def test_more_gpus_than_available_are_refused(make_setting):
    gpus = torch.cuda.device_count() + 1
    with pytest.raises(InputError, match=rf"gpus: {gpus}: .*expected {gpus - 1}\b"):
        draw(make_setting(), gpus=gpus)
