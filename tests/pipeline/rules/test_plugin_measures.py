"""Metrics and feature extractors of a plugin, on samples that the tests write themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import xarray as xr
from measured_study import real_digits, write
from plugin_study import plan_in
from tiny_study import give_data

from scoresweep.metrics import Features, frechet_distance
from scoresweep.pipeline.commands.estimate.disk_space import bytes_of_features
from scoresweep.pipeline.commands.plan import print_plan
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation import real_data, sample_metrics
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.plugin_edits import find_edits
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference

METHODS = '''
from typing import Annotated

import torch
from pydantic import Field

from scoresweep.plugins import extractor, metric


@metric(better="lower", unit="grey", long_name="brightness error", minimum=0.0)
def brightness(real, generated, *, power: Annotated[float, Field(gt=0)] = 1.0):
    """Difference of the mean brightness."""
    return (generated.mean() - real.mean()).abs() ** power


@metric(on="features", better={"gap": "lower"})
def moments(real, generated, *, scale: float, generator):
    gap = (generated.mean(0) - real.mean(0)).norm()
    return {"gap": scale * gap, "draw": torch.rand((), generator=generator) + torch.rand(())}


@extractor
def halves(x, *, parts: int = 2):
    """Mean of each part of a sample."""
    return torch.stack([part.mean(1) for part in x.flatten(1).chunk(parts, 1)], 1)


@extractor(needs_images=True, smallest_side=5, batch_size=16)
class Filters(torch.nn.Module):
    """Random filters."""

    def __init__(self, shape, *, channels: int = 3):
        super().__init__()
        self.filter = torch.nn.Conv2d(shape[0], channels, 3)
        self.norm = torch.nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.filter(x)).square().flatten(2).mean(2)
'''
MOMENTS = {"name": "moments", "scale": 2.0}
METRICS = ["frechet", "brightness", MOMENTS]


@pytest.fixture(scope="module")
def digits(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits and their pixels as features."""
    root = tmp_path_factory.mktemp("measures")
    give_data(root, staged)
    reference(plan_of(root), "digits", "pixels")
    return root


def plan_of(root, methods=METHODS, **options):
    given = {"metrics": METRICS, "extractors": ["pixels"], "resamplings": 4, "real_count": 100}
    one = {"train": {"grid": {}}, "sample": {"grid": {}}}
    return plan_in(root, methods, **one, evaluate=given | options)


def measured(plan, samples):
    """Measure `samples`, as those of the only setting."""
    write(plan, samples)
    for extractor in plan.extractors:
        if not plan.reference("digits", extractor).exists():
            reference(plan, "digits", extractor)
    run, setting = plan.runs[0].id, plan.settings[0].id
    evaluate(plan, run, setting)
    with xr.open_dataset(plan.paths.metrics(run, setting), engine="h5netcdf") as file:
        return file.load()


@pytest.fixture
def samples(digits):
    """Samples, and no metrics of them."""
    plan = plan_of(digits)
    for path in (plan.paths.results / "metrics").rglob("*.nc"):
        path.unlink()
    return real_digits(digits, "train")[:50] * 0.8


def test_values_of_the_samples_themselves(digits, samples):
    found = measured(plan_of(digits), samples)
    real = real_digits(digits, "train").mean()
    assert float(found["brightness"]) == pytest.approx(
        float((samples.mean() - real).abs()), abs=1e-3
    )
    assert float(found["brightness_noise"]) == pytest.approx(float(0.5 - real), abs=0.02)
    assert float(found["brightness_real"]) < float(found["brightness"])
    assert 0 <= found["brightness_low"] < found["brightness"] < found["brightness_high"]
    key = plan_of(digits).evaluations[0].evaluate.sample_metrics[1].key
    assert found["brightness"].attrs == {
        "metric_key": key,
        "long_name": "brightness error",
        "units": "grey",
        "better": "lower",
        "valid_min": 0.0,
        "n_real": len(real_digits(digits, "train")),
        "n_generated": 50,
        "resize": "none",
        "seed": 0,
    }


