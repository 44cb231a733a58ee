"""Two reports side by side: settings are matched by options, values by their metadata."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from faked_study import CONTENT, fake_measurements, fake_plan, sigmas
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from scoresweep.pipeline.cli import app
from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.compare import compare as compare_files
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.comparison import Comparison, compare
from scoresweep.pipeline.report.saved_report import read_report
from scoresweep.pipeline.report.tables.collect import collect

ORACLE = {"name": "oracle"}
Change = Callable[[xr.DataTree], None]


def write(root: Path, name: str, change: Change = lambda tree: None, **blocks: Any) -> Path:
    """Write the report of a faked study, with `blocks` of it replaced and its tree changed."""
    plan = fake_plan(root / name, study=name, **blocks)
    fake_measurements(plan)
    tree = collect(plan, collect_jobs(plan)).tree
    change(tree)
    tree.to_netcdf(root / f"{name}.nc", engine="h5netcdf")
    return root / f"{name}.nc"


def altered(report: Path, root: Path, change: Change) -> Path:
    """Write `report` again, with its tree changed."""
    with xr.open_datatree(report, engine="h5netcdf") as tree:
        loaded = tree.load()
    change(loaded)
    loaded.to_netcdf(root / "altered.nc", engine="h5netcdf")
    return root / "altered.nc"


def train(grid: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**CONTENT["train"], "grid": grid, **options}


read = functools.cache(read_report)


def both(a: Path, b: Path) -> Comparison:
    return compare(read(a), read(b))


def printed(a: Path, b: Path, *metrics: str) -> str:
    console = Console(file=io.StringIO(), width=200)
    compare_files(a, b, metrics, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels 4 and 6, two seeds, three step sizes."""
    return write(tmp_path_factory.mktemp("a"), "first")


@pytest.fixture(scope="module")
def b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels 4 and 8, three seeds, one step size that it does not sweep, 1 less than the first."""

    def lower(tree: xr.DataTree) -> None:
        for end in ("", "_low", "_high"):
            tree[f"sampling/frechet_classifier{end}"] -= 0.2

    sample = {**CONTENT["sample"], "grid": {}}
    grid = {"noise.levels": [4, 8], "seed": [0, 1, 2]}
    root = tmp_path_factory.mktemp("b")
    return write(root, "second", lower, train=train(grid, batch_size=32), sample=sample)


def by_hand(path: Path, metric: str, **point: Any) -> tuple[float, float, float]:
    """Return mean and Student's interval over the seeds, from the file alone."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        values = tree[f"sampling/{metric}"].sel(point).values
    mean = float(values.mean())
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return mean, float(low), float(high)


def test_a_setting_swept_by_only_one_study_is_matched(a: Path, b: Path) -> None:
    found = both(a, b)
    assert found.axes == ["levels", "step_size"]
    table = found.tables["coverage_classifier"].set_index(["levels", "step_size"])
    assert table["verdict"].value_counts().to_dict() == {
        "only in A": 5,
        "only in B": 1,
        "no interval": 1,
    }
    row = table.loc[(4, 2e-5)]
    ours = by_hand(a, "coverage_classifier", levels=4, step_size=2e-5)
    theirs = by_hand(b, "coverage_classifier", levels=4)
    np.testing.assert_allclose(row[["A", "A_low", "A_high"]].astype(float), ours)
    np.testing.assert_allclose(row[["B", "B_low", "B_high"]].astype(float), theirs)
    # In pairs of the seeds that both have, 0 and 1; the differences are equal and give no interval.
    with xr.open_datatree(a) as left, xr.open_datatree(b) as right:
        pair = (
            left["sampling/coverage_classifier"].sel(levels=4, step_size=2e-5),
            right["sampling/coverage_classifier"].sel(levels=4, seed=[0, 1]),
        )
        assert row["difference"] == pytest.approx(float((pair[1].values - pair[0].values).mean()))
    assert row["ratio"] == pytest.approx(theirs[0] / ours[0])
    assert (row["A_networks"], row["B_networks"]) == (2, 3)
    assert (row["A_samplings"], row["B_samplings"]) == (2, 3)
    assert table.loc[(8, 2e-5), "verdict"] == "only in B"
    assert np.isnan(table.loc[(8, 2e-5), "A"])


def test_different_options_that_neither_sweeps_are_listed(a: Path, b: Path) -> None:
    found = both(a, b)
    assert [(d.path, d.values) for d in found.differences] == [("train.batch_size", ("16", "32"))]
    assert not found.incomparable
    assert not found.warnings
    assert found.only_in == ([], [])
    assert both(a, a).differences == []


