"""A dataset, a noise ladder and an objective of a plugin, in one run."""

from __future__ import annotations

import json

import pytest
import torch
from plugin_study import plan_in

from scoresweep import load_network
from scoresweep.objectives import dsm
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points
from scoresweep.pipeline.training.plugin_objective import load_objective

METHODS = '''
import numpy as np

from scoresweep.plugins import dataset, noise_ladder, objective


@dataset(shape=(3,), count=60, licence="CC0")
def balls(*, radius: float = 2.0):
    """Points in a ball."""
    points = np.random.RandomState(0).uniform(-radius, radius, (60, 3))
    return (points[:40], np.arange(40) % 2), (points[40:], np.arange(20) % 2)


@noise_ladder
def halves(*, sigma_max: float, levels: int = 3):
    return [sigma_max / 2**i for i in range(levels)]


@noise_ladder
def widths(*, levels: int, points):
    return [float(points.abs().max()) / 2**i for i in range(levels)]


@objective
def plain(score, x, sigma, z, *, weight: float = 1.0):
    scale = sigma[:, None]
    residual = scale * score(x + scale * z, sigma) + z
    return weight * residual.flatten(1).square().sum(1) / 2


@objective
def directed(score, x, sigma, z, v):
    return (score(x, sigma) * v[0]).sum(1)
'''
BLOCKS = {
    "dataset": [{"name": "balls"}],
    "train": {
        "objective": {"name": "plain"},
        "noise": {"name": "halves", "sigma_max": 4.0},
        "network": {"name": "mlp", "width": 8, "blocks": 1},
        "steps": 3,
        "batch_size": 8,
        "grid": {},
    },
    "evaluate": {"metrics": ["frechet"]},
}


def plan_of(folder, methods=METHODS, **train):
    return plan_in(folder, methods, **BLOCKS | {"train": BLOCKS["train"] | train})


def test_a_run_of_own_methods(tmp_path, fresh_process):
    plan = plan_of(tmp_path)
    (run,), (data,) = plan.runs, plan.study.dataset
    stage(plan, data.id)
    store = plan.paths.dataset_store(data.id)
    split = read_split(store, "train")
    assert split.values.shape == (40, 3)
    assert split.labels.tolist() == [0, 1] * 20
    assert json.loads(plan.paths.dataset_manifest(data.id).read_text())["attributes"]["sha256"] == {
        "my_methods.py": data.plugin
    }
    train_here(run, plan.paths, Resources("local"), None, [])
    assert plan.paths.weights(run.id).exists()
    assert load_network(plan.paths.run(run.id)).sigmas.tolist() == [4.0, 2.0, 1.0]
    ladder = plan_of(tmp_path, noise={"name": "widths", "levels": 2}).runs[0].train.noise
    sigmas = resolve_noise_levels(ladder, lambda: training_points(store))
    assert sigmas.tolist() == pytest.approx([abs(split.values).max(), abs(split.values).max() / 2])


def test_an_objective_is_called_like_a_built_in_one(tmp_path):
    x, z = torch.randn(2, 6, 3).unbind()
    sigma = torch.full((6,), 0.5)
    own = plan_of(tmp_path).runs[0].train.objective
    assert own.projections == 0
    with torch.no_grad():
        losses = load_objective(own)(lambda x, s: -x, x, sigma, z)
    torch.testing.assert_close(losses, dsm(lambda x, s: -x, x, sigma, z))
    other = plan_of(tmp_path, objective={"name": "directed", "projections": 2}).runs[0]
    assert (other.train.objective.projections, other.train.objective.arguments()) == (2, {})


@pytest.mark.parametrize(
    "sigmas", ["[1, 2]", "[]", "[1.0, -1.0]", "1 / 0", "['a']", "[np.random.rand()]"]
)
def test_levels_that_are_no_ladder_are_refused_when_a_study_is_planned(tmp_path, sigmas):
    with pytest.raises(InputError, match=r"my_methods.py:\d+: the noise_ladder 'halves'"):
        plan_of(tmp_path, METHODS.replace("[sigma_max / 2**i for i in range(levels)]", sigmas))


