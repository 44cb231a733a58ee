"""The examples: their study runs, and their mathematics holds."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

import matplotlib
import nbformat
import pytest
import torch
import xarray as xr
import yaml
from checkout import ROOT
from matplotlib import pyplot
from tiny_study import give_data

from scoresweep.distributions import GaussianMixture
from scoresweep.noise import geometric
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.study import load_study, plan_study

EXAMPLES = ROOT / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_method_of_the_example_study_trains_samples_and_measures(staged, tmp_path):
    give_data(tmp_path, staged)
    shutil.copy(EXAMPLES / "my_methods.py", tmp_path)
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / "my_methods.yaml").read_text("utf-8"))
    content["train"] |= {"steps": 2, "batch_size": 8}
    content["sample"] |= {"count": 4, "chunk": 4}
    content["evaluate"]["extractors"] = ["pixels"]  # the classifier takes long to train
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    plan = plan_study(load_study(tmp_path / "study.yaml"), tmp_path)
    (run,) = (run for run in plan.runs if run.train.network.name == "SmallConv")
    setting = plan.settings[-1]
    assert setting.sample.sampler.name == "heavy_ball"
    train(plan, run.id, Resources())
    sample(plan, run.id, setting.id)
    samples = read_samples(plan.paths.samples(run.id, setting.store)).model_space()
    assert samples.shape == (4, 1, 8, 8)
    reference(plan, "digits", "pixels")
    evaluate(plan, run.id, setting.id)
    real = read_split(plan.paths.dataset_store("digits"), "train").model_space()
    with xr.open_dataset(plan.paths.metrics(run.id, setting.id), engine="h5netcdf") as file:
        assert float(file["brightness"]) == pytest.approx(abs(float(real.mean() - samples.mean())))


def test_the_file_of_the_page_is_short():
    """docs/plugins.md says how many lines it has."""
    assert len((EXAMPLES / "my_methods.py").read_text("utf-8").splitlines()) == 40


def test_heavy_ball_samples_a_gaussian():
    mean, std, sigmas = torch.tensor([1.0, -2.0]), 0.5, geometric(2.0, 0.1, 12)
    target = GaussianMixture(torch.ones(1), mean[None], torch.tensor([std]))
    generator = torch.Generator().manual_seed(0)
    x = 2.0 * torch.randn(10000, 2, generator=generator)
    options = {"step_size": 1e-3, "steps": 40, "momentum": 0.5}
    samples = load("my_methods").heavy_ball(target, x, sigmas, generator=generator, **options)
    torch.testing.assert_close(samples.mean(0), mean, atol=0.03, rtol=0)
    # The data, with the noise of the last level
    expected = torch.full((2,), (std**2 + float(sigmas[-1]) ** 2) ** 0.5)
    torch.testing.assert_close(samples.std(0), expected, atol=0, rtol=0.03)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
def test_the_adapted_network_predicts_the_noise_of_a_gaussian(sigma):
    network = load("their_network").Adapted(shape=(1, 4, 4))
    std = 0.6  # of their images
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), dim=0)

    def exact(images, steps):
        share = kept[steps].view(-1, 1, 1, 1)
        return (1 - share).sqrt() * images / (share * std**2 + 1 - share)

    network.network.forward = exact
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    found = network(x, torch.full((3,), sigma, dtype=torch.float64))
    expected = sigma * (x - 0.5) / ((std / 2) ** 2 + sigma**2)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)  # steps are whole numbers


def test_the_notebook_has_the_output_of_its_code(monkeypatch):
    notebook = nbformat.read(EXAMPLES / "analysis.ipynb", as_version=4)
    nbformat.validate(notebook)
    monkeypatch.chdir(EXAMPLES)
    names: dict[str, Any] = {}
    with matplotlib.rc_context({"backend": "agg"}):
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            printed = StringIO()
            with redirect_stdout(printed):
                exec(cell.source, names)
            shown = "".join(output.text for output in cell.outputs if "text" in output)
            assert printed.getvalue() == shown, cell.source
    assert len(names["axes"].lines) == 3
    pyplot.close("all")
