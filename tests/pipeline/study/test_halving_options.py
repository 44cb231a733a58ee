"""Successive halving in a study file: the settings at each count, and wrong options."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_study import TINY

from scoresweep.distributions import GaussianMixture
from scoresweep.metric_names import metric_name
from scoresweep.metrics import Features, Options
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.batches import split_into_batches
from scoresweep.pipeline.study.expected_stages import expected_stages
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, ranking_measures

HALVING = {"measure": "frechet_pixels", "counts": [10, 20], "keep": 0.5}


def plan(halving: dict[str, Any] | None, root: Path = Path("/nowhere"), **blocks: Any) -> Plan:
    content = parse_yaml(TINY, "tiny.yaml")
    for name, options in blocks.items():
        content[name] |= options
    if halving:
        content["sample"]["halving"] = halving
    return plan_study(parse_study(content, "tiny.yaml"), root, "tiny.yaml")


def test_halving_changes_no_id():
    with_it, without = plan(HALVING), plan(None)
    assert [s.id for s in with_it.settings] == [s.id for s in without.settings]
    assert [s.store for s in with_it.settings] == [s.store for s in without.settings]
    assert [r.id for r in with_it.runs] == [r.id for r in without.runs]


def test_a_setting_at_a_count_is_the_one_of_a_study_with_that_count():
    smaller = plan(None, sample={"count": 20})
    for setting, other in zip(plan(HALVING).settings, smaller.settings, strict=True):
        at = setting.at(20)
        assert (at.id, at.store, at.sample) == (other.id, other.store, other.sample)
        assert setting.at(50) is setting


def test_a_setting_at_a_count_keeps_the_name_of_earlier_metrics(tmp_path):
    digest = plan(HALVING).settings[0].at(20).id[-8:]
    run = plan(HALVING).runs[0].id
    earlier = plan(HALVING, tmp_path).paths.metrics(run, f"old=name_{digest}")
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    assert plan(HALVING, tmp_path).settings[0].at(20).id == f"old=name_{digest}"


def test_settings_that_differ_in_a_seed_are_expected_to_go_on_together():
    study = plan(
        HALVING, sample={"grid": {"sampler.step_size": [1e-5, 2e-5, 4e-5], "seed": [0, 1]}}
    )
    assert expected_stages(study) == [(10, 6), (20, 4), (50, 2)]
    assert {batch.total for batch in split_into_batches(study, 2, 1) if batch.count == 20} == {4}


def test_settings_are_found_at_every_count():
    study = plan(HALVING)
    for count in study.counts:
        at = study.settings[1].at(count)
        assert study.setting(at.id) == at


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure": "fid"}, r"sample\.halving\.measure: fid: .*frechet_pixels.*\[inception\]"),
        ({"measure": "frechet"}, r"measure: frechet: .*is called frechet_pixels"),
        ({"measure": "score_error"}, r"sample\.halving\.measure: score_error: .*frechet_pixels"),
        ({"measure": "precision_pixels"}, r"halving\.measure: precision_pixels: .*do not rank"),
        ({"counts": []}, r"sample\.halving\.counts: \[\]"),
        ({"counts": [1, 20]}, r"sample\.halving\.counts\[0\]: 1"),
        ({"counts": [20, 10]}, r"sample\.halving\.counts: \[20, 10\]: .*rising"),
        ({"counts": [10, 10]}, r"sample\.halving\.counts: \[10, 10\]: .*rising"),
        ({"counts": [10, 50]}, r"sample\.halving\.counts: \[10, 50\]: .*sample\.count, 50"),
        ({"keep": 0.0}, r"sample\.halving\.keep: 0\.0"),
        ({"keep": 1.0}, r"sample\.halving\.keep: 1\.0"),
        ({"over": "runs"}, r"sample\.halving\.over: 'runs'"),
        ({"kept": 0.5}, r"sample\.halving\.kept: .*'keep'"),
    ],
)
def test_wrong_options_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        plan(HALVING | changes, evaluate={"metrics": ["score_error", "frechet", "prdc"]})


def test_count_is_not_swept_with_halving():
    with pytest.raises(InputError, match=r"sample\.grid\.count"):
        plan(HALVING, sample={"grid": {"count": [50, 60]}})
    with pytest.raises(InputError, match=r"sample\.grid\.count"):
        plan(HALVING, sample={"include": [{"count": 60}]})


def test_halving_needs_one_value_of_its_measure():
    with pytest.raises(InputError, match=r"evaluate\.grid: 2 points"):
        plan(HALVING, evaluate={"grid": {"neighbours": [3, 5]}})


def test_halving_is_not_swept():
    with pytest.raises(InputError, match="halving"):
        plan(None, sample={"grid": {"halving.keep": [0.3, 0.5]}})


@pytest.mark.parametrize("metric", METRICS)
def test_measures_that_rank_are_those_with_a_direction_and_without_a_caveat(metric):
    draw = torch.Generator().manual_seed(0)
    real, drawn = (
        Features(
            torch.rand(300, 784 if metric == "shapes" else 2, generator=draw),
            torch.full((300, 3), 1 / 3),
        )
        for _ in range(2)
    )
    mixture = GaussianMixture(torch.ones(1), torch.zeros(1, 2).double(), torch.ones(1))
    shares, weights = torch.full((5,), 0.2, dtype=torch.float64), torch.ones(3, 2)
    options = Options(mixture=mixture, shares=shares, class_weights=weights)
    values = pkgutil.resolve_name(METRICS[metric].target)(real, drawn, options)
    ranking = {
        metric_name(name, "inception") if value.per_extractor else name: value.better
        for name, value in values.items()
        if value.better and value.caveat is None
    }
    assert ranking_measures([METRICS[metric]], [EXTRACTORS["inception"]]) == ranking


def test_exact_scores_compete_among_themselves_over_a_study():
    networks = [{"name": "mlp", "width": 16, "blocks": 1}, {"name": "oracle"}]
    train = {"grid": {"network": networks, "seed": [0, 1]}}
    study = plan(HALVING | {"over": "study"}, train=train)
    groups = study.halving_groups()
    assert {name: len(runs) for name, runs in groups.items()} == {"digits": 2, "digits.exact": 2}
    assert all(not run.train.network.is_trained for run in groups["digits.exact"])
    assert len(plan(HALVING, train=train).halving_groups()) == 4
