"""Training objectives of score networks: a loss for each sample.

Each is `objective(score, x, sigma, z, **options)`, with random directions `v` if it needs them. All
equal ½ λ(σ) E‖s − ∇log q_σ‖² up to a constant that does not depend on s. The constant is
½ λ(σ) (D/σ² − E‖∇log q_σ‖²) for `dsm` and −½ λ(σ) E‖∇log q_σ‖² for the others.
"""

from __future__ import annotations

from scoresweep.objectives.dsm import dsm
from scoresweep.objectives.ism import ism
from scoresweep.objectives.sliced import ssm, ssm_vr

__all__ = ["dsm", "ism", "ssm", "ssm_vr"]
