"""Every study of `config/studies` plans unchanged and, reduced, runs to its report."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import xarray as xr
import yaml
from shrunk import shrunk

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train, train_here
from scoresweep.pipeline.study import Plan, load_study, parse_study, plan_study
from scoresweep.pipeline.study.load import read_yaml

pytestmark = pytest.mark.usefixtures("fresh_process", "blank_figures")

FOLDER = Path(__file__).parents[2] / "config/studies"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))

PUBLISHED = {
    "cifar10_ncsn": {
        "network": {"name": "ncsn", "channels": 128},
        "noise": {"name": "geometric", "sigma_max": 1.0, "sigma_min": 0.01, "levels": 10},
        "learning_rate": 1e-3,
        "ema": 0.0,
        "steps": 200_000,
        "samplers": [("annealed_langevin", 2e-5, 100)],
    },
    "cifar10_ncsnv2": {
        "network": {"name": "ncsnv2", "channels": 128},
        "noise": {"name": "geometric", "sigma_max": 50.0, "sigma_min": 0.01, "levels": 232},
        "learning_rate": 1e-4,
        "ema": 0.999,
        "steps": 300_000,
        "samplers": [("annealed_langevin", 6.2e-6, 5)],
    },
    "celeba64_ncsnv2": {
        "network": {"name": "ncsnv2", "channels": 128},
        "noise": {"name": "geometric", "sigma_max": 90.0, "sigma_min": 0.01, "levels": 500},
        "learning_rate": 1e-4,
        "ema": 0.999,
        "steps": 210_000,
        "samplers": [("annealed_langevin", 3.3e-6, 5)],
    },
    "cifar10_consistent": {
        "network": {"name": "ncsnv2", "channels": 128},
        "noise": {"name": "geometric", "sigma_max": 50.0, "sigma_min": 0.01, "levels": 232},
        "learning_rate": 1e-4,
        "ema": 0.9999,
        "steps": 250_000,
        "samplers": [
            ("consistent", 5.6e-6, 1),
            ("consistent", 1.1e-6, 5),
            ("annealed_langevin", 1.8e-5, 1),
            ("annealed_langevin", 3.6e-6, 5),
        ],
    },
}
"""The numbers of the papers, by study."""


FRECHET, SLICED = "metric_frechet_pixels", "metric_sliced_wasserstein_pixels"
COSTS = ("sampler_cost", "network_cost")

SHOWN = {
    "denoiser_view": {"asymmetry_relative", "field", "mode_shares", "walks"},
    "denoiser_view_truth": {"mode_shares", "overview"},
    "digits_single_level": {FRECHET, "level_loss", "overview", "walks"},
    "mixture_1d": {"density", "dsm_loss", "fit", "overview", "walks"},
    "ncsn_steps": {"signal_to_noise", "walks"},
    "sampler_or_network": {f"{SLICED}_{cost}" for cost in COSTS},
    "sampler_or_network_digits": {f"{FRECHET}_{cost}" for cost in COSTS},
    "score_error_density": {"field", "metric_mode_error", "mode_shares", "score_error_by_density"},
    "shapes": {"overview", "shape_shares"},
    "shapes_imbalanced": {"overview", "shape_shares_shapes_"},
}
"""Beginnings of the names of a study's main figures."""

MEASURED = {
    "denoiser_view_truth": {"mode_error", "energy_distance_pixels", "sliced_wasserstein_pixels"},
    "sampler_or_network": {f"sliced_wasserstein_pixels_{cost}" for cost in COSTS},
    "sampler_or_network_digits": {f"frechet_pixels_{cost}" for cost in COSTS},
    "shapes_imbalanced": {"shape_asked", "shape_share", "shape_share_real", "shape_mass_outside"},
}
"""Main variables of a study's report."""


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_plans_and_has_the_name_of_its_file(name: str) -> None:
    plan = plan_study(load_study(FOLDER / f"{name}.yaml"), where=name)
    assert plan.study.study == name
    assert plan.runs
    assert plan.settings


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings_are_the_published_ones(name: str) -> None:
    plan = plan_study(load_study(FOLDER / f"{name}.yaml"), where=name)
    (run,) = plan.runs
    found: dict[str, Any] = {
        "network": run.train.network.model_dump(),
        "noise": run.train.noise.model_dump(),
        "learning_rate": run.train.optimizer.learning_rate,
        "ema": run.train.ema,
        "steps": run.train.steps,
        "samplers": list(
            dict.fromkeys(
                (s.name, s.step_size, s.steps_per_level)
                for s in (setting.sample.sampler for setting in plan.settings)
            )
        ),
    }
    assert found == PUBLISHED[name]
    assert run.train.batch_size == 128