@pytest.mark.parametrize("losses", ["residual", "residual.mean()", "1.0", "residual.nonsuch"])
def test_losses_of_another_shape_are_named(tmp_path, losses):
    methods = METHODS.replace("weight * residual.flatten(1).square().sum(1) / 2", losses)
    function = load_objective(plan_of(tmp_path, methods).runs[0].train.objective)
    x = torch.zeros(6, 3)
    with pytest.raises(RunError, match=r"my_methods.py:\d+: the objective 'plain'"):
        function(lambda x, s: x, x, torch.ones(6), x)


def test_losses_without_a_gradient_are_refused_in_training(tmp_path):
    function = load_objective(plan_of(tmp_path, METHODS).runs[0].train.objective)
    x, weight = torch.zeros(6, 3), torch.ones(3, requires_grad=True)
    assert function(lambda x, s: x * weight, x, torch.ones(6), x).requires_grad
    with pytest.raises(RunError, match=r"my_methods.py:\d+: the objective 'plain': .* no gradient"):
        function(lambda x, s: (x * weight).detach(), x, torch.ones(6), x)


@pytest.mark.parametrize("draw", ["torch.randn(6)", "np.random.normal(size=6)"])
def test_an_objective_that_draws_random_numbers_is_refused(tmp_path, draw):
    methods = METHODS.replace("return weight", f"return torch.as_tensor({draw}) * weight")
    methods = methods.replace("import numpy as np", "import numpy as np\nimport torch")
    function = load_objective(plan_of(tmp_path, methods).runs[0].train.objective)
    x = torch.zeros(6, 3)
    with pytest.raises(RunError, match=r"my_methods.py:\d+: the objective 'plain': draws random"):
        function(lambda x, s: x, x, torch.ones(6), x)


def test_global_random_numbers_of_a_dataset_are_seeded(tmp_path):
    methods = METHODS.replace("np.random.RandomState(0)", "np.random")
    values = []
    for name in "ab":
        (tmp_path / name).mkdir()
        plan = plan_of(tmp_path / name, methods)
        stage(plan, plan.study.dataset[0].id)
        store = plan.paths.dataset_store(plan.study.dataset[0].id)
        values.append(read_split(store, "train").values)
    assert (values[0] == values[1]).all()


@pytest.mark.parametrize(
    "returned", ["points", "points[:40], None", "points[:1], points", "points * np.nan, points"]
)
def test_a_dataset_that_returns_something_else_is_named(tmp_path, returned):
    start = "(points[:40], np.arange(40) % 2), (points[40:], np.arange(20) % 2)"
    plan = plan_of(tmp_path, METHODS.replace(start, returned))
    with pytest.raises(InputError, match=r"my_methods.py:\d+: the dataset 'balls'"):
        stage(plan, plan.study.dataset[0].id)


def test_images_of_a_dataset_with_channels_first_are_refused(tmp_path):
    methods = METHODS.replace("shape=(3,), count=60, ", "")
    methods = methods.replace("points = ", "points = np.zeros((60, 3, 8, 8)) #")
    plan = plan_of(tmp_path, methods)
    with pytest.raises(InputError, match=r"my_methods.py:\d+: .*\(40, 3, 8, 8\).*transpose"):
        stage(plan, plan.study.dataset[0].id)


def test_a_file_that_a_dataset_lacks_is_named_alone(tmp_path):
    methods = METHODS.replace("    points =", "    open('nonsuch')\n    points =")
    plan = plan_of(tmp_path, methods)
    with pytest.raises(InputError) as error:
        stage(plan, plan.study.dataset[0].id)
    assert "'nonsuch'" in str(error.value)
    assert "train, test" not in str(error.value)


def test_a_ladder_is_computed_once_for_a_plan(tmp_path):
    """Called twice, to see whether it draws random numbers; and again for other options."""
    methods = METHODS.replace(
        "    return [sigma_max", "    calls.append(levels)\n    return [sigma_max"
    )
    noise = {"name": "halves", "sigma_max": 4.0}
    grid = {"noise": [noise, noise | {"levels": 2}], "seed": [0, 1]}
    plan = plan_of(tmp_path, "calls = []\n" + methods, grid=grid)
    function = plan.runs[0].train.noise.load()
    assert sorted(function.__globals__["calls"]) == [2, 2, 3, 3]


def test_an_edited_dataset_is_staged_under_another_name(tmp_path):
    names = [
        plan_of(tmp_path, METHODS + suffix).study.dataset[0].id for suffix in ("", "", "# edited\n")
    ]
    assert names[0] == names[1] != names[2]
