"""Samplers: walks down a noise ladder that turn a score into samples."""

from __future__ import annotations

from scoresweep.samplers.annealed_langevin import annealed_langevin
from scoresweep.samplers.initial import initial
from scoresweep.samplers.step_rules import step_sizes

__all__ = ["annealed_langevin", "initial", "step_sizes"]
