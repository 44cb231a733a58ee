"""Inception Score against its other formula, and its interval against fresh samples."""

import math

import pytest
import torch

from scoresweep.metrics import Features, Options, inception_score
from scoresweep.seeds import generator_for

WEIGHTS = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))


def measured(samples, seed=0, **options):
    options = Options(seed=seed, class_weights=WEIGHTS, **options)
    return inception_score(Features(samples[:0]), Features(samples), options)


def test_it_is_the_entropy_of_the_mean_less_the_mean_entropy():
    # exp(H(mean p) − mean H(p)) in ten splits of 205 samples: of 20 and, every other one, of 21.
    samples = 2 * torch.randn(205, 3, generator=torch.Generator().manual_seed(0))
    order, scores = torch.randperm(205, generator=generator_for(5, "splits")), []
    for split in range(10):
        part = order[int(20.5 * split) : int(20.5 * (split + 1))]
        p = (samples[part] @ WEIGHTS.T).double().softmax(dim=1)
        entropies = torch.special.entr(p).sum(dim=1).mean(), torch.special.entr(p.mean(dim=0)).sum()
        scores.append(math.exp(entropies[1] - entropies[0]))
    found, mean = measured(samples, seed=5), sum(scores) / 10
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / 10)
    assert found["inception_score"].value == pytest.approx(mean, rel=1e-6)
    assert found["inception_score_std"].value == pytest.approx(deviation, rel=1e-5)
    assert found["inception_score_std"].error == pytest.approx(deviation / 18**0.5, rel=1e-5)
    limits = found["inception_score"].minimum, found["inception_score"].maximum
    assert limits == (1, 7)
    assert found["inception_score"].better == "higher"


def test_one_split_is_the_score_of_all_samples():
    samples = 2 * torch.randn(205, 3, generator=torch.Generator().manual_seed(0))
    p = (samples @ WEIGHTS.T).double().softmax(dim=1)
    entropies = torch.special.entr(p).sum(dim=1).mean(), torch.special.entr(p.mean(dim=0)).sum()
    found = measured(samples, inception_score_splits=1)
    expected = math.exp(entropies[1] - entropies[0])
    assert found["inception_score"].value == pytest.approx(expected, rel=1e-6)
    assert found["inception_score"].value > measured(samples)["inception_score"].value * 1.01
    assert found.keys() == {"inception_score"}


def test_certain_classes_and_classes_without_samples_are_no_problem():
    # Each sample has one of three classes; the probabilities of the fourth underflow.
    weights = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]])
    options = Options(class_weights=weights, inception_score_splits=1)
    samples = Features(2000 * torch.eye(3).repeat(10, 1))
    found = inception_score(samples, samples, options)
    assert found["inception_score"].value == pytest.approx(3)
    assert found["inception_score"].error == pytest.approx(0, abs=1e-9)


def test_equal_samples_have_a_score_of_one():
    found = measured(torch.ones(20, 3))
    assert found["inception_score"].value == pytest.approx(1)
    assert found["inception_score"].error == pytest.approx(0, abs=1e-9)


def test_its_error_is_the_scatter_over_fresh_samples():
    draw = torch.Generator().manual_seed(2)
    found = [measured(torch.randn(400, 3, generator=draw))["inception_score"] for _ in range(300)]
    scatter = torch.tensor([each.value for each in found]).std()
    assert sum(each.error for each in found) / 300 == pytest.approx(float(scatter), rel=0.12)


def test_it_needs_the_layer_of_classes_and_two_samples_per_split():
    assert inception_score(Features(torch.ones(0, 3)), Features(torch.ones(40, 3)), Options()) == {}
    with pytest.raises(ValueError, match="19"):
        measured(torch.ones(19, 3))