def test_values_of_features_are_named_by_the_extractor(digits, samples):
    found = measured(plan_of(digits, extractors=["pixels", "halves"]), samples)
    real = real_digits(digits, "train").flatten(1)
    for extractor in ("pixels", "halves"):
        assert found[f"moments_gap_{extractor}"].attrs["extractor"] == extractor
        assert found[f"moments_gap_{extractor}"].attrs["better"] == "lower"
        assert "better" not in found[f"moments_draw_{extractor}"].attrs
    halves = next(key for key in plan_of(digits, extractors=["halves"]).extractors)
    assert halves.startswith("halves-")
    assert found["frechet_halves"].attrs["extractor_key"] == halves
    assert not {"extractor_key", "metric_key"} & found["frechet_pixels"].attrs.keys()
    sets = [
        torch.stack([x[:, :32].mean(1), x[:, 32:].mean(1)], 1) for x in (samples.flatten(1), real)
    ]
    with xr.open_dataset(plan_of(digits).reference("digits", "pixels")) as file:
        subset = torch.from_numpy(file["train_features"].values)
    sets[1] = torch.stack([subset[:, :32].mean(1), subset[:, 32:].mean(1)], 1)
    expected = frechet_distance(*map(Features, sets))
    assert float(found["frechet_halves"]) == pytest.approx(expected, rel=0.01)
    gap = 2 * float((sets[0].mean(0) - sets[1].mean(0)).norm())
    assert float(found["moments_gap_halves"]) == pytest.approx(gap, rel=0.01)


def test_random_numbers_of_a_metric_come_from_the_seed(digits, samples):
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(draws))
        for path in (plan_of(digits).paths.results / "metrics").rglob("*.nc"):
            path.unlink()
        found = measured(plan_of(digits, metrics=[MOMENTS], seed=seed), samples)
        draws.append(float(found["moments_draw_pixels"]))
    assert draws[0] == draws[1] != draws[2]


@pytest.fixture
def computed(monkeypatch):
    """The metrics that are computed, with their extractors."""
    names, measure_metric = [], sample_metrics._measure_metric

    def spy(metric, extractor, *arguments):
        names.append(" ".join([metric.name, extractor]).strip())
        return measure_metric(metric, extractor, *arguments)

    monkeypatch.setattr(sample_metrics, "_measure_metric", spy)
    return names


EXTRACTORS = ["pixels", "halves"]
VERSIONED = METHODS.replace('@metric(better="lower"', '@metric(version="1", better="lower"')
OWN = ["brightness", "frechet halves", "moments halves", "moments pixels"]


@pytest.mark.parametrize(
    ("methods", "changes", "expected"),
    [
        (
            METHODS,
            {"metrics": [METRICS[0], {"name": "brightness", "power": 2.0}, MOMENTS]},
            OWN[:1],
        ),
        (METHODS, {"extractors": ["pixels", {"name": "halves", "parts": 4}]}, OWN[1:3]),
        (METHODS + "# edited\n", {}, OWN),
        (VERSIONED + "# edited\n", {}, OWN[1:]),
        (METHODS, {"resamplings": 4}, []),
    ],
    ids=["option of a metric", "option of an extractor", "edit", "edit of a version", "nothing"],
)
def test_only_what_uses_a_changed_method_is_computed(
    digits, samples, computed, methods, changes, expected
):
    before = VERSIONED if methods.startswith(VERSIONED) else METHODS
    measured(plan_of(digits, before, extractors=EXTRACTORS), samples)
    computed.clear()
    plan = plan_of(digits, methods, **{"extractors": EXTRACTORS} | changes)
    results = examine_results(plan)
    evaluation = results["evaluate", plan.runs[0].id, plan.settings[0].id]
    assert (evaluation.state == "outdated") == bool(expected)
    missing = {key[2] for key, r in results.by_key.items() if key[0] == "reference" and r.is_due}
    assert all(key.startswith("halves-") for key in missing)
    assert bool(missing) == ("frechet halves" in expected)
    measured(plan, samples)
    assert sorted(computed) == expected


def test_a_measurement_of_an_edited_plugin_is_planned_with_the_reason(digits, samples, capsys):
    before = plan_of(digits)
    found = measured(before, samples)
    (plugin,) = before.plugins
    assert json.loads(found.attrs["plugins"]) == {"my_methods.py": plugin.sha256}
    copy = before.paths.plugin_copy("my_methods", plugin.sha256)
    assert json.loads(copy.read_text())["files"] == {"my_methods.py": METHODS}
    after = plan_of(digits, METHODS + "# and edited\n")
    assert [p.id for p in (*before.runs, *before.settings)] == [
        p.id for p in (*after.runs, *after.settings)
    ]
    print_plan(after, probe=False)
    assert "measurements 1, features of real data 0" in capsys.readouterr().out


def test_features_of_an_edited_extractor_are_to_compute_again(staged, tmp_path, samples):
    give_data(tmp_path, staged)

    def recomputed(methods, *extractors):
        plan = plan_of(tmp_path, methods, extractors=extractors)
        edits = find_edits(plan, examine_results(plan)).values()
        return plan, {each for edit in edits for each in edit.references}

    measured(plan_of(tmp_path, extractors=["pixels", "halves"]), samples)
    assert recomputed(METHODS, "pixels", "halves")[1] == set()
    plan, found = recomputed(METHODS + "# extractor edited\n", "pixels", "halves")
    assert found == {("digits", key) for key in plan.extractors if key != "pixels"}
    assert len(found) == 1
    other = {"name": "halves", "parts": 4}  # never computed
    assert recomputed(METHODS + "# extractor edited\n", "pixels", other)[1] == set()


