"""Fréchet distances to the mean and covariance in a file instead of those of the real samples."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from measured_study import make_plan, measure, real_digits
from tiny_study import give_data

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation import sample_metrics
from scoresweep.pipeline.evaluation.real_moments import load_moments
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import sha256_of

METRICS = ["frechet", "frechet_infinity", "kid"]
RNG = np.random.default_rng(0)
SHIFT = RNG.normal(size=64)
FACTOR = RNG.normal(size=(64, 64))
MU, SIGMA = np.zeros(64), FACTOR.T @ FACTOR


@pytest.fixture(scope="module")
def digits(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("statistics")
    give_data(root, staged)
    reference(plan_of(root), "digits", "pixels")
    return root


def plan_of(root: Path, **options: Any) -> Plan:
    options = {"extractors": ["pixels"], "metrics": METRICS, "seed": 3} | options
    return make_plan(root, **options)


def moments_of(samples: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    values = samples.flatten(1).double().numpy()
    return values.mean(axis=0), np.cov(values, rowvar=False)


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_distances_are_those_to_the_moments_in_the_file(digits: Path, tmp_path: Path) -> None:
    samples = (real_digits(digits, "train")[:80] + 0.1).clamp(max=1).mul(255).round() / 255
    mu, sigma = moments_of(real_digits(digits, "train"))
    same = saved(tmp_path / "same.npz", mu=mu, sigma=sigma)
    moved = saved(tmp_path / "moved.npz", mu=mu + SHIFT, sigma=sigma)
    grid = {"real_statistics": [None, same, moved]}
    found = measure(plan_of(digits, grid=grid), samples)
    of_samples = found.sel(real_statistics="none")
    # The same moments give the same values, intervals and baselines.
    for name in [name for name in found if "_pixels" in str(name)]:
        value = found.sel(real_statistics=same)[name]
        assert float(value) == pytest.approx(float(of_samples[name]), rel=1e-8), name
    # Another mean changes the distance by a term in closed form.
    far, gap = found.sel(real_statistics=moved), mu - moments_of(samples)[0]
    expected = float(of_samples["frechet_pixels"]) + SHIFT @ SHIFT + 2 * gap @ SHIFT
    assert float(far["frechet_pixels"]) == pytest.approx(expected, rel=1e-8)
    for baseline in ("frechet_pixels_real", "frechet_pixels_noise"):
        assert float(far[baseline]) > float(of_samples[baseline]) + 1
    assert (found["kid_pixels"] == of_samples["kid_pixels"]).all()


def test_the_content_of_the_file_is_part_of_what_is_measured(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed, measure_metric = list[str](), sample_metrics._measure_metric

    def spy(metric: Any, *arguments: Any) -> Any:
        computed.append(metric.name)
        return measure_metric(metric, *arguments)

    monkeypatch.setattr(sample_metrics, "_measure_metric", spy)
    file, samples = tmp_path / "moments.npz", real_digits(digits, "train")[:80]

    def measured(path: Path | None) -> tuple[str, xr.Dataset]:
        computed.clear()
        metrics = ["frechet", "kid"]
        plan = plan_of(digits, metrics=metrics, real_statistics=path and str(path))
        return plan.evaluate_hash(), measure(plan, samples)

    assert plan_of(digits).evaluate_hash() == plan_of(digits, real_statistics=None).evaluate_hash()
    without, _ = measured(None)
    saved(file, mu=MU, sigma=SIGMA)
    first, one = measured(file)
    assert computed == ["frechet"]
    copy = Path(shutil.copy(file, tmp_path / "copy.npz"))
    renamed, _ = measured(copy)
    assert computed == []
    saved(file, mu=MU + 1, sigma=SIGMA)
    second, two = measured(file)
    assert computed == ["frechet"]
    assert one["frechet_pixels"] != two["frechet_pixels"]
    assert first == renamed
    assert len({without, first, second}) == 3
    for name in ("frechet_pixels", "frechet_pixels_low", "frechet_pixels_real"):
        about = two[name].attrs
        assert about["real_statistics"] == "moments.npz"
        assert about["real_statistics_sha256"] == sha256_of(file)
        assert "moments.npz" in about["long_name"]
        assert "n_real" not in about
    assert two["kid_pixels"].attrs["n_real"] == len(real_digits(digits, "train"))
    assert "real_statistics" not in two["kid_pixels"].attrs


def asymmetric() -> np.ndarray:
    sigma = SIGMA.copy()
    sigma[3, 5] += 0.01
    return sigma


def indefinite() -> np.ndarray:
    values, vectors = np.linalg.eigh(SIGMA)
    values[0] = -1e-3 * values[-1]
    return (vectors * values) @ vectors.T


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no sigma": ({"mu": MU, "cov": SIGMA}, "sigma"),
    "objects": ({"mu": np.array([None] * 64), "sigma": SIGMA}, "numbers"),
    "integers": ({"mu": MU.astype(int), "sigma": SIGMA}, "mu"),
    "not finite": ({"mu": MU, "sigma": np.full((64, 64), np.nan)}, "4096 .*sigma"),
    "shapes": ({"mu": MU, "sigma": SIGMA[:32]}, r"\(32, 64\)"),
    "asymmetric": ({"mu": MU, "sigma": asymmetric()}, "symmetric"),
    "other extractor": ({"mu": MU[:8], "sigma": SIGMA[:8, :8]}, "8 features.*classifier.*64"),
}


@pytest.mark.parametrize("problem", WRONG)
def test_wrong_files_are_refused_before_anything_runs(tmp_path: Path, problem: str) -> None:
    arrays, words = WRONG[problem]
    path = saved(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(InputError, match=rf"evaluate\.real_statistics: {path}:.*{words}"):
        plan_of(tmp_path, extractors=["classifier"], real_statistics=path)


def test_other_files_and_studies_without_a_use_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "moments.npz", mu=MU, sigma=SIGMA)
    plan_of(tmp_path, extractors=["classifier"], real_statistics=path)
    few = saved(tmp_path / "few.npz", mu=MU[:8], sigma=SIGMA[:8, :8])
    with pytest.raises(InputError, match=r"has 8 features, but a sample of digits has 64"):
        plan_of(tmp_path, real_statistics=few)
    with pytest.raises(InputError, match=r"evaluate\.real_statistics: .*no metric uses it"):
        plan_of(tmp_path, metrics=["kid"], real_statistics=path)
    for content in (b"", b"text", Path(path).read_bytes()[:500]):
        Path(path).write_bytes(content)
        with pytest.raises(InputError, match=rf"evaluate\.real_statistics: {path}:"):
            plan_of(tmp_path, real_statistics=path)
    Path(path).unlink()
    with pytest.raises(InputError, match=rf"evaluate\.real_statistics: {path}:"):
        plan_of(tmp_path, real_statistics=path)


def test_negative_eigenvalues_are_refused_beyond_rounding(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "indefinite.npz", mu=MU, sigma=indefinite()))
    smallest = np.linalg.eigvalsh(indefinite())[0]
    bound = np.finfo(np.float32).eps * np.trace(indefinite())
    with pytest.raises(ValueError, match=rf"is {smallest:.3g}, .* is -{bound:.3g}\)"):
        load_moments(path, 64)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rounding_of_a_singular_covariance_is_accepted(tmp_path: Path, kind: type) -> None:
    # The features of rectifiers: few directions have most of the variance.
    samples = np.exp(RNG.normal(size=(100, 1)) + 0.1 * RNG.normal(size=(100, 256)))
    sigma = np.cov(samples, rowvar=False).astype(kind)
    path = Path(saved(tmp_path / "few.npz", mu=np.zeros(256, kind), sigma=sigma))
    factor = load_moments(path, 256).covariance_factor.numpy()
    error = np.abs(factor.T @ factor - sigma.astype(np.float64)).max()
    assert error < np.finfo(kind if kind is np.float16 else np.float32).eps * np.trace(sigma)


def test_singular_covariances_in_float32_are_accepted(digits: Path, tmp_path: Path) -> None:
    # Of fewer samples than features, with the rounding of float32.
    mu, sigma = moments_of(real_digits(digits, "train")[:30])
    arrays = {"mu": mu.astype(np.float32), "sigma": sigma.astype(np.float32)}
    path = saved(tmp_path / "few.npz", **arrays)
    plan = plan_of(digits, metrics=["frechet"], real_statistics=path)
    found = measure(plan, real_digits(digits, "train")[:30])
    assert float(found["frechet_pixels"]) == pytest.approx(0, abs=1e-3)
