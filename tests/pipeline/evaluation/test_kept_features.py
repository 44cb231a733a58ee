"""Features of generated samples are kept, used again and extended."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import xarray as xr
from measured_study import make_plan, real_digits, write
from safetensors import safe_open
from tiny_study import give_data
from torch import Tensor

from scoresweep.metrics import Features
from scoresweep.metrics.extractors import classifier
from scoresweep.metrics.extractors.classifier import Classifier
from scoresweep.metrics.extractors.efficientnet import EfficientNetLite0
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.inception import Inception
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation import feature_sets, kept_features
from scoresweep.pipeline.evaluation.kept_features import hash_samples
from scoresweep.pipeline.evaluation.real_data import RealData
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.results.code_version import CodeVersion
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS
from scoresweep.pipeline.system.safetensors_io import save_safetensors

BATCH = Classifier.batch_size


@pytest.fixture(scope="module")
def root(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the staged digits and their features, of all and of 100."""
    folder = tmp_path_factory.mktemp("kept")
    give_data(folder, staged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 20)
        for real_count in (None, 100):
            reference(plan_of(folder, real_count=real_count), "digits", "classifier")
        yield folder


def plan_of(root: Path, count: int = 300, **options: Any) -> Plan:
    given = {"metrics": ["frechet"], "extractors": ["classifier"], "resamplings": 0}
    return make_plan(root, count=count, **given | options)


