"""The page in a real browser draws the numbers of the tables: offline, on a phone and on paper."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from debian_programs import UnavailableError, debian_program
from faked_study import CONTENT, fake_plan, fake_study, sigmas
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots import Axis, Line, LineChart
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric, summarise
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan

pytestmark = pytest.mark.browser

DISTANCE = "frechet_classifier"
PATIENCE = 180_000  # milliseconds: tests must not fail because the machine is busy
CHARTS = [
    "Any two axes",
    "Along an axis",
    "Score error by noise level",
    "Score error by density",
    "Training curves",
    "Loss of each noise level",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A report with every kind of chart."""
    sampling = {"sampler.step_size": [2e-5, 8e-5], "sampler.denoise": [True, False]}
    root = tmp_path_factory.mktemp("study")
    plan = fake_plan(root, sample=CONTENT["sample"] | {"grid": sampling})
    fake_study(plan)
    for run in plan.runs:
        add_density(plan.paths.score_error(run.id))
    report(plan)
    return plan


def add_density(path: Path) -> None:
    """Add score errors of three bins of the density: e, 2 e, 3 e."""
    with xr.open_dataset(path, engine="h5netcdf") as file:
        content = file.load()
    path.unlink()
    bins = xr.DataArray(np.arange(3.0), dims="density_bin")
    error = content["score_error"] * (1 + bins)
    density = xr.zeros_like(error) - bins
    content.assign(score_error_of_bin=error, log_density_of_bin=density).to_netcdf(
        path, engine="h5netcdf"
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        program = debian_program("chromium", "chromium")
    except UnavailableError as error:
        if os.environ.get("SCORESWEEP_BROWSER_TESTS") == "require":
            pytest.fail(f"SCORESWEEP_BROWSER_TESTS=require: {error}")
        pytest.skip(f"BROWSER TESTS SKIPPED: {error}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Browser, plan: Plan, query: str = "", **options: Any) -> tuple[Page, list[str]]:
    """Open the report without a network; the list receives all errors of the page."""
    page = browser.new_context(offline=True, **options).new_page()
    page.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type != "info" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    asked = [plan.paths.report_page.as_uri() + query]
    page.on("request", lambda r: wrong.append(r.url) if r.url not in asked and ok(r.url) else None)
    page.goto(asked[0])
    return page, wrong


def ok(url: str) -> bool:
    """Return whether an address is outside the page."""
    return not url.startswith(("data:", "blob:"))


@pytest.fixture(scope="module")
def page(browser: Browser, finished: Plan) -> Page:
    page, wrong = opened(browser, finished, viewport={"width": 1280, "height": 900})
    assert wrong == []
    return page


def chart(page: Page, title: str) -> Locator:
    return page.locator(".panel", has=page.get_by_role("heading", name=title, exact=True))


def traces(page: Page, title: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart(page, title).locator(".plot").evaluate("plot => plot.data")
    return found


def choose(page: Page, title: str, label: str, option: str) -> None:
    chart(page, title).get_by_label(label, exact=True).select_option(label=option)


def distances(plan: Plan, metric: str = DISTANCE) -> xr.DataArray:
    """Return the values of a metric, over (levels, seed, step_size, denoise)."""
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        found: xr.DataArray = tree[f"sampling/{metric}"].load()
        return found


def test_everything_is_drawn_without_a_network(page: Page, finished: Plan) -> None:
    assert page.locator(".panel h3").all_inner_texts() == CHARTS
    for title in CHARTS:
        drawn = chart(page, title).locator(".plot")
        shapes = drawn.locator(".heatmaplayer image, .scatterlayer .trace path")
        assert shapes.count() > 0, title
        box = drawn.locator(".plot-container").bounding_box()
        assert box is not None
        assert box["width"] > 500, title
    assert page.locator("figure.charted img").first.is_hidden()
    for pair in page.locator(".pair").all():
        captions = pair.locator("strong").all_inner_texts()
        assert [caption.split(", ")[-1] for caption in captions] == ["denoised", "raw"]
    assert page.locator(".pair").count() == 8
    for picture in page.locator("figure:not(.charted) img").all():
        assert picture.evaluate("image => image.naturalWidth") > 50


def test_the_map_shows_the_numbers_of_the_report(page: Page, finished: Plan) -> None:
    title, values = "Any two axes", distances(finished)
    # Values are the best over hidden axes, and means over seeds.
    best = values.mean("seed").min("denoise").transpose("levels", "step_size")
    np.testing.assert_allclose(traces(page, title)[0]["z"], best, rtol=1e-4)
    text = chart(page, title).locator(".caption").inner_text()
    assert (
        f"Best: levels 6, step size 2e-5, denoise true with {format_number(best.min().item())}"
        in text
    )
    choose(page, title, "denoise", "false")
    choose(page, title, "seed", "1")
    raw = values.sel(denoise="false", seed=1).transpose("levels", "step_size")
    np.testing.assert_allclose(traces(page, title)[0]["z"], raw, rtol=1e-4)
    choose(page, title, "Down", "denoise")
    assert chart(page, title).get_by_label("levels", exact=True).count() == 1
    choose(page, title, "levels", "4")
    shown = values.sel(seed=1, levels=4).transpose("denoise", "step_size")
    np.testing.assert_allclose(traces(page, title)[0]["z"], shown, rtol=1e-4)
    choose(page, title, "Metric", "coverage (classifier)")
    assert np.max(traces(page, title)[0]["z"]) < 1


def test_lines_have_the_intervals_of_the_report(page: Page, finished: Plan) -> None:
    title, values = "Along an axis", distances(finished)
    choose(page, title, "A line for each", "–")
    choose(page, title, "levels", "6")
    choose(page, title, "denoise", "false")
    frame = values.sel(levels=6, denoise="false").to_dataframe().reset_index()
    frame = frame.drop(columns=["levels", "denoise"])
    frame = label_repeats(frame, ["seed"], [], pd.Series(False, frame.index))
    wanted = summarise(
        frame, RankedMetric(DISTANCE, "", "lower", {"valid_min": 0.0}), ["step_size"]
    )
    line, real = traces(page, title)
    np.testing.assert_allclose(line["x"], wanted["step_size"])
    np.testing.assert_allclose(line["y"], wanted["mean"], rtol=1e-4)
    bars = line["error_y"]
    np.testing.assert_allclose(bars["array"], wanted["high"] - wanted["mean"], rtol=1e-3)
    np.testing.assert_allclose(bars["arrayminus"], wanted["mean"] - wanted["low"], rtol=1e-3)
    assert real["y"] == [0.1, 0.1]
    choose(page, title, "A line for each", "levels")
    names = [trace["name"] for trace in traces(page, title)]
    assert names == ["levels 4", "levels 6", "real test samples"]


def test_no_button_uploads_the_numbers(page: Page) -> None:
    for title in CHARTS:
        buttons = chart(page, title).locator(".modebar-btn")
        names = buttons.evaluate_all("all => all.map((button) => button.dataset.title)")
        assert names == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
    # They are visible to keyboard users.
    bar, button = page.locator(".modebar").first, page.locator(".modebar-btn").first
    button.focus()
    assert bar.evaluate("bar => getComputedStyle(bar).opacity") == "1"


def test_choosing_the_same_axis_twice_swaps_the_axes(page: Page) -> None:
    title = "Along an axis"
    choose(page, title, "A line for each", "–")
    choose(page, title, "A line for each", "step size")
    assert chart(page, title).get_by_label("Along", exact=True).input_value() != ""
    assert traces(page, title)[0]["name"] == "step size 2e-5"
    choose(page, title, "Along", "step size")
    assert traces(page, title)[0]["x"][0] == 2e-5


def test_the_scale_can_be_chosen(page: Page) -> None:
    title = "Any two axes"
    choose(page, title, "Metric", "Fréchet distance (classifier)")
    linear = np.array(traces(page, title)[0]["z"])
    choose(page, title, "Colours", "logarithmic")
    np.testing.assert_allclose(traces(page, title)[0]["z"], np.log10(linear), rtol=1e-6)
    caption = chart(page, title).locator(".caption").inner_text()
    assert caption.endswith("Colours are on a logarithmic scale.")
    choose(page, title, "Colours", "linear")


def test_losses_are_on_a_logarithmic_scale_that_can_be_changed(page: Page) -> None:
    title = "Training curves"
    choose(page, title, "Show", "Training loss")
    axis = "plot => plot.layout.yaxis.type ?? 'linear'"
    assert chart(page, title).locator(".plot").evaluate(axis) == "log"
    choose(page, title, "Scale", "linear")
    assert chart(page, title).locator(".plot").evaluate(axis) in ("linear", "-")
    choose(page, title, "Scale", "automatic")


def test_chosen_axes_stand_in_the_address(page: Page) -> None:
    title = "Any two axes"
    choose(page, title, "Metric", "coverage (classifier)")
    choose(page, title, "Down", "denoise")
    choose(page, title, "levels", "4")
    query = parse_qs(urlsplit(page.url).query)
    assert query["map-metric"] == ["coverage_classifier"]
    assert query["map-down"] == ["denoise"]
    assert query["map-at-levels"] == ["4"]
    for label, option in (("levels", "best of each"), ("Down", "levels")):
        choose(page, title, label, option)
    choose(page, title, "Metric", "Fréchet distance (classifier)")
    query = parse_qs(urlsplit(page.url).query)
    assert not {"map-metric", "map-down", "map-at-levels"} & query.keys()


def numbers(page: Page, column: int) -> list[float]:
    cells = page.locator(f"#table tbody tr > :nth-child({column + 1})")
    return [float(v) for v in cells.evaluate_all("all => all.map((cell) => cell.dataset.value)")]


def test_the_table_is_sorted_by_click_and_by_keyboard(page: Page) -> None:
    headings = page.locator("#table thead th")
    titles = [text.rstrip(" ↕↑↓") for text in headings.all_inner_texts()]
    distance, share = (titles.index(f"{t} (classifier)") for t in ("Fréchet distance", "coverage"))
    assert headings.nth(distance).get_attribute("aria-sort") == "ascending"
    assert numbers(page, distance) == sorted(numbers(page, distance))
    assert len(set(numbers(page, distance))) > 4
    button = headings.nth(share).locator("button")
    button.click()  # the best come first
    assert headings.nth(share).get_attribute("aria-sort") == "descending"
    assert headings.nth(distance).get_attribute("aria-sort") is None
    assert numbers(page, share) == sorted(numbers(page, share), reverse=True)
    page.keyboard.press("Enter")
    assert headings.nth(share).get_attribute("aria-sort") == "ascending"
    assert numbers(page, share) == sorted(numbers(page, share))
    # The best by each metric that ranks settings is in bold.
    bold = page.locator("#table td:has(strong)")
    columns = bold.evaluate_all("all => all.map((cell) => cell.cellIndex)")
    assert sorted(columns) == sorted([distance, share])
    best = page.locator("#table tr", has=page.locator(f"td:nth-child({distance + 1}) strong"))
    assert best.locator("td").first.inner_text() == "6"
    headings.nth(distance).locator("button").click()


def test_contents_stay_in_view(page: Page) -> None:
    link = page.get_by_role("navigation").get_by_text("All numbers")
    link.click()
    page.wait_for_function("() => document.querySelector('nav [aria-current]')?.hash === '#table'")
    place, heading = page.locator("nav").bounding_box(), page.locator("#table h2").bounding_box()
    assert place is not None
    assert heading is not None
    assert place["y"] == 0
    assert heading["y"] >= place["height"]


def saved(page: Page, title: str) -> ElementTree.Element:
    """Return the SVG of a chart."""
    with page.expect_download() as download:
        chart(page, title).get_by_role("button", name="Save as SVG").click()
    assert download.value.suggested_filename.endswith(".svg")
    return ElementTree.parse(download.value.path()).getroot()


@pytest.mark.parametrize("title", ["Any two axes", "Training curves"])
def test_each_chart_is_saved_as_a_file_that_needs_no_other(page: Page, title: str) -> None:
    page.emulate_media(color_scheme="dark")
    svg = saved(page, title)
    page.emulate_media(color_scheme="light")
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join(svg.itertext())
    shown = chart(page, title).locator("select").first.locator("option:checked").inner_text()
    assert shown in words
    for part in svg.iter():
        links = [value for name, value in part.attrib.items() if name.endswith("href")]
        assert all(link.startswith(("data:", "#")) for link in links)
    # Dark text on white, also if the page is dark.
    texts = [part.get("style", "") for part in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert any("rgb(28, 32, 36)" in style for style in texts)
    assert not any("rgb(230, 232, 234)" in style for style in texts)


def test_a_cost_is_that_of_the_best_setting(page: Page) -> None:
    """Not the lowest cost: if the sampler ruins the samples, the network cost is near zero."""
    axes = [
        {"name": "x", "values": ["1", "2"], "repeat": False},
        {"name": "denoise", "values": ["true", "false"], "repeat": False},
    ]
    points = [[0, 0], [0, 1], [1, 0], [1, 1]]
    measures = [
        {"mean": mean, **{key: [""] * 4 for key in ("low", "high", "text", "interval", "few")}}
        for mean in ([1, 2, 3, 4], [0.9, 0.1, 0.8, 0.2])
    ]
    measures = [measure | {"judge": 0, "lower": True} for measure in measures]
    found = page.evaluate(
        """explorer => {
            const kept = data.explorer;
            data.explorer = explorer;
            const cells = select({ measure: 1, x: 0, y: null, others: [null, "best"] });
            data.explorer = kept;
            return cells.map((cell) => [cell.mean, cell.where[1]]);
        }""",
        {"axes": axes, "points": points, "measures": measures},
    )
    assert found == [[0.9, "denoise true"], [0.8, "denoise true"]]


def test_a_value_of_one_network_is_marked(browser: Browser, tmp_path: Path) -> None:
    train = CONTENT["train"] | {"grid": {"noise.levels": [4, 6], "seed": [0, 1]}}
    blocks = [
        {"name": "annealed_langevin", "step_size": step, "steps_per_level": 7, "denoise": False}
        for step in (2e-5, 8e-5)
    ]
    grid = {"sampler": blocks}
    plan = fake_plan(tmp_path, train=train, sample=CONTENT["sample"] | {"grid": grid})
    fake_study(plan)
    lost = plan.runs[-1]
    plan.paths.metrics(lost.id, plan.settings[-1].id).unlink()
    report(plan)
    page, wrong = opened(browser, plan, viewport={"width": 1280, "height": 900})
    title = "Any two axes"
    levels = [4, 6].index(lost.axes["levels"])
    marked = [
        ["1 of 2 networks" in cell for cell in row] for row in traces(page, title)[0]["customdata"]
    ]
    assert marked == [[row == levels and step == 1 for step in (0, 1)] for row in (0, 1)]
    assert chart(page, title).locator(".annotation", has_text="1 of 2 networks").count() == 1
    caption = chart(page, title).locator(".caption").inner_text()
    assert "from resampling the samples" in caption
    assert page.get_by_text("A value of a single network").count() == 1
    rows = page.locator("#table tbody tr", has_text="1 of 2 networks")
    assert rows.count() == 1
    levels, sampler = rows.locator(".axis").all_inner_texts()
    assert levels == str(lost.axes["levels"])
    assert "step_size=8e-05" in sampler
    assert wrong == []
    # Long values of axes fit a phone.
    page.context.close()
    page, _ = opened(browser, plan, viewport={"width": 390, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    ends = page.locator("figcaption, h3, .caption, .controls").evaluate_all(
        "all => all.map((part) => part.getBoundingClientRect().left + part.scrollWidth)"
    )
    assert max(ends) <= 390
    page.context.close()


def test_the_only_line_of_a_chart_has_no_name(page: Page) -> None:
    """As in the training curves of a study with one network and several seeds."""
    only = LineChart(Axis("step"), Axis("loss"), [Line("", [1.0, 2.0], [4.0, 3.0])])
    drawn = page.evaluate(
        "only => linesFigure(document.querySelector('.chart'), only).data", only.to_json()
    )
    assert [(trace["name"], trace["y"]) for trace in drawn] == [("", [4.0, 3.0])]


def test_a_long_title_of_an_axis_is_folded(page: Page) -> None:
    """A phone has room for some 35 letters beside the lines; the rest was cut off."""
    title = "error of the mode weights (total variation), a < b"
    chart = LineChart(Axis("step"), Axis(title), [Line("", [1.0], [4.0])])
    text = page.evaluate(
        "chart => linesFigure(document.querySelector('.chart'), chart).layout.yaxis.title.text",
        chart.to_json(),
    )
    assert text == "error of the mode weights <br>(total variation)<br>a &lt; b"


def test_dollar_signs_in_a_label_are_text(page: Page) -> None:
    """Plotly would take them as formulas, which need a library that the page lacks."""
    lines = [Line("$x$ and $y$", [1.0, 2.0], [4.0, 3.0]), Line("z", [1.0], [2.0])]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    shown = page.evaluate(
        """async (chart) => {
            const figure = linesFigure(document.querySelector(".chart"), chart);
            const plot = document.body.appendChild(document.createElement("div"));
            await Plotly.newPlot(plot, figure.data, figure.layout, OPTIONS);
            const text = plot.querySelector(".legendtext").textContent;
            plot.remove();
            return text;
        }""",
        LineChart(Axis("step"), Axis("loss"), lines).to_json(),
    )
    assert (shown, said) == ("$x$ and $y$", [])


def test_clicking_a_name_hides_its_line(page: Page, finished: Plan) -> None:
    title = "Score error by noise level"
    choose(page, title, "Show", "Score error")
    lines = [trace for trace in traces(page, title) if trace.get("name")]
    names = [f"levels {n}, {kind} points" for kind in ("training", "test") for n in (4, 6)]
    assert [line["name"] for line in lines] == names
    run = next(run for run in finished.runs if run.axes["levels"] == 6)
    np.testing.assert_allclose(sorted(lines[3]["y"]), sorted(2 / sigmas(run)), rtol=1e-4)
    # A click on its name hides a line.
    legend = chart(page, title).locator(".legendtoggle")
    assert legend.count() == 4
    legend.first.click()
    page.wait_for_function(
        "plot => plot.data.find((trace) => trace.name).visible === 'legendonly'",
        arg=chart(page, title).locator(".plot").element_handle(),
    )


def test_controls_have_labels_and_work_by_keyboard(page: Page) -> None:
    for select in page.locator("select").all():
        assert select.evaluate("element => element.labels.length") == 1
    title = "Training curves"
    before = traces(page, title)
    chart(page, title).get_by_label("Show", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert traces(page, title)[0]["y"] != before[0]["y"]


def test_a_dark_page_has_bright_text(page: Page) -> None:
    plot = chart(page, "Training curves").locator(".plot").element_handle()
    # The page draws its charts again in an event of the browser, some time after the change.
    for scheme, ink in (("light", "#1c2024"), ("dark", "#e6e8ea"), ("light", "#1c2024")):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("([plot, ink]) => plot.layout.font.color === ink", arg=[plot, ink])


def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, finished: Plan) -> None:
    query = "?map-metric=coverage_classifier&map-across=denoise&map-at-step_size=8e-5&lines-down=x"
    size = {"width": 360, "height": 740}
    page, wrong = opened(browser, finished, query, viewport=size, has_touch=True)
    # The axes in the address are shown; names that the report does not have change nothing.
    values = distances(finished, "coverage_classifier").mean("seed").sel(step_size=8e-5)
    shown = values.transpose("levels", "denoise").sel(denoise=["true", "false"])
    np.testing.assert_allclose(traces(page, "Any two axes")[0]["z"], shown, rtol=1e-4)
    assert traces(page, "Along an axis")[0]["name"].startswith("levels")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for title in CHARTS:
        box = chart(page, title).locator(".plot svg").first.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 360, title
        # Nothing covers the chart, and no name covers another.
        assert chart(page, title).locator(".modebar-btn").count() == 0
        hidden = chart(page, title).locator(".legend .scrollbar[height]:not([height='0'])")
        assert hidden.count() == 0, title
    # Value and interval are visible without scrolling the table, and setting and value.
    row = page.locator("#table tbody tr").first.locator("> :visible")
    for cell in [*page.locator("#best tbody tr").first.locator(".n").all()[:2], *row.all()[:2]]:
        place = cell.bounding_box()
        assert place is not None
        assert place["x"] + place["width"] <= 360
    assert row.first.inner_text() == "levels 6, step size 2e-5, denoise true"
    assert wrong == []
    page.context.close()


def test_printed_pages_show_images_instead_of_charts(browser: Browser, finished: Plan) -> None:
    page, _ = opened(browser, finished)
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    sources = page.locator("img").evaluate_all("all => all.map((image) => image.src)")
    assert printed.count(b"/Subtype /Image") >= len(set(sources)) > 15
    page.emulate_media(media="print")
    assert page.locator(".panel:visible").count() == 0
    assert page.locator("figure.charted:visible").count() == page.locator("figure.charted").count()
    page.context.close()


def test_images_are_shown_without_javascript(browser: Browser, finished: Plan) -> None:
    page, _ = opened(browser, finished, java_script_enabled=False)
    assert page.locator(".panel:visible").count() == 0
    pictures = page.locator("figure.charted img")
    assert pictures.count() > 5
    for picture in pictures.all():
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] > 200
    page.context.close()
