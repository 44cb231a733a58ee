"""Simulate a study with many settings on many nodes, from the seconds that its jobs take.

The workflow process plans, submits trainings (as many at a time as there are slots) and then
whatever has become ready each time it polls. It polls every few seconds, or as often as it can:
each job that has ended costs it some time. SLURM starts jobs one after the other, at its own
rate, on free nodes; a node runs one job at a time. Nothing fails.

The seconds of jobs come from a study that was run (`report.nc` has them); those of the workflow
process and of SLURM are measured by `planning.py` and `submission.py`.

    python benchmarks/cluster_model.py --train 1150 --sample 180 --evaluate 110
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from harness import print_rows


@dataclass(frozen=True)
class Cluster:
    """A study, the seconds of its jobs, and the cluster that runs them."""

    runs: int
    settings: int
    """Settings of all runs together."""
    nodes: int
    train: float
    sample: float
    evaluate: float
    start: float
    """Seconds before the work of a job begins."""
    slots: int
    """Trainings at a time."""
    look: float
    """Seconds between two polls of the workflow process."""
    handling: float
    """Seconds of the workflow process per job that has ended."""
    dispatch: float
    """Seconds of SLURM per job that it starts."""
    plan: float
    """Seconds of the workflow process per setting, before the first job."""
    per_job: int
    """Settings that one job draws and measures."""
    submit: float
    """Seconds of an `sbatch`."""


class Job(NamedTuple):
    """One job: its rule and run."""

    rule: str
    run: int


@dataclass
class Simulation:
    """The state of the cluster while the study runs."""

    cluster: Cluster
    now: float = 0.0
    queue: deque[Job] = field(default_factory=deque)
    running: list[tuple[float, Job]] = field(default_factory=list)
    started: float = 0.0
    """Time at which SLURM had started its latest job."""

    def seconds(self, rule: str) -> float:
        """Return how long a job of `rule` occupies a node."""
        cluster = self.cluster
        if rule == "train":
            return cluster.start + cluster.train
        return cluster.start + self.share / self.batches * (cluster.sample + cluster.evaluate)

    @property
    def share(self) -> int:
        """Settings of a run."""
        return self.cluster.settings // self.cluster.runs

    @property
    def batches(self) -> int:
        """Jobs that draw and measure the settings of a run."""
        return math.ceil(self.share / self.cluster.per_job)

    def ready(self, done: Job) -> list[Job]:
        """Return the jobs that wait for `done`."""
        return [Job("sweep", done.run)] * self.batches if done.rule == "train" else []

    def dispatch(self, until: float) -> list[Job]:
        """Run SLURM up to the time `until`; return the jobs that ended."""
        ended = []
        while True:
            if self.queue and len(self.running) < self.cluster.nodes:
                begin = max(self.started, self.now) + self.cluster.dispatch
                if begin > until and not (self.running and self.running[0][0] <= until):
                    return ended
                if begin <= until:
                    self.started = begin
                    job = self.queue.popleft()
                    heapq.heappush(self.running, (begin + self.seconds(job.rule), job))
                    continue
            if not self.running or self.running[0][0] > until:
                return ended
            end, job = heapq.heappop(self.running)
            self.started = max(self.started, end)
            ended.append(job)

    def simulate(self) -> float:
        """Return the seconds from the start of the workflow to the end of the last job."""
        cluster, waiting, training, left = self.cluster, deque(range(self.cluster.runs)), 0, 0
        self.now = self.started = cluster.plan * cluster.settings
        left = cluster.runs * (1 + self.batches)
        while left:
            while waiting and training < cluster.slots:
                self.queue.append(Job("train", waiting.popleft()))
                self.now += cluster.submit
                training += 1
            ended = self.dispatch(self.now + cluster.look)
            self.now += max(cluster.look, cluster.handling * len(ended))
            left -= len(ended)
            training -= sum(job.rule == "train" for job in ended)
            ready = [job for done in ended for job in self.ready(done)]
            self.now += cluster.submit * len(ready)
            self.queue.extend(ready)
        return self.now


def row_of(cluster: Cluster) -> dict[str, object]:
    """Simulate a study and return its table row."""
    simulation = Simulation(cluster)
    wall, settings = simulation.simulate(), simulation.share * cluster.runs
    work = cluster.runs * cluster.train + settings * (cluster.sample + cluster.evaluate)
    jobs = cluster.runs * (1 + simulation.batches)
    return {
        "settings": cluster.settings,
        "runs": cluster.runs,
        "nodes": cluster.nodes,
        "slots": cluster.slots,
        "jobs": jobs,
        "hours": wall / 3600,
        "nodes_working": f"{work / wall / cluster.nodes:.0%}",
        "nodes_starting_jobs": f"{cluster.start * jobs / wall / cluster.nodes:.0%}",
        "workflow_busy": f"{jobs * cluster.handling / wall:.0%}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    defaults = {"train": 1150.0, "sample": 180.0, "evaluate": 110.0, "start": 4.0, "look": 5.0}
    defaults |= {"handling": 0.02, "dispatch": 0.02, "plan": 0.0005, "submit": 0.005}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=float, default=value, help="seconds")
    parser.add_argument("--per-job", type=int, default=25, help="settings of a job")
    options = vars(parser.parse_args(arguments))
    one = Cluster(runs=10, settings=10_000, nodes=100, slots=4, **options)
    short = {name: options[name] / 30 for name in ("train", "sample", "evaluate")}
    variants = [
        replace(one, nodes=1),
        replace(one, nodes=10),
        one,
        replace(one, slots=10),
        replace(one, runs=100),
        replace(one, runs=100, slots=100),
        replace(one, nodes=1000, slots=10),
        replace(one, nodes=1000, runs=100, slots=100),
        replace(one, slots=10, **short),
        replace(one, settings=100_000, slots=10),
    ]
    print_rows([row_of(cluster) for cluster in variants])


if __name__ == "__main__":
    main()
