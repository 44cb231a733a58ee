"""`benchmarks/on_gpu.py`: what must hold without a GPU. No test asserts a time."""

import importlib
import json
import os
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
import torch
from checkout import ROOT

from scoresweep.pipeline.data.sources.cifar10 import read_binary_batch

FOLDER = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


@pytest.fixture
def load():
    return importlib.import_module


@pytest.fixture
def part(load, tmp_path):
    return load("gpu_parts.part").Part(settings_of(tmp_path / "rows"))


def settings_of(output):
    later = time.time() + 60
    return {"device": "cpu", "dry_run": True, "until": later, "output": str(output)}


PARTS = {
    "slow": """
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        write([{"what": "child", "figure": child.pid}])
        time.sleep(60)
    """,
    "bad": """
        so_far = json.loads((output.parent / "on_gpu.json").read_text())["parts"]
        write([{"what": "parts so far", "figure": len(so_far)}])
        raise SystemExit(3)
    """,
    "wrong": """
        speed = {"what": "speed|rate", "figure": 3.0, "target": 4.0}
        write([speed, {"what": "x", "failed": True}])
    """,
    "good": 'write([{"what": "error", "figure": 0.0, "target": 0.0, "at_least": False}])',
}
HEAD = """
import json, pathlib, subprocess, sys, time
settings = json.loads(sys.argv[1])
output = pathlib.Path(settings["output"])
def write(rows):
    output.write_text(json.dumps(rows))
"""


def has_ended(pid):
    """Return whether a killed process ends; its parent may have ended without waiting for it."""
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.1)
    except psutil.NoSuchProcess:
        return True
    return False


def test_a_part_that_fails_or_hangs_costs_only_itself(load, monkeypatch, tmp_path):
    on_gpu = load("on_gpu")
    (tmp_path / "gpu_parts").mkdir()
    for name, body in PARTS.items():
        file = tmp_path / "gpu_parts" / f"{name}.py"
        file.write_text(HEAD + textwrap.dedent(body))
    monkeypatch.setattr(on_gpu, "HERE", tmp_path)
    monkeypatch.setattr(on_gpu, "PARTS", dict.fromkeys(PARTS, 10) | {"slow": 2})
    monkeypatch.setattr(on_gpu, "describe_machine", lambda dry_run: {"device": "a card"})
    with pytest.raises(SystemExit) as error:
        on_gpu.main(["--minutes", "3", "--output", str(tmp_path / "out")])
    assert error.value.code == 1
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "on_gpu.json",
        "on_gpu.log",
        "on_gpu.md",
    }
    reports = json.loads((tmp_path / "out" / "on_gpu.json").read_text())["parts"]
    slow, bad, *_ = reports
    assert slow["state"] == "stopped at its time"
    assert has_ended(slow["rows"][0]["figure"])
    assert bad["rows"] == [{"what": "parts so far", "figure": 1}]
    assert [report["failed"] for report in reports] == [False, True, True, False]
    table = (tmp_path / "out" / "on_gpu.md").read_text().splitlines()
    lines = [line.strip("| ").split(" | ") for line in table if line.startswith("| ")]
    assert len({len(line) for line in (row.split("|") for row in table if row[:1] == "|")}) == 1
    met = {line[1]: line[6] for line in lines if len(line) > 6}
    assert (met["speed/rate"], met["error"]) == ("NO", "yes")


