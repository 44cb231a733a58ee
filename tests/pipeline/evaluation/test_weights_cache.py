"""The cache of published weights, with a small network instead of a published one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from measured_study import make_plan
from safetensors.torch import load_file
from torch import Tensor, nn

from scoresweep.metrics import Features, Options, inception_score
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.inception import Inception
from scoresweep.pipeline.data.fetch import DownloadSpec
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation import extractor_weights
from scoresweep.pipeline.evaluation.extractor_weights import (
    EPSILON,
    INCEPTION_PTH,
    PUBLISHED_WEIGHTS,
    _PublishedWeights,
    load_inception_logits,
    load_published_weights,
)
from scoresweep.pipeline.evaluation.feature_sets import DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors


class Toy(Extractor):
    """An extractor of one convolution."""

    name = weights = "toy"

    def __init__(self) -> None:
        super().__init__((1, 8, 8), 0)
        self.convolution = nn.Conv2d(1, 3, 2)


LAYER = torch.randn(3, 1, 2, 2), *(torch.rand(4, 3) + 1)
"""Weight, scale, shift, mean and variance."""


def read_layers(path: Path) -> Iterable[tuple[Tensor, ...]]:
    yield tuple(torch.load(path, weights_only=True))


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The published file, put into the cache of a machine without a network."""
    file = tmp_path / "cache" / "toy" / "toy.pth"
    file.parent.mkdir(parents=True)
    torch.save(LAYER, file)
    download = DownloadSpec(
        name="toy",
        file_sets=({"toy.pth": sha256_of(file)},),
        url_files=(),
        sources=(),
        archives={},
        offline_hint="run `pip download toy`.",
    )
    monkeypatch.setitem(
        PUBLISHED_WEIGHTS, "toy", _PublishedWeights(download, {"toy.pth": read_layers})
    )
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path / "cache"))
    return file


def test_the_published_file_is_converted_once(published: Path) -> None:
    model = Toy()
    about = load_published_weights(model)
    converted = published.with_name("toy.safetensors")
    weight, scale, shift, mean, variance = LAYER
    factor = scale / (variance + EPSILON).sqrt()
    folded = weight * factor[:, None, None, None]
    torch.testing.assert_close(model.convolution.weight.data, folded)
    torch.testing.assert_close(model.convolution.bias.data, shift - mean * factor)
    assert about["weights_file_sha256"] == sha256_of(published)
    assert about["weights_sha256"] == sha256_of_tensors(model.state_dict())
    assert converted.stat().st_mode & 0o777 == 0o644
    published.unlink()
    assert load_published_weights(Toy()) == about
    assert load_file(converted).keys() == model.state_dict().keys()


def test_without_a_network_the_error_says_which_file_to_put_where(published: Path) -> None:
    published.unlink()
    with pytest.raises(InputError) as raised:
        load_published_weights(Toy())
    assert str(published.parent) in str(raised.value)
    assert "pip download toy" in str(raised.value)


def test_a_truncated_published_file_is_refused(published: Path) -> None:
    published.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"toy\.pth: .*checksum"):
        load_published_weights(Toy())


