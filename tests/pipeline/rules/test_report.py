"""The whole report of a study whose files hold known numbers."""

from __future__ import annotations

import base64
import io
import math
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from faked_study import (
    CONTENT,
    fake_measurements,
    fake_metrics,
    fake_plan,
    fake_run,
    fake_study,
    frechet,
    sigmas,
)
from PIL import Image
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.job_state import JobState

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page and fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def read_page(plan: Plan) -> Page:
    return Page(plan.paths.report_page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = fake_plan(tmp_path_factory.mktemp("study"))
    fake_study(plan)
    report(plan)
    return plan


def test_the_page_needs_no_other_file(finished: Plan) -> None:
    page = read_page(finished)
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    links = {value for name, value in page.attributes if name == "href" and value[0] != "#"}
    assert {"metrics.csv", "summary.csv", "report.nc"} <= links
    assert all((finished.paths.results / unquote(link)).is_file() for link in links)
    style = finished.paths.report_page.read_text(encoding="utf-8").split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_figure_is_saved_as_png_and_as_pdf(finished: Plan) -> None:
    sources = [value for name, value in read_page(finished).attributes if name == "src"]
    embedded = {base64.b64decode(source.split(",")[1]) for source in sources}
    for content in embedded:
        image = Image.open(io.BytesIO(content))
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 50
    on_disk = {path.stem: path.read_bytes() for path in finished.paths.figures.glob("*.png")}
    assert set(on_disk.values()) == embedded
    links = {value for name, value in read_page(finished).attributes if name == "href"}
    pdfs = {path.stem: path for path in finished.paths.figures.glob("*.pdf")}
    assert all(path.read_bytes().startswith(b"%PDF") for path in pdfs.values())
    assert pdfs.keys() == on_disk.keys() == {unquote(x)[8:-4] for x in links if x.endswith(".pdf")}
    # An overview, three metrics, class shares, neighbours, three score errors and seven curves.
    assert len([name for name in on_disk if not name.startswith("samples_")]) == 16
    assert len(on_disk) == 29
    # 20 samples were drawn, so there are 20 of the 40 real ones.
    sheets = [content for name, content in on_disk.items() if name.startswith("samples_")]
    assert len({Image.open(io.BytesIO(sheet)).size for sheet in sheets}) == 1


def test_the_best_setting_has_its_interval(finished: Plan) -> None:
    setting = next(s for s in finished.settings if s.axes["step_size"] == 2e-5)
    runs = [run for run in finished.runs if run.axes["levels"] == 6]
    values = [frechet(run, setting) for run in runs]
    mean, error = sum(values) / 2, stats.sem(values)
    half = stats.t.ppf(0.975, 1) * error
    assert half > mean  # two networks: the upper end continues along the tangent
    # The worse end is corrected for choosing the best of six.
    worse = stats.t.ppf(1 - 0.025 / 6, 1) * error
    low, high = mean * math.exp(-half / mean), math.e * worse
    text = read_page(finished).text
    assert "Levels 6, step size 2e-5" in text
    assert f"95 % interval {format_number(low)} to {format_number(high)}" in text
    assert "mean of 2 networks, one sampling each, n = 20; real test samples (n = 12) 0.100" in text
    assert "Least frequent: class 0 with 0.0 %" in text
    assert "Missing or failed" not in text


def test_metrics_that_noise_can_win_do_not_rank(finished: Plan) -> None:
    text = read_page(finished).text
    best, rest = text.split("Other metrics")
    best = best.split("The best setting by each metric")[1]
    assert re.search(
        r"coverage \(classifier\) higher is better [^l]* levels 6, step size 2e-5", best
    )
    assert "precision (classifier)" not in best
    assert "best by Fréchet distance (classifier)" in rest
    assert "precision (classifier) higher is better; copies reach 1, too 0.7" in rest
    assert "Higher is better, but copies reach 1, too." in rest


def test_missing_results_are_named_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blank_figures: None
) -> None:
    plan = fake_plan(tmp_path)
    fake_study(plan)
    report(plan)
    assert "12 settings; no result is missing" in capsys.readouterr().err
    names = [
        plan.paths.metrics(run.id, setting.id) for run in plan.runs for setting in plan.settings
    ]
    names[0].write_bytes(names[0].read_bytes()[:3000])
    report(plan)
    said = capsys.readouterr().err
    assert "11 settings; 1 result is missing:" in said
    where = f"{plan.runs[0].id} / {plan.settings[0].id}"
    assert f"sampling of {where}: {names[0]} cannot be read; delete it" in said
    for name in names[1:7]:
        name.unlink()
    report(plan)
    said = capsys.readouterr().err
    assert "5 settings; 7 results are missing:" in said
    assert "sampled, not evaluated" in said
    assert "and 2 more" in said