def test_the_best_of_each(a: Path, b: Path) -> None:
    found = both(a, b)
    assert next(iter(found.tables)) == "frechet_classifier"
    ours, theirs = found.best["frechet_classifier"]
    assert ours[["levels", "step_size"]].tolist() == [6, 2e-5]
    assert theirs[["levels", "step_size"]].tolist() == [8, 2e-5]
    assert ours["mean"] == pytest.approx(0.2 + 0.3 / 6 + 0.025)
    assert theirs["mean"] == pytest.approx(0.3 / 8 + 0.05)
    ours, theirs = found.best["coverage_classifier"]  # higher is better
    assert ours["mean"] == pytest.approx(
        by_hand(a, "coverage_classifier", levels=6, step_size=2e-5)[0]
    )


def test_the_score_error_of_networks_is_also_a_metric(a: Path, b: Path) -> None:
    found = both(a, b)
    table = found.tables["score_error_sigma2"]
    assert found.axes_of("score_error_sigma2") == ["levels"]
    (row,) = table[table["levels"] == 4].to_dict("records")
    plan = read(a).plan
    run = next(run for run in plan.runs if run.axes["levels"] == 4)
    assert [row["A"], row["B"]] == pytest.approx([np.mean(2 / sigmas(run))] * 2)
    assert (row["A_networks"], row["B_networks"]) == (2, 3)


def test_differences_that_exclude_0_have_a_winner(a: Path, tmp_path: Path) -> None:
    def worsen(tree: xr.DataTree) -> None:
        factor = 1 + 1e-4 * tree["sampling/seed"]
        for end in ("", "_low", "_high"):
            tree[f"sampling/frechet_classifier{end}"] += 100 * factor
        tree["sampling/coverage_classifier"] *= 0.1  # higher is better
        tree["sampling/coverage_classifier"] -= 100 * factor

    worse = altered(a, tmp_path, worsen)
    for name in ("frechet_classifier", "coverage_classifier"):
        table = both(a, worse).tables[name]
        assert set(table["verdict"]) == {"A better"}
        assert set(table["over"]) == {"networks"}
        assert set(both(worse, a).tables[name]["verdict"]) == {"B better"}
    # The same networks differ by 0, so the interval comes from resampling.
    assert set(both(a, a).tables["frechet_classifier"]["verdict"]) == {"not apart"}
    assert set(both(a, a).tables["frechet_classifier"]["over"]) == {"samples"}
    assert set(both(a, a).tables["coverage_classifier"]["verdict"]) == {"no interval"}


def test_a_metric_that_bad_samples_can_win_has_no_winner_and_is_not_counted(
    a: Path, tmp_path: Path
) -> None:
    def worsen(tree: xr.DataTree) -> None:
        tree["sampling/coverage_classifier"].attrs["caveat"] = "bad samples reach 1, too"
        tree["sampling/coverage_classifier"] -= 1 + 1e-4 * tree["sampling/seed"]

    found = both(a, altered(a, tmp_path, worsen))
    assert set(found.best) == {"frechet_classifier"}, "score errors are of networks"
    # The report of `a` ranks by it, the other does not.
    assert set(found.tables["coverage_classifier"]["verdict"]) == {"apart"}
    assert (found.tables["coverage_classifier"]["difference"] < -1).all()
    counted = printed(a, tmp_path / "altered.nc").partition("Best setting of each study")[2]
    table, _, others = counted.partition("not counted")
    assert "frechet_classifier" in table
    assert "coverage_classifier" not in table
    assert "coverage_classifier, score_error_sigma2" in others


def test_networks_are_compared_by_their_seeds(tmp_path: Path) -> None:
    """The studies have different seeds, which neither sweeps: these are two networks."""

    def noisy(tree: xr.DataTree) -> None:
        tree["sampling/frechet_classifier"] += xr.DataArray([0.01, 0.0, 0.02], dims="seed")

    sample = {**CONTENT["sample"], "grid": {"seed": [0, 1, 2]}}
    grid = {"noise.levels": [6, 4]}
    one = write(tmp_path, "one", noisy, sample=sample, train=train(grid))
    two = write(tmp_path, "two", noisy, sample=sample, train=train(grid, seed=1))
    # Of one network the differences would be 0 at each sampling seed.
    assert both(one, one).tables["frechet_classifier"].iloc[0]["over"] == "samples"
    row = both(one, two).tables["frechet_classifier"].iloc[0]
    assert (row["A_networks"], row["A_samplings"], row["over"]) == (1, 3, "samplings")