def test_features_of_a_module_count_its_weights(digits, samples):
    plan = plan_of(digits, metrics=["frechet"], extractors=["Filters"])
    (key,) = plan.extractors
    torch.manual_seed(1)
    reference(plan, "digits", key)
    file = plan.reference("digits", key)
    first = xr.load_dataset(file)
    torch.manual_seed(2)
    reference(plan, "digits", key)
    second = xr.load_dataset(file)
    assert len(first.attrs["weights_sha256"]) == 64
    assert first.attrs["weights_sha256"] == second.attrs["weights_sha256"]
    xr.testing.assert_equal(first, second)
    assert first["train_features"].shape == (100, 3)
    found = measured(plan, samples)
    assert found["frechet_Filters"].attrs["extractor"] == "Filters"
    assert plan.paths.features(plan.runs[0].id, plan.settings[0].store, key).exists()
    with xr.open_dataset(file) as content:
        other = content.load().assign_attrs(weights_sha256="0" * 64)
    other.to_netcdf(file, engine="h5netcdf")
    with pytest.raises(InputError, match="reference STUDY"):
        real_data.RealData(plan, "digits").extractor(key)
    file.unlink()


def test_plan_counts_the_bytes_of_features(digits):
    options = {"metrics": ["frechet"], "extractors": ["pixels", {"name": "halves", "parts": 4}]}
    plan = plan_of(digits, **options)
    assert bytes_of_features(plan) == plan.settings[0].sample.count * (4 * 4 + 16)


VALUE = "(generated.mean() - real.mean()).abs() ** power"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("'much'", "returned str"),
        ("generated.mean(0)", "returned Tensor of shape (1, 8, 8)"),
        ("None", "returned NoneType"),
        ("float('nan')", "returned nan"),
        ("-1.0", "a number from 0.0 to"),
        ("{'other': 1.0}", "no value for brightness"),
        ("nonsuch", "NameError"),
        ("exit(3)", "SystemExit"),
        ("real.add_(0.25).mean()", "changed its argument 'real'"),
        ("generated.numpy().fill(0) or 0.0", "changed its argument 'generated'"),
    ],
)
def test_a_metric_that_fails_is_a_problem_like_that_of_a_built_in_one(
    digits, samples, monkeypatch, value, named
):
    monkeypatch.chdir(digits)
    # The failing metric comes first; if it changed shared samples, the others would differ.
    found = measured(
        plan_of(digits, METHODS.replace(VALUE, value), metrics=["brightness", "frechet"]), samples
    )
    problem = json.loads(found.attrs["problems"])["brightness on samples"]
    assert "my_methods.py:1" in problem
    assert "the metric 'brightness'" in problem
    assert named in problem
    assert "brightness" not in found
    good = measured(plan_of(digits, metrics=["frechet"]), samples)
    assert float(found["frechet_pixels"]) == float(good["frechet_pixels"])


def test_a_metric_that_changes_its_input_later_is_noticed_and_changes_no_other(digits, samples):
    later = "(real.add_(0.25) if len(generated) < 50 else real).mean()"
    edited = METHODS.replace(VALUE, later)
    edited += "\n\n@metric\ndef grey_level(real, generated): return real.mean()\n"
    found = measured(plan_of(digits, edited, metrics=["brightness", "grey_level"]), samples)
    problem = json.loads(found.attrs["problems"])["brightness on samples"]
    assert "no interval of brightness" in problem
    assert "changed its argument 'real'" in problem
    assert float(found["grey_level"]) == float(real_digits(digits, "train").mean())


def test_a_metric_without_values_is_a_problem(digits, samples):
    edited = METHODS.replace('@metric(better="lower", ', "@metric(").replace(VALUE, "{}")
    found = measured(plan_of(digits, edited, metrics=["frechet", "brightness"]), samples)
    assert "an empty dictionary" in json.loads(found.attrs["problems"])["brightness on samples"]


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        ("{'gap': 1.0, f'n{len(generated)}': 0.0}", "the same keys"),
        ("{'gap': 1.0, 'a b': 0.0}", "'a b'"),
        ("{'gap': 1.0, 'gap_low': 0.0}", "'gap_low'"),
        ("1.0", "moments_gap"),
        ("{'gap': 'much'}", "the metric 'moments': gap: returned str"),
    ],
)
def test_keys_of_a_metric_are_names_and_do_not_change(digits, samples, returned, named):
    start = METHODS.index("    return {", METHODS.index("def moments"))
    end = METHODS.index("\n", start)
    methods = f"{METHODS[:start]}    return {returned}{METHODS[end:]}"
    found = measured(plan_of(digits, methods), samples)
    assert named in json.loads(found.attrs["problems"])["moments on pixels"]