def test_files_hold_the_same_numbers(finished: Plan) -> None:
    run, setting = finished.runs[1], finished.settings[2]
    with xr.open_datatree(finished.paths.report, engine="h5netcdf") as tree:
        point = tree["sampling/frechet_classifier"].sel({**run.axes, **setting.axes})
        assert point.item() == frechet(run, setting)
    table = pd.read_csv(finished.paths.metrics_table)
    rows = table[(table["run"] == run.id) & (table["setting"] == setting.id)]
    rows = rows[rows["metric"] == "frechet_classifier"]
    assert rows["value"].tolist() == [pytest.approx(frechet(run, setting))]
    summary = xr.load_dataset(finished.paths.report, group="summary", engine="h5netcdf")
    shown = read_page(finished).text.split("All numbers", 2)[-1]
    for row in pd.read_csv(finished.paths.summary_table).to_dict("records"):
        cell = summary.sel({axis: row[axis] for axis in ("metric", "levels", "step_size")})
        assert cell["mean"].item() == row["mean"]
        assert f"{format_number(row['mean'])} {format_number(row['low'])} to" in shown
    best = summary.sel(metric="frechet_classifier").where(lambda s: s["rank"] == 1, drop=True)
    assert (best["levels"].item(), best["step_size"].item()) == (6, 2e-5)
    left = {path.name for path in finished.paths.results.iterdir() if path.name.startswith(".")}
    assert left == set()


def test_a_failed_setting_is_named_and_the_others_are_reported(
    tmp_path: Path, blank_figures: None
) -> None:
    plan = fake_plan(tmp_path)
    fake_study(plan)
    run, setting = plan.runs[2], plan.settings[0]
    plan.paths.metrics(run.id, setting.id).unlink()
    plan.paths.samples_manifest(run.id, setting.store).unlink()
    state = JobState("failed", 1, 2, message="</td><script>not finite</script>")
    state.write(plan.paths.samples_progress(run.id, setting.store))
    report(plan)
    text = read_page(plan).text
    assert "Without a result: 1 of 12 settings. Failed: 1." in text
    assert f"{run.id} / {setting.id}" in text
    assert "</td><script>not finite</script>" in text
    assert "<script>not finite" not in plan.paths.report_page.read_text(encoding="utf-8")
    command = f"scoresweep sample STUDY --run {run.id} --setting {setting.id}"
    assert command in text
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert int((tree["sampling/state"] == "done").sum()) == 11


def test_the_page_shows_the_time_of_every_stage(finished: Plan) -> None:
    text = read_page(finished).text
    for stage, work in (
        ("training", "0.00444 core-hours (4 jobs, 8 s in total)"),
        ("sampling", "0.0400 core-hours (12 jobs, 36 s in total)"),
        ("measuring samples", "0.0333 core-hours (12 jobs, 60 s in total)"),
        ("score error", "0.00444 core-hours (4 jobs, 16 s in total)"),
        ("features of real samples", "0.00333 core-hours (6 s)"),
    ):
        assert f"time: {stage} {work}" in text


def test_one_network_shows_its_own_interval(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path, train=CONTENT["train"] | {"grid": {"noise.levels": [4, 6]}})
    fake_measurements(plan)
    report(plan)
    value = min(frechet(run, setting) for run in plan.runs for setting in plan.settings)
    half = value * math.log(value / (value - 0.01)) * stats.norm.ppf(1 - 0.025 / 6) / 1.959964
    high = max(value + 0.02, value * math.exp(half / value))
    text = read_page(plan).text
    assert f"95 % interval {format_number(value - 0.01)} to {format_number(high)}" in text
    assert "one network, one sampling (another training seed" in text


