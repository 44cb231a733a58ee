"""Benchmarks start, and their harness computes correctly. No test asserts a time."""

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.fixture
def harness():
    return importlib.import_module("harness")


def test_every_benchmark_has_help(capsys):
    scripts = importlib.import_module("run_all").SCRIPTS
    assert len(scripts) == len(set(scripts))
    assert {f"{name}.py" for name in scripts} < {file.name for file in FOLDER.glob("*.py")}
    shared = {"separate_process", "harness", "ncsnv2"}
    for name in sorted({file.stem for file in FOLDER.glob("*.py")} - shared):
        script = importlib.import_module(name)
        with pytest.raises(SystemExit) as error:
            script.main(["--help"])
        assert error.value.code == 0
        text = capsys.readouterr().out
        assert script.__doc__.splitlines()[0] in text
        assert "--quick" in text or name not in scripts


def test_a_ratio_is_the_median_over_the_turns(harness):
    # The ratio of the medians would be 30 / 4.
    assert harness.ratio([8.0, 30.0, 90.0], [4.0, 3.0, 10.0]) == 9.0


def test_variants_take_turns_after_an_uncounted_one(harness, monkeypatch):
    monkeypatch.setattr("gc.collect", lambda: None)  # slow with all modules loaded
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = harness.take_turns(runs, repeats=2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_a_variant_runs_in_its_own_process(tmp_path, monkeypatch):
    separate_process = importlib.import_module("separate_process").SeparateProcess
    (tmp_path / "variant.py").write_text(
        "import os, pathlib\n"
        "def make(path):\n"
        "    return lambda: pathlib.Path(path).open('a').write(f'{os.getpid()}\\n')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    work = separate_process(importlib.import_module("variant").make, str(tmp_path / "pids"))
    try:
        work()
        work()
        assert (tmp_path / "pids").read_text().split() == [str(work.process.pid)] * 2
    finally:
        work.process.kill()
        work.process.join()
    with pytest.raises(SystemExit, match="make"):
        work()


def test_operations_are_counted(harness):
    cpu = torch.device("cpu")
    product = harness.matrix_product(torch.float32, cpu, quick=True)
    assert harness.flops_of(product) == harness.flops_of_product(cpu, quick=True) == 4 * 2 * 512**3
    assert harness.rate_of([1.0, 2.0, 4.0], 6.0) == 3.0


@pytest.mark.parametrize(
    ("figure", "at_least", "reached"), [(3.0, True, True), (2.9, True, False), (2.9, False, True)]
)
def test_a_figure_is_compared_with_its_target(harness, figure, at_least, reached):
    finding = harness.Finding("what", figure, 3.0, "x", at_least)
    assert finding.reached == reached
    sign = "≥" if at_least else "≤"
    assert finding.cells()[1:4] == [f"{figure:.3g}×", f"{sign} 3×", "yes" if reached else "NO"]


def test_peak_memory_and_cores_are_known_on_every_system(harness, monkeypatch):
    peak = harness.peak_gib()
    assert 0.01 < peak < 1000
    assert harness.num_cores() >= 1
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr("sys.platform", "darwin")
    assert harness.num_cores() >= 1
    assert harness.peak_gib() > 0


def test_a_benchmark_writes_its_report(harness, tmp_path, capsys):
    output = tmp_path / "new" / "report.json"
    benchmark = harness.begin(harness.command_line("About."), ["--output", str(output)])
    benchmark.compare({"a": [4.0], "b": [2.0]}, "a", {"b": 1e10}, rate=2e10)
    benchmark.find("share", 0.25, 0.5, "%")
    benchmark.finish()
    report = json.loads(output.read_text())
    assert [row["times_as_fast"] for row in report["rows"]] == [1.0, 2.0]
    assert report["rows"][1]["share_of_rate"] == 0.25
    assert [(f["what"], f["reached"]) for f in report["findings"]] == [("share", False)]
    assert report["machine"]["threads"] == torch.get_num_threads()
    assert report["made_by"]["versions"]["torch"]
    assert "25 %" in capsys.readouterr().out


def test_a_failed_script_does_not_stop_the_others(monkeypatch, tmp_path, capsys):
    run_all = importlib.import_module("run_all")
    good = {"benchmark": "good", "findings": [{"what": "it", "figure": 2.0, "target": 1.0}]}
    (tmp_path / "good.py").write_text(
        f"import sys, json\nopen(sys.argv[2], 'w').write(json.dumps({good}))"
    )
    (tmp_path / "bad.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    monkeypatch.setattr(run_all, "SCRIPTS", ("bad", "good"))
    with pytest.raises(SystemExit) as error:
        run_all.main(["--only", "bad", "good", "--output", str(tmp_path / "all.json")])
    assert error.value.code == 1
    summary = capsys.readouterr().out.split("summary")[1]
    assert "bad" in summary
    assert "failed" in summary
    assert "2×" in summary
    written = json.loads((tmp_path / "all.json").read_text())["benchmarks"]
    assert [report["failed"] for report in written] == [True, False]