def test_the_samplers_of_score_sde_are_those_of_its_tables() -> None:
    plan = plan_study(load_study(FOLDER / "cifar10_score_sde_table1.yaml"))
    samplers = [setting.sample.sampler.arguments() for setting in plan.settings]
    ladders = [s.sample.noise.levels if s.sample.noise else 1000 for s in plan.settings]
    steps = {
        (s["predictor"], s["corrector_steps"], levels): s["snr"]
        for s, levels in zip(samplers, ladders, strict=True)
    }
    predictors = ("ancestral", "reverse_diffusion", "probability_flow")
    one_each = dict(zip(((n, 1, 1000) for n in predictors), (0.17, 0.16, 0.17), strict=True))
    alone = dict.fromkeys(((n, 0, levels) for n in predictors for levels in (1000, 2000)), 0.16)
    assert steps == alone | one_each | {("none", 2, 1000): 0.22}
    (run,) = plan.runs
    evaluations = [
        s.sample.sampler.num_score_evaluations(levels)
        for s, levels in zip(plan.settings, ladders, strict=True)
    ]
    assert evaluations == [1000] * 3 + [2000] * 7
    assert run.train.noise.model_dump()["levels"] == 1000


FIDS = {
    "cifar10_consistent": [38.4, 15.6],
    "cifar10_ncsn": [25.32, 29.8],
    "cifar10_ncsnv2": [10.87, 31.75],
    "celeba64_ncsnv2": [10.23, 28.86],
    "cifar10_ncsnpp": [2.38, 2.20],
    "cifar10_score_sde_table1": [4.98, 4.79, 15.41, 4.88, 4.74, 10.54, 3.62, 3.6, 3.51, 20.43],
}
"""Published FIDs, by study."""


@pytest.mark.parametrize("name", FIDS)
def test_a_published_value_is_of_one_run_and_setting(name: str) -> None:
    plan = plan_study(load_study(FOLDER / f"{name}.yaml"), where=name)
    assert [entry.values["fid"] for entry in plan.study.published] == FIDS[name]
    found = [
        (run.id, setting.id)
        for entry in plan.study.published
        for run in plan.runs
        for setting in plan.settings
        if entry.is_of(dataset=run.dataset, train=run.train, sample=setting.sample)
    ]
    assert len(set(found)) == len(found) == len(FIDS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_to_its_report(name: str, tmp_path: Path) -> None:
    content = shrunk(read_yaml(FOLDER / f"{name}.yaml"), tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    plan = plan_study(parse_study(content, "study.yaml"), tmp_path)
    run_all(plan)
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as file:
        tree = file.load()
    for group in tree.groups:
        for variable, values in tree[group].variables.items():
            assert "long_name" in values.attrs, f"{group}/{variable}"
            if group != "/summary" or "metric" not in values.dims:  # each metric has its units
                assert "units" in values.attrs or values.dtype.kind != "f", f"{group}/{variable}"
    sampling = tree["sampling"].to_dataset()
    # A grid that is not a full product has cells without a setting; their state is empty.
    states = sampling["state"].values.ravel().tolist()
    assert set(states) - {""} == {"done"}
    assert states.count("done") == len(plan.runs) * len(plan.settings)
    drawn = [path.name for path in plan.paths.figures.iterdir()]
    for shown in SHOWN.get(name, ()):
        assert any(file.startswith(shown) for file in drawn), shown
    for measured in MEASURED.get(name, ()):
        assert sampling[measured].notnull().any(), measured
    if table := reproduce().STUDIES.get(name):
        rows = table(tree)
        assert rows
        for what, source, ours in rows:
            assert what
            assert ours
            assert "nan" not in (source + ours).lower(), (what, source, ours)


def reproduce() -> ModuleType:
    """Return docs/reproduce.py as a module."""
    spec = spec_from_file_location("reproduce", FOLDER.parents[1] / "docs/reproduce.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_all(plan: Plan) -> None:
    """Run the stages of a study one after the other, in this process."""
    for dataset in plan.study.dataset:
        stage(plan, dataset.id)
        for extractor in plan.extractors:
            reference(plan, dataset.id, extractor)
    for run in plan.runs:
        if run.train.network.is_trained:
            train_here(run, plan.paths, Resources())
        else:
            train(plan, run.id, Resources())
        if plan.measures_networks:
            score_error(plan, run.id)
        for setting in plan.settings:
            sample(plan, run.id, setting.id)
            evaluate(plan, run.id, setting.id)
    report(plan)
