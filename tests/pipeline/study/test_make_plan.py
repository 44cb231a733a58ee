import copy
import importlib
import inspect
import json
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.config import Config
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.study.methods.datasets import AnyDataset, ImageFolder
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import AnyObjective, Sliced
from scoresweep.pipeline.study.methods.samplers import AnySampler


def content(**blocks):
    """The tiny study with some keys of its blocks replaced."""
    study = parse_yaml(TINY, "tiny.yaml")
    for block, changes in blocks.items():
        study[block] = {**study[block], **changes} if isinstance(changes, dict) else changes
    return study


def plan(root="/nowhere", **blocks):
    return plan_study(parse_study(content(**blocks), "tiny.yaml"), Path(root))


def ids(found):
    return [run.id for run in found.runs], [setting.id for setting in found.settings]


def stores(found):
    return {setting.store for setting in found.settings}


def test_the_grid_is_the_product():
    found = plan(train={"grid": {"noise.levels": [5, 9], "seed": [0, 1, 2]}})
    assert [run.axes for run in found.runs] == [
        {"levels": levels, "seed": seed} for levels in (5, 9) for seed in (0, 1, 2)
    ]
    assert [run.train.noise.levels for run in found.runs] == [5, 5, 5, 9, 9, 9]
    assert len(set(ids(found)[0])) == 6


def test_zip_include_and_exclude():
    found = plan(
        train={
            "grid": {"seed": [0, 1]},
            "zip": [{"noise.levels": [5, 9], "steps": [100, 200]}],
            "include": [{"noise.levels": 7}],
            "exclude": [{"noise.levels": 9, "seed": 1}],
        }
    )
    points = [tuple(run.axes[name] for name in ("seed", "levels", "steps")) for run in found.runs]
    assert points == [(0, 5, 100), (0, 9, 200), (1, 5, 100), (0, 7, 120)]


def test_the_name_of_a_block_omits_options_swept_by_their_own_path():
    """Two samplers at the same step sizes: a table of sampler by step size without holes."""
    consistent = {"name": "consistent", "denoise": False}
    found = plan(
        sample={
            "grid": {"sampler.step_size": [8e-3, 12e-3]},
            "include": [{"sampler": consistent | {"step_size": s}} for s in (8e-3, 12e-3)],
        }
    )
    points = [(s.axes["sampler"], s.axes["step_size"]) for s in found.settings]
    assert points == [
        ("annealed_langevin(steps_per_level=2)", 8e-3),
        ("annealed_langevin(steps_per_level=2)", 12e-3),
        ("consistent(denoise=false)", 8e-3),
        ("consistent(denoise=false)", 12e-3),
    ]


def test_whole_blocks_null_and_lists_can_be_swept():
    found = plan(
        train={
            "grid": {
                "noise": [
                    {"name": "explicit", "sigmas": [2.0, 1.0]},
                    {"name": "karras", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 5},
                ],
                "gradient_clip": [None, 1.0],
            }
        }
    )
    assert [run.train.noise.name for run in found.runs] == ["explicit"] * 2 + ["karras"] * 2
    assert [run.axes["gradient_clip"] for run in found.runs] == ["none", 1.0] * 2
    swept = plan(
        train={
            "grid": {"noise.sigmas": [[3.0, 1.0], [2.0, 1.0]]},
            "noise": {"name": "explicit", "sigmas": [2.0, 1.0]},
        }
    )
    assert [run.axes["sigmas"] for run in swept.runs] == ["[3.0,1.0]", "[2.0,1.0]"]


@pytest.mark.parametrize("order", [("noise", "noise.levels"), ("noise.levels", "noise")])
def test_a_block_and_a_part_of_it_can_be_swept_together(order):
    ends = {"sigma_max": 8.0, "sigma_min": 0.1, "levels": 5}
    values = {
        "noise": [{"name": "karras", **ends}, {"name": "cosine", **ends}],
        "noise.levels": [3, 7],
    }
    found = plan(train={"grid": {path: values[path] for path in order}})
    ladders = {(run.train.noise.name, run.train.noise.levels) for run in found.runs}
    assert ladders == {("karras", 3), ("karras", 7), ("cosine", 3), ("cosine", 7)}


def test_repeated_points_are_dropped():
    found = plan(train={"grid": {"seed": [0, 1, 0]}, "include": [{"seed": 1}]})
    assert [run.axes["seed"] for run in found.runs] == [0, 1]


def test_unequal_zip_and_useless_exclude_are_errors():
    with pytest.raises(InputError, match=r"train\.zip\[0\]: .*'seed': 2, 'steps': 1"):
        plan(train={"grid": {}, "zip": [{"seed": [0, 1], "steps": [10]}]})
    with pytest.raises(InputError, match=r"train\.exclude\[0\]: .*'seed': 7"):
        plan(train={"exclude": [{"seed": 7}]})
    with pytest.raises(InputError, match=r"train\.exclude: .*every point"):
        plan(train={"exclude": [{"seed": 0}, {"seed": 1}]})