@pytest.fixture
def samples(root: Path) -> Tensor:
    """Samples of a store without metrics and features; the tests write some of them."""
    plan = plan_of(root)
    for folder in ("metrics", "features"):
        for path in sorted((plan.paths.results / folder).rglob("*.*")):
            path.unlink()
    return real_digits(root, "train")[:500]


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples of each extraction, in order."""
    counts: list[int] = []

    def spy(model: Extractor, samples: Tensor, *arguments: Any) -> Features:
        counts.append(len(samples))
        return extract_features(model, samples, *arguments)

    monkeypatch.setattr(feature_sets, "extract_features", spy)
    return counts


def measure(plan: Plan, real: RealData | None = None) -> xr.Dataset:
    run, setting = plan.runs[0].id, plan.settings[0].id
    evaluate(plan, run, setting, real=real)
    with xr.open_dataset(plan.paths.metrics(run, setting), engine="h5netcdf") as file:
        return file.load()


def kept_file(plan: Plan) -> Path:
    return plan.paths.features(plan.runs[0].id, plan.settings[0].store, "classifier")


def kept(plan: Plan) -> Features:
    with safe_open(kept_file(plan), framework="pt") as file:
        return Features(file.get_tensor("features"), file.get_tensor("probabilities"))


def expected(plan: Plan, samples: Tensor) -> Features:
    return extract_features(RealData(plan, "digits").extractor("classifier"), samples, "expected")


@pytest.mark.parametrize(
    "changed",
    [{"metrics": ["frechet", "prdc"]}, {"resamplings": 3}, {"real_count": 100}, {"seed": 1}],
)
def test_other_options_extract_nothing_again(
    root: Path, samples: Tensor, extracted: list[int], changed: dict[str, Any]
) -> None:
    write(plan_of(root), samples[:300])
    measure(plan_of(root))
    assert extracted == [300]
    measure(plan_of(root, **changed))
    assert extracted == [300]


def test_more_samples_extend_the_file(root: Path, samples: Tensor, extracted: list[int]) -> None:
    """From the last whole batch on, and with the same bits as all samples at once."""
    write(plan_of(root), samples[:300])
    measure(plan_of(root))
    write(plan_of(root), samples)
    grown = plan_of(root, count=500)
    found = measure(grown)
    assert extracted == [300, 500 - 300 // BATCH * BATCH]
    again = expected(grown, stored(samples))
    assert torch.equal(kept(grown).values, again.values)
    probabilities = kept(grown).probabilities
    assert probabilities is not None
    assert again.probabilities is not None
    assert torch.equal(probabilities, again.probabilities)
    kept_file(grown).unlink()
    grown.paths.metrics(grown.runs[0].id, grown.settings[0].id).unlink()
    assert float(measure(grown)["frechet_classifier"]) == float(found["frechet_classifier"])


def stored(samples: Tensor) -> Tensor:
    """Return samples as a store holds them: 256 grey values."""
    return (samples * 255).round() / 255


def test_fewer_samples_use_the_first_features(
    root: Path, samples: Tensor, extracted: list[int]
) -> None:
    write(plan_of(root, count=500), samples)
    measure(plan_of(root, count=500))
    before = kept_file(plan_of(root)).read_bytes()
    write(plan_of(root), samples[:300])
    found = measure(plan_of(root, count=300))
    assert found["frechet_classifier"].attrs["n_generated"] == 300
    assert extracted == [500]
    assert kept_file(plan_of(root)).read_bytes() == before


def test_replaced_samples_are_extracted_again(
    root: Path, samples: Tensor, extracted: list[int]
) -> None:
    write(plan_of(root), samples[:300])
    measure(plan_of(root))
    changed = samples[:300].clone()
    changed[200] = samples[400]
    write(plan_of(root), changed)
    measure(plan_of(root, metrics=["frechet", "prdc"]))
    assert extracted == [300, 300 - 200 // BATCH * BATCH]
    again = expected(plan_of(root), stored(changed))
    assert torch.equal(kept(plan_of(root)).values, again.values)


def test_other_weights_and_other_code_extract_again(
    root: Path, samples: Tensor, extracted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(plan_of(root), samples[:300])
    measure(plan_of(root))
    with safe_open(kept_file(plan_of(root)), framework="pt") as file:
        about = json.loads(file.metadata()["features"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about["origin"]["weights_sha256"] = "0" * 64
    save_safetensors(kept_file(plan_of(root)), tensors, {"features": json.dumps(about)})
    measure(plan_of(root, seed=1))
    assert extracted == [300, 300]
    monkeypatch.setattr(feature_sets, "current_code", lambda _: CodeVersion("other", ""))
    measure(plan_of(root, seed=2))
    assert extracted == [300, 300, 300]


@pytest.mark.parametrize("damage", ["altered", "cut short", "empty", "foreign"])
def test_a_damaged_file_is_extracted_again(
    root: Path, samples: Tensor, extracted: list[int], damage: str
) -> None:
    write(plan_of(root), samples[:300])
    measure(plan_of(root))
    path = kept_file(plan_of(root))
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    damages = {"altered": content, "cut short": content[:-9], "empty": b"", "foreign": b"x" * 99}
    path.write_bytes(damages[damage])
    measure(plan_of(root, seed=1))
    assert extracted == [300, 300]
    assert torch.equal(
        kept(plan_of(root)).values, expected(plan_of(root), stored(samples[:300])).values
    )


def test_features_are_not_kept_if_the_study_says_so(root: Path, samples: Tensor) -> None:
    write(plan_of(root), samples[:300])
    plan = plan_of(root, keep_features=False)
    assert plan.evaluate_hash() == plan_of(root).evaluate_hash()
    found = measure(plan)
    assert not kept_file(plan).exists()
    assert float(measure(plan_of(root, seed=1))["frechet_classifier"]) == float(
        found["frechet_classifier"]
    )
    with pytest.raises(InputError, match="keep_features"):
        plan_of(root, grid={"keep_features": [True, False]})


def test_a_full_disk_costs_the_features_only(
    root: Path, samples: Tensor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_features, "save_safetensors", full)
    write(plan_of(root), samples[:300])
    assert "frechet_classifier" in measure(plan_of(root))
    assert list(kept_file(plan_of(root)).parent.iterdir()) == []
    assert "No space left" in capsys.readouterr().err


def test_settings_that_share_real_data_have_the_same_metrics(root: Path, samples: Tensor) -> None:
    options = {"metrics": ["frechet", "kid", "nearest", "classes"], "resamplings": 2}
    plan = plan_of(root, **options, extractors=["classifier", "pixels"])
    reference(plan, "digits", "pixels")
    write(plan, samples[:300])
    alone, real = measure(plan), RealData(plan, "digits")
    for count in (500, 300):
        write(plan, samples[:count])
        plan.paths.metrics(plan.runs[0].id, plan.settings[0].id).unlink()
        shared = measure(plan, real)
    for name in ("seconds", "parts"):
        del alone.attrs[name], shared.attrs[name]
    xr.testing.assert_identical(alone, shared)


@pytest.mark.parametrize("kind", [Classifier, EfficientNetLite0, Inception])
def test_features_do_not_depend_on_the_number_of_samples(
    kind: type[Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "batch_size", 2)
    model = kind((1, 8, 8), 10).eval()
    images = torch.rand(3, 8, 8, 1).permute(0, 3, 1, 2)
    every = extract_features(model, images, "all").values
    assert every.shape == (3, EXTRACTORS[kind.name].num_features)
    assert torch.equal(extract_features(model, images[:1], "one").values, every[:1])


def test_every_extractor_but_pixels_keeps_features() -> None:
    kept = {name for name, extractor in EXTRACTORS.items() if extractor.is_kept}
    assert kept | {"pixels"} == EXTRACTORS.keys()
    assert all(EXTRACTORS[name].num_features for name in kept)


def test_the_hash_of_a_sample_depends_on_its_values_only() -> None:
    images = torch.rand(3, 4, 4, 2).permute(0, 3, 1, 2)
    hashes = hash_samples(images)
    assert hashes.shape == (3, 16)
    assert torch.equal(hash_samples(images.contiguous()), hashes)
    assert torch.equal(hash_samples(images[1:]), hashes[1:])
    changed = images.clone()
    changed[1, 0, 0, 0] += 1
    assert (hash_samples(changed) != hashes).any(dim=1).tolist() == [False, True, False]