def test_one_repeat_without_an_interval_of_its_own_has_no_winner(tmp_path: Path) -> None:
    def shift(tree: xr.DataTree) -> None:
        tree["sampling/coverage_classifier"] += 5

    one = train({"noise.levels": [6, 4]})
    paths = write(tmp_path, "one", train=one), write(tmp_path, "two", shift, train=one)
    found = both(*paths)
    assert set(found.tables["coverage_classifier"]["verdict"]) == {"no interval"}
    assert "one network, one sampling in A; one network, one sampling in B" in printed(*paths)
    row = found.tables["frechet_classifier"].iloc[0]  # here files hold intervals
    assert (row["A"] - row["A_low"], row["A_high"] - row["A"]) == pytest.approx((0.01, 0.02))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("extractor", "pixels"), ("resize", "tf1"), ("n_real", 31), ("n_generated", 5000)],
        *[("metric_key", "frechet-1f3a9c02"), ("extractor_key", "classifier-1f3a9c02")],
    ],
)
def test_values_with_different_attributes_are_not_compared(
    a: Path, tmp_path: Path, key: str, value: Any
) -> None:
    def tell(tree: xr.DataTree) -> None:
        tree["sampling/frechet_classifier"].attrs[key] = value

    other = altered(a, tmp_path, tell)
    found = both(a, other)
    assert list(found.incomparable) == ["frechet_classifier"]
    table = found.tables["frechet_classifier"]
    assert set(table["verdict"]) == {"not comparable"}
    assert table["difference"].isna().all()
    assert table["ratio"].isna().all()
    line = next(line for line in printed(a, other).splitlines() if line.startswith("NOT COMP"))
    assert line.startswith(f"NOT COMPARABLE ({key} ")
    assert line.endswith(f"| {value}): frechet_classifier")


def test_with_other_data_no_metric_is_comparable(a: Path, tmp_path: Path) -> None:
    small = {"train": train({"noise.levels": [6, 4]})}
    other = write(tmp_path, "other", dataset={"name": "digits", "subset": 100}, **small)
    found = both(a, other)
    assert set(found.incomparable) == set(found.tables)
    datasets = [{"name": "digits"}, {"name": "digits", "subset": 100}]
    both_sets = write(tmp_path, "two", dataset=datasets, **small)
    found = both(a, both_sets)
    assert found.axes == ["dataset", "levels", "step_size"]
    assert not found.incomparable
    verdicts = found.tables["frechet_classifier"]["verdict"].value_counts()
    assert verdicts.to_dict() == {"not apart": 6, "only in B": 6}


def test_different_options_of_a_metric_give_a_warning(a: Path, tmp_path: Path) -> None:
    def elsewhere(tree: xr.DataTree) -> None:
        tree.attrs["commit"] = "0123456789abcdef"

    evaluate = {**CONTENT["evaluate"], "neighbours": 3, "resamplings": 4}
    other = write(tmp_path, "other", elsewhere, evaluate=evaluate)
    warnings = both(a, other).warnings
    assert warnings[0] == "measured with different evaluate.neighbours: 5 | 3"
    assert warnings[1].endswith(" | 0123456789ab")
    assert len(warnings) == 2
    assert "WARNING: measured with different evaluate.neighbours: 5 | 3" in printed(a, other)


def test_a_swept_evaluation_is_matched_by_its_value(a: Path, tmp_path: Path) -> None:
    evaluate = {**CONTENT["evaluate"], "grid": {"neighbours": [5, 3]}}
    found = both(a, write(tmp_path, "other", evaluate=evaluate))
    table = found.tables["frechet_classifier"]
    assert found.axes == ["levels", "step_size", "neighbours"]
    assert set(table[table["verdict"] == "not apart"]["neighbours"]) == {5}
    assert set(table[table["verdict"] == "only in B"]["neighbours"]) == {3}
    assert len(table) == 12


def test_two_options_of_the_same_name_are_distinguished(a: Path, tmp_path: Path) -> None:
    """The first sweeps the levels of training, the other those of sampling."""
    ladder = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.05, "levels": 4}
    sample = {**CONTENT["sample"], "noise": ladder, "grid": {"noise.levels": [4, 5]}}
    other = write(tmp_path, "other", train=train({"seed": [0, 1]}), sample=sample)
    assert both(a, other).axes == ["train.noise.levels", "step_size", "sample.noise.levels"]


def test_methods_swept_by_name_are_read_back_with_their_own_defaults(tmp_path: Path) -> None:
    """`mlp` has options that `plain_mlp` lacks, and conditions on σ otherwise."""
    training = train({"network.name": ["mlp", "plain_mlp"]}, network={"name": "mlp"})
    plan = fake_plan(tmp_path, train=training)
    found = read(write(tmp_path, "names", train=training)).plan
    assert [run.id for run in found.runs] == [run.id for run in plan.runs]


