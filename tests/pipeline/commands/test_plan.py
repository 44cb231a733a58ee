"""Output of `scoresweep plan`."""

from __future__ import annotations

import io
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from checkout import ROOT
from faked_study import (
    CONTENT,
    fake_metrics,
    fake_plan,
    fake_report,
    fake_run,
    fake_samples,
    fake_study,
)
from halved_study import halving_plan
from known_costs import FIRST, MEASURE, SAMPLE, START, STEP, known_costs
from rich.console import Console

from scoresweep.pipeline.commands import plan as plan_module
from scoresweep.pipeline.commands.estimate import probe, stopwatch
from scoresweep.pipeline.commands.estimate.costs import Costs, measuring_key, network_key
from scoresweep.pipeline.commands.estimate.disk_space import (
    BYTES_OF_REPORT,
    BYTES_PER_RUN,
    BYTES_PER_SETTING,
    bytes_of_features,
    bytes_of_study,
)
from scoresweep.pipeline.commands.estimate.job_seconds import (
    DEFAULT_START,
    STARTS,
    STARTS_PER_SET,
)
from scoresweep.pipeline.commands.estimate.probe import time_unknown
from scoresweep.pipeline.commands.estimate.probe_metrics import metric_seconds
from scoresweep.pipeline.commands.estimate.probe_processes import _time_here
from scoresweep.pipeline.commands.estimate.remaining import RuleProgress
from scoresweep.pipeline.commands.json_output.plan_json import plan_object
from scoresweep.pipeline.commands.plan import STEP_NAMES, estimate_plan, print_plan
from scoresweep.pipeline.commands.schema import output_schema
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.evaluation import sample_metrics
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.results import SWEEP_STEPS, examine_results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system import process
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.provenance import usable_cores


