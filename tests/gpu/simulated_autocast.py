"""Autocast of the simulated GPU.

PyTorch's own casts only tensors of CUDA. Here are its rules for CUDA, which differ from those of
CPUs: norms, sums and exponentials, for example, are float32 on a GPU only
(https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from simulated_gpu import SimulatedTensor
from torch.library import Library
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["register_autocast"]

KEY_OF_RULES = torch._C.DispatchKey.AutocastCUDA

IN_LOW_PRECISION = {
    *("addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot"),
    *("matmul", "mm", "mv", "linear", "linalg_vecdot", "einsum", "prelu"),
    *("scaled_dot_product_attention", "_scaled_dot_product_flash_attention"),
    *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)),
    *("convolution", "_convolution", "conv_tbc", "gru_cell", "lstm_cell"),
    *("rnn_tanh_cell", "rnn_relu_cell", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"),
    *("cudnn_convolution", "cudnn_convolution_transpose"),
}
IN_WIDEST_TYPE = {
    *("addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler"),
    *("index_put", "scatter_add", "tensordot"),
}
"""Operations by their names; the others that have a rule compute in float32."""


@functools.cache
def register_autocast() -> Library:
    """Replace the rules of CUDA, which tensors of the simulation do not follow."""
    library = Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it replaces some
        for name in torch._C._dispatch_get_all_op_names():
            if name.startswith("aten::") and _has_rule(name):
                library.impl(name.removeprefix("aten::"), _rule(name), KEY_OF_RULES.name)
    return library


def _has_rule(name: str) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(name, KEY_OF_RULES.name))


def _rule(name: str) -> Callable[..., Any]:
    packet, _, overload = name.removeprefix("aten::").partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")

    def run(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype("cuda")
        if packet in IN_WIDEST_TYPE:
            found = [x.dtype for x in tree_leaves((args, kwargs)) if _is_cast(x)]
            dtype = functools.reduce(torch.promote_types, found, dtype)
        elif packet not in IN_LOW_PRECISION:
            dtype = torch.float32
        args, kwargs = tree_map(lambda x: x.to(dtype) if _is_cast(x) else x, (args, kwargs))
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(KEY_OF_RULES)):
            return operation(*args, **kwargs)

    return run


def _is_cast(x: Any) -> bool:
    is_float = isinstance(x, SimulatedTensor) and x.is_floating_point()
    return is_float and x.dtype != torch.float64
