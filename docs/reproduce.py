"""Print the tables of reproductions.md: values of the source and of a study's report.

python docs/reproduce.py results STUDY ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

Rows = list[tuple[str, str, str]]
"""Quantity, the source's value, ours."""


def mean_and_range(values: xr.DataArray) -> str:
    """Format the mean over seeds and their range."""
    finite = values.values[np.isfinite(values.values)]
    if not finite.size:
        return "–"
    low, mean, high = (f"{value:.3g}" for value in (finite.min(), finite.mean(), finite.max()))
    return mean if finite.size == 1 or low == high else f"{mean} ({low} to {high})"


def mixture_1d(report: xr.DataTree) -> Rows:
    """Sixteen noise levels of a mixture on a line."""
    errors = report["score_error"].to_dataset()
    sampling = report["sampling"].to_dataset()
    training = report["training"].to_dataset()
    names = [str(name) for name in errors["network"].values]
    network = next(name for name in names if name != "oracle")
    test = errors["dsm_loss"].sel(split="test").mean("level")
    first = float(training["step"].max()) / 4
    last = training["loss"].sel(network=network).where(training["step"] >= first)
    share = sampling["mode_share"].sel(network=network, mode=1)
    exact = sampling["mode_share"].sel(network="oracle", mode=1)
    rows = [
        (
            f"training losses from step {first:g} on",
            "0.263 to 0.325",
            f"{float(last.min()):.3f} to {float(last.max()):.3f} (means of 50 steps)",
        ),
        (
            "loss of the exact score, fresh points",
            "0.2902",
            f"{float(test.sel(network='oracle').max()):.4f}",
        ),
        (
            "loss of the network, fresh points",
            "within 2 % of 0.2902",
            f"{mean_and_range(test.sel(network=network))}",
        ),
        (
            "density: total variation",
            "a figure",
            mean_and_range(errors["density_tv"].sel(network=network)),
        ),
        (
            "density: KL, nat",
            "a figure",
            mean_and_range(errors["density_kl"].sel(network=network)),
        ),
    ]
    for steps in sampling["steps_per_level"].values:
        at = {"steps_per_level": steps}
        ours = (
            f"network {mean_and_range(share.sel(at))}, exact score {mean_and_range(exact.sel(at))}"
        )
        rows.append((f"share of the left mode, {steps} steps per level", "0.1", ours))
    return rows


def digits_single_level(report: xr.DataTree) -> Rows:
    """One noise level or ten."""
    sampling = report["sampling"].to_dataset()
    name = "frechet_classifier" if "frechet_classifier" in sampling else "frechet_pixels"
    distance, real = sampling[name], sampling[f"{name}_real"]
    ladder = next(str(dim) for dim in distance.dims if dim not in ("seed", "sampler"))
    return [
        (
            f"Fréchet distance: network trained on {kind}, {sampler_title(sampler)}",
            "pictures",
            mean_and_range(distance.isel({ladder: place}).sel(sampler=sampler)),
        )
        for place, kind in enumerate(("one noise level", "ten noise levels"))
        for sampler in distance["sampler"].values.astype(str)
    ] + [("Fréchet distance: real test digits", "", mean_and_range(real))]


def sampler_title(sampler: str) -> str:
    """Return the title of a sampler of `digits_single_level`."""
    if sampler.startswith("annealed"):
        return "annealed Langevin dynamics"
    noise = "the tutorial's noise" if "drift" in sampler else "the noise that matches the drift"
    return f"Langevin dynamics with {noise}"


def ncsn_steps(report: xr.DataTree) -> Rows:
    """Signal to noise of a step under each rule: largest ratio over smallest."""
    sampling = report["sampling"].to_dataset()
    expected = {"variance": 1, "denoise": 1, "linear": 10, "constant": 100}
    ratio = sampling["signal_to_noise"]
    spread = ratio.max("level") / ratio.min("level")
    rows = []
    for rule in spread["step_rule"].values.astype(str):
        at = spread.sel(step_rule=rule)
        ours = "; ".join(
            f"{n} {mean_and_range(at.sel(network=n))}" for n in spread["network"].values
        )
        title = f"`{rule}`: signal to noise of a step, largest ratio over smallest"
        rows.append((title, f"{expected[rule]}", ours))
    return rows


