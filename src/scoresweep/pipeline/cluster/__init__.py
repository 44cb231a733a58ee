"""Run a function in several processes, on this machine or as a SLURM job (submitit).

`launch` starts the processes, waits for them, and starts them again if they were lost:

- Start: `LocalJob` runs the processes here; `slurm_job.submit` submits a SLURM job, whose unique
  name it writes to a `JobRecord` first. Each process runs a `Task`.
- Re-attach: if a `JobRecord` names a job that is queued or running, `launch` waits for that job
  instead of submitting another.
- Requeue: a `Task` whose function was stopped by SIGUSR2 (time limit, preemption) asks SLURM to
  requeue its job. A job that ended otherwise is submitted again as long as it makes progress.
- `RunOwnership` ensures that only the latest start of a run writes to it.

`squeue` asks SLURM about jobs, `study_jobs` finds those of a study, and `job_table` reads the
state of each run and setting from files.
"""

from scoresweep.pipeline.cluster.resources import Resources

__all__ = ["Resources"]