@pytest.mark.parametrize("damage", ["truncated", "altered", "of another network", "unknown"])
def test_damaged_converted_weights_are_converted_again(
    published: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about = load_published_weights(Toy())
    converted = published.with_name("toy.safetensors")
    before = converted.read_bytes()
    content = bytearray(before)
    if damage == "truncated":
        converted.write_bytes(content[:-10])
    elif damage == "altered":
        content[-10] ^= 1
        converted.write_bytes(content)
    elif damage == "of another network":
        other = {"weight": torch.zeros(3)}
        text = json.dumps(about | {"sha256": sha256_of_tensors(other)})
        save_safetensors(converted, other, {"weights": text})
    else:
        converted.write_bytes(b"no weights")
    model = Toy()
    assert load_published_weights(model) == about
    assert f"{converted}: is damaged (" in capsys.readouterr().err
    assert converted.read_bytes() == before
    assert sha256_of_tensors(model.state_dict()) == about["weights_sha256"]


def test_a_read_only_cache_is_used(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_only: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = load_published_weights(Toy())
    published.with_name("toy.safetensors").unlink()
    monkeypatch.setenv("SCORESWEEP_CACHE", str(read_only(published.parents[1])))
    assert load_published_weights(Toy()) == expected
    assert "cannot be written (Permission denied)" in capsys.readouterr().err


# ── pytorch-fid ─────────────────────────────────────────────────────────────────────────────────


# Shapes of convolutions in pytorch-fid's file.
SHAPES = {
    "Conv2d_1a_3x3": (32, 3, 3, 3),
    "Mixed_5b.branch_pool": (32, 192, 1, 1),
    "Mixed_6b.branch7x7dbl_4": (128, 128, 7, 1),
    "Mixed_7a.branch7x7x3_2": (192, 192, 1, 7),
    "Mixed_7c.branch3x3dbl_2": (384, 448, 3, 3),
    "Mixed_7c.branch_pool": (192, 2048, 1, 1),
}


def test_weights_of_pytorch_fid(tmp_path: Path) -> None:
    """A file under its names: each layer holds its number, scaled by its normalisation."""
    model = Inception((3, 8, 8), 0)
    convolutions = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    names = extractor_weights._inception_names()
    state = {}
    for number, (name, convolution) in enumerate(
        zip(names, convolutions.values(), strict=True), start=1
    ):
        if name in SHAPES:
            assert convolution.weight.shape == SHAPES[name]
        width = len(convolution.weight)
        state[f"{name}.conv.weight"] = torch.full((), number).expand(convolution.weight.shape)
        for part, value in (("weight", 2), ("bias", 3), ("running_mean", 5), ("running_var", 4)):
            state[f"{name}.bn.{part}"] = torch.full((), float(value)).expand(width)
    assert {f"{name}.conv.weight" for name in SHAPES} <= state.keys()
    torch.save(state, tmp_path / "weights.pth")
    layers = extractor_weights._read_inception_pth(tmp_path / "weights.pth")
    tensors = extractor_weights._fold_normalisation(model, layers)
    factor = 2 / (4 + 1e-3) ** 0.5
    for number, name in enumerate(convolutions, start=1):
        assert float(tensors[f"{name}.weight"].amax()) == pytest.approx(number * factor)
        assert float(tensors[f"{name}.bias"].amin()) == pytest.approx(3 - 5 * factor)


def test_inception_scores_use_the_layer_of_classes_without_its_biases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with random weights, under the name that pytorch-fid gives them."""
    weight, file = torch.randn(1008, 2048), tmp_path / "inception_logits" / INCEPTION_PTH
    file.parent.mkdir()
    torch.save({"fc.weight": weight, "fc.bias": 9 * torch.randn(1008)}, file)
    published = PUBLISHED_WEIGHTS["inception_logits"]
    sets = ({INCEPTION_PTH: sha256_of(file)},)
    download = replace(published.download, file_sets=sets, sources=())
    entry = replace(published, download=download)
    monkeypatch.setitem(PUBLISHED_WEIGHTS, "inception_logits", entry)
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path))
    features = Features(torch.randn(40, 2048) / 20)
    evaluate = Evaluate(metrics=["inception_score"], extractors=["inception_half_pixel"])
    found, problems = measure_samples(
        evaluate, lambda _: FeatureSets(*[features] * 4, resize="half_pixel"), DatasetFacts()
    )
    assert not problems
    expected = inception_score(features, features, Options(class_weights=weight))
    name = "inception_score_half_pixel"
    assert float(found[name]) == expected["inception_score"].value
    assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    assert float(found[f"{name}_real"]) == float(found[name])
    assert "n_real" not in found[name].attrs
    file.unlink()  # converted
    assert (load_inception_logits() == weight).all()
    shutil.rmtree(file.parent)
    with pytest.raises(InputError, match=INCEPTION_PTH):
        load_inception_logits()


def test_inception_scores_need_an_inception_extractor(tmp_path: Path) -> None:
    options = {"metrics": ["inception_score", "frechet"], "extractors": ["inception", "pixels"]}
    make_plan(tmp_path, **options)
    with pytest.raises(InputError, match=r"evaluate\.metrics: inception_score: .*inception_half"):
        make_plan(tmp_path, **options | {"extractors": ["classifier"]})