def denoiser_view(report: xr.DataTree) -> Rows:
    """One step per level under three rules; asymmetry of the networks' Jacobians.

    Ranges are over the seeds, those of the asymmetry over the levels (of means over the seeds).
    """
    errors = report["score_error"].to_dataset()
    sampling = report["sampling"].to_dataset()
    rows = []
    for levels in sampling["levels"].values:
        for sampler in sampling["sampler"].values.astype(str):
            at = sampling["mode_error"].sel(levels=levels, sampler=sampler)
            ours = "; ".join(
                f"{n}: {mean_and_range(at.sel(network=n))}" for n in at["network"].values
            )
            title = f"error of the mode weights, {levels} levels, `{sampler}`"
            rows.append((title, "", ours))
    asymmetry = errors["asymmetry_relative"].sel(split="test")
    if "seed" in asymmetry.dims:
        asymmetry = asymmetry.mean("seed")
    for name in asymmetry["network"].values.astype(str):
        title = f"asymmetry of the Jacobian, over the levels, `{name}`"
        rows.append((title, "0 for a gradient", mean_and_range(asymmetry.sel(network=name))))
    return rows


def denoiser_view_truth(report: xr.DataTree) -> Rows:
    """Metropolis sampling with the mixture's energy."""
    sampling = report["sampling"].to_dataset()
    rows = []
    for steps in sampling["steps"].values:
        for name in ("mode_error", "energy_distance_pixels", "sliced_wasserstein_pixels"):
            ours, real = (sampling[n].sel(steps=steps) for n in (name, f"{name}_real"))
            metric = name.replace("_pixels", "").replace("_", " ")
            metric = metric.replace("mode error", "error of the mode weights")
            title = f"{metric}, {steps} proposals"
            rows.append((title, f"real test samples {mean_and_range(real)}", mean_and_range(ours)))
    return rows


def sampler_or_network(report: xr.DataTree) -> Rows:
    """Contributions of sampler and network to the distance of each setting."""
    sampling = report["sampling"].to_dataset()
    name = "frechet_classifier" if "frechet_classifier" in sampling else "sliced_wasserstein_pixels"
    network = next(str(n) for n in sampling["network"].values if n != "oracle")
    total, real = sampling[name].sel(network=network), sampling[f"{name}_real"]
    sampler = sampling[f"{name}_sampler_cost"]
    costs = sampling[f"{name}_network_cost"].sel(network=network)
    rows = []
    for levels in total["levels"].values:
        for steps in total["steps_per_level"].values:
            for size in total["step_size"].values:
                at = {"levels": levels, "steps_per_level": steps, "step_size": size}
                parts = (real.sel(network=network, **at), sampler.sel(at), costs.sel(at))
                ours = " + ".join(mean_and_range(part) for part in parts).replace("+ -", "− ")
                setting = (
                    f"{levels} levels, {steps} step{'s' * int(steps > 1)} per level of {size:g}"
                )
                rows.append((setting, "", f"{mean_and_range(total.sel(at))} = {ours}"))
    return rows


def score_error_density(report: xr.DataTree) -> Rows:
    """Score error by density and on test points; shares of the modes."""
    errors = report["score_error"].to_dataset()
    sampling = report["sampling"].to_dataset()[["mode_error", "mode_share"]]
    points = [
        {"network": network, "train_noise": noise}
        for network in errors["network"].values.astype(str)
        for noise in errors["train_noise"].values.astype(str)
        if bool(errors["score_error"].sel(network=network, train_noise=noise).notnull().any())
    ]
    rows = []
    for at in points:
        point = errors.sel(at)
        levels = point["level"].values[point["sigma"].notnull()]
        title = f"`{at['network']}`, noise levels: {len(levels)}"
        rows += [
            (f"{title}, σ = {point['sigma'].sel(level=level):.3g}", *error_at(point, level))
            for level in levels
        ]
        rows += mode_errors(sampling.sel(at), title)
        if len(levels) > 1:
            alone = next(p for p in points if p["train_noise"].startswith("explicit"))
            ratio = error_at_smallest_sigma(point) / error_at_smallest_sigma(errors.sel(alone))
            what = f"{title}, smallest σ, test points: error over that of the network of one level"
            rows.append((what, "more uncertain", f"{ratio:.3g} times"))
    return rows


