"""Long names and units of the variables and coordinates in NetCDF result files.

Metrics are not listed here; they define their own. The unit "data" is that of samples as networks
see them: pixels in [0, 1], or points as they are. "1" means dimensionless.
"""

from __future__ import annotations

__all__ = ["VARIABLE_ATTRS", "label", "label_of_option"]

TEXT = ""
"""Unit of non-numeric variables."""

VARIABLE_ATTRS: dict[str, tuple[str, str]] = {
    # rows of every table
    "run": ("id of the training run", TEXT),
    "setting": ("id of the sampler setting", TEXT),
    "state": ("state: done, failed or missing", TEXT),
    # dimensions of the measurements
    "dataset": ("dataset", TEXT),
    "extractor": ("feature extractor", TEXT),
    "split": ("points: training set, test set, or evenly spread", TEXT),
    "level": ("noise level index, from 1 (largest)", "1"),
    "sigma": ("noise level", "data"),
    "step": ("training step", "1"),
    "kept_step": ("training step", "1"),
    "class": ("class", TEXT),
    "mode": ("mode index of the mixture", "1"),
    "density_bin": ("density quantile bin, from 1 (lowest)", "1"),
    "density_point": ("point index on the line", "1"),
    "field_level": ("index of the plotted noise level, from 0", "1"),
    "field_point": ("point index on the grid", "1"),
    "feature": ("coordinate index of a point, from 0", "1"),
    # training
    "loss": ("training loss", "1"),
    "level_loss": ("training loss at a noise level", "1"),
    "gradient_norm": ("gradient norm before clipping", "1"),
    "learning_rate": ("learning rate", "1"),
    "images_per_second": ("training speed of all processes", "samples/s"),
    # networks of points
    "density_x": ("position", "data"),
    "density": ("density recovered from the network's score", "1/data"),
    "density_exact": ("exact density at the same noise level", "1/data"),
    "density_history": ("density recovered during training", "1/data"),
    "density_tv": ("total variation of the recovered density", "1"),
    "density_kl": ("KL divergence of the recovered density", "nat"),
    "field_x": ("position", "data"),
    "field_sigma": ("noise level", "data"),
    "field_score": ("score of the network", "1/data"),
    "field_exact": ("exact score", "1/data"),
    # sampling
    "chosen_training_step": ("training step that was chosen as the best", "1"),
    "chosen_step_value": ("value by which the training step was chosen", TEXT),
    "n_generated": ("number of samples drawn", "1"),
    "signal_to_noise": ("signal-to-noise ratio of a step, √(η/2) |s| / √D", "1"),
    "path_score_error_sigma2": (
        "half mean squared error of the score at the sampler's states, times σ²",
        "1",
    ),
    # compute cost
    "seconds": ("compute time; for training and sampling, including earlier starts", "s"),
    "devices": ("number of GPUs, or CPU cores, of the last start", "1"),
    "device": ("GPU model, or cpu", TEXT),
    "evaluate_seconds": ("compute time of the evaluation", "s"),
    "evaluate_devices": ("number of GPUs, or CPU cores, of the evaluation", "1"),
    "evaluate_device": ("GPU model of the evaluation, or cpu", TEXT),
}
"""Long name and unit by variable name. No swept axis is given one of these names."""

OPTION_UNITS = {
    "sigma_max": "data",
    "sigma_min": "data",
    "noise_scale": "data",
    "step_size": "data^2",
    "drift": "data^2",
}
"""Units of options that are not dimensionless, by the last part of their path."""


def label(name: str) -> dict[str, str]:
    """Return `long_name` and, for a number, `units`; nothing for an unknown variable."""
    long_name, units = VARIABLE_ATTRS.get(name, ("", TEXT))
    attributes = {"long_name": long_name, "units": units}
    return {key: text for key, text in attributes.items() if text}


def label_of_option(path: str, *, is_number: bool) -> dict[str, str]:
    """Return `long_name`, `option` (the path) and, for a number, `units` of a swept axis."""
    last = path.rpartition(".")[2]
    attributes = {"long_name": last.replace("_", " "), "option": path}
    return attributes | ({"units": OPTION_UNITS.get(last, "1")} if is_number else {})
