"""The study file: typed schema, grids, ids of runs and settings, and the paths of their files.

Nothing here imports torch, numpy or xarray, so that reading and planning a study is fast.
"""

from scoresweep.pipeline.study.load import load_study, parse_study
from scoresweep.pipeline.study.make_plan import plan_study
from scoresweep.pipeline.study.models import Evaluate, Sample, Study, Train
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plan import Plan, Run, Setting

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
