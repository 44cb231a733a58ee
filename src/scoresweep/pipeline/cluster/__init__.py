"""Start a function on one or several processes, on this machine or on SLURM, through submitit."""

from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.run_owner import RunOwnership

__all__ = ["Resources", "RunOwnership"]
