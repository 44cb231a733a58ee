"""Start a function on one or several processes, on this machine or on SLURM, through submitit."""

from scoresweep.launch.owner import Owner
from scoresweep.launch.resources import Resources

__all__ = ["Owner", "Resources"]
