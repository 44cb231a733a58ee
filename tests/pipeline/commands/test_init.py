"""`scoresweep init` writes studies that can be planned, and refuses what it cannot read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from PIL import Image

from scoresweep.pipeline.commands.init import init
from scoresweep.pipeline.commands.start.training_choice import Device
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.study import Plan, load_study, plan_study
from scoresweep.pipeline.study.data_checks import check_data

RANDOM = np.random.default_rng(0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_images(folder: Path, shape: tuple[int, ...], classes: int = 0) -> None:
    for i in range(24):
        parent = folder / f"class{i % classes}" if classes else folder
        parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 256, shape, np.uint8)).save(parent / f"{i}.png")


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image"] = RANDOM.integers(0, 256, (24, 130, 130, 3), np.uint8)


def write_zarr(path: Path) -> None:
    zarr.save_array(path, RANDOM.normal(1000, 2, (24, 3)))


SOURCES: dict[str, Any] = {
    "folder": lambda: write_images(Path("folder"), (8, 8), classes=2),
    "photographs": lambda: write_images(Path("photographs"), (40, 36, 3)),
    "cells.h5": lambda: write_hdf5(Path("cells.h5")),
    "odd name: é.npz": lambda: np.savez("odd name: é.npz", point=RANDOM.normal(0, 2, (24, 7))),
    "far.zarr": lambda: write_zarr(Path("far.zarr")),
    "{name: gaussian_mixture, train_count: 50, test_count: 20}": lambda: None,
}


@pytest.mark.parametrize(
    ("data", "device", "network", "sigma_min", "extractors", "batch_size", "initial"),
    [
        ("folder", "cpu", "mlp", 0.1, ["classifier", "pixels"], 16, "normal"),
        ("folder", "gpu", "ncsnv2", 0.01, ["classifier", "pixels"], 16, "normal"),
        ("photographs", "cpu", "unet", 0.01, ["inception"], 16, "normal"),
        ("cells.h5", "gpu", "ncsnv2_deepest", 0.01, ["inception"], 16, "normal"),
        ("odd name: é.npz", "cpu", "mlp", 0.02, ["pixels"], 16, "normal"),
        ("far.zarr", "gpu", "mlp", 0.02, ["pixels"], 16, "data_plus_noise"),
        (
            "{name: gaussian_mixture, train_count: 50, test_count: 20}",
            *("cpu", "mlp", None, ["pixels"], 32, "normal"),
        ),
    ],
)
def test_studies_of_every_kind_of_data_can_be_planned(
    here: Path,
    data: str,
    device: Device,
    network: str,
    sigma_min: float | None,
    extractors: list[str],
    batch_size: int,
    initial: str,
) -> None:
    SOURCES[data]()
    init(Path("my study.yaml"), data, device, Path())
    plan = planned(Path("my study.yaml"))
    assert plan.study.study == "my_study"
    train, sample = plan.runs[0].train, plan.settings[0].sample
    assert train.network.name == network
    assert sigma_min in (None, train.noise.known_sigmas()[-1])
    assert train.batch_size == batch_size
    assert plan.evaluate_blocks[0].extractors == extractors
    assert sample.initial == initial
    assert [run.train.seed for run in plan.runs] == [0, 1, 2]
    assert examine_results(plan)["stage", plan.study.dataset[0].id].state == "done"


def planned(path: Path) -> Plan:
    """Return the plan of a study, checked as `scoresweep plan` does."""
    plan = plan_study(load_study(path), Path(), str(path))
    check_data(plan, str(path))
    return plan


def test_the_numbers_are_those_of_the_techniques(here: Path) -> None:
    """Two opposite corners of the cube are √64 apart: σ_1 = 8.

    The geometric ladder from 8 to 0.1 in 64 dimensions, with γ from Technique 2 solved by
    bisection, and Technique 4's minimum, on a fine grid, are computed here.
    """
    corners = np.concatenate([np.zeros((12, 8, 8), np.uint8), np.full((12, 8, 8), 255, np.uint8)])
    np.save("corners.npy", corners)
    init(Path("corners.yaml"), "{name: array, path: corners.npy, layout: NHW}", "cpu", Path())
    plan = planned(Path("corners.yaml"))
    noise = plan.runs[0].train.noise.known_sigmas()
    assert noise[0] == 8
    assert noise[-1] == 0.1
    assert len(noise) == levels_by_bisection(64, 8 / 0.1)
    sizes = [setting.sample.sampler.arguments()["step_size"] for setting in plan.settings]
    best = step_size_on_a_grid(8 / 0.1, len(noise), steps=5) * 0.1**2
    *grid, consistent = sizes
    factors = np.array([1, 2, 4, 6])  # up to the best ones of small networks (docs/gallery)
    assert grid == pytest.approx(factors * best, rel=0.06)  # of two digits
    assert max(sizes) < 2 * 0.1**2
    ratio = (0.1 / 8) ** (1 / (5 * (len(noise) - 1)))  # five steps from each level to the next
    assert consistent == pytest.approx(2 * 0.1**2 * (1 - ratio), rel=0.06)


def levels_by_bisection(dimension: int, ratio: float) -> int:
    from statistics import NormalDist

    def coverage(gamma: float) -> float:
        shift, cdf = (2 * dimension) ** 0.5 * (gamma - 1), NormalDist().cdf
        return cdf(shift + 3 * gamma) - cdf(shift - 3 * gamma)

    low, high = 1.0, 3.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if coverage(middle) > 0.567 else (low, middle)
    return int(1 + np.log(ratio) / np.log(low))


def step_size_on_a_grid(ratio: float, levels: int, steps: int) -> float:
    """Return a = ε/σ_L² whose variance factor is nearest to 1."""
    a = np.linspace(1e-4, 0.9999, 100_000)
    b, gamma2 = 2 * a / (1 - (1 - a) ** 2), ratio ** (2 / (levels - 1))
    return float(a[np.abs((1 - a) ** (2 * steps) * (gamma2 - b) + b - 1).argmin()])


def test_a_u_net_on_a_cpu_has_few_levels(here: Path) -> None:
    write_images(Path("photographs"), (32, 32, 3))
    init(Path("my.yaml"), "photographs", "cpu", Path())
    plan = planned(Path("my.yaml"))
    assert len(plan.runs[0].train.noise.known_sigmas()) == 60
    samplers = [setting.sample.sampler.name for setting in plan.settings]
    assert samplers == ["annealed_langevin"] * 4 + ["consistent"]
    assert "to be quick on a CPU; Technique 2 of NCSNv2 gives 2" in Path("my.yaml").read_text()


def test_the_ladder_can_be_swept_as_the_comment_proposes(here: Path) -> None:
    """The step size of consistent sampling has limits that depend on the number of levels."""
    write_images(Path("folder"), (8, 8))
    init(Path("my.yaml"), "folder", "cpu", Path())
    text = Path("my.yaml").read_text()
    Path("my.yaml").write_text(text.replace("# noise.levels: ", "noise.levels: "))
    few, many = sorted(
        {len(run.train.noise.known_sigmas()) for run in planned(Path("my.yaml")).runs}
    )
    assert many == 2 * few


def test_no_step_size_is_at_the_limit_of_stability(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With few levels, six times Technique 4's is 2 sigma_min², where the noise is unbounded."""
    init(Path("my study.yaml"), "moons", "cpu", Path())
    assert "scoresweep plan 'my study.yaml'" in capsys.readouterr().err.replace("\n", " ")
    plan = planned(Path("my study.yaml"))
    sizes = [setting.sample.sampler.arguments()["step_size"] for setting in plan.settings]
    assert len(sizes) == 4
    assert max(sizes) < 0.9 * 2 * plan.runs[0].train.noise.known_sigmas()[-1] ** 2


