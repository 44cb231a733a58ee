"""Inception's features: images per second, and the Fréchet distance of real images."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gpu_parts.device_time import seconds_per_call
from gpu_parts.images import find_images
from gpu_parts.part import Part, run_part

if TYPE_CHECKING:
    from scoresweep.metrics.extractors.inception import Inception

BATCHES = (32, 128, 512)
"""The first is that of the package."""
CPU_SECONDS = 25.0
"""Time for the features on the CPU."""
MOST = 2048
"""Images of each of two sets, at most."""
TOLERANCE = 1e-4


def measure(part: Part) -> None:
    """Measure speed and distance."""
    part.attempt("Inception", lambda: _measure(part))


def _measure(part: Part) -> None:
    from scoresweep.metrics.extractors.inception import Inception  # it needs numpy

    images, model = find_images(part.data, part.quick), Inception((3, 32, 32), 0).eval()
    model.requires_grad_(False)
    weights = load_weights(part, model)
    part.add("Inception's weights", note=weights)
    part.attempt("Fréchet distance", lambda: distance(part, model, images.train, images.test))
    for batch in (2,) if part.quick else BATCHES:
        part.attempt(f"Inception, batch {batch}", lambda batch=batch: speed(part, model, batch))


def load_weights(part: Part, model: Inception) -> str:
    """Load published weights if they are at hand; return what the weights are."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = part.weights or cache / "scoresweep" / "inception" / "inception.safetensors"
    reason = f"there is no {path.name}"
    if path.exists():
        try:
            from safetensors.torch import load_file

            model.load_state_dict(load_file(path))
        except ModuleNotFoundError as error:
            reason = f"{path.name} needs the package {error.name}"
        else:
            return f"published, {path.name}"
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return f"random, because {reason}"


def speed(part: Part, model: Inception, batch: int) -> None:
    """Measure resizing and the network, from images on the device."""
    model.to(part.device)
    x = torch.rand(batch, 3, 32, 32, device=part.device)
    with torch.no_grad():
        seconds = seconds_per_call(lambda: model(x), part.device, 0.05 if part.quick else 1.0)
    what = f"Inception in float32, 32×32 images, batch {batch}"
    part.add(what, figure=batch / seconds, unit="images/s", batch=batch)


def distance(part: Part, model: Inception, train: Tensor, test: Tensor) -> None:
    """Compare the distance between real images by this device with that by the CPU."""
    from scoresweep.metrics import Features, frechet_distance

    size, cpu = 2 if part.quick else BATCHES[0], torch.device("cpu")
    limit = min(MOST, len(test), len(train)) if not part.quick else 2 * size
    start, on_cpu = time.perf_counter(), ([], [])
    seconds = min(CPU_SECONDS, part.seconds_left() / 2)
    for first in range(0, limit - size + 1, size):
        for found, values in zip(on_cpu, (train, test), strict=True):
            found.append(_features(model, values[first : first + size], cpu))
        if first and time.perf_counter() - start > seconds:
            break
    count = size * len(on_cpu[0])
    elapsed = time.perf_counter() - start
    device = [
        [_features(model, part_of, part.device) for part_of in values[:count].split(size)]
        for values in (train, test)
    ]
    expected, found = (
        frechet_distance(*(Features(torch.cat(parts)) for parts in sets))
        for sets in (on_cpu, device)
    )
    apart = abs(found / expected - 1)
    part.add(
        "Fréchet distance of test and training images against the CPU's, relative difference",
        figure=apart,
        target=TOLERANCE,
        at_least=False,
        failed=not apart <= TOLERANCE,
        note=f"{found:.6g}, CPU {expected:.6g}; {count} images of each",
        cpu_images_per_second=2 * count / elapsed,
    )


@torch.no_grad()
def _features(model: Inception, values: Tensor, device: torch.device) -> Tensor:
    """Return the features (N, 2048), on the CPU, of images as bytes."""
    x = (values.to(device).to(torch.float32) / 255).contiguous(memory_format=torch.channels_last)
    return model.to(device)(x).values.cpu()


if __name__ == "__main__":
    run_part(measure)
