"""A change of `evaluate` computes only the metrics that read the changed options."""

import json

import pytest
import xarray as xr
from measured_study import make_plan, measure, real_digits, with_count, write
from tiny_study import give_data

from scoresweep.metrics.features import Options
from scoresweep.pipeline.evaluation import metric_cache, sample_metrics
from scoresweep.pipeline.evaluation.metric_cache import track_reads
from scoresweep.pipeline.results.code_version import CodeVersion
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference

METRICS = ["frechet", "kid", "prdc"]


@pytest.fixture(scope="module")
def digits(staged, tmp_path_factory):
    root = tmp_path_factory.mktemp("kept")
    give_data(root, staged)
    reference(plan_in(root), "digits", "pixels")
    return root


def plan_in(root, **options):
    given = {"metrics": METRICS, "extractors": ["pixels"], "resamplings": 2, "real_count": 100}
    return make_plan(root, **given | {"kid_subsets": 2, "kid_subset_size": 10} | options)


@pytest.fixture
def computed(monkeypatch):
    """The names of the computed metrics, in order."""
    names, measure_metric = list[str](), sample_metrics._measure_metric

    def spy(metric, *arguments):
        names.append(metric.name)
        return measure_metric(metric, *arguments)

    monkeypatch.setattr(sample_metrics, "_measure_metric", spy)
    return names


@pytest.fixture
def samples(digits):
    """Samples of the setting, without metrics."""
    plan = plan_in(digits)
    values = real_digits(digits, "train")[:50]
    write(plan, values)
    for path in plan.paths.metrics(*ids(plan)).parent.rglob("*.nc"):
        path.unlink()
    return values


def ids(plan):
    return plan.runs[0].id, plan.settings[0].id


def measured(plan):
    evaluate(plan, *ids(plan))
    with xr.open_dataset(plan.paths.metrics(*ids(plan)), engine="h5netcdf") as file:
        assert file.attrs["measured"] == plan.evaluate_hash()
        return file.load()


def from_scratch(plan):
    for path in plan.paths.metrics(*ids(plan)).parent.rglob("*.nc"):
        path.unlink()
    return measured(plan)


def assert_same(found, expected):
    """Compare everything except the compute time."""
    found, expected = (each.assign_attrs(seconds=0, parts="") for each in (found, expected))
    xr.testing.assert_identical(found, expected)


CHANGES = [
    ({"metrics": [*METRICS, "energy_distance"], "neighbours": 3}, ["prdc", "energy_distance"]),
    ({"metrics": ["prdc", "frechet"]}, []),
    ({"kid_subsets": 3}, ["kid"]),
    ({"grid": {"neighbours": [3, 5]}}, ["prdc"]),
    ({"seed": 1}, METRICS),
]
"""Changed options, and the metrics that are computed then."""


def test_only_metrics_that_read_the_changed_option_are_computed(digits, samples, computed):
    measured(plan_in(digits))
    path = plan_in(digits).paths.metrics(*ids(plan_in(digits)))
    before = path.read_bytes()
    for change, expected in CHANGES:
        path.write_bytes(before)
        computed.clear()
        plan = plan_in(digits, **change)
        found = measured(plan)
        assert sorted(computed) == sorted(expected)
        if expected != METRICS:
            assert_same(found, from_scratch(plan))


def test_undoing_a_change_computes_nothing(digits, samples, computed, monkeypatch):
    monkeypatch.setattr(metric_cache, "MAX_EARLIER_FILES", 1)
    plan = plan_in(digits, metrics=["kid"])
    before = measured(plan)
    measured(plan_in(digits, metrics=["kid"], seed=1))
    computed.clear()
    assert_same(measured(plan), before)
    assert computed == []
    folder = plan.paths.metrics(*ids(plan)).parent / "earlier"
    assert len(list(folder.iterdir())) == 1


def test_points_of_the_evaluation_grid_keep_their_own_attributes(digits, samples, computed):
    measured(plan_in(digits, metrics=["kid"], grid={"seed": [0, 1]}))
    computed.clear()
    plan = plan_in(digits, metrics=["kid"], seed=1)
    found = measured(plan)
    assert computed == []
    assert found["kid_pixels"].attrs["seed"] == 1
    assert_same(found, from_scratch(plan))


def test_other_samples_or_features_compute_everything(digits, samples, computed):
    measured(plan_in(digits))
    computed.clear()
    measure(plan_in(digits), samples + 0.25)
    assert computed == METRICS
    computed.clear()
    reference(plan_in(digits, real_count=90), "digits", "pixels")
    measured(plan_in(digits, real_count=90))
    assert computed == METRICS


def test_metrics_of_other_code_or_without_a_list_are_not_reused(
    digits, samples, computed, monkeypatch
):
    plan = plan_in(digits)
    path = plan.paths.metrics(*ids(plan))
    measured(plan)
    content = xr.load_dataset(path, engine="h5netcdf")
    del content.attrs["parts"]
    content.to_netcdf(path, engine="h5netcdf")
    computed.clear()
    measured(plan_in(digits, neighbours=3))
    assert computed == METRICS
    computed.clear()
    other = CodeVersion("0123456789ab", "")
    monkeypatch.setattr(metric_cache, "current_code", lambda kind: other)
    measured(plan_in(digits, neighbours=4))
    assert computed == METRICS


def test_failed_metrics_are_still_named(digits, samples, computed):
    measure(plan_in(digits), samples[:4])
    found = measured(with_count(plan_in(digits, metrics=[*METRICS, "energy_distance"]), 4))
    assert computed == [*METRICS, "energy_distance"]
    problems = json.loads(found.attrs["problems"])
    assert "prdc on pixels" in problems
    write(plan_in(digits), samples)


def test_reads_of_options_are_tracked():
    read = set()
    options = track_reads(Options(neighbours=3, seed=7), read)
    assert read == set()
    assert (options.neighbours, options.seed) == (3, 7)
    assert read == {"neighbours", "seed"}
