"""Print the tables of reproductions.md: what a source says beside what a study's report holds.

python docs/reproduce.py results STUDY ...
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

Rows = list[tuple[str, str, str]]
"""What is compared, the source's figure, ours."""


def span(values: xr.DataArray) -> str:
    """Write the mean over seeds, and from what to what they go."""
    found = values.values[np.isfinite(values.values)]
    if not found.size:
        return "–"
    low, mean, high = (f"{value:.3g}" for value in (found.min(), found.mean(), found.max()))
    return mean if found.size == 1 or low == high else f"{mean} ({low} to {high})"


def mixture_1d(report: xr.DataTree) -> Rows:
    """Sixteen levels of a mixture on a line."""
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
            f"{span(test.sel(network=network))}",
        ),
        (
            "density: total variation",
            "a picture",
            span(errors["density_tv"].sel(network=network)),
        ),
        (
            "density: KL, nat",
            "a picture",
            span(errors["density_kl"].sel(network=network)),
        ),
    ]
    for steps in sampling["steps_per_level"].values:
        at = {"steps_per_level": steps}
        ours = f"network {span(share.sel(at))}, exact score {span(exact.sel(at))}"
        rows.append((f"share of the left mode, {steps} steps a level", "0.1", ours))
    return rows


def digits_single_level(report: xr.DataTree) -> Rows:
    """One noise level, and ten."""
    sampling = report["sampling"].to_dataset()
    name = "frechet_classifier" if "frechet_classifier" in sampling else "frechet_pixels"
    distance, real = sampling[name], sampling[f"{name}_real"]
    ladder = next(str(dim) for dim in distance.dims if dim not in ("seed", "sampler"))
    return [
        (
            f"Fréchet distance: network trained on {kind}, {walk_of(sampler)}",
            "pictures",
            span(distance.isel({ladder: place}).sel(sampler=sampler)),
        )
        for place, kind in enumerate(("one noise level", "ten noise levels"))
        for sampler in distance["sampler"].values.astype(str)
    ] + [("Fréchet distance: real test digits", "", span(real))]


def walk_of(sampler: str) -> str:
    """Say in words how a sampler of `digits_single_level` walks."""
    if sampler.startswith("annealed"):
        return "annealed Langevin dynamics"
    noise = "the tutorial's noise" if "drift" in sampler else "the noise that belongs to the drift"
    return f"Langevin dynamics with {noise}"


def ncsn_steps(report: xr.DataTree) -> Rows:
    """Signal to noise of a step under each rule, the largest level's over the smallest's."""
    sampling = report["sampling"].to_dataset()
    expected = {"variance": 1, "denoise": 1, "linear": 10, "constant": 100}
    ratio = sampling["signal_to_noise"]
    spread = ratio.max("level") / ratio.min("level")
    rows = []
    for rule in spread["step_rule"].values.astype(str):
        at = spread.sel(step_rule=rule)
        ours = "; ".join(f"{n} {span(at.sel(network=n))}" for n in spread["network"].values)
        title = f"`{rule}`: signal to noise of a step, largest level's over smallest's"
        rows.append((title, f"{expected[rule]}", ours))
    return rows


def denoiser_view(report: xr.DataTree) -> Rows:
    """One step a level under three rules, over the seeds; the asymmetry of the networks' Jacobians.

    The spans of the asymmetry are over the levels, of means over the seeds where there are several.
    """
    errors = report["score_error"].to_dataset()
    sampling = report["sampling"].to_dataset()
    rows = []
    for levels in sampling["levels"].values:
        for sampler in sampling["sampler"].values.astype(str):
            at = sampling["mode_error"].sel(levels=levels, sampler=sampler)
            ours = "; ".join(f"{n}: {span(at.sel(network=n))}" for n in at["network"].values)
            title = f"error of the mode weights, {levels} levels, `{sampler}`"
            rows.append((title, "", ours))
    asymmetry = errors["asymmetry_relative"].sel(split="test")
    if "seed" in asymmetry.dims:
        asymmetry = asymmetry.mean("seed")
    for name in asymmetry["network"].values.astype(str):
        title = f"asymmetry of the Jacobian, over the levels, `{name}`"
        rows.append((title, "0 for a gradient", span(asymmetry.sel(network=name))))
    return rows


def denoiser_view_truth(report: xr.DataTree) -> Rows:
    """Metropolis on the mixture's energy."""
    sampling = report["sampling"].to_dataset()
    rows = []
    for steps in sampling["steps"].values:
        for name in ("mode_error", "energy_distance_pixels", "sliced_wasserstein_pixels"):
            ours, real = (sampling[n].sel(steps=steps) for n in (name, f"{name}_real"))
            what = name.replace("_pixels", "").replace("_", " ")
            title = f"{what.replace('mode error', 'error of the mode weights')}, {steps} proposals"
            rows.append((title, f"real test samples {span(real)}", span(ours)))
    return rows


