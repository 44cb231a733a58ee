"""Objectives that train a score network: a loss for each sample, its noise level and its noise.

Each is `objective(score, x, sigma, z, **options)`; those that need random directions take them as
`v`. All are ½ λ(σ) E‖s − ∇log q_σ‖² up to a constant that does not depend on s: for `dsm` that is
½ λ(σ) (D/σ² − E‖∇log q_σ‖²), for the others −½ λ(σ) E‖∇log q_σ‖².
"""

from __future__ import annotations

from scoresweep.objectives.dsm import dsm
from scoresweep.objectives.ism import ism
from scoresweep.objectives.ssm import ssm
from scoresweep.objectives.ssm_vr import ssm_vr

__all__ = ["dsm", "ism", "ssm", "ssm_vr"]
