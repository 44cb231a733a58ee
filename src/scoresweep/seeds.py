"""Independent random streams, named by what they are for.

Every random number of the program comes from a generator seeded by a tuple such as
`(seed, "noise", step, block)`. A result then depends on what is drawn and never on which process
drew it, in which order, or after which restart.
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["derive_seed", "generator_for"]


def derive_seed(*parts: int | str) -> int:
    """Hash `parts` to a seed in [0, 2⁶³): equal parts give equal seeds, others unrelated ones."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator_for(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator on `device` seeded by `derive_seed(*parts)`."""
    return torch.Generator(device=device).manual_seed(derive_seed(*parts))
