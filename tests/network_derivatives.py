"""Second derivatives of networks, which the implicit objectives need."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor


def assert_differentiable_twice(net: torch.nn.Module, sigma: Tensor) -> None:
    """Compare a second derivative of `net` at 8×8 images with a difference, and check gradients.

    `net` is in float64; `sigma` is one noise level, (1,).
    """
    x = torch.rand(1, 1, 8, 8).double().requires_grad_()
    (row,) = torch.autograd.grad(net(x, sigma)[0, 0, 3, 3], x, create_graph=True)
    row[0, 0, 2, 2].backward()
    assert x.grad is not None
    step = 1e-5 * torch.eye(64).double()[18].reshape(1, 1, 8, 8)  # pixel (2, 2)

    def along(x: Tensor) -> float:
        x = x.detach().requires_grad_()
        return float(torch.autograd.grad(net(x, sigma)[0, 0, 3, 3], x)[0][0, 0, 2, 2])

    slope = (along(x + step) - along(x - step)) / 2e-5
    assert float(x.grad[0, 0, 2, 2]) == pytest.approx(slope, rel=1e-5)
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters() if p.grad is not None)
