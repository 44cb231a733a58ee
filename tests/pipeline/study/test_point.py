"""Sweeps over the name of a method."""

import pytest
from test_make_plan import plan

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import content_hash


def samplers(found):
    return [s.sample.sampler.model_dump(exclude_defaults=True) for s in found.settings]


def sweep(base, **groups):
    return plan(sample={"sampler": base, "grid": {}} | groups)


def test_defaults_of_one_method_are_not_kept_for_another():
    base = {"name": "consistent", "step_size": 8e-3, "denoise": False}
    found = sweep(base, grid={"sampler.name": ["annealed_langevin", "consistent"]})
    steps = [s.sample.sampler.steps_per_level for s in found.settings]
    assert steps == [5, 1], "each has its own default"
    given = {"step_size": 8e-3, "denoise": False}
    assert samplers(found) == [{"name": "annealed_langevin", **given}, base]


def test_ids_equal_those_of_whole_blocks():
    base = {"name": "annealed_langevin", "step_size": 8e-3}
    names = sweep(base, grid={"sampler.name": ["annealed_langevin", "consistent"]})
    blocks = sweep(base, grid={"sampler": [base, base | {"name": "consistent"}]})
    alone = [sweep(base), sweep(base | {"name": "consistent"})]
    hashes = [content_hash(s.sample) for s in names.settings]
    assert hashes == [content_hash(s.sample) for s in blocks.settings]
    assert hashes == [content_hash(each.settings[0].sample) for each in alone]


def test_option_unknown_to_the_other_method_is_an_error():
    base = {"name": "annealed_langevin", "step_size": 2e-3, "steps_per_level": 2}
    with pytest.raises(InputError) as error:
        sweep(base, grid={"sampler.name": ["probability_flow"]})
    for part in ("sample.grid.sampler.name: probability_flow", "step_size, steps_per_level"):
        assert part in str(error.value)
    assert "sampler: [{name: ..., step_size: 0.002" in str(error.value)
    kinds = [base, {"name": "probability_flow", "solver": "euler"}]
    assert samplers(sweep(base, grid={"sampler": kinds})) == kinds


@pytest.mark.parametrize(
    "groups",
    [
        {"zip": [{"sampler.name": ["consistent", "langevin"], "sampler.denoise": [True, False]}]},
        {"include": [{"sampler.name": "langevin", "sampler.steps": 7}]},
        {"grid": {"sampler.name": ["langevin"], "sampler.steps": [7, 8]}},
        {"include": [{"sampler.steps": 7, "sampler.name": "langevin"}]},
    ],
)
def test_name_and_its_options_are_swept_together(groups):
    base = {"name": "annealed_langevin", "step_size": 8e-3}
    if "zip" in groups:
        groups = {"zip": [groups["zip"][0] | {"sampler.name": ["consistent", "annealed_langevin"]}]}
        expected = [("consistent", True, None), ("annealed_langevin", False, None)]
    else:
        expected = [("langevin", True, n) for n in groups.get("grid", {}).get("sampler.steps", [7])]
    found = [s.sample.sampler for s in sweep(base, **groups).settings]
    found = [s for s in found if (s.name, s.denoise) != ("annealed_langevin", True)]
    assert [(s.name, s.denoise, getattr(s, "steps", None)) for s in found] == expected


def test_two_names_and_a_common_option_are_swept():
    grid = {
        "noise.name": ["geometric", "karras"],
        "objective.name": ["dsm", "ssm_vr"],
        "noise.levels": [5, 9],
    }
    found = plan(train={"grid": grid})
    points = {
        (r.train.noise.name, r.train.objective.name, r.train.noise.levels) for r in found.runs
    }
    assert points == {
        (n, o, k) for n in grid["noise.name"] for o in ("dsm", "ssm_vr") for k in (5, 9)
    }
    assert [list(run.axes) for run in found.runs] == [["name", "objective_name", "levels"]] * 8


def test_null_block_can_be_set_by_name():
    task = {"task.name": "inpainting", "task.mask": "right_half"}
    found = plan(sample={"grid": {}, "include": [task]})
    assert [s.sample.task and s.sample.task.mask for s in found.settings] == [None, "right_half"]


@pytest.mark.parametrize(
    ("grid", "parts"),
    [
        ({"sampler.name": ["anealed_langevin"]}, ["anealed_langevin", "'annealed_langevin'?"]),
        ({"sampler.nam": ["consistent"]}, ["'nam'", "'sampler'", "'name'?"]),
        ({"sampler.name": [3]}, ["sampler.name", "3"]),
        (
            {"sampler.name": ["consistent"], "sampler.step_rule": ["linear"]},
            ["'step_rule'", "consistent"],
        ),
        ({"count.name": ["x"]}, ["sample.grid.count.name", "50"]),
    ],
)
def test_wrong_name_or_path_is_located(grid, parts):
    with pytest.raises(InputError) as error:
        sweep({"name": "annealed_langevin", "step_size": 8e-3}, grid=grid)
    assert all(part in str(error.value) for part in parts)


def test_path_in_grid_and_zip_is_an_error():
    with pytest.raises(InputError, match=r"train\.zip\[0\]\.seed: .*train\.grid"):
        plan(train={"grid": {"seed": [0]}, "zip": [{"seed": [1], "steps": [5]}]})


def test_blocks_shared_by_an_anchor_are_independent():
    shared = {"name": "annealed_langevin", "step_size": 8e-3}
    found = sweep(shared, grid={"sampler": [shared], "sampler.steps_per_level": [2, 3]})
    assert shared == {"name": "annealed_langevin", "step_size": 8e-3}
    assert [s.sample.sampler.steps_per_level for s in found.settings] == [2, 3]


def test_exclude_matches_inside_whole_blocks():
    kinds = [{"name": n, "step_size": 8e-3} for n in ("annealed_langevin", "consistent")]
    found = sweep(
        kinds[0],
        grid={"sampler": kinds, "count": [20, 30]},
        exclude=[{"sampler.name": "consistent", "count": 30}],
    )
    points = [(s.sample.sampler.name, s.sample.count) for s in found.settings]
    assert points == [("annealed_langevin", 20), ("annealed_langevin", 30), ("consistent", 20)]
