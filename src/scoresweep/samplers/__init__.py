"""Samplers: from a score and starting points to samples, most of them along a noise ladder.

Each module has one sampler, `sampler(score, x, sigmas, *, generator, observe, **options)`, and
`level_step_sizes(sigmas, **options)`, which returns the step size η of each level (NaN if none).
The sampler raises ValueError if an option is outside its range or does not fit the ladder (see
`scoresweep.sampler_limits`); so does `level_step_sizes` for the options that it uses.
"""

from __future__ import annotations

from scoresweep.samplers.annealed_langevin import annealed_langevin
from scoresweep.samplers.consistent import consistent
from scoresweep.samplers.denoise_renoise import denoise_renoise
from scoresweep.samplers.edm import edm
from scoresweep.samplers.initial import initial_samples
from scoresweep.samplers.inpainting_masks import inpainting_mask
from scoresweep.samplers.langevin import langevin
from scoresweep.samplers.metropolis import metropolis
from scoresweep.samplers.noise_sources import interpolated_noise
from scoresweep.samplers.predictor_corrector import predictor_corrector
from scoresweep.samplers.probability_flow import probability_flow
from scoresweep.samplers.step_sizes import step_sizes

__all__ = [
    "annealed_langevin",
    "consistent",
    "denoise_renoise",
    "edm",
    "initial_samples",
    "inpainting_mask",
    "interpolated_noise",
    "langevin",
    "metropolis",
    "predictor_corrector",
    "probability_flow",
    "step_sizes",
]
