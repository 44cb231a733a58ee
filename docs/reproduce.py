"""Print the tables of reproductions.md: what a source says beside what a study's report holds.

python docs/reproduce.py results STUDY ...
"""

from __future__ import annotations

import sys
from collections.abc import Callable
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
    last = training["loss"].sel(network=network).where(training["step"] >= 250)
    share = sampling["mode_share"].sel(network=network, mode=1)
    exact = sampling["mode_share"].sel(network="oracle", mode=1)
    rows = [
        (
            "training losses from step 250 on",
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
    distance = sampling["frechet_classifier"]
    real = sampling["frechet_classifier_real"]
    ladder = next(str(dim) for dim in distance.dims if dim not in ("seed", "sampler"))
    return [
        (
            f"Fréchet distance, {walk.split('(')[0].split('_')[0]} walk, {kind} trained on",
            "pictures",
            span(distance.isel({ladder: place}).sel(sampler=walk)),
        )
        for place, kind in enumerate(("one level", "ten levels"))
        for walk in distance["sampler"].values.astype(str)
    ] + [("Fréchet distance of real test digits", "", span(real))]


def ncsn_steps(report: xr.DataTree) -> Rows:
    """Signal to noise of a step under each rule, the largest level's over the smallest's."""
    sampling = report["sampling"].to_dataset()
    expected = {"variance": 1, "denoise": 1, "linear": 10, "constant": 100}
    ratio = sampling["signal_to_noise"]
    spread = ratio.max("level") / ratio.min("level")
    rows = []
    for rule, factor in expected.items():
        at = spread.sel(step_rule=rule)
        ours = "; ".join(f"{n} {span(at.sel(network=n))}" for n in spread["network"].values)
        rows.append((f"`{rule}`: signal to noise, largest over smallest", f"{factor}", ours))
    return rows


def denoiser_view(report: xr.DataTree) -> Rows:
    """One step a level under three rules, and the asymmetry of the networks."""
    errors = report["score_error"].to_dataset()
    sampling = report["sampling"].to_dataset()
    rows = []
    for levels in sampling["levels"].values:
        for sampler in sampling["sampler"].values.astype(str):
            at = sampling["mode_error"].sel(levels=levels, sampler=sampler)
            ours = "; ".join(f"{n}: {span(at.sel(network=n))}" for n in at["network"].values)
            rows.append((f"mode error, {levels} levels, `{sampler}`", "", ours))
    asymmetry = errors["asymmetry_relative"].sel(split="test")
    for name in asymmetry["network"].values.astype(str):
        found = asymmetry.sel(network=name)
        rows.append((f"asymmetry of the Jacobian, {name}", "0 for a gradient", span(found)))
    return rows


def denoiser_view_truth(report: xr.DataTree) -> Rows:
    """Metropolis on the mixture's energy."""
    sampling = report["sampling"].to_dataset()
    rows = []
    for steps in sampling["steps"].values:
        for name in ("mode_error", "energy_distance_pixels", "sliced_wasserstein_pixels"):
            ours, real = (sampling[n].sel(steps=steps) for n in (name, f"{name}_real"))
            title = f"{name.replace('_pixels', '').replace('_', ' ')}, {steps} proposals"
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
                where = f"{levels} levels, {steps} steps a level of {size:g}"
                rows.append((where, "", f"{span(total.sel(at))} = {ours}"))
    return rows


def score_error_density(report: xr.DataTree) -> Rows:
    """The score error where the density is lowest and where it is highest; shares of the modes."""
    errors = (
        report["score_error"].to_dataset()[["score_error_of_bin", "sigma"]].sel(split="uniform")
    )
    sampling = report["sampling"].to_dataset()[["mode_error", "mode_share"]]
    rows = []
    for network in errors["network"].values.astype(str):
        for noise in errors["train_noise"].values.astype(str):
            at = {"network": network, "train_noise": noise}
            where = f"{network}, {noise.split('(')[0]}"
            bins = errors.sel(at).dropna("level", how="all", subset=["score_error_of_bin"])
            for level in bins["level"].values:
                error, sigma = (bins[name].sel(level=level).values for name in bins)
                ours = f"{error[0]:.2g} and {error[-1]:.2g}: {error[0] / error[-1]:.2g} times"
                rows.append((f"{where}, σ = {sigma:.3g}", "surges", ours))
            for sampler in sampling["sampler"].values.astype(str):
                drawn = sampling.sel(at | {"sampler": sampler}).max("sample_noise")
                if bool(drawn["mode_error"].notnull()):
                    shares = ", ".join(f"{share:.2f}" for share in drawn["mode_share"].values)
                    found = f"{float(drawn['mode_error']):.3f} ({shares})"
                    rows.append((f"{where}, mode error by {sampler.split('(')[0]}", "", found))
    return rows


def shapes(report: xr.DataTree) -> Rows:
    """Shares of the shapes: asked, present and generated; what lies outside the masks."""
    sampling = report["sampling"].to_dataset()
    rows = []
    names = sampling["dataset"].values.astype(str) if "dataset" in sampling.dims else [""]
    for name in names:
        at = sampling.sel(dataset=name) if name else sampling
        for shape in at["class"].values.astype(str):
            asked, real, drawn = (
                100 * float(at[variable].sel({"class": shape}).mean())
                for variable in ("shape_asked", "shape_share_real", "shape_share")
            )
            told = f"asked {asked:.3g} %, present {real:.3g} %"
            rows.append((f"{name} {shape}".strip(), told, f"{drawn:.3g} %"))
        outside = f"{100 * float(at['shape_mass_outside'].mean()):.3g} %"
        rows.append((f"{name} outside the mask".strip(), "none", outside))
    return rows


STUDIES: dict[str, Callable[[xr.DataTree], Rows]] = {
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
