"""Published networks and their weights, fetched with pip if they are not in the cache."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest
import torch
import xarray as xr
from sklearn.datasets import load_sample_image
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from typer.testing import CliRunner

from scoresweep.metrics import Features, frechet_distance
from scoresweep.metrics.extractors.efficientnet import EfficientNetLite0
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.inception import Inception
from scoresweep.metrics.extractors.resize import antialias
from scoresweep.pipeline.cli import app
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.fetch import cache_folder
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation.extractor_loading import load_extractor
from scoresweep.pipeline.evaluation.extractor_weights import (
    PUBLISHED_WEIGHTS,
    load_published_weights,
)
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.system.safetensors_io import sha256_of_tensors

CACHE = cache_folder()

# Together on one process, so that nothing is fetched twice.
pytestmark = [pytest.mark.download, pytest.mark.xdist_group("published weights")]


@functools.cache
def published(kind: type[Extractor]) -> Extractor:
    """Return an extractor with its weights; skip if they cannot be fetched.

    SCORESWEEP_DOWNLOAD_TESTS=require makes that a failure.
    """
    model = kind((3, 8, 8), 0).eval().requires_grad_(False)
    try:
        load_published_weights(model)
    except InputError as error:
        if not str(error).startswith("cannot get the files"):
            raise
        if os.environ.get("SCORESWEEP_DOWNLOAD_TESTS") == "require":
            pytest.fail(f"SCORESWEEP_DOWNLOAD_TESTS=require: {error}")
        pytest.skip(str(error))
    return model


def published_file(name: str) -> Path:
    """Return the published file that the cache holds."""
    form = PUBLISHED_WEIGHTS[name].download.file_sets[0]
    return CACHE / name / next(iter(form))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine without a network."""
    published(EfficientNetLite0)
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://localhost:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://localhost:9")
    return tmp_path / "cache"


def random_images(count: int, size: int) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


# ── Inception ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_features_are_those_of_the_torchscript() -> None:
    """The published program itself, run on the same pixels (it does no resizing)."""
    model = published(Inception)
    file = published_file("inception")
    assert sha256_of(file) == PUBLISHED_WEIGHTS["inception"].download.file_sets[0]["default_1.pt"]
    original = torch.jit.load(file).eval()
    images = random_images(2, 299)
    with torch.no_grad():
        expected = original((255 * images - 128) / 128)
    found = model(images).values
    assert found.shape == (2, 2048)
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_grey_images_are_grey_colours() -> None:
    model = published(Inception)
    grey = random_images(1, 8)[:, :1]
    with torch.no_grad():
        assert torch.equal(model(grey).values, model(grey.repeat(1, 3, 1, 1)).values)
    assert model.prepare(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1))[:, 0, 0, 0].tolist() == [
        -1,
        127 / 128,
    ]


class Tap(nn.Module):
    """Gives torchmetrics our features of images (N, 3, 299, 299) in 0 to 255, and keeps them."""

    def __init__(self, stages: int, num_features: int) -> None:
        super().__init__()
        self.stages, self.num_features = stages, num_features
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        model = published(Inception)
        batches = images.split(20)
        found = [model.network(model.prepare(batch / 255), self.stages) for batch in batches]
        self.seen.append(torch.cat(found))
        return self.seen[-1]


def images_of_the_example() -> tuple[Tensor, Tensor]:
    """Return the images of torchmetrics' examples, drawn after the network that they build."""
    layers = [m for m in published(Inception).modules() if isinstance(m, nn.Conv2d)]
    torch.manual_seed(42)
    for layer in layers:
        nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, bias=False)
    nn.Linear(2048, 1008)
    return (
        torch.randint(0, 200, (100, 3, 299, 299), dtype=torch.uint8),
        torch.randint(100, 255, (100, 3, 299, 299), dtype=torch.uint8),
    )


