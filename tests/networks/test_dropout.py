"""Dropout whose masks are hashes of the samples."""

import numpy as np
import pytest
import torch

from scoresweep.networks.dropout import SampleDropout, sample_keys


def normal(*size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def masks(x, probability=0.3, layer=0, size=(8, 16, 16)):
    ones = torch.ones(len(x), *size)
    return SampleDropout(probability, layer)(ones, sample_keys(x)) > 0


def mixed(h):
    """The hash with unsigned integers of NumPy."""
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def test_the_mask_is_the_hash_of_sample_layer_and_position():
    x = normal(2, 3, 4, 4)
    values = x.numpy().reshape(2, 48).view(np.uint32)
    keys = mixed(values + mixed(np.arange(1, 49, dtype=np.uint32))).sum(1, dtype=np.uint32)
    found = masks(x, 0.25, 5, (2, 3, 4))
    layer_keys = mixed(keys + np.uint32(5 * 0x9E3779B9 % 2**32))
    positions = mixed(np.arange(1, 25, dtype=np.uint32)).reshape(3, 4, 2).transpose(2, 0, 1)
    hashes = mixed(positions + layer_keys[:, None, None, None])
    np.testing.assert_array_equal(found, hashes.view(np.int32) >= 2**30 - 2**31)


def test_values_are_set_to_zero_at_random():
    kept = masks(normal(100, 1, 8, 8), 0.3).double()
    n = kept[0].numel()
    assert abs(float(kept.mean()) - 0.7) < 4 * (0.21 / kept.numel()) ** 0.5
    assert float(kept.mean((1, 2, 3)).sub(0.7).abs().max()) < 5 * (0.21 / n) ** 0.5
    assert float(kept.mean(0).sub(0.7).abs().max()) < 6 * (0.21 / 100) ** 0.5
    # Neither samples nor neighbouring values are correlated.
    rows = (kept - 0.7).flatten(1)
    products = rows @ rows.T / n / 0.21
    assert float(products.fill_diagonal_(0).abs().max()) < 6 / n**0.5
    for axis in (1, 2, 3):
        pairs = (kept - 0.7) * (kept.roll(1, axis) - 0.7) / 0.21
        assert abs(float(pairs.mean())) < 4 / kept.numel() ** 0.5


def test_layers_have_different_masks():
    x = normal(50, 1, 8, 8)
    a, b = (masks(x, 0.5, layer).double() - 0.5 for layer in (0, 1))
    assert abs(float((a * b).mean())) < 4 * 0.25 / a.numel() ** 0.5


def test_the_expectation_is_preserved():
    dropped = SampleDropout(0.3, 0)(torch.ones(200, 4, 8, 8), sample_keys(normal(200, 1, 8, 8)))
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert float(dropped.max()) == pytest.approx(1 / 0.7)


def test_a_mask_depends_on_its_own_sample_only():
    x = normal(5, 3, 8, 8)
    whole = masks(x)
    assert torch.equal(masks(x[2:4]), whole[2:4])
    assert torch.equal(masks(x.to(memory_format=torch.channels_last)), whole)
    changed = x.clone()
    changed[3, 2, 7, 7] = torch.nextafter(changed[3, 2, 7, 7], torch.tensor(9.0))
    same = (masks(changed) == whole).double().mean((1, 2, 3))
    assert same[[0, 1, 2, 4]].tolist() == [1] * 4
    assert float(same[3]) == pytest.approx(0.3**2 + 0.7**2, abs=0.06)


def test_there_is_none_without_keys():
    x = normal(2, 3, 4, 4)
    assert SampleDropout(0.5, 0)(x, None) is x
    assert SampleDropout(0, 0)(x, sample_keys(x)) is x
