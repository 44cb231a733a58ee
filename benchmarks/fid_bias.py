"""The FID of real images against other real images, at several sample counts.

FID is biased: with n images on each side its mean is near FID∞ + c/n (Chong and Forsyth 2020). The
script reads the features of training and test images from a study's reference file, draws disjoint
subsets of n images on each side, and prints the mean of their FIDs, and FID∞ and c from a least
squares fit over the n that exceed the number of features.

    python benchmarks/fid_bias.py data/cifar10.inception.nc --output fid_bias.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from scoresweep.metrics import Features, frechet_distance


def distances(train: Features, test: Features, count: int, max_pairs: int) -> list[float]:
    """Return the distances of up to `max_pairs` disjoint pairs of subsets of `count`."""
    pairs = min(len(train), len(test)) // count
    parts = torch.arange(pairs * count).reshape(pairs, count)[:max_pairs]
    return [float(frechet_distance(train[part], test[part])) for part in parts]


def shuffled(values: np.ndarray, seed: int) -> Features:
    """Return features in random order."""
    order = np.random.default_rng(seed).permutation(len(values))
    return Features(torch.from_numpy(values[order]))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path, help="reference file of a study")
    parser.add_argument("--counts", type=int, nargs="+", default=[500, 1000, 2000, 5000, 10000])
    parser.add_argument(
        "--subsets", type=int, default=5, help="maximum number of subsets per count"
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    with xr.open_dataset(options.reference, engine="h5netcdf") as file:
        train = shuffled(file["train_features"].values, 0)
        test = shuffled(file["test_features"].values, 1)
    rows = []
    print(f"{'n':>6s} {'subsets':>8s} {'FID':>9s} {'deviation':>10s}")
    for count in options.counts:
        fids = distances(train, test, count, options.subsets)
        if fids:
            rows.append({"n": count, "fid": float(np.mean(fids)), "values": fids})
            print(f"{count:6d} {len(fids):8d} {np.mean(fids):9.3f} {np.std(fids):10.3f}")
    report = {"reference": options.reference.name, "rows": rows}
    width = train.values.shape[1]
    fitted = [row for row in rows if row["n"] > width] or rows[-2:]
    if len(fitted) > 1:
        slope, limit = np.polyfit([1 / row["n"] for row in fitted], [r["fid"] for r in fitted], 1)
        report |= {"fid_infinity": limit, "slope": slope, "fitted": [row["n"] for row in fitted]}
        print(f"FID ≈ {limit:.3f} + {slope:.0f} / n, fitted to n = {report['fitted']}")
    if options.output:
        options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