@pytest.mark.parametrize(
    ("sweep", "place"),
    [
        ({"grid": {"stepz": [1]}}, r"train\.grid\.stepz: 'stepz' is not a key"),
        ({"zip": [{"seed": [1]}, {"stepz": [1]}]}, r"train\.zip\[1\]\.stepz: 'stepz'"),
        ({"include": [{"noise.level": 3}]}, r"train\.include\[0\]\.noise\.level: 'level'"),
        ({"include": [{"gradient_clip.x": 3}]}, r"'gradient_clip' is not set.* 'x'"),
        ({"grid": {"seed.x": [3]}}, r"train\.grid\.seed\.x: 'seed' is 0.* 'x'"),
        ({"grid": {"steps": [5, "x"]}}, r"steps: 'x': .*\n.*steps='x'"),
    ],
)
def test_wrong_path_or_value_is_located(sweep, place):
    with pytest.raises(InputError, match=place):
        plan(train={"grid": {}} | sweep)


@given(st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=5, unique=True))
def test_adding_a_value_changes_no_id(more):
    before = plan(sample={"grid": {"sampler.step_size": [2e-3]}})
    after = plan(sample={"grid": {"sampler.step_size": [*more, 2e-3]}})
    assert set(ids(before)[1]) <= set(ids(after)[1])
    assert ids(before)[0] == ids(after)[0]