def sampler_or_network(report: xr.DataTree) -> Rows:
    """What the sampler and what the network adds to a distance, at each setting."""
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
                ours = " + ".join(span(part) for part in parts).replace("+ -", "− ")
                where = f"{levels} levels, {steps} step{'s' * int(steps > 1)} a level of {size:g}"
                rows.append((where, "", f"{span(total.sel(at))} = {ours}"))
    return rows


def score_error_density(report: xr.DataTree) -> Rows:
    """The score error by density and where the data lies; shares of the modes."""
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
        here, drawn = errors.sel(at), sampling.sel(at)
        levels = here["level"].values[here["sigma"].notnull()]
        where = f"`{at['network']}`, noise levels: {len(levels)}"
        rows += [
            (f"{where}, σ = {here['sigma'].sel(level=level):.3g}", *error_at(here, level))
            for level in levels
        ]
        rows += mode_errors(drawn, where)
        if len(levels) > 1:
            alone = next(p for p in points if p["train_noise"].startswith("explicit"))
            ratio = smallest(errors.sel(at)) / smallest(errors.sel(alone))
            title = f"{where}, smallest σ, test points: error over that of the network of one level"
            rows.append((title, "more uncertain", f"{ratio:.3g} times"))
    return rows


def smallest(errors: xr.Dataset) -> float:
    """Return the score error of test points at the smallest noise level that a network has."""
    return float(errors["score_error"].sel(split="test").dropna("level")[-1])


def error_at(errors: xr.Dataset, level: int) -> tuple[str, str]:
    """Compare the lowest density with the highest, and give the error where the data lies."""
    bins = errors["score_error_of_bin"].sel(split="uniform", level=level).values
    test = float(errors["score_error"].sel(split="test", level=level))
    return "surges where density is low", (
        f"lowest density {bins[0]:.2g}, highest {bins[-1]:.2g}: {bins[0] / bins[-1]:.2g} times; "
        f"test points {test:.2g}"
    )


def mode_errors(sampling: xr.Dataset, where: str) -> Rows:
    """Give the error of the mode weights of each sampler, and the shares of the modes."""
    rows = []
    for sampler in sampling["sampler"].values.astype(str):
        drawn = sampling.sel(sampler=sampler).max("sample_noise")
        if bool(drawn["mode_error"].notnull()):
            shares = ", ".join(f"{share:.2f}" for share in drawn["mode_share"].values)
            walk = sampler.split("(")[0].replace("_", " ")
            title = f"{where}, error of the mode weights (shares) by {walk} dynamics"
            rows.append((title, "", f"{float(drawn['mode_error']):.3f} ({shares})"))
    return rows


def shapes(report: xr.DataTree) -> Rows:
    """Shares of the shapes: asked, present and generated; what lies outside the masks."""
    sampling = report["sampling"].to_dataset()
    if "dataset" not in sampling.dims:
        return shares_of(sampling, "")
    rows = []
    for at in (sampling.isel(dataset=index) for index in range(sampling.sizes["dataset"])):
        asked = at["shape_asked"].sel({"class": ["triangle", "circles"]}).sum("class")
        rows += shares_of(at, f"{100 * float(asked.mean()):.3g} % triangles and circles: ")
    return rows


def shares_of(sampling: xr.Dataset, where: str) -> Rows:
    """Compare the shares of the shapes with those of one dataset."""
    rows = []
    for shape in sampling["class"].values.astype(str):
        asked, real, drawn = (
            100 * float(sampling[variable].sel({"class": shape}).mean())
            for variable in ("shape_asked", "shape_share_real", "shape_share")
        )
        told = f"asked {asked:.3g} %, present {real:.3g} %"
        rows.append((f"{where}share of {shape}", told, f"{drawn:.3g} %"))
    outside = f"{100 * float(sampling['shape_mass_outside'].mean()):.3g} %"
    return [*rows, (f"{where}brightness outside the masks", "none", outside)]


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


def main(results: Path, *names: str) -> None:
    """Print the table of each study below `results`."""
    for name in names or STUDIES:
        with xr.open_datatree(results / name / "report.nc", engine="h5netcdf") as tree:
            rows = STUDIES[name](tree.load())
        lines = [f"| {' | '.join(row)} |" for row in rows]
        head = [f"\n{name}\n", "| | source | ours |", "| --- | --- | --- |"]
        sys.stdout.write("\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
