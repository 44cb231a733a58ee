"""Bits per dimension of networks whose density is known, from the plan to the report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from scoresweep.distributions import GaussianMixture
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation.network_likelihood import measure_likelihood
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.training.weights import build_network, save_network

MIXTURE = {
    "name": "gaussian_mixture",
    "means": [[-2.0, 0.0], [2.0, 1.0]],
    "stds": 0.5,
    "weights": [0.25, 0.75],
    "train_count": 60,
    "test_count": 60,
}
ORACLE = {"name": "oracle", "of": "mixture"}
PLAIN = {"name": "plain_mlp", "hidden": [4]}
BITS = "bits_per_dimension"
SIGMAS = [500.0, 5.0, 0.05]


def make_plan(
    root: Path, dataset: Any, network: dict[str, Any], metrics: list[str], **options: Any
) -> Plan:
    study = {
        "study": "likelihood",
        "dataset": dataset,
        "train": {
            "network": network,
            "noise": {"name": "explicit", "sigmas": options.pop("sigmas", SIGMAS)},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "probability_flow"}, "count": 50},
        "evaluate": {"extractors": ["pixels"], "score_error_samples": 40, "metrics": metrics}
        | options,
    }
    return plan_study(parse_study(study, "study.yaml"), root)


def with_oracle(plan: Plan) -> Plan:
    """Stage the data and make the exact score."""
    stage(plan, plan.runs[0].dataset.id)
    train(plan, plan.runs[0].id, Resources())
    return plan


def with_parameters(plan: Plan, value: float) -> Plan:
    """Stage the data and save a network whose parameters are all `value`."""
    run, dataset = plan.runs[0], plan.runs[0].dataset
    if not plan.paths.dataset_manifest(dataset.id).exists():
        stage(plan, dataset.id)
    shape = read_split(plan.paths.dataset_store(dataset.id), "train").shape
    network = build_network(run.train.network, shape, torch.tensor(run.train.noise.sigmas))
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, value)
    plan.paths.weights(run.id).parent.mkdir(parents=True, exist_ok=True)
    save_network(plan.paths.weights(run.id), network, run.train.network)
    return plan


def measured(plan: Plan) -> xr.Dataset:
    score_error(plan, plan.runs[0].id)
    path = plan.paths.score_error(plan.runs[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def test_the_exact_score_gives_the_density_of_a_mixture(tmp_path: Path) -> None:
    options = {"likelihood_samples": 60}
    plan = with_oracle(make_plan(tmp_path, MIXTURE, ORACLE, [BITS], **options))
    found = measured(plan)
    assert set(found.data_vars) == {BITS, f"{BITS}_low", f"{BITS}_high"}
    assert found[BITS].attrs["units"] == "bit"
    assert "levels" not in found[BITS].attrs
    means = torch.tensor(MIXTURE["means"], dtype=torch.float64)
    mixture = GaussianMixture(torch.tensor([0.25, 0.75]), means, torch.tensor([0.5]))
    for split in ("train", "test"):
        x = read_split(plan.paths.dataset_store(plan.runs[0].dataset.id), split).model_space()
        bits = -mixture.log_density(x, torch.full((60,), 0.05)) / (2 * math.log(2))
        assert float(found[BITS].sel(split=split)) == pytest.approx(float(bits.mean()), abs=1e-3)
        half = 1.96 * float(bits.std()) / math.sqrt(60)
        width = float((found[f"{BITS}_high"] - found[f"{BITS}_low"]).sel(split=split))
        assert width == pytest.approx(2 * half, rel=0.01)


def test_points_of_the_grid_with_the_same_options_are_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list[int]()

    def spy(network: Any, splits: Any, evaluate: Any, *others: Any) -> xr.Dataset:
        steps.append(evaluate.likelihood_steps)
        return measure_likelihood(network, splits, evaluate, *others)

    monkeypatch.setattr("scoresweep.pipeline.rules.score_error.measure_likelihood", spy)
    grid = {"neighbours": [3, 5], "likelihood_steps": [2, 3]}
    plan = with_parameters(make_plan(tmp_path, MIXTURE, PLAIN, [BITS], grid=grid), 0.01)
    found = measured(plan)[BITS]
    assert sorted(steps) == [2, 3]
    assert found.sizes == {"neighbours": 2, "likelihood_steps": 2, "split": 2}
    assert (found.sel(neighbours=3) == found.sel(neighbours=5)).all()
    assert (found.sel(likelihood_steps=2) != found.sel(likelihood_steps=3)).all()
    alone = measured(make_plan(tmp_path, MIXTURE, PLAIN, [BITS], likelihood_steps=3))
    assert (found.sel(likelihood_steps=3, neighbours=5) == alone[BITS]).all()


def test_images_take_the_bits_of_their_levels(tmp_path: Path) -> None:
    # A score of zero moves nothing: the density is that of N(0, σ_1²). The digits have 17 levels.
    options = {"likelihood_samples": 10_000, "likelihood_steps": 1, "sigmas": [2.0, 0.5]}
    plan = make_plan(tmp_path, {"name": "digits"}, PLAIN, [BITS], **options)
    found = measured(with_parameters(plan, 0.0))[BITS]
    values = read_split(plan.paths.dataset_store(plan.runs[0].dataset.id), "test").values.astype(
        float
    )
    assert (values.min(), values.max(), found.attrs["levels"]) == (0, 16, 17)
    square = (values**2 + values + 1 / 3).mean() / 17**2  # E (v + u)² / n²
    nats = square / (2 * 4) + math.log(2 * math.sqrt(2 * math.pi))
    expected = nats / math.log(2) + math.log2(17)
    assert float(found.sel(split="test")) == pytest.approx(expected, abs=1e-4)


def test_the_metric_is_added_without_measuring_others_again(tmp_path: Path) -> None:
    plan = with_parameters(make_plan(tmp_path, MIXTURE, PLAIN, ["score_error"]), 0.01)
    path = plan.paths.score_error(plan.runs[0].id)
    mark(measured(plan), path)
    both = make_plan(tmp_path, MIXTURE, PLAIN, [BITS, "score_error"], likelihood_steps=2)
    assert both.evaluate_hash() == plan.evaluate_hash()
    assert both.settings[0].id == plan.settings[0].id
    assert state(plan) == "done"
    assert state(both) == "outdated"
    found = measured(both)
    assert state(both) == "done"
    assert (found["score_error"] == 123).all()


def test_other_options_measure_one_metric_again_and_leaving_one_out_none(tmp_path: Path) -> None:
    both = make_plan(tmp_path, MIXTURE, PLAIN, [BITS, "score_error"], likelihood_steps=2)
    path = both.paths.score_error(both.runs[0].id)
    mark(measured(with_parameters(both, 0.01)), path)
    longer = make_plan(tmp_path, MIXTURE, PLAIN, [BITS, "score_error"], likelihood_steps=3)
    changed = measured(longer)
    assert (changed["score_error"] == 123).all()
    assert (changed[BITS] != 123).all()
    mark(changed, path)
    alone = measured(make_plan(tmp_path, MIXTURE, PLAIN, [BITS], likelihood_steps=3))
    assert (alone[BITS] == 123).all()
    assert "score_error" not in alone


def test_options_at_their_default_are_not_recorded(tmp_path: Path) -> None:
    """A later version can add options without measuring finished likelihoods again."""
    plan = make_plan(tmp_path, MIXTURE, PLAIN, [BITS])
    assert plan.network_metrics() == {BITS: [[0, {}, {}]]}
    other = make_plan(tmp_path, MIXTURE, PLAIN, [BITS], likelihood_steps=2)
    assert other.network_metrics() == {BITS: [[0, {}, {"likelihood_steps": 2}]]}


def mark(content: xr.Dataset, path: Path) -> None:
    """Write a number that no measurement gives."""
    for name in {BITS, "score_error"} & {str(name) for name in content}:
        content[name][:] = 123.0
    path.unlink()
    content.to_netcdf(path, engine="h5netcdf")


def state(plan: Plan) -> str:
    return examine_results(plan)["score_error", plan.runs[0].id].state


def test_another_network_is_measured_again(tmp_path: Path) -> None:
    metrics = ["score_error", BITS]
    plan = make_plan(tmp_path, MIXTURE, PLAIN, metrics, likelihood_steps=2)
    first = measured(with_parameters(plan, 0.0))
    mark(first, plan.paths.score_error(plan.runs[0].id))
    again = measured(with_parameters(plan, 0.01))
    assert not (again[BITS] == 123).any()
    assert not (again["score_error"] == 123).any()


def test_a_likelihood_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    plan = with_parameters(make_plan(tmp_path, MIXTURE, PLAIN, [BITS], likelihood_steps=2), 1e30)
    with pytest.raises(RunError, match=r"of 60 train samples"):
        score_error(plan, plan.runs[0].id)
    assert not plan.paths.score_error(plan.runs[0].id).exists()


def test_the_score_error_is_kept_if_the_likelihood_fails(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, MIXTURE, PLAIN, ["score_error", BITS], likelihood_steps=2)
    alone = make_plan(tmp_path, MIXTURE, PLAIN, ["score_error"])
    with_parameters(plan, 1e30)
    with pytest.raises(RunError, match=r"of 60 train samples"):
        score_error(plan, plan.runs[0].id)
    assert (state(plan), state(alone)) == ("outdated", "done")
    path = plan.paths.score_error(plan.runs[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as file:
        mark(file.load(), path)
    with pytest.raises(RunError):
        score_error(plan, plan.runs[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as file:
        assert (file["score_error"] == 123).all()
        assert BITS not in file


@pytest.mark.parametrize(
    ("network", "sigmas", "message"),
    [
        (
            {"name": "ncsn", "channels": 8},
            SIGMAS,
            r"evaluate\.metrics: bits_per_dimension: .*'ncsn'",
        ),
        (PLAIN, [1.0], r"evaluate\.metrics: bits_per_dimension: .*single"),
    ],
)
def test_networks_without_the_levels_are_refused(
    tmp_path: Path, network: dict[str, Any], sigmas: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(tmp_path, {"name": "digits"}, network, [BITS], sigmas=sigmas)
    make_plan(tmp_path, {"name": "digits"}, network, ["score_error"], sigmas=sigmas)


def test_the_report_shows_it(tmp_path: Path) -> None:
    plan = with_oracle(make_plan(tmp_path, MIXTURE, ORACLE, [BITS], likelihood_steps=20))
    found = measured(plan)[BITS].to_series().to_dict()
    report(plan)
    table = pd.read_csv(plan.paths.metrics_table)
    rows = table[table["metric"] == BITS].set_index("split")["value"]
    assert rows.to_dict() == pytest.approx(found)
    page = plan.paths.report_page.read_text(encoding="utf-8")
    section = page.split('<section id="likelihood">')[1].split("</section>")[0]
    assert all(f"{value:#.3g}" in section for value in found.values())
    tree = xr.open_datatree(plan.paths.report, engine="h5netcdf")
    stored = tree["score_error"].to_dataset()[BITS]
    assert np.isfinite(stored.squeeze().values).all()
    assert stored.attrs["better"] == "lower"