def test_a_study_of_one_setting_has_a_report(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(
        tmp_path, train=CONTENT["train"] | {"grid": {}}, sample=CONTENT["sample"] | {"grid": {}}
    )
    fake_measurements(plan)
    report(plan)
    text = read_page(plan).text
    assert "1 trained network × 1 sampler setting on digits." in text
    assert f"{format_number(frechet(plan.runs[0], plan.settings[0]))} Fréchet distance" in text


def test_axes_that_vary_together_have_no_map(tmp_path: Path, blank_figures: None) -> None:
    zipped = {"sampler.step_size": [8e-5, 2e-5], "sampler.steps_per_level": [1, 4]}
    plan = fake_plan(
        tmp_path,
        train=CONTENT["train"] | {"grid": {}},
        sample=CONTENT["sample"] | {"grid": {}, "zip": [zipped]},
    )
    fake_measurements(plan)
    report(plan)
    names = {path.stem for path in plan.paths.figures.glob("metric_frechet*.png")}
    axes = ("step_size", "steps_per_level")
    assert names == {f"metric_frechet_classifier_{axis}" for axis in axes}


def test_equal_settings_have_no_best_one(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path, train=CONTENT["train"] | {"grid": {}})
    fake_measurements(plan)
    for setting in plan.settings:
        path = plan.paths.metrics(plan.runs[0].id, setting.id)
        with xr.open_dataset(path, engine="h5netcdf") as content:
            alike = content.load().assign(coverage_classifier=content["coverage_classifier"] * 0)
        alike["coverage_classifier"].attrs = content["coverage_classifier"].attrs
        path.unlink()
        alike.to_netcdf(path, engine="h5netcdf")
    report(plan)
    assert re.search(
        r"coverage \(classifier\) higher is better [^c]* all settings equal", read_page(plan).text
    )
    names = {path.stem for path in plan.paths.figures.glob("metric_*.png")}
    metrics = ("frechet", "precision")
    assert names == {f"metric_{metric}_classifier_step_size" for metric in metrics}


def test_the_report_works_without_samples_and_data(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path)
    fake_run(plan, plan.runs[0])
    fake_metrics(plan, plan.runs[0], plan.settings[0])
    report(plan)
    text = read_page(plan).text
    assert "Without a result: 3 of 4 trainings, 4 of 4 score errors, 11 of 12 settings." in text
    assert not list(plan.paths.figures.glob("samples_*"))


def test_several_datasets_are_never_averaged(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path, dataset=[{"name": "digits"}, {"name": "digits", "subset": 20}])
    fake_measurements(plan)
    report(plan)
    names = [path.stem for path in plan.paths.figures.glob("metric_frechet_*.png")]
    assert len(names) == 2
    assert len({run.dataset.id for run in plan.runs}) == 2
    text = read_page(plan).text
    for dataset in plan.study.dataset:
        assert f"Dataset {dataset.id}, levels 6, step size 2e-5" in text


def test_nothing_to_report_is_an_input_error(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    with pytest.raises(InputError, match="no result of the study faked"):
        report(plan)
    assert not plan.paths.report.exists()
    assert not plan.paths.report_page.exists()


def test_numbers_measured_with_other_options_are_not_reported(
    finished: Plan, blank_figures: None
) -> None:
    changed = CONTENT["evaluate"] | {"neighbours": 3}
    plan = fake_plan(finished.paths.root, evaluate=changed)
    report(plan)
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert set(tree["sampling/state"].values.flatten()) == {"missing"}
        assert set(tree["score_error/state"].values.flatten()) == {"done"}
    page = Page(plan.paths.report_page.read_text())
    assert "outdated: measured with other options" in page.text


def test_tensorboard_compares_the_best_settings_of_the_runs(
    finished: Plan, blank_figures: None
) -> None:
    finals = {}
    for run in finished.runs:
        folder = finished.paths.tensorboard(run.id)
        folder.mkdir(exist_ok=True)
    report(finished)
    report(finished)  # again: a run remains one row of the table
    for run in finished.runs:
        folder = finished.paths.tensorboard(run.id)
        assert len(list(folder.glob("*.hparams"))) == 1
        events = EventAccumulator(str(folder))
        events.Reload()
        finals[run.id] = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
        (session,) = (
            value
            for tag, value in events.summary_metadata.items()
            if tag == "_hparams_/session_start_info"
        )
        start = HParamsPluginData.FromString(session.plugin_data.content).session_start_info
        assert start.hparams["levels"].number_value == run.axes["levels"]
        assert start.hparams["seed"].number_value == run.axes["seed"]
        assert start.hparams["dataset"].string_value == "digits"
    for run in finished.runs:
        best = min(finished.settings, key=lambda setting, run=run: frechet(run, setting))
        final = finals[run.id]
        assert final["result/frechet_classifier"] == pytest.approx(frechet(run, best), rel=1e-6)
        assert final["result/best_step_size"] == pytest.approx(best.axes["step_size"], rel=1e-6)
        assert final["result/training_loss"] == pytest.approx(40.0)
        assert final["result/score_error"] == pytest.approx(np.mean(2 / sigmas(run)), rel=1e-6)


@pytest.mark.slow
def test_the_report_does_without_torch(finished: Plan, tmp_path: Path) -> None:
    for run in finished.runs:
        finished.paths.tensorboard(run.id).mkdir(exist_ok=True)
    code = (
        "import sys, pickle; from pathlib import Path; "
        "from scoresweep.pipeline.rules.report import report; "
        "report(pickle.loads(Path(sys.argv[1]).read_bytes())); sys.exit('torch' in sys.modules)"
    )
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps(finished))
    subprocess.run([sys.executable, "-c", code, tmp_path / "plan.pickle"], check=True)
