"""What the variables and coordinates of the result files are, in words, and their units.

Measures are not among them: a metric says itself what it measures. The unit "data" is that of the
samples as networks see them: pixels between 0 and 1, points as they are. "1" is a plain number.
"""

from __future__ import annotations

__all__ = ["VARIABLE_ATTRS", "label", "label_of_option"]

TEXT = ""
"""In place of a unit, of what is no number."""

VARIABLE_ATTRS: dict[str, tuple[str, str]] = {
    # what the rows of every table are
    "run": ("id of the training run", TEXT),
    "setting": ("id of the sampler setting", TEXT),
    "state": ("what became of it: done, failed or missing", TEXT),
    # dimensions of the measurements
    "dataset": ("dataset", TEXT),
    "extractor": ("extractor of the features", TEXT),
    "split": ("which points: of the training set, of the test set, or evenly spread ones", TEXT),
    "level": ("number of the noise level, 1 the largest", "1"),
    "sigma": ("noise level", "data"),
    "step": ("optimiser steps done", "1"),
    "kept_step": ("optimiser steps done", "1"),
    "class": ("class of the data", TEXT),
    "mode": ("number of the mode of the mixture", "1"),
    "density_bin": ("quantile bin of the density, 1 the lowest", "1"),
    "density_point": ("number of the point of the line", "1"),
    "field_level": ("number of the noise level that is kept for a picture, from 0", "1"),
    "field_point": ("number of the point of the grid", "1"),
    "feature": ("number of the coordinate of a point, from 0", "1"),
    # training
    "loss": ("training loss", "1"),
    "level_loss": ("training loss of a level", "1"),
    "gradient_norm": ("norm of the gradient, before clipping", "1"),
    "learning_rate": ("learning rate", "1"),
    "images_per_second": ("training speed, all processes", "samples/s"),
    # networks of points
    "density_x": ("position", "data"),
    "density": ("density recovered from the network's score", "1/data"),
    "density_exact": ("exact density at the same noise level", "1/data"),
    "density_history": ("density recovered while the network was trained", "1/data"),
    "density_tv": ("total variation of the recovered density", "1"),
    "density_kl": ("KL distance of the recovered density", "nat"),
    "field_x": ("position", "data"),
    "field_sigma": ("noise level", "data"),
    "field_score": ("the network's score", "1/data"),
    "field_exact": ("the exact score", "1/data"),
    # sampling
    "n_generated": ("samples drawn", "1"),
    "signal_to_noise": ("signal-to-noise ratio of a step, √(η/2) |s| / √D", "1"),
    "path_score_error_sigma2": (
        "half mean squared error of the score at the sampler's states, times σ²",
        "1",
    ),
    # what it cost
    "seconds": ("time spent; on training and sampling, that of earlier starts included", "s"),
    "devices": ("GPUs, or cores of the CPU, of the last start", "1"),
    "device": ("name of the GPU, or cpu", TEXT),
    "evaluate_seconds": ("time spent on measuring the samples", "s"),
    "evaluate_devices": ("GPUs, or cores of the CPU, that measured the samples", "1"),
    "evaluate_device": ("name of the GPU that measured the samples, or cpu", TEXT),
}
"""Name to long name and unit. No swept axis takes one of these names."""

OPTION_UNITS = {
    "sigma_max": "data",
    "sigma_min": "data",
    "noise_scale": "data",
    "step_size": "data^2",
    "drift": "data^2",
}
"""Last part of an option's path to its unit, where that is not 1."""


def label(name: str) -> dict[str, str]:
    """Return `long_name` and, of a number, `units` of a variable; nothing of an unknown one."""
    long_name, units = VARIABLE_ATTRS.get(name, ("", TEXT))
    found = {"long_name": long_name, "units": units}
    return {key: text for key, text in found.items() if text}


def label_of_option(path: str, *, is_number: bool) -> dict[str, str]:
    """Return `long_name`, `option` (its `path`) and, of a number, `units` of a swept axis."""
    last = path.rpartition(".")[2]
    found = {"long_name": last.replace("_", " "), "option": path}
    return found | ({"units": OPTION_UNITS.get(last, "1")} if is_number else {})