def test_a_value_does_not_take_another_name_of_the_report(digits, samples):
    methods = METHODS + "\n\n@metric\ndef learning(real, generated): return {'rate': 1.0}\n"
    found = measured(plan_of(digits, methods, metrics=["frechet", "learning"]), samples)
    assert "'learning_rate'" in json.loads(found.attrs["problems"])["learning on samples"]
    assert "learning_rate" not in found


def test_metrics_with_values_of_one_name_are_refused(digits, samples):
    methods = (
        METHODS + "\n\n@metric(on='features')\ndef frechet_pixels(real, generated): return 1.0\n"
    )
    methods += "\n\n@metric\ndef density_pixels(real, generated): return 1.0\n"
    metrics = ["prdc", "density_pixels"]
    found = measured(plan_of(digits, methods, metrics=metrics, neighbours=2), samples)
    assert "density_pixels" in json.loads(found.attrs["problems"])["density_pixels on samples"]
    assert float(found["density_pixels"]) != 1.0


def test_a_study_whose_own_metrics_all_fail_ends_with_exit_code_1(digits, samples):
    with pytest.raises(RunError, match=r"my_methods.py:\d+: the metric 'brightness'") as error:
        measured(plan_of(digits, METHODS.replace(VALUE, "1 / 0"), metrics=["brightness"]), samples)
    assert error.value.exit_code == 1


HALVES = "torch.stack([part.mean(1) for part in x.flatten(1).chunk(parts, 1)], 1)"
FILTERS = "self.norm(self.filter(x)).square().flatten(2).mean(2)"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (HALVES, "x", "(4, 1, 8, 8)"),
        (HALVES, "x.flatten(1)[:2]", "(2, 64)"),
        (HALVES, "x.flatten(1).tolist()", "list"),
        (HALVES, "x.flatten(1)[:, :0]", "(4, 0)"),
        (HALVES, "x.flatten(1) / 0", "not finite"),
        (HALVES, "x.flatten(1) - x.mean()", "depend on the other samples"),
        (HALVES, "1e-4 * (x.flatten(1) - x.mean())", "depend on the other samples"),
        (HALVES, "x.mul_(2).flatten(1)", "changed its argument 'x'"),
        (HALVES, "nonsuch", "NameError"),
        (FILTERS, "nonsuch", "NameError"),
        ("self.norm = ", "1 / 0; self.norm = ", "ZeroDivisionError"),
        ("(torch.nn.Module)", "", "not a torch.nn.Module"),
    ],
)
def test_an_extractor_that_breaks_the_contract_is_named(digits, monkeypatch, old, new, named):
    monkeypatch.chdir(digits)
    assert old in METHODS
    methods = METHODS.replace(old, new)
    name = "halves" if old == HALVES else "Filters"
    if not new:
        methods = methods.replace("super().__init__()", "return", 1)
    plan = plan_of(digits, methods, metrics=["frechet"], extractors=[name])
    (key,) = plan.extractors
    with pytest.raises((InputError, RunError)) as error:
        reference(plan, "digits", key)
    assert "my_methods.py:" in str(error.value)
    assert f"the extractor '{name}'" in str(error.value)
    assert named in str(error.value)
    assert not plan.reference("digits", key).exists()


def test_features_of_samples_that_are_not_finite_name_the_extractor(digits, samples):
    methods = METHODS.replace(HALVES, "x.flatten(1) / x.flatten(1).amax(1, keepdim=True)")
    samples[:5] = 0.0  # 0/0
    plan = plan_of(digits, methods, metrics=["frechet"], extractors=["pixels", "halves"])
    problem = json.loads(measured(plan, samples).attrs["problems"])["frechet on halves"]
    assert "my_methods.py:" in problem
    assert "the extractor 'halves': the features of 5 of 50 samples" in problem


def test_the_command_takes_the_name_or_the_key_of_an_extractor(digits):
    plan = plan_of(digits, extractors=EXTRACTORS)
    key = list(plan.extractors)[1]
    assert plan.extractor("halves") == plan.extractor(key) == key
    sizes = [["halves"], [{"name": "halves", "parts": 4}]]
    with pytest.raises(InputError, match=key):
        plan_of(digits, grid={"extractors": sizes}).extractor("halves")
    with pytest.raises(InputError, match="halves-00000000"):
        plan.extractor("halves-00000000")