def error_at_smallest_sigma(errors: xr.Dataset) -> float:
    """Return the score error of test points at a network's smallest noise level."""
    return float(errors["score_error"].sel(split="test").dropna("level")[-1])


def error_at(errors: xr.Dataset, level: int) -> tuple[str, str]:
    """Compare the lowest density with the highest, and give the error on test points."""
    bins = errors["score_error_of_bin"].sel(split="uniform", level=level).values
    test = float(errors["score_error"].sel(split="test", level=level))
    return "surges where density is low", (
        f"lowest density {bins[0]:.2g}, highest {bins[-1]:.2g}: {bins[0] / bins[-1]:.2g} times; "
        f"test points {test:.2g}"
    )


def mode_errors(sampling: xr.Dataset, network: str) -> Rows:
    """Return the error of the mode weights of each sampler, and the mode shares."""
    rows = []
    for sampler in sampling["sampler"].values.astype(str):
        values = sampling.sel(sampler=sampler).max("sample_noise")
        if bool(values["mode_error"].notnull()):
            shares = ", ".join(f"{share:.2f}" for share in values["mode_share"].values)
            method = sampler.split("(")[0].replace("_", " ")
            title = f"{network}, error of the mode weights (shares) by {method} dynamics"
            rows.append((title, "", f"{float(values['mode_error']):.3f} ({shares})"))
    return rows


def shapes(report: xr.DataTree) -> Rows:
    """Shares of the shapes, requested, present and generated; brightness outside the masks."""
    sampling = report["sampling"].to_dataset()
    if "dataset" not in sampling.dims:
        return class_shares(sampling, "")
    rows = []
    for at in (sampling.isel(dataset=index) for index in range(sampling.sizes["dataset"])):
        requested = at["shape_asked"].sel({"class": ["triangle", "circles"]}).sum("class")
        rows += class_shares(at, f"{100 * float(requested.mean()):.3g} % triangles and circles: ")
    return rows


def class_shares(sampling: xr.Dataset, dataset: str) -> Rows:
    """Compare the class shares of the samples with those of one dataset."""
    rows = []
    for shape in sampling["class"].values.astype(str):
        requested, real, generated = (
            100 * float(sampling[variable].sel({"class": shape}).mean())
            for variable in ("shape_asked", "shape_share_real", "shape_share")
        )
        source = f"requested {requested:.3g} %, present {real:.3g} %"
        rows.append((f"{dataset}share of {shape}", source, f"{generated:.3g} %"))
    outside = f"{100 * float(sampling['shape_mass_outside'].mean()):.3g} %"
    return [*rows, (f"{dataset}brightness outside the masks", "none", outside)]


STUDIES: Mapping[str, Callable[[xr.DataTree], Rows]] = {
    function.__name__: function
    for function in (
        mixture_1d,
        digits_single_level,
        denoiser_view,
        denoiser_view_truth,
        ncsn_steps,
        sampler_or_network,
        score_error_density,
        shapes,
    )
} | {"sampler_or_network_digits": sampler_or_network, "shapes_imbalanced": shapes}


def main(results: Path, names: Sequence[str]) -> None:
    """Print the table of each study in the folder `results`."""
    for name in names or STUDIES:
        with xr.open_datatree(results / name / "report.nc", engine="h5netcdf") as tree:
            rows = STUDIES[name](tree.load())
        lines = [f"| {' | '.join(row)} |" for row in rows]
        head = [f"\n{name}\n", "| | source | here |", "| --- | --- | --- |"]
        sys.stdout.write("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare reports with published numbers.")
    parser.add_argument("results", type=Path, help="folder that contains STUDY/report.nc")
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="default: all")
    arguments = parser.parse_args()
    main(arguments.results, arguments.studies)
