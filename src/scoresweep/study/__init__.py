"""The study file: its typed schema, its grids, the ids of its points and where their files lie.

Nothing here imports torch, numpy or xarray: reading a study and planning it is quick.
"""

from scoresweep.study.layout import Layout
from scoresweep.study.load import load_study, parse_study
from scoresweep.study.plan import Plan, Run, Setting, plan_study
from scoresweep.study.schema import Evaluate, Sample, Study, Train

__all__ = [
    "Evaluate",
    "Layout",
    "Plan",
    "Run",
    "Sample",
    "Setting",
    "Study",
    "Train",
    "load_study",
    "parse_study",
    "plan_study",
]