def test_every_number_has_a_comment(here: Path) -> None:
    """Beside it, above it or above its block; study names and comments are no numbers."""
    write_images(Path("photographs"), (40, 36, 3))
    init(Path("my.yaml"), "photographs", "cpu", Path())
    above = ""
    for line in Path("my.yaml").read_text().splitlines():
        content, _, comment = line.partition("#")
        if re.search(r"[:\[ ]-?\d", content):
            assert comment or above.lstrip().startswith("#"), line
        above = line


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("digit", "Did you mean 'digits'?"),
        ("empty", "empty: this folder contains no images.*Correct the path"),
        ("notes.txt", "notes.txt: text is not a supported format"),
        ("void.npy", "void.npy: is an empty file"),
        ("sizes", r"Set dataset.size .*--data '\{name: folder, path: sizes, OPTION: VALUE\}'"),
        ("{name: folder, path: sizes, size: 2}", r"--data: dataset\S*\.size: 2"),
        ("black.npy", "all training samples are equal"),
        ("mnist", "is both a dataset and a file or folder"),
    ],
)
def test_data_that_cannot_be_read_are_refused(here: Path, data: str, message: str) -> None:
    for name in ("empty", "mnist"):
        Path(name).mkdir()
    Path("notes.txt").write_text("no data")
    Path("void.npy").touch()
    np.save("black.npy", np.zeros((20, 8, 6), np.uint8))
    write_images(Path("sizes"), (8, 8))
    Image.fromarray(np.zeros((9, 8), np.uint8)).save("sizes/large.png")
    with pytest.raises(InputError, match=message):
        init(Path("my.yaml"), data, "cpu", Path())
    assert not Path("my.yaml").exists()


@pytest.mark.parametrize("name", ["my.yaml", "no_folder/my.yaml"])
def test_nothing_is_staged_if_the_study_cannot_be_written(here: Path, name: str) -> None:
    Path("my.yaml").write_text("mine")
    with pytest.raises(InputError, match=name):
        init(Path(name), "digits", "cpu", Path())
    assert [path.name for path in here.iterdir()] == ["my.yaml"]
    assert Path("my.yaml").read_text() == "mine"
