"""The arithmetic of the time that `scoresweep plan` estimates."""

from __future__ import annotations

from pathlib import Path

import pytest
from faked_study import CONTENT, fake_plan
from halved_study import halving_plan
from known_costs import FIRST, MEASURE, REFERENCE, SAMPLE, STAGE, START, STEP, known_costs

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.estimate import stopwatch
from scoresweep.pipeline.commands.estimate.costs import Costs, Measuring, image_key
from scoresweep.pipeline.commands.estimate.job_seconds import (
    REPORT_STARTS_PER_SET,
    SNAKEMAKE_STARTS,
    STARTS,
    STARTS_PER_SET,
    JobSeconds,
)
from scoresweep.pipeline.commands.estimate.probe_processes import mean_costs, scaled
from scoresweep.pipeline.commands.estimate.remaining import time_left
from scoresweep.pipeline.commands.estimate.schedule import Work, seconds_until_done
from scoresweep.pipeline.commands.estimate.stopwatch import extrapolate, seconds_at
from scoresweep.pipeline.commands.estimate.task_seconds import (
    TaskSeconds,
    measuring_at,
    new_samples,
)
from scoresweep.pipeline.results import batch_results, examine_results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import split_into_batches

A, B, C, D = ("a",), ("b",), ("c",), ("d",)


# ── Jobs beside each other ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("cores", "seconds"), [(1, 17.0), (2, 10.0), (3, 7.0), (64, 7.0)])
def test_jobs_run_beside_each_other_on_the_cores(cores: int, seconds: float) -> None:
    """On two cores, c runs from 4 to 10 and d, which waits for a, from 5 to 7."""
    jobs = {A: Work(5.0), B: Work(4.0), C: Work(6.0), D: Work(2.0, after=[A, ("done",)])}
    assert seconds_until_done(jobs, cores) == seconds


def test_a_job_waits_for_those_before_it_and_for_free_cores() -> None:
    jobs = {A: Work(5.0), B: Work(4.0, cores=2), C: Work(1.0, after=[A])}
    assert seconds_until_done(jobs, 2) == 5.0 + 4.0 + 1.0
    assert seconds_until_done(jobs, 3) == 6.0
    assert seconds_until_done({B: jobs[B]}, 1) == 4.0  # on all cores that there are


def test_jobs_of_high_priority_start_first() -> None:
    jobs = {A: Work(5.0), B: Work(2.0, priority=1), C: Work(6.0, after=[B])}
    assert seconds_until_done(jobs, 1) == 13.0
    assert seconds_until_done(jobs, 2) == 8.0
    assert seconds_until_done({**jobs, D: Work(5.0, priority=2)}, 2) == 11.0


# ── A small part of the work ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({8: 2.0}, 8.0),
        ({8: 2.0, 32: 2.0}, 2.0),  # the size does not matter
        ({8: 2.0, 16: 3.0}, 1.0 + 32 / 8),  # a constant part
        ({8: 1.0, 16: 4.0}, 16.0),  # pairs of samples
        ({8: 1.0, 16: 8.0}, 32.0),  # no steeper than those, from the last size
        ({8: 3.0, 16: 2.0}, 2.0),  # by chance
        ({8: 3.0, 32: 7.0}, 7.0),
    ],
)
def test_the_whole_is_extrapolated_from_a_part(times: dict[int, float], seconds: float) -> None:
    assert extrapolate(times, 32) == pytest.approx(seconds)


