"""A changed `evaluate` computes the metrics that read what has changed, and no others."""

import json

import pytest
import xarray as xr
from measured_study import make_plan, measure, real_digits, write
from tiny_study import give_data

from scoresweep.metrics.features import Options
from scoresweep.pipeline.evaluation import metric_cache as kept_module
from scoresweep.pipeline.evaluation import sample_metrics as measures_module
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
    """The names of the metrics that are computed, in order."""
    names, measure_one = list[str](), measures_module._measure_metric

    def spy(metric, *arguments):
        names.append(metric)
        return measure_one(metric, *arguments)

    monkeypatch.setattr(measures_module, "_measure_metric", spy)
    return names


@pytest.fixture
def samples(digits):
    """Samples of the setting, without any metrics yet."""
    plan = plan_in(digits)
    values = real_digits(digits, "train")[:40]
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


def same(ours, theirs):
    """Compare everything but the seconds that it took."""
    ours, theirs = (each.assign_attrs(seconds=0, parts="") for each in (ours, theirs))
    xr.testing.assert_identical(ours, theirs)


CHANGES = [
    ({"metrics": [*METRICS, "energy_distance"], "neighbours": 3}, ["prdc", "energy_distance"]),
    ({"metrics": ["prdc", "frechet"]}, []),
    ({"kid_subsets": 3}, ["kid"]),
    ({"grid": {"neighbours": [3, 5]}}, ["prdc"]),
    ({"seed": 1}, METRICS),
]
"""What is changed, and the metrics that are computed then."""


def test_only_what_reads_the_changed_option_is_computed(digits, samples, computed):
    measured(plan_in(digits))
    path = plan_in(digits).paths.metrics(*ids(plan_in(digits)))
    before = path.read_bytes()
    for change, expected in CHANGES:
        path.write_bytes(before)
        computed.clear()
        plan = plan_in(digits, **change)
        found = measured(plan)
        assert sorted(computed) == sorted(expected)
        same(found, from_scratch(plan))


def test_an_option_that_is_changed_and_changed_back_computes_nothing(
    digits, samples, computed, monkeypatch
):
    monkeypatch.setattr(kept_module, "MAX_EARLIER_FILES", 1)
    plan = plan_in(digits, metrics=["kid"])
    before = measured(plan)
    measured(plan_in(digits, metrics=["kid"], seed=1))
    computed.clear()
    same(measured(plan), before)
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
    same(found, from_scratch(plan))


def test_other_samples_or_other_features_compute_all(digits, samples, computed):
    measured(plan_in(digits))
    computed.clear()
    measure(plan_in(digits), samples + 0.25)
    assert computed == METRICS
    computed.clear()
    reference(plan_in(digits, real_count=90), "digits", "pixels")
    measured(plan_in(digits, real_count=90))
    assert computed == METRICS


def test_metrics_of_other_code_or_without_a_list_are_not_used(
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
    monkeypatch.setattr(kept_module, "current_code", lambda kind: other)
    measured(plan_in(digits, neighbours=4))
    assert computed == METRICS


def test_what_could_not_be_computed_is_still_named(digits, samples, computed):
    measure(plan_in(digits), samples[:4])
    found = measured(plan_in(digits, metrics=[*METRICS, "energy_distance"]))
    assert computed == [*METRICS, "energy_distance"]
    problems = json.loads(found.attrs["problems"])
    assert "prdc on pixels" in problems
    write(plan_in(digits), samples)


def test_the_options_that_a_metric_reads_are_noted():
    read = set()
    options = track_reads(Options(neighbours=3, seed=7), read)
    assert read == set()
    assert (options.neighbours, options.seed) == (3, 7)
    assert read == {"neighbours", "seed"}
