"""Methods of this package that are declared by a decorator of `scoresweep.plugins`.

Their module is imported only if a study uses their name, so that other studies are planned without
PyTorch. All else is as with the methods of a plugin, except that ids hold no hash of the file.
"""

from __future__ import annotations

from scoresweep.plugins import Kind

__all__ = ["INCLUDED"]

INCLUDED: dict[Kind, dict[str, str]] = {
    "dataset": {},
    "noise_ladder": {},
    "network": {},
    "objective": {},
    "sampler": {},
    "metric": {},
    "extractor": {},
}
"""By kind and name: "module:attribute", such as "scoresweep.samplers.NAME:NAME"."""
