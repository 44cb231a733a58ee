"""Resampling against SciPy."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d, upfirdn

from scoresweep.networks.resampling import Double, DoublingConv, Halve, HalvingConv

TAPS = np.array([1, 3, 3, 1]) / 8


def images(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def filtered(image, up=1, down=1, gain=1, start=0):
    """Return the filtered image, from position `start` of the full filter's output on."""
    rows = upfirdn(TAPS, image, up, 1, axis=0)
    full = gain * upfirdn(TAPS, rows, up, 1, axis=1)
    return full[start::down, start::down]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_filter_is_that_of_scipy(layout):
    x = images(2, 3, 6, 8).to(memory_format=layout)
    halved, doubled = Halve(fir=True).double()(x), Double(fir=True).double()(x)
    for n, c in np.ndindex(2, 3):
        expected = filtered(x[n, c].numpy(), down=2, start=2)[:3, :4]
        np.testing.assert_allclose(halved[n, c], expected, rtol=1e-12)
        expected = filtered(x[n, c].numpy(), up=2, gain=4, start=1)[:12, :16]
        np.testing.assert_allclose(doubled[n, c], expected, rtol=1e-12)


def test_without_the_filter_pixels_are_averaged_or_repeated():
    x = images(1, 1, 4, 6)
    mean = x[0, 0].reshape(2, 2, 3, 2).mean((1, 3))
    torch.testing.assert_close(Halve(fir=False)(x)[0, 0], mean)
    np.testing.assert_array_equal(Double(fir=False)(x)[0, 0], np.kron(x[0, 0], np.ones((2, 2))))


def sum_of_correlations(image, conv, output):
    """Return channel `output` of a convolution of `image` (C, H, W), without padding."""
    weight, bias = conv.conv.weight.detach().numpy(), conv.conv.bias.detach().numpy()
    parts = [correlate2d(a, w, "valid") for a, w in zip(image, weight[output], strict=True)]
    return sum(parts) + bias[output]


@pytest.mark.parametrize("fir", [True, False])
def test_halving_convolution(fir):
    torch.manual_seed(0)
    conv, x = HalvingConv(2, 3, fir=fir).double(), images(1, 2, 6, 8)
    torch.nn.init.normal_(conv.conv.bias)
    found = conv(x)[0].detach()
    padded = [filtered(a, start=1)[:-1, :-1] if fir else np.pad(a, (0, 1)) for a in x[0].numpy()]
    for output in range(3):
        expected = sum_of_correlations(padded, conv, output)[::2, ::2]
        np.testing.assert_allclose(found[output], expected, rtol=1e-10)


@pytest.mark.parametrize("fir", [True, False])
def test_doubling_convolution(fir):
    torch.manual_seed(0)
    conv, x = DoublingConv(2, 3, fir=fir).double(), images(1, 2, 4, 6)
    torch.nn.init.normal_(conv.conv.bias)
    found = conv(x)[0].detach()
    if fir:
        with_zeros = [np.pad(np.kron(a, [[1, 0], [0, 0]]), ((2, 1), (2, 1))) for a in x[0].numpy()]
    else:
        with_zeros = [np.pad(np.kron(a, np.ones((2, 2))), 1) for a in x[0].numpy()]
    for output in range(3):
        expected = sum_of_correlations(with_zeros, conv, output)
        if fir:  # the filter follows the convolution, and the bias the filter
            bias = float(conv.conv.bias[output].detach())
            expected = filtered(expected - bias, gain=4, start=2)[:8, :12] + bias
        np.testing.assert_allclose(found[output], expected, rtol=1e-10)