def printed(plan: Plan, probe: bool = False) -> tuple[dict[str, RuleProgress], str]:
    console = Console(file=io.StringIO(), width=160)
    rules = print_plan(plan, probe, console, settings_per_job=3)
    assert isinstance(console.file, io.StringIO)
    return {rule.name: rule for rule in rules}, console.file.getvalue()


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fake the probe (0.5 s per step, 1 ms per evaluation) and record the numbers of processes."""
    found: list[int] = []

    def fake(plan: Plan, known: Costs, processes: int, *_: object) -> Costs:
        found.append(processes)
        return known_costs(plan)

    monkeypatch.setattr(plan_module, "time_in_processes", fake)
    return found


def test_counts_every_job(tmp_path: Path) -> None:
    rules, text = printed(fake_plan(tmp_path))
    assert {name: (rule.total, rule.done) for name, rule in rules.items()} == {
        "stage": (1, 0),
        "reference": (1, 0),
        "train": (4, 0),
        "score_error": (4, 0),
        "sample": (12, 0),
        "evaluate": (12, 0),
        "sweep": (8, 0),  # of 3 settings and a score error of each run
        "report": (1, 0),
    }
    assert "4 runs × 3 settings = 12 sets of samples" in text
    assert "runs over levels: 6, 4" in text
    assert "Time: unknown" in text


def test_a_probe_gives_the_time(tmp_path: Path, probed: list[int]) -> None:
    rules, text = printed(fake_plan(tmp_path), probe=True)
    assert probed == [min(8, usable_cores())]
    assert rules["train"].seconds == pytest.approx(4 * (100 * STEP + STARTS["train"] * START))
    # A chunk of 250 of 3 settings, 5 steps a level and a last one; two seeds of two ladders.
    evaluations = 2 * (6 * 5 + 1) + 2 * (4 * 5 + 1)
    assert rules["sample"].seconds == pytest.approx(250 * 3 * evaluations * SAMPLE)
    # Twelve sets of samples in eight processes.
    measuring = 12 * (MEASURE + STARTS_PER_SET * START) + 8 * FIRST
    assert rules["evaluate"].seconds == pytest.approx(measuring)
    errors = 2 * 512 * 2 * (6 + 4) * SAMPLE
    assert rules["score_error"].seconds == pytest.approx(errors)
    steps = sum(rules[step].seconds or 0 for step in SWEEP_STEPS)
    assert rules["sweep"].seconds == pytest.approx(steps + 8 * STARTS["sweep"] * START)
    assert "random data" in text
    assert "(2.0 s)" in text
    assert "8 sweep jobs of up to 2 tasks" in text
    # 1,797 digits, 12 × 20 samples, and weights with one checkpoint of 1,000 parameters.
    size = 64 * (1797 + 240) + 4 * 1000 * (4 + 16)
    # What does not depend on their number: metrics, manifests, curves and the report.
    size += 4 * BYTES_PER_RUN + 12 * BYTES_PER_SETTING + BYTES_OF_REPORT
    # 64 features and a hash of each sample.
    features = 240 * (64 * 4 + 16)
    assert f", {(size + features) / 1e6:.2f} MB;" in text
    assert f"{features / 1000:.1f} kB" in text
    _, text = printed(fake_plan(tmp_path, evaluate={"keep_features": False}), probe=True)
    assert f", {size / 1e6:.2f} MB" in text
    assert "keep_features" not in text


def test_the_json_has_jobs_ids_and_axes_and_follows_its_schema(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    estimate = estimate_plan(plan, probe=False, settings_per_job=3)
    found = json.loads(plan_object(plan, estimate).model_dump_json())
    schema = json.loads((ROOT / "docs/schemas/plan.schema.json").read_text("utf-8"))
    assert schema == output_schema("plan")
    jsonschema.validate(found, schema)
    assert set(schema["required"]) == set(found)
    rules = {rule["name"]: rule for rule in found["rules"]}
    train = {"name": "train", "is_step": False, "jobs": 4, "done": 0, "due": 4}
    assert rules["train"] == train | {"seconds": None}
    assert [name for name, rule in rules.items() if rule["is_step"]] == [*STEP_NAMES]
    assert (found["seconds"], found["seconds_from"]) == (None, [])
    assert found["feature_bytes"] == 240 * (64 * 4 + 16)
    axes = {"levels": [6, 4], "seed": [0, 1], "step_size": [8e-5, 5e-6, 2e-5]}
    assert found["axes"] == axes
    assert [run["id"] for run in found["runs"]] == [run.id for run in plan.runs]
    stores = {setting["id"]: setting["store"] for setting in found["settings"]}
    assert stores == {setting.id: setting.store for setting in plan.settings}
    assert found["reasons"] == []


def test_settings_that_share_a_store_count_its_samples_once(tmp_path: Path) -> None:
    sample = CONTENT["sample"] | {"grid": {"count": [20, 100]}}
    one = fake_plan(tmp_path, sample=CONTENT["sample"] | {"count": 100, "grid": {}})
    two = fake_plan(tmp_path, sample=sample)
    assert len(two.settings) == 2
    sizes = [bytes_of_study(plan, Costs()) or 0 for plan in (one, two)]
    assert sizes[1] - sizes[0] == len(one.runs) * BYTES_PER_SETTING
    assert bytes_of_features(two) == bytes_of_features(one) == 4 * 100 * (64 * 4 + 16)


def test_successive_halving_counts_the_samples_of_each_stage(tmp_path: Path) -> None:
    """Six settings of 10 samples, three of 15, two of 20, for each of two runs."""
    drawn = 6 * 10 + 3 * 5 + 2 * 5
    assert bytes_of_features(halving_plan(tmp_path)) == 2 * drawn * (64 * 4 + 16)


def test_successive_halving_estimates_counts_that_are_not_chosen_yet(
    tmp_path: Path, probed: list[int]
) -> None:
    """Steps cost the same for all settings, so the estimate stays when the choice is made."""
    evaluations = (6 * 5 + 1) + (4 * 5 + 1)
    plan = halving_plan(tmp_path)
    chunks = 6 + 3 + 2
    rules, _ = printed(plan, probe=True)
    drawn = rules["sample"].seconds
    assert drawn == pytest.approx(chunks * 250 * evaluations * SAMPLE)
    fake_study(plan, metrics=False)
    for run in plan.runs:
        for setting in plan.first_settings():
            fake_samples(plan, run, setting)
            fake_metrics(plan, run, setting)
    assert {count for _, count in examine_results(plan).stages} == {15}
    rules, _ = printed(plan, probe=True)
    assert rules["sample"].seconds == pytest.approx((3 + 2) * 250 * evaluations * SAMPLE)


def test_successive_halving_says_which_settings_compete(tmp_path: Path) -> None:
    _, text = printed(halving_plan(tmp_path))
    assert "2 runs × 6 settings = 12 sets of samples" in text
    assert "each run: 6 at 10 samples, about 3 at 15" in text
    _, text = printed(halving_plan(tmp_path, {"over": "study"}))
    assert "all runs together, mean per run: 6 at 10" in text


def test_earlier_jobs_give_the_time_rather_than_a_probe(tmp_path: Path, probed: list[int]) -> None:
    plan = fake_plan(tmp_path)
    fake_run(plan, plan.runs[0])  # 100 steps in 2 s
    fake_samples(plan, plan.runs[0], plan.settings[0])
    state = JobState("done", 1, 1, seconds=31.0)  # 250 samples, a chunk, of 31 evaluations
    state.write(plan.paths.samples_progress(plan.runs[0].id, plan.settings[0].store))
    rules, text = printed(plan, probe=True)
    assert len(probed) == 1  # of what the earlier jobs do not show
    assert rules["train"].done == 1
    assert rules["train"].seconds == pytest.approx(3 * (2.0 + STARTS["train"] * START))
    left = 2 * 31.0 + 3 * 31.0 + 2 * 3 * 21.0
    assert rules["sample"].seconds == pytest.approx(left)
    assert "earlier jobs" in text


def test_running_job_counts_its_remaining_steps(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    JobState("running", 25, 100, seconds=5.0).write(plan.paths.progress(plan.runs[0].id))
    rules, _ = printed(plan)
    assert rules["train"].seconds == pytest.approx(
        0.2 * (75 + 3 * 100) + 4 * STARTS["train"] * DEFAULT_START
    )


def test_a_finished_study_has_nothing_left(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    fake_study(plan)
    fake_report(plan)
    rules, text = printed(plan)
    assert all(rule.done == rule.total for rule in rules.values())
    assert "nothing left" in text


def test_automatic_number_of_levels(tmp_path: Path, probed: list[int]) -> None:
    noise = {"name": "geometric", "sigma_max": 50.0, "sigma_min": 0.01, "levels": "auto"}
    train = CONTENT["train"] | {"noise": noise, "grid": {}}
    plan = fake_plan(tmp_path, dataset={"name": "cifar10"}, train=train)
    rules, _ = printed(plan, probe=True)
    # NCSNv2's ladder for CIFAR-10 has 232 levels.
    assert rules["sample"].seconds == pytest.approx(3 * 250 * (232 * 5 + 1) * SAMPLE)


def test_time_is_unknown_without_a_shape(tmp_path: Path, probed: list[int]) -> None:
    np.save(tmp_path / "my.npy", np.zeros(4))  # is looked into when it is staged
    plan = fake_plan(tmp_path, dataset={"name": "array", "path": str(tmp_path / "my.npy")})
    _, text = printed(plan, probe=True)
    assert probed == []
    assert "scoresweep stage" in text
    assert "--no-probe" not in text
    _, text = printed(plan, probe=False)
    assert "scoresweep stage" in text


def test_time_is_unknown_without_a_probe(tmp_path: Path) -> None:
    _, text = printed(fake_plan(tmp_path), probe=False)
    assert "--no-probe" in text
    assert "scoresweep stage" not in text


def test_the_probe_times_what_the_jobs_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopwatch, "LONG_ENOUGH", 0)
    evaluate = {"metrics": ["score_error", "frechet"], "extractors": ["pixels"], "resamplings": 2}
    plan = fake_plan(tmp_path, evaluate=evaluate)
    costs = time_unknown(plan, Costs())
    costs.start_seconds = START
    run, setting = plan.runs[0], plan.settings[0]
    network = run.train.network
    weights = network.load()((1, 8, 8), torch.ones(2), **network.arguments())
    assert costs.parameters[network_key(run)] == sum(p.numel() for p in weights.parameters())
    seconds = known_costs(plan)
    for name in ("step_seconds", "sample_seconds", "exact_seconds", "reference_seconds"):
        found = getattr(costs, name)
        assert found.keys() == getattr(seconds, name).keys()
        assert all(0 < each < 10 for each in found.values())
    assert costs.stage_seconds["digits"] > 0  # staged for the probe, not for the study
    assert not plan.paths.dataset_manifest("digits").exists()
    assert costs.measuring[measuring_key(run.dataset, setting.sample.count)].seconds > 0
    known = known_costs(plan)
    again = time_unknown(plan, known)
    assert (again.step_seconds, again.sample_seconds, again.measuring) == ({}, {}, {})


def test_counted_operations_take_as_long_as_the_rate_says(tmp_path: Path) -> None:
    network = {"name": "plain_mlp", "hidden": [32, 16]}
    train = CONTENT["train"] | {"network": network, "batch_size": 50}
    plan = fake_plan(tmp_path, train=train)
    costs = time_unknown(plan, Costs(), tflops=1e-12)  # one operation per second
    forward = 2 * (65 * 32 + 32 * 16 + 16 * 64)
    backward = 2 * forward - 2 * 65 * 32  # the first layer's input needs no gradient
    assert set(costs.sample_seconds.values()) == {forward}
    assert set(costs.step_seconds.values()) == {50 * (forward + backward)}
    shown = plan.study.train.log.image_count
    assert set(costs.image_seconds.values()) == {shown * forward}


def test_a_probe_that_exhausts_the_memory_says_how_to_plan_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(probe, "time_unknown", exhaust)
    monkeypatch.setattr(process, "set_up_process", lambda _: None)
    given = pickle.dumps((fake_plan(tmp_path), Costs(), "cpu", None))
    with pytest.raises(RunError, match="--no-probe"):
        _time_here(given, time.time())


def test_counting_ignores_what_earlier_jobs_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(plan: Plan, known: Costs, _: int, device: str, tflops: float) -> Costs:
        return time_unknown(plan, known, device, tflops)

    monkeypatch.setattr(plan_module, "time_in_processes", here)
    plan = fake_plan(tmp_path)
    fake_run(plan, plan.runs[0])
    left = [estimate_plan(plan, gpus=1, tflops=each) for each in (1e-3, 2e-3)]
    slow, fast = ({rule.name: rule.seconds or 0 for rule in each.rules} for each in left)
    assert slow["sample"] == pytest.approx(2 * fast["sample"])
    assert left[0].sources[0] == "the networks' operations on GPUs of 0.001 TFLOP/s"


def test_the_probe_needs_no_published_weights(
    make_plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_metrics, "load_inception_logits", pytest.fail)
    plan = make_plan()
    evaluate = plan.study.evaluate.model_copy(
        update={"metrics": ["inception_score"], "extractors": ["inception"]}
    )
    real = RealData(plan, "digits")
    assert metric_seconds(evaluate, real, {"inception": 2048}, (100, 100, 50)) == (0, 0)
