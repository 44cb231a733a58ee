"""Start a function on one or several processes, on this machine or on SLURM, through submitit."""

from scoresweep.launch.submit import Resources, launch

__all__ = ["Resources", "launch"]
