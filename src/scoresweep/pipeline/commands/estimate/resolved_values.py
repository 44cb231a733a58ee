"""What values that follow from data or results, such as `max_distance` and `auto`, are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from scoresweep.pipeline.commands.estimate.levels import ladder_levels
from scoresweep.pipeline.results import Results
from scoresweep.pipeline.results.best_step import chosen_step, has_best_step
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset, GaussianMixtureData
from scoresweep.pipeline.study.methods.networks import Oracle
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.pipeline.study.methods.samplers import AnnealedLangevin
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredLadder
from scoresweep.pipeline.system.atomic_files import read_json

__all__ = ["resolved_values"]


def resolved_values(plan: Plan, results: Results) -> list[str]:
    """Return a line "KEY: WORD is VALUE" for each word of a study that stands for a value.

    If the value is not known yet, the line says when it will be.
    """
    lines = [
        *_of_ladders(plan),
        *_step_sizes(plan),
        *_exact_scores(plan),
        *_best_steps(plan, results),
    ]
    return list(dict.fromkeys(lines))  # ladders that differ in other options have some in common


def _of_ladders(plan: Plan) -> Iterator[str]:
    """Yield what the data decide of each ladder."""
    ladders: dict[tuple[str, str, str], tuple[str, Dataset, NoiseLadder]] = {}
    own = [setting.sample.noise for setting in plan.settings if setting.sample.noise]
    for run in plan.runs:
        for block, noise in [("train", run.train.noise), *(("sample", noise) for noise in own)]:
            if _words(noise):
                key = block, run.dataset.id, noise.model_dump_json()
                ladders[key] = block, run.dataset, noise
    for block, dataset, ladder in ladders.values():
        levels = ladder_levels(plan, ladder, dataset)
        for option, word in _words(ladder).items():
            value = levels and _value(option, levels)
            yield _line(f"{block}.noise{option}: {word}", dataset, value)


def _words(noise: NoiseLadder) -> dict[str, str]:
    """Return the options of a ladder that the data decide, "" for the ladder itself."""
    if isinstance(noise, DeclaredLadder):
        return {"": noise.name} if noise.depends_on_data else {}
    sigma_max, levels = getattr(noise, "sigma_max", None), getattr(noise, "levels", None)
    found = {".sigma_max": sigma_max, ".levels": levels}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _value(option: str, levels: list[float]) -> str:
    if option == ".sigma_max":
        return f"{levels[0]:.4g}"
    return f"{len(levels)} levels, {levels[0]:.4g} to {levels[-1]:.4g},"


def _step_sizes(plan: Plan) -> Iterator[str]:
    """Yield the step sizes by Technique 4, for each ladder and number of steps."""
    found: dict[tuple[str, str, int], tuple[Dataset, NoiseLadder]] = {}
    for sample in (setting.sample for setting in plan.settings):
        sampler = sample.sampler
        if isinstance(sampler, AnnealedLangevin) and sampler.step_size == "auto":
            for run in plan.runs:
                noise = sample.noise or run.train.noise
                key = run.dataset.id, noise.model_dump_json(), sampler.steps_per_level
                found[key] = run.dataset, noise
    for (_, _, steps), (dataset, ladder) in found.items():
        levels = ladder_levels(plan, ladder, dataset)
        value = levels and _step_size(levels, steps)
        yield _line("sample.sampler.step_size: auto", dataset, value)


def _step_size(levels: list[float], steps_per_level: int) -> str:
    import torch

    from scoresweep.noise import step_size_by_technique_4

    step_size = step_size_by_technique_4(torch.tensor(levels).double(), steps_per_level)
    return f"{step_size:.4g} for {len(levels)} levels of {steps_per_level} steps"


def _exact_scores(plan: Plan) -> Iterable[str]:
    """Yield of which distribution an exact score is."""
    for run in plan.runs:
        network, dataset = run.train.network, run.dataset
        if not (isinstance(network, Oracle) and network.of == "auto"):
            continue
        attributes = read_json(plan.paths.dataset_manifest(dataset.id)).get("attributes", {})
        is_mixture = "mixture" in attributes or isinstance(dataset, GaussianMixtureData)
        value = "mixture" if is_mixture else "training_set"
        is_known = is_mixture or attributes or dataset.known_size
        yield _line("train.network.of: auto", dataset, value if is_known else None)


def _best_steps(plan: Plan, results: Results) -> Iterator[str]:
    """Yield the training steps that were chosen, and how often."""
    steps, pending = Counter[int](), 0
    for run in plan.runs:
        for setting in results.settings[run.id]:
            if not has_best_step(run, setting):
                continue
            choice = results.best_steps.get((run.id, setting.id))
            step = chosen_step(plan, run, setting, choice) if choice else None
            pending += step is None
            steps.update([] if step is None else [step])
    parts = [f"{step:,} for {count:,}" for step, count in sorted(steps.items())]
    parts += [f"not known yet for {pending:,} (when each kept step is measured)"] * bool(pending)
    if parts:
        yield f"sample.training_step: best is {', '.join(parts)} sets of samples"


def _line(key: str, dataset: Dataset, value: str | list[float] | None) -> str:
    if not value:
        return f"{key} is known when {dataset.id} is staged (scoresweep stage STUDY)"
    return f"{key} is {value} on {dataset.id}"
