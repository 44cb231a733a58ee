"""Features of real samples, with which generated samples are compared."""

from __future__ import annotations

from pathlib import Path

import h5py
import torch
import xarray as xr
from torch import Tensor

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features, Moments
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import progress
from scoresweep.pipeline.system.device import CPU
from scoresweep.seeds import generator_for

__all__ = [
    "extract_features",
    "read_attribute",
    "read_reference",
    "uniform_noise",
    "unusable_reference",
]


def uniform_noise(train: Split, count: int) -> Tensor:
    """Return uniform noise: in [0, 1] for images, else in the bounding box of the data."""
    noise = torch.rand((count, *train.shape), generator=generator_for("uniform noise"))
    if train.pixel_range is not None:
        return noise
    points = train.model_space()
    low, high = points.amin(dim=0), points.amax(dim=0)
    return low + (high - low) * noise


def extract_features(
    model: Extractor, samples: Tensor, title: str, device: torch.device = CPU
) -> Features:
    """Return the features of `samples`, computed in batches on `device`.

    All batches have the same shape, because rounding depends on it: the features of a sample are
    the same bits however many samples follow it. Shows a progress bar with the title `title`.
    """
    parts = []
    model.to(device)
    with torch.no_grad(), progress(title, len(samples)) as advance:
        for batch in torch.split(samples, model.batch_size):
            features = model(_pad(batch, model.batch_size).to(device))
            values, probabilities = features.values[: len(batch)].cpu(), features.probabilities
            if probabilities is not None:
                probabilities = probabilities[: len(batch)].cpu()
            parts.append(Features(values, probabilities))
            advance(len(batch))
    return Features.join(parts)


def _pad(batch: Tensor, size: int) -> Tensor:
    """Return `batch` followed by zeros, `size` samples in all, in the same memory format."""
    if len(batch) == size:
        return batch
    padded = batch.new_empty_strided((size, *batch.shape[1:]), batch.stride()).zero_()
    padded[: len(batch)] = batch
    return padded


def read_reference(plan: Plan, dataset: str, extractor: str) -> dict[str, Features]:
    """Return the features of "train" and "test" samples and of uniform "noise".

    Raises:
        InputError: if the file is missing, damaged, or of another dataset or extractor.
    """
    path = plan.reference(dataset, extractor)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        for name, expected in (("dataset", dataset), ("extractor", extractor)):
            if content.attrs.get(name) != expected:
                raise ValueError(f"its {name} is {content.attrs.get(name)}, expected {expected}")
        tensors = {str(name): torch.from_numpy(array.values) for name, array in content.items()}
        moments = Moments(tensors["train_mean"], tensors["train_covariance_factor"])
        return {
            part: Features(
                tensors[f"{part}_features"],
                tensors.get(f"{part}_probabilities"),
                moments if part == "train" else None,
            )
            for part in ("train", "test", "noise")
        }
    except (OSError, KeyError, ValueError) as error:
        raise unusable_reference(path, error) from error


def read_attribute(path: Path, name: str) -> object:
    """Return an attribute of a file of features, or None."""
    try:
        with h5py.File(path, "r") as file:  # xarray reads all variables' attributes too
            value: object = file.attrs.get(name)
            return value
    except OSError as error:
        raise unusable_reference(path, error) from error


def unusable_reference(path: object, error: Exception) -> InputError:
    """Return the error for a file of features that cannot be used, with how to fix it."""
    is_missing = isinstance(error, FileNotFoundError)
    problem = "there is no such file" if is_missing else f"cannot be used ({error})"
    return InputError(
        f"{path}: {problem}. It holds the features of real samples: to compute them again, run "
        f"`scoresweep reference STUDY`."
    )
