"""Progress of a batch of settings, in a file that its job updates and `scoresweep status` reads."""

from __future__ import annotations

from dataclasses import dataclass, field

from scoresweep.pipeline.system.job_state import JobState

__all__ = ["BatchState"]


@dataclass
class BatchState(JobState):
    """State of a batch; its steps are tasks."""

    current: str = ""
    """The task that it works on."""
    seconds_by_task: dict[str, float] = field(default_factory=dict)
    """Seconds that each finished task took."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why tasks failed."""

    @property
    def tasks(self) -> set[str]:
        """The tasks that it has begun."""
        return {*self.seconds_by_task, *self.failed, self.current} - {""}
