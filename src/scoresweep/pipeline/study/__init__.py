"""The study file: its typed schema, its grids, the ids of its points and where their files lie.

Nothing here imports torch, numpy or xarray: reading a study and planning it is quick.
"""

from scoresweep.pipeline.study.load import load_study, parse_study
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plan import Plan, Run, Setting
from scoresweep.pipeline.study.planning import plan_study
from scoresweep.pipeline.study.schema import Evaluate, Sample, Study, Train

__all__ = [
    "Evaluate",
    "Plan",
    "Run",
    "Sample",
    "Setting",
    "Study",
    "StudyPaths",
    "Train",
    "load_study",
    "parse_study",
    "plan_study",
]
