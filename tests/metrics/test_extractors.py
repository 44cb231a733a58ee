from __future__ import annotations

import pkgutil

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from scoresweep.metrics import Features
from scoresweep.metrics.extractors import classifier
from scoresweep.metrics.extractors.classifier import Classifier
from scoresweep.metrics.extractors.efficientnet import EfficientNetLite0
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.inception import Inception, InceptionNetwork
from scoresweep.metrics.extractors.pixels import Pixels
from scoresweep.metrics.extractors.resize import RESIZES
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
    return images[order], torch.from_numpy(labels)[order]


@pytest.fixture(scope="module")
def fitted(digits: tuple[Tensor, Tensor]) -> Classifier:
    images, labels = digits
    model = Classifier((1, 8, 8), 10)
    model.fit(images[360:], labels[360:], seed=0)
    return model


def extract(model: Classifier, images: Tensor) -> Features:
    with torch.no_grad():
        return model(images)


def test_pixels_extractor_returns_the_samples() -> None:
    images = torch.rand(3, 2, 4, 4)
    assert torch.equal(Pixels((2, 4, 4), 0)(images).values, images.reshape(3, 32))


def test_classifier_is_accurate_on_unseen_digits(
    fitted: Classifier, digits: tuple[Tensor, Tensor]
) -> None:
    images, labels = digits[0][:360], digits[1][:360]
    features = extract(fitted, images)
    assert features.values.shape == (360, 64)
    assert features.probabilities is not None
    right = features.probabilities.argmax(1) == labels
    assert right.double().mean() >= 0.97
    # Calibrated: it is as sure as it is right.
    confidence = features.probabilities.amax(1).double()
    assert float(confidence.mean()) == pytest.approx(float(right.double().mean()), abs=0.025)


def test_classifier_is_uncertain_on_noise(fitted: Classifier) -> None:
    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    probabilities = extract(fitted, noise).probabilities
    assert probabilities is not None
    assert probabilities.amax(1).mean() < 0.3


def test_fit_depends_on_the_seed_only(
    digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "STEPS", 5)
    models = []
    for seed in (0, 0, 1):
        before = torch.get_rng_state()
        model = Classifier((1, 8, 8), 10)
        torch.set_rng_state(before)
        model.fit(*digits, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
        models.append(model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["head.weight"], models[2]["head.weight"])


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 5, 9), (4, 64, 48)])
def test_classifier_takes_images_of_any_size(shape: tuple[int, int, int]) -> None:
    model = Classifier(shape, 7).eval()
    images = torch.rand(3, *shape)
    features = extract(model, images)
    assert features.probabilities is not None
    assert features.probabilities.shape == (3, 7)
    assert features.probabilities.sum(1).tolist() == pytest.approx([1, 1, 1])
    alone = extract(model, images[:1])
    torch.testing.assert_close(alone.values, features.values[:1])


def test_temperature_undoes_a_scaling_of_logits() -> None:
    """Labels drawn from softmax(logits) and logits made three times too large: T is near three."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5000, 4, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    found = classifier._best_temperature(3 * logits, labels)
    assert float(found) == pytest.approx(3, rel=0.08)


def test_fit_needs_labels() -> None:
    with pytest.raises(ValueError, match="labels"):
        Classifier((1, 8, 8), 10).fit(torch.rand(10, 1, 8, 8), None, seed=0)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_tables_match_the_extractor_classes(name: str) -> None:
    kind: type[Extractor] = pkgutil.resolve_name(EXTRACTORS[name].target)
    assert kind.name == name
    assert kind.needs_images == EXTRACTORS[name].needs_images
    assert kind.needs_labels == EXTRACTORS[name].gives_classes
    assert kind.resize.split(" ")[0] in {"none", *RESIZES}


def test_inception_has_features_after_each_stage() -> None:
    network = InceptionNetwork()
    images = torch.rand(1, 3, 75, 75)
    with torch.no_grad():
        widths = [network(images, stages).shape[1] for stages in (1, 2, 3, 4)]
    assert widths == [64, 192, 768, 2048]


@pytest.mark.parametrize("kind", [Inception, EfficientNetLite0])
def test_images_have_one_channel_or_three(kind: type[Extractor]) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, found 4"):
        kind((4, 32, 32), 0)


def test_efficientnet_does_not_mix_images() -> None:
    model = EfficientNetLite0((1, 9, 7), 0).eval()
    images = torch.rand(3, 1, 9, 7)
    with torch.no_grad():
        together, alone = model(images).values, model(images[1:2]).values
    assert together.shape == (3, 1280)
    torch.testing.assert_close(together[1:2], alone)