def test_fid_of_torchmetrics_example() -> None:
    """Its documented value, on 64 features; and ours is the same on the same features."""
    tap = Tap(1, 64)
    theirs = FrechetInceptionDistance(feature=tap)
    real, generated = images_of_the_example()
    theirs.update(real, real=True)
    theirs.update(generated, real=False)
    value = float(theirs.compute())
    assert value == pytest.approx(12.6388, abs=6e-5)
    ours = frechet_distance(*(Features(features) for features in tap.seen))
    assert float(ours) == pytest.approx(value, rel=1e-4)


@pytest.mark.skipif("SCORESWEEP_TEST_KID" not in os.environ, reason="a minute; SCORESWEEP_TEST_KID")
@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kid_of_torchmetrics_example() -> None:
    theirs = KernelInceptionDistance(feature=Tap(4, 2048), subset_size=50)
    real, generated = images_of_the_example()
    theirs.update(real, real=True)
    theirs.update(generated, real=False)
    mean, deviation = (float(value) for value in theirs.compute())
    assert mean == pytest.approx(0.0312, abs=6e-5)
    assert deviation == pytest.approx(0.0025, abs=6e-5)


# ── EfficientNet-Lite0 ──────────────────────────────────────────────────────────────────────────


def test_efficientnet_sees_a_daisy() -> None:
    """The classifier that belongs to the weights names the flower of scikit-learn's photograph."""
    model = published(EfficientNetLite0)
    photograph = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)
    image = antialias(photograph[None, :, :, 106:533].float(), 224)
    features = model.network((image - 127) / 128)
    state = torch.load(published_file("efficientnet_lite0"), weights_only=True)
    logits = nn.functional.linear(features, state["_fc.weight"], state["_fc.bias"])
    assert int(logits.argmax()) == 985  # ImageNet's daisy
    # Found once with the program of the PyPI package efficientnet-lite-pytorch 0.1.0.
    assert float(features.norm()) == pytest.approx(16.10368, rel=1e-4)


# ── the workflow ────────────────────────────────────────────────────────────────────────────────


def cached(folder: Path) -> Path:
    """Copy the published file of EfficientNet-Lite0 into a cache."""
    file = published_file("efficientnet_lite0")
    (folder / "efficientnet_lite0").mkdir(parents=True)
    return Path(shutil.copy(file, folder / "efficientnet_lite0"))


STUDY = """
study: weighed
dataset: {name: digits, subset: 12}
train:
  network: {name: mlp}
  noise: {name: geometric, sigma_max: 1.0, sigma_min: 0.1, levels: 2}
  steps: 1
sample: {sampler: {name: annealed_langevin, step_size: 1e-5}}
evaluate: {extractors: [pixels, efficientnet_lite0]}
"""


def test_stage_fetches_everything_that_later_steps_need(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    file = cached(offline)
    assert CliRunner().invoke(app, ["stage", "study.yaml"]).exit_code == 0
    file.unlink()
    plan = plan_study(load_study(Path("study.yaml")), tmp_path)
    name = plan.study.dataset[0].id
    reference(plan, name, "efficientnet_lite0")
    made = plan.reference(name, "efficientnet_lite0")
    with xr.open_dataset(made, engine="h5netcdf") as content:
        attributes = content.attrs
    form = PUBLISHED_WEIGHTS["efficientnet_lite0"].download.file_sets[0]
    assert {attributes["weights_file"]: attributes["weights_file_sha256"]} == form
    train = read_split(plan.paths.dataset_store(name), "train")
    model = load_extractor(plan, plan.runs[0].dataset.id, "efficientnet_lite0", train)
    assert attributes["weights_sha256"] == sha256_of_tensors(model.state_dict())


def test_stage_names_weights_that_cannot_be_fetched(
    offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["stage", "study.yaml"])
    assert isinstance(ended.exception, InputError)
    assert f"to {offline}/efficientnet_lite0" in str(ended.exception)