def test_the_exact_score_is_not_ranked(a: Path, tmp_path: Path) -> None:
    def perfect(tree: xr.DataTree) -> None:
        exact = tree["sampling/network"] == "oracle"
        tree["sampling/frechet_classifier"] -= 0.1 * exact

    networks = train({"network": [CONTENT["train"]["network"], ORACLE], "seed": [0, 1]})
    found = both(write(tmp_path, "other", perfect, train=networks), a)
    assert found.best["frechet_classifier"][0]["network"] == "mlp(width=8, blocks=1)"


def test_studies_without_a_common_setting_name_the_axis(a: Path, tmp_path: Path) -> None:
    sample = {**CONTENT["sample"], "grid": {"sampler.step_size": [1e-6]}}
    text = printed(a, write(tmp_path, "other", sample=sample))
    assert "No setting is in both (6 only in A, 2 only in B): no common value of step size" in text
    assert "best in B" in text


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_settings_and_writes_a_table(a: Path, b: Path, tmp_path: Path) -> None:
    output = tmp_path / "both.csv"
    options = ["--measure", "coverage_classifier", "--output", str(output)]
    answer = CliRunner().invoke(app, ["compare", str(a), str(b), *options])
    assert answer.exit_code == 0, answer.output
    assert "coverage (classifier) (higher is better): 1 setting in both" in answer.output
    assert "Fréchet distance (classifier) (" not in answer.output
    assert "train.batch_size" in answer.output
    table = pd.read_csv(output)
    found = both(a, b)
    assert len(table) == sum(map(len, found.tables.values()))
    line = table[(table["measure"] == "coverage_classifier") & (table["levels"] == 8)].iloc[0]
    assert line["B"] == pytest.approx(by_hand(b, "coverage_classifier", levels=8)[0])


def test_the_settings_by_the_main_metric_are_printed(a: Path, b: Path) -> None:
    text = printed(a, b)
    mean, _, _ = by_hand(b, "frechet_classifier", levels=4)
    assert "Fréchet distance (classifier) (lower is better): 1 setting in both" in text
    assert "5 only in A; 1 only in B; levels 4, step size 2e-5; 2 networks" in text
    words = " ".join(text.split())
    assert "in A; 3 networks, one sampling each in B; intervals of B − A come from res" in words
    assert f" {mean:.3g} (" in text


def test_wrong_files_are_refused(a: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_report(tmp_path / "none.nc")
    text = tmp_path / "text.nc"
    text.write_text("levels,seed\n")
    with pytest.raises(InputError, match=r"text\.nc: cannot be read"):
        read_report(text)
    cut = tmp_path / "cut.nc"
    cut.write_bytes(a.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.nc: cannot be read"):
        read_report(cut)
    xr.Dataset(attrs={"about": "weather"}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(InputError, match=r"x\.nc: not a report of scoresweep"):
        read_report(tmp_path / "x.nc")


def test_a_report_of_another_version_is_refused(a: Path, tmp_path: Path) -> None:
    def future(tree: xr.DataTree) -> None:
        tree.attrs["schema_version"] = 2

    other = altered(a, tmp_path, future)
    answer = CliRunner().invoke(app, ["compare", str(a), str(other)])
    assert isinstance(answer.exception, InputError)
    assert answer.exception.exit_code == 2
    assert "schema_version is 2, expected 1" in str(answer.exception)


def test_a_report_without_a_measured_setting_is_refused(a: Path, tmp_path: Path) -> None:
    def empty(tree: xr.DataTree) -> None:
        tree["sampling/state"][:] = "missing"

    with pytest.raises(InputError, match="no measured setting"):
        read_report(altered(a, tmp_path, empty))


def test_reports_need_a_common_metric(a: Path, tmp_path: Path) -> None:
    def rename(tree: xr.DataTree) -> None:
        for group in ("sampling", "score_error"):
            content = tree[group].to_dataset()
            tree[group] = xr.DataTree(content.rename({n: f"{n}_x" for n in _numbers(content)}))

    with pytest.raises(InputError, match=r"no metric in common: .*coverage_classifier.* has .*_x"):
        both(a, altered(a, tmp_path, rename))
    with pytest.raises(InputError, match="Did you mean 'coverage_classifier'"):
        printed(a, a, "coverage_clasifier")


def _numbers(content: xr.Dataset) -> list[str]:
    return [str(name) for name, v in content.data_vars.items() if v.dtype.kind == "f"]