def test_without_a_gpu_it_says_so(load, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        load("on_gpu").main(["--output", str(tmp_path)])
    assert error.value.code == 2
    assert "--dry-run" in capsys.readouterr().err


BARE = """
import sys
missing = (
    "accelerate h5netcdf h5py matplotlib numcodecs numpy pandas PIL plotly psutil pydantic rich "
    "safetensors scipy sklearn snakemake submitit tensorboard typer xarray yaml zarr"
)
sys.modules.update(dict.fromkeys(missing.split()))
import annealed_langevin, training_step
from gpu_parts import features, gpu_tests, kernels, learning, program
from gpu_parts import sampling_steps, training_steps
from gpu_parts.part import run_part
from ncsnv2 import QUICK
def measure(part):
    features.measure(part)
    training_step.own_step(QUICK[0], part.device, bf16=True)()
    annealed_langevin.own_step(QUICK[0], part.device, 4, bf16=True)()
    part.add("steps")
run_part(measure)
"""


@pytest.mark.slow
def test_it_needs_only_pytorch_and_names_what_is_missing(tmp_path):
    output = tmp_path / "rows"
    command = [sys.executable, "-c", BARE, json.dumps(settings_of(output))]
    paths = os.pathsep.join([str(FOLDER), str(ROOT / "src")])
    environment = os.environ | {"PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text()) == [
        {"what": "Inception", "note": "not measured: needs the package numpy"},
        {"what": "steps"},
    ]


def test_shares_and_ratios_of_steps(load, part, monkeypatch):
    steps_file = load("gpu_parts.steps")
    steps = steps_file.Steps(part, "training step", target=0.4)
    seconds = {"public float32": 6.0, "ours bf16": 2.0, "ours bf16 compiled": 1.5}
    kinds = [steps_file.Variant(name, lambda: None, is_base="public" in name) for name in seconds]
    kinds.append(steps_file.Variant("ours bf16, CUDA graph", lambda: None, graph=True))
    row = {"matrix_rate": 2e12}
    monkeypatch.setattr(steps, "_time", lambda variant: (seconds[variant.name], dict(row)))
    monkeypatch.setattr(part, "quick", False)
    case = load("ncsnv2").Case(128, (3, 32, 32), 64)
    steps.measure_case(case, kinds, flops=1.5e12)
    assert [row.get("times") for row in part.rows] == [1.0, 3.0, 4.0, None]
    assert [row.get("share") for row in part.rows] == [0.125, 0.375, 0.5, None]
    assert [row.get("figure") for row in part.rows[:2]] == [64 / 6, 32.0]
    best = [(row["figure"], row["target"]) for row in part.conclusions.values()]
    assert best == [(0.5, 0.4), (4.0, 6.0)]


@pytest.fixture
def learning(load, part):
    module = load("gpu_parts.learning")
    images = load("gpu_parts.images")._synthetic(8, 0)[:, :1, :8, :8]
    return module, load("ncsnv2").QUICK[0], images


def test_a_resume_that_is_not_exact_is_found(learning, load, part, monkeypatch):
    module, case, images = learning
    module.resume(part, case, images)
    assert [row["figure"] for row in part.rows] == [0.0] * 4
    learner = load("gpu_parts.learner").Learner
    monkeypatch.setattr(learner, "load", lambda self, s: self.network.load_state_dict(s["network"]))
    part.rows.clear()
    module.resume(part, case, images)
    assert [row["figure"] > 0 for row in part.rows] == [False, True] * 2


def test_samples_that_depend_on_the_order_of_chunks_are_found(learning, load, part, monkeypatch):
    module, case, images = learning
    learner = load("gpu_parts.learner").Learner(case, images, part.device, bf16=True)
    module.order_of_chunks(part, learner)
    one_stream = torch.Generator().manual_seed(0)
    monkeypatch.setattr(module, "generator_for", lambda *parts, device: one_stream)
    module.order_of_chunks(part, learner)
    assert [row["figure"] > 0 for row in part.rows] == [False, True]
    assert [row["failed"] for row in part.rows] == [False, True]


def test_images_are_those_of_the_files_or_are_said_to_be_synthetic(load, tmp_path, monkeypatch):
    find_images = load("gpu_parts.images").find_images
    content = torch.randint(256, (20, 3073), generator=torch.Generator().manual_seed(0))
    batch = tmp_path / "data_batch_2.bin"
    batch.write_bytes(bytes(content.flatten().tolist()))
    images = find_images(tmp_path, quick=False)
    expected = torch.from_numpy(read_binary_batch(batch)[0]).permute(0, 3, 1, 2)
    assert torch.equal(torch.cat([images.train, images.test]), expected)
    assert len(images.test) == 2
    assert "synthetic" not in images.source
    empty = find_images(tmp_path / "empty", quick=True)
    assert "synthetic" in empty.source
    assert empty.train.shape[1:] == (3, 32, 32)


CASE = '<testcase name="{}"><properties><property name="gpu" value="{}"/></properties>{}</testcase>'


def write_report(path, *cases):
    content = "".join(CASE.format(*case) for case in cases)
    path.write_text(f"<testsuites><testsuite>{content}</testsuite></testsuites>")
    return path


def test_failed_and_skipped_gpu_tests_are_listed(load, part, tmp_path):
    cases = [("a", ""), ("b", '<failure message="no"/>'), ("c", '<skipped message="old"/>')]
    report = write_report(tmp_path / "report", *((name, "card", more) for name, more in cases))
    load("gpu_parts.gpu_tests").add_results(part, report)
    total, failure, skip = part.rows
    assert (total["figure"], total["failed"]) == (1, True)
    assert (failure["what"], failure["failed"]) == ("test b", True)
    assert (skip["what"], skip["failed"]) == ("test c", False)


@pytest.mark.parametrize(
    ("gpus", "failed"), [(["card", "card"], False), (["card", "simulated GPU"], True), ([], True)]
)
def test_gpu_tests_count_only_on_a_real_gpu(load, part, tmp_path, monkeypatch, gpus, failed):
    report = write_report(tmp_path / "report", *(("a", gpu, "") for gpu in gpus))
    monkeypatch.setattr(part, "device", torch.device("cuda"))
    load("gpu_parts.gpu_tests").add_results(part, report)
    assert [(row["figure"], row["failed"]) for row in part.rows] == [(len(gpus), failed)]


def test_gpu_tests_that_have_no_time_are_stopped_and_those_before_them_count(load, part, tmp_path):
    module = load("gpu_parts.gpu_tests")
    hangs = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); "
    command = [sys.executable, "-c", hangs + "time.sleep(60)"]
    assert module.run_tests(command, 1.0)[1] is None
    assert module.run_tests([sys.executable, "-c", "print(1); raise SystemExit(3)"], 60) == (
        "1\n",
        3,
    )
    report = write_report(tmp_path / "report", ("a", "card", ""), ("interrupted", "card", ""))
    module.add_results(part, report, all_ended=False)
    assert [row["figure"] for row in part.rows] == [1]
