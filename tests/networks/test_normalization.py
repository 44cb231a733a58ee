"""InstanceNorm++ against its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresweep.networks.normalization import InstanceNormPlus


def formula(norm, x, level=None):
    """γ·[IN(x) + α·(μ − m)/√(v + 1e-5)] + β, sample by sample and channel by channel."""
    every = [p.detach().double().numpy() for p in (norm.alpha, norm.gamma, norm.beta)]
    x = x.detach().double().numpy()
    out = np.empty_like(x)
    for n, sample in enumerate(x):
        alpha, gamma, beta = every if level is None else [p[level[n]] for p in every]
        means = [channel.mean() for channel in sample]
        m, v = np.mean(means), np.var(means, ddof=1)
        for c, channel in enumerate(sample):
            instance = (channel - means[c]) / np.sqrt(channel.var() + 1e-5)
            between = (means[c] - m) / np.sqrt(v + 1e-5)
            out[n, c] = gamma[c] * (instance + alpha[c] * between) + beta[c]
    return torch.from_numpy(out)


@pytest.fixture
def norm():
    torch.manual_seed(0)
    norm = InstanceNormPlus(6)
    torch.nn.init.normal_(norm.beta)
    return norm


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_it_agrees_with_its_formula(norm, layout, size):
    x = (3 * torch.randn(4, 6, *size) + torch.randn(4, 6, 1, 1)).to(memory_format=layout)
    torch.testing.assert_close(norm(x).double(), formula(norm, x), rtol=1e-5, atol=1e-5)
    norm, x = norm.double(), x.double()
    torch.testing.assert_close(norm(x), formula(norm, x), rtol=1e-12, atol=1e-12)


def test_each_level_has_its_own_parameters():
    norm = InstanceNormPlus(6, levels=4).double()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x, level = torch.randn(5, 6, 4, 3, dtype=torch.float64), torch.tensor([3, 0, 0, 2, 1])
    torch.testing.assert_close(norm(x, level), formula(norm, x, level), rtol=1e-12, atol=1e-12)


def test_statistics_of_low_precision_inputs_are_taken_in_float32(norm):
    # A mean of 20 rounded to bfloat16 would be wrong by up to 0.06, the spread of these channels.
    x = (20 + 0.3 * torch.randn(2, 6, 16, 16) + torch.randn(2, 6, 1, 1)).bfloat16()
    found = norm(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), formula(norm, x), rtol=2**-8, atol=2e-3)


def test_gradients_agree_with_finite_differences(norm):
    norm = norm.double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    parameters = tuple(norm.parameters())

    def call(x, *values):
        names = [name for name, _ in norm.named_parameters()]
        return torch.func.functional_call(norm, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *parameters))
    assert torch.autograd.gradgradcheck(call, (x, *parameters))


def test_initial_parameters_are_near_one_and_zero():
    torch.manual_seed(0)
    norm = InstanceNormPlus(10_000)
    for parameter in (norm.alpha.data, norm.gamma.data):  # standard errors 2e-4 and 1.4e-4
        assert float(parameter.mean()) == pytest.approx(1, abs=1e-3)
        assert float(parameter.std()) == pytest.approx(0.02, abs=6e-4)
    assert not norm.beta.any()
