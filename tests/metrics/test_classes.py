from __future__ import annotations

import pytest
import torch

from scoresweep.metrics import Features, Options, classes


def test_shares_and_confidence() -> None:
    probabilities = torch.tensor(
        [[0.6, 0.4, 0.0], [0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.0, 1.0, 0.0]]
    )
    features = Features(torch.zeros(4, 2), probabilities)
    measures = classes(Features(torch.zeros(7, 2)), features, Options())
    assert torch.as_tensor(measures["class_share"].value).tolist() == [0.25, 0.75, 0.0]
    assert measures["class_confidence"].value == pytest.approx((0.6 + 0.9 + 0.8 + 1) / 4)
    assert measures["class_confidence"].n_real == 7


def test_no_class_metrics_without_probabilities() -> None:
    assert classes(Features(torch.zeros(2, 1)), Features(torch.zeros(2, 1)), Options()) == {}