def test_adding_an_axis_keeps_existing_ids(tmp_path):
    before = plan(tmp_path)
    for run in before.runs:
        before.paths.run(run.id).mkdir(parents=True)
        for setting in before.settings:
            layout = before.paths
            for path in (
                layout.samples_manifest(run.id, setting.store),
                layout.metrics(run.id, setting.id),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    after = plan(
        tmp_path,
        train={"grid": {"seed": [0, 1], "noise.levels": [5, 9]}},
        sample={"grid": {"sampler.step_size": [2e-3, 4e-3], "sampler.denoise": [True, False]}},
    )
    assert set(ids(before)[0]) < set(ids(after)[0])
    assert set(ids(before)[1]) < set(ids(after)[1])
    assert stores(before) < stores(after)
    assert after.run(before.runs[0].id).axes == {"seed": 0, "levels": 5}


def test_adding_an_axis_keeps_the_ids_of_runs_with_fractions(tmp_path):
    def run_ids(**grid):
        grid = {"optimizer.learning_rate": [1e-3, 5e-3], **grid}
        return ids(plan(tmp_path, train={"grid": grid}))[0]

    sizes = {"batch_size": [64, 77]}
    _, before = run_ids()
    (again,) = (name for name in run_ids(**sizes) if name.endswith(before[-8:]))
    runs = plan(tmp_path).paths.results / "runs"
    (runs / before).mkdir(parents=True)
    assert before in run_ids(**sizes)
    # Earlier versions trained such a run again, and its results have the new name.
    (runs / again).mkdir()
    assert sorted([again, before]) == [again, before]
    assert again in run_ids(**sizes)


RESULT_FIELDS = [
    ("network", {"name": "mlp", "width": 17, "blocks": 1}),
    ("objective", {"name": "dsm", "weighting": "one"}),
    ("optimizer", {"learning_rate": 0.01}),
    ("steps", 121),
    ("batch_size", 32),
    ("gradient_accumulation", 2),
    ("gradient_clip", 1.0),
    ("ema", 0.5),
    ("precision", "bf16"),
    ("flip", True),
]


@pytest.mark.parametrize(("key", "value"), RESULT_FIELDS)
def test_a_field_that_affects_the_result_changes_the_id(key, value):
    assert not set(ids(plan())[0]) & set(ids(plan(train={key: value}))[0])


@pytest.mark.parametrize(
    ("key", "value"), [("checkpoint", {"steps": 7}), ("log", {"scalars": 3, "images": 9})]
)
def test_a_field_that_does_not_affect_the_result_keeps_the_id(key, value):
    assert ids(plan())[0] == ids(plan(train={key: value}))[0]


def test_every_field_of_sampling_affects_the_id():
    base = ids(plan())[1]
    for key, value in {
        "count": 51,
        "chunk": 21,
        "precision": "bf16",
        "seed": 3,
        "trajectories": 1,
        "initial": "normal",
        "noise": {"name": "uniform", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 5},
    }.items():
        assert not set(base) & set(ids(plan(sample={key: value}))[1]), key


def test_ids_do_not_change_between_versions():
    """A change here would rerun every finished study."""
    assert ids(plan()) == GOLDEN


GOLDEN = (
    ["seed=0_148adb1f", "seed=1_240545c4"],
    ["step_size=0.002_9dea4bc1", "step_size=0.004_1a92eb02"],
)


def test_options_of_later_versions_change_the_hash_of_metrics_only_by_other_values():
    hashes = [
        plan(evaluate={"metrics": ["frechet"], "extractors": ["pixels"], **more}).evaluate_hash()
        for more in ({}, {"inception_score_splits": 10}, {"inception_score_splits": 1})
    ]
    assert hashes[0] == hashes[1] == "05caa9f5"
    assert hashes[2] != hashes[0]


def test_a_default_never_changes():
    """Ids omit defaults: with another default, other results would get the old ids."""
    recorded = json.loads((Path(__file__).parent / "defaults.json").read_text())
    found = {
        f"{kind.__name__}.{key}": json.loads(json.dumps(default, default=repr))
        for kind in every_config()
        for key, field in kind.model_fields.items()
        if not field.is_required()
        for default in [field.get_default(call_default_factory=True)]
    }
    assert {key: found.get(key) for key in recorded} == recorded


def every_config():
    """Yield every class of blocks of a study file."""
    waiting = [Config]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += kind.__subclasses__()


def test_axis_is_named_after_the_end_of_its_path():
    found = plan(
        train={"grid": {"noise.levels": [5], "seed": [0], "steps": [1], "optimizer.beta1": [0.5]}},
        sample={"grid": {"seed": [1], "sampler.step_size": [1e-3], "count": [50]}},
        evaluate={"grid": {"seed": [0, 1]}},
    )
    assert list(found.runs[0].axes) == ["levels", "seed", "steps", "beta1"]
    assert list(found.settings[0].axes) == ["sample_seed", "step_size", "count"]
    assert list(found.evaluations[0].axes) == ["evaluate_seed"]


def test_axis_is_not_named_like_a_table_column():
    ladders = [{"name": "explicit", "sigmas": [0.1]}, {"name": "explicit", "sigmas": [0.2]}]
    found = plan(train={"grid": {"noise": ladders}}, sample={"grid": {"noise": ladders}})
    assert list(found.runs[0].axes) == ["train_noise"]
    assert list(found.settings[0].axes) == ["sample_noise"]


def test_axis_is_not_named_like_a_report_variable():
    found = plan(train={"grid": {"optimizer.learning_rate": [0.1, 0.2], "seed": [0]}})
    assert list(found.runs[0].axes) == ["optimizer_learning_rate", "seed"]


def test_several_datasets_are_an_axis():
    found = plan(dataset=[{"name": "digits"}, {"name": "digits", "subset": 100}])
    assert [run.axes["dataset"] for run in found.runs][::2] == [d.id for d in found.study.dataset]
    assert found.runs[0].dataset.id == "digits"
    assert found.runs[2].dataset.id.startswith("digits_")


def test_id_of_user_data_has_its_path_and_options():
    first = ImageFolder(name="folder", path="pictures/cats")
    other = ImageFolder(name="folder", path="elsewhere/cats")
    assert first.id.startswith("cats_")
    assert first.id != other.id


def test_the_id_of_user_data_changes_only_with_their_options():
    """A change of the first id would stage finished data again."""
    options = {"name": "folder", "path": "datasets/celeba", "title": "celeba64", "size": 64}
    cropped = [options | change for change in ({"crop": 140}, {"resample": "bilinear"})]
    ids = [ImageFolder.model_validate(each).id for each in (options, *cropped)]
    assert ids[0] == "celeba64_b97434c3"
    assert len(set(ids)) == 3


def test_unknown_id_is_an_error():
    found = plan()
    message = r"run 'seed=0_466ccda5' is not part.*Did you mean 'seed=0"
    with pytest.raises(InputError, match=message):
        found.run("seed=0_466ccda5")
    with pytest.raises(InputError, match="dataset 'digit' is not part"):
        found.dataset("digit")
    assert found.run(found.runs[1].id[-8:]) == found.runs[1]


def test_ten_thousand_settings_have_ten_thousand_ids():
    sizes = [1e-5 * (1 + i / 100) for i in range(100)]
    steps = list(range(1, 101))
    grid = {"sampler.step_size": sizes, "sampler.steps_per_level": steps}
    found = plan(sample={"grid": grid})
    assert len({setting.id for setting in found.settings}) == 10_000


@pytest.mark.parametrize("name", [*METRICS, *EXTRACTORS])
def test_every_registered_target_exists(name):
    target = (METRICS | EXTRACTORS)[name].target
    module, attribute = target.split(":")
    assert hasattr(importlib.import_module(module), attribute)


def test_options_match_the_arguments_of_their_target():
    given = {"shape", "sigmas", "score", "x", "sigma", "z", "v", "generator", "observe", "self"}
    given |= {"known", "mask", "noise"}  # passed by tasks
    given |= {"memory"}  # batch limit, does not affect results
    for union in (AnyNetwork, AnyObjective, AnySampler, AnyNoise, AnyDataset):
        for component in typing.get_args(typing.get_args(union)[0]):
            instance = component.model_construct(name="x")
            parameters = inspect.signature(component.load(instance)).parameters
            fields = set(component.model_fields) - {"name", "label", "subset", "title"}
            if issubclass(component, Sliced):
                fields -= {"projections", "distribution"}  # the trainer draws v from these
            assert fields <= set(parameters), component
            if union is not AnyDataset:
                assert set(parameters) - given <= fields, component
            for name in fields:
                default = parameters[name].default
                field = component.model_fields[name]
                if default is not inspect.Parameter.empty and not field.is_required():
                    assert default == field.default, (component, name)


def test_the_plan_does_not_change_the_study():
    study = parse_study(content(), "tiny.yaml")
    before = copy.deepcopy(study)
    plan_study(study)
    assert study == before