def test_sizes_grow_until_a_call_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only the work moves: a second, and a tenth for each sample."""
    now, sizes = [0.0], list[int]()
    monkeypatch.setattr(stopwatch.time, "process_time", lambda: now[0])
    monkeypatch.setattr(stopwatch, "LONG_ENOUGH", 10.0)

    def work(size: int) -> None:
        now[0] += 1 + size / 10
        sizes.append(size)

    assert seconds_at(work, 1000, first=8) == pytest.approx(101.0)
    assert set(sizes) == {8, 32, 128}
    assert seconds_at(work, 20, first=8) == pytest.approx(3.0)


def test_full_chunks_are_drawn() -> None:
    assert new_samples(20, 0, 250) == 250
    assert new_samples(500, 0, 250) == 500
    assert new_samples(600, 1, 250) == 500
    assert new_samples(500, 3, 250) == 0


def test_the_cost_of_measuring_lies_between_known_ones() -> None:
    known = {("x", 100): Measuring(2.0, 1.0), ("x", 300): Measuring(6.0, 3.0)}
    costs = Costs(measuring=known)
    assert measuring_at(costs, "x", 100) == (2.0, 1.0)
    assert measuring_at(costs, "x", 150) == (3.0, 1.5)
    assert measuring_at(costs, "x", 600) == (12.0, 3.0)
    assert measuring_at(costs, "x", 50) == (1.0, 1.0)
    assert measuring_at(costs, "y", 50) is None


def test_the_mean_over_processes() -> None:
    parts = [
        Costs(step_seconds={A: s}, measuring={("x", 1): Measuring(s, 1.0)}, start_seconds=2 * s)
        for s in (1.0, 3.0)
    ]
    for part in parts:
        part.levels, part.probes = {A: 7}, 2
    mean = mean_costs(parts)
    assert mean.step_seconds == {A: 2.0}
    assert mean.measuring == {("x", 1): (2.0, 1.0)}
    assert (mean.start_seconds, mean.levels, mean.probes) == (4.0, {A: 7}, 2)


def test_other_load_makes_all_seconds_longer() -> None:
    costs = Costs(
        step_seconds={A: 1.0},
        reference_seconds={("x", "pixels"): 2.0},
        measuring={("x", 1): Measuring(3.0, 1.0)},
        levels={A: 7},
    )
    slow = scaled(costs, 2.5)
    assert (slow.step_seconds, slow.measuring) == ({A: 2.5}, {("x", 1): (7.5, 2.5)})
    assert (slow.reference_seconds, slow.levels) == ({("x", "pixels"): 5.0}, {A: 7})


# ── A study ─────────────────────────────────────────────────────────────────────────────────────


def job_seconds(plan: Plan, costs: Costs | None = None, cores: int = 2) -> JobSeconds:
    results = examine_results(plan)
    batches = split_into_batches(plan, cores)
    results.by_key |= batch_results(plan, results, batches)
    tasks = TaskSeconds(plan, collect_jobs(plan, results), costs or known_costs(plan))
    return JobSeconds(tasks, results, batches)


def one_run(root: Path) -> Plan:
    """A run of 100 steps on six levels, two settings and no metrics of networks."""
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [2e-5, 4e-5]}}
    evaluate = {"metrics": ["frechet"], "extractors": ["pixels"]}
    train = CONTENT["train"] | {"grid": {"noise.levels": [6]}}
    return fake_plan(root, train=train, sample=sample, evaluate=evaluate)


def test_each_job_is_counted_with_its_start(tmp_path: Path) -> None:
    jobs = job_seconds(one_run(tmp_path))
    drawing = 250 * (6 * 5 + 1) * SAMPLE
    files = STARTS_PER_SET * START
    expected = {
        "stage": STARTS["stage"] * START + STAGE,
        "reference": STARTS["reference"] * START + REFERENCE,
        "train": STARTS["train"] * START + 100 * STEP,
        "sweep": STARTS["sweep"] * START + drawing + MEASURE + FIRST + files,
        "report": (STARTS["report"] + 2 * REPORT_STARTS_PER_SET) * START,
    }
    assert [key[0] for key in jobs.by_job] == [
        *("stage", "reference", "train", "report", "sweep", "sweep")
    ]
    assert {key[0]: seconds for key, seconds in jobs.by_job.items()} == pytest.approx(expected)
    left = time_left(jobs, cores=2)
    assert left is not None
    alone = expected["stage"] + expected["report"] + SNAKEMAKE_STARTS * START
    # Features of real samples are computed beside the training, the settings beside each other.
    assert left.seconds == pytest.approx(alone + expected["train"] + expected["sweep"])
    assert left.core_seconds == pytest.approx(sum(expected.values()) + expected["sweep"])
    one = time_left(job_seconds(one_run(tmp_path), cores=2), cores=1)
    assert one is not None
    assert one.seconds == pytest.approx(left.core_seconds + SNAKEMAKE_STARTS * START)


def test_batches_of_a_later_count_wait_for_those_of_the_run_before(tmp_path: Path) -> None:
    """Six settings of 10 samples, then three of 15 and two of 20, about as many per batch."""
    plan = halving_plan(tmp_path)
    jobs = job_seconds(plan, cores=2)
    work = jobs.work(2)
    assert work is not None
    names = {run.id: [key for key in work if key[:2] == ("sweep", run.id)] for run in plan.runs}
    for keys in names.values():
        first, middle, last = ([k for k in keys if f"-at-{n}" in k[2]] for n in (10, 15, 20))
        assert [len(first), len(middle), len(last)] == [2, 2, 2]
        for key, before in ((first[0], []), (middle[0], first), (last[0], middle)):
            assert [each for each in work[key].after if each[0] == "sweep"] == before
    for run, evaluations in zip(plan.runs, (6 * 5 + 1, 4 * 5 + 1), strict=True):
        key = next(key for key in names[run.id] if "-at-15" in key[2])
        each = 250 * evaluations * SAMPLE + MEASURE + STARTS_PER_SET * START
        seconds = jobs.by_job[key]
        assert seconds == pytest.approx(STARTS["sweep"] * START + FIRST + 1.5 * each)


def test_score_errors_follow_from_score_evaluations(tmp_path: Path) -> None:
    """Two splits, six levels and 512 points; half a millisecond of exact score at each."""
    train = CONTENT["train"] | {"grid": {"noise.levels": [6]}}
    evaluate = {"metrics": ["score_error"], "score_error_samples": 512}
    costs_of = {}
    for name, more in (
        ("plain", {}),
        ("bins", {"density_bins": 4}),
        ("asymmetry", {"asymmetry_probes": 3}),
        ("likelihood", {"metrics": ["bits_per_dimension"], "likelihood_steps": 10}),
    ):
        plan = fake_plan(tmp_path, train=train, evaluate=evaluate | more)
        costs = known_costs(plan)
        costs.exact_seconds["digits"] = 5e-4
        costs_of[name] = TaskSeconds(plan, (), costs).network_metrics(plan.runs[0])
    points = 2 * 6 * 512
    assert costs_of["plain"] == pytest.approx(points * 1.5e-3)
    assert costs_of["bins"] == pytest.approx(2 * points * 1.5e-3)
    assert costs_of["asymmetry"] == pytest.approx(points * (1.5e-3 + 3 * 2e-3))
    assert costs_of["likelihood"] == pytest.approx(2 * 256 * 4 * 10 * 3 * 1e-3)


def test_training_draws_the_samples_that_it_shows(tmp_path: Path) -> None:
    train = CONTENT["train"] | {"grid": {"noise.levels": [6]}, "log": {"images": 40}}
    plan = fake_plan(tmp_path, train=train)
    costs = known_costs(plan)
    tasks = job_seconds(plan, costs).tasks
    costs.image_seconds[image_key(plan.runs[0])] = 0.01
    # After steps 40, 80 and 100: three Langevin steps on each of six levels and a last one.
    assert tasks.training(plan.runs[0]) == pytest.approx(100 * STEP + 3 * 19 * 0.01)
