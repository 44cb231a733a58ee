"""Metrics and extractors of plugins in studies: named, checked, swept, ranked, identified."""

from __future__ import annotations

import json
import pickle

import jsonschema
import pytest
from plugin_study import plan_in, write_study
from tiny_study import tiny_plan

from scoresweep.pipeline.commands.schema import study_schema
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.load import parse_study, read_yaml
from scoresweep.pipeline.study.make_plan import plan_study
from scoresweep.pipeline.study.plugins.stand_ins import describe_methods, stand_ins

METHODS = '''
from typing import Annotated

from pydantic import Field

from scoresweep.plugins import extractor, metric


@metric(better="lower")
def brightness(real, generated, *, power: Annotated[float, Field(gt=0)] = 1.0):
    """Difference of the mean brightness."""


@metric(on="features", better={"gap": "higher"})
def moments(real, generated, *, orders: list[int]): ...


@metric(needs_images=True)
def edges(real, generated): ...


@extractor(needs_images=True, smallest_side=16)
def halves(x, *, parts: int = 2):
    """Mean of each part."""


@extractor
def rows(x): ...
'''
MOMENTS = {"name": "moments", "orders": [1, 2]}
POINTS = {"name": "gaussian_mixture", "dimension": 2}


def plan_of(folder, **evaluate):
    return plan_in(folder, METHODS, evaluate=evaluate)


def test_a_name_is_the_same_as_a_block_with_this_name(tmp_path):
    first = plan_of(tmp_path, metrics=["frechet", "brightness"], extractors=["rows"])
    blocks = {
        "metrics": [{"name": "frechet"}, {"name": "brightness", "power": 1.0}],
        "extractors": [{"name": "rows"}],
    }
    second = plan_of(tmp_path, **blocks)
    assert first.evaluations == second.evaluations
    assert first.evaluate_hash() == second.evaluate_hash()
    assert first.evaluations[0].evaluate.metrics[0] == "frechet"
    assert first.evaluations[0].evaluate.metrics[1].power == 1.0


def test_built_in_metrics_keep_their_hash_and_ids(tmp_path):
    own, plain = plan_of(tmp_path), tiny_plan(tmp_path)
    assert own.evaluate_hash() == plain.evaluate_hash()
    measured = plan_of(tmp_path, metrics=["brightness"])
    assert [s.id for s in measured.settings] == [s.id for s in plain.settings]
    assert [r.id for r in measured.runs] == [r.id for r in plain.runs]
    assert measured.evaluate_hash() != plain.evaluate_hash()
    assert list(plain.extractors) == ["pixels"]


def test_options_and_code_are_parts_of_keys(tmp_path):
    keys = []
    for methods in (METHODS, METHODS + "# edited\n"):
        for power in (1.0, 2.0):
            metrics = [{"name": "brightness", "power": power}]
            plan = plan_in(tmp_path, methods, evaluate={"metrics": metrics, "extractors": ["rows"]})
            keys.append((plan.evaluate_blocks[0].sample_metrics[0].key, *plan.extractors))
    metrics, extractors = zip(*keys, strict=True)
    assert len(set(metrics)) == 4
    assert len(set(extractors)) == 2
    assert all(key.startswith("rows-") for key in extractors)


def test_a_version_does_not_let_studies_share_features_of_other_code(tmp_path):
    found = set()
    for suffix in ("", "# edited\n"):
        methods = METHODS.replace("@extractor\n", "@extractor(version='1')\n") + suffix
        found |= plan_in(tmp_path, methods, evaluate={"extractors": ["rows"]}).extractors.keys()
    assert len(found) == 2


def test_lists_are_swept(tmp_path):
    powers = [[{"name": "brightness", "power": power}] for power in (1.0, 2.0)]
    plan = plan_of(tmp_path, grid={"metrics": powers, "neighbours": [3, 5]})
    found = [(e.evaluate.metrics[0].power, e.evaluate.neighbours) for e in plan.evaluations]
    assert found == [(1.0, 3), (1.0, 5), (2.0, 3), (2.0, 5)]
    assert len({json.dumps(e.axes) for e in plan.evaluations}) == 4


def test_evaluations_and_studies_are_pickled(tmp_path):
    plan = plan_of(tmp_path, metrics=["frechet", MOMENTS], extractors=["rows"])
    assert pickle.loads(pickle.dumps(plan.evaluations)) == plan.evaluations
    assert pickle.loads(pickle.dumps(plan.study)) == plan.study


@pytest.mark.parametrize(
    ("evaluate", "named"),
    [
        ({"metrics": ["brightnes"]}, ["evaluate.metrics[0]", "'brightness'", "frechet"]),
        ({"metrics": [{"name": "brightnes"}]}, ["[0]", "'brightnes'", "'brightness'"]),
        ({"extractors": ["row"]}, ["evaluate.extractors[0]", "'rows'", "pixels"]),
        ({"metrics": ["moments"]}, ["evaluate.metrics[0].orders", "missing"]),
        ({"metrics": [MOMENTS | {"order": 1}]}, ["evaluate.metrics[0].order", "'orders'"]),
        ({"metrics": [{"name": "brightness", "power": 0.0}]}, ["evaluate.metrics[0].power: 0.0"]),
        (
            {"metrics": [{"name": "frechet", "power": 1.0}]},
            ["evaluate.metrics[0]", "frechet", "found power"],
        ),
        ({"metrics": [{"power": 1.0}]}, ["evaluate.metrics[0]", "name", "found power"]),
        ({"metrics": [3]}, ["evaluate.metrics[0]: 3:", "{name: NAME, ...}"]),
        ({"metrics": [None]}, ["evaluate.metrics[0]: null:", "{name: NAME, ...}"]),
        ({"metrics": ["brightness", {"name": "brightness", "power": 2.0}]}, ["2 times"]),
        ({"extractors": ["rows", "rows"]}, ["evaluate.extractors: rows", "2 times"]),
        ({"grid": {"metrics": [["brightnes"]]}}, ["'brightness'", "at grid point"]),
        ({"extractors": ["halves"]}, ["evaluate.extractors: halves", "16 pixels", "digits"]),
    ],
)
def test_wrong_entries_are_named_with_their_place(tmp_path, evaluate, named):
    with pytest.raises(InputError) as error:
        plan_of(tmp_path, **evaluate)
    assert error.value.exit_code == 2
    assert all(word in str(error.value) for word in named), str(error.value)


@pytest.mark.parametrize(
    ("evaluate", "named"),
    [
        ({"extractors": ["halves"]}, "evaluate.extractors: halves: needs images"),
        ({"metrics": ["edges"]}, "evaluate.metrics: edges: needs images"),
    ],
)
def test_what_needs_images_is_refused_for_points(tmp_path, evaluate, named):
    with pytest.raises(InputError) as error:
        plan_in(tmp_path, METHODS, dataset=[POINTS], evaluate=evaluate)
    assert named in str(error.value)


HALVING = {"counts": [10], "keep": 0.5}


def halved(folder, measure, **evaluate):
    halving = HALVING | {"measure": measure}
    return plan_in(folder, METHODS, sample={"halving": halving}, evaluate=evaluate)


@pytest.mark.parametrize("measure", ["brightness", "moments_gap_rows", "frechet_rows"])
def test_own_values_rank_settings(tmp_path, measure):
    metrics = ["frechet", "brightness", MOMENTS]
    assert halved(tmp_path, measure, metrics=metrics, extractors=["rows"]).halving
    with pytest.raises(InputError, match=measure):
        halved(tmp_path, measure[:-1], metrics=metrics, extractors=["rows"])
    with pytest.raises(InputError, match="measure"):
        halved(tmp_path, measure, metrics=["kid"], extractors=["rows"])


def test_a_report_is_planned_again_without_the_plugin(tmp_path):
    """With stand-ins, ids, hashes, keys and rankings are those of the study."""
    plan = halved(
        tmp_path, "moments_gap_rows", metrics=["brightness", MOMENTS], extractors=["rows"]
    )
    methods = stand_ins(json.loads(json.dumps(describe_methods(plan.study.methods), default=str)))
    content = json.loads(json.dumps(plan.study.model_dump(mode="json")))
    again = plan_study(parse_study(content, "report.nc", methods=methods), tmp_path)
    assert again.evaluate_hash() == plan.evaluate_hash()
    assert list(again.extractors) == list(plan.extractors)
    assert [s.id for s in again.settings] == [s.id for s in plan.settings]


def test_the_schema_takes_names_and_blocks(tmp_path):
    path = write_study(tmp_path, METHODS, evaluate={"metrics": ["frechet", "brightness", MOMENTS]})
    schema, content = study_schema(path), read_yaml(path)
    jsonschema.validate(content, schema)
    for wrong in ("brightnes", {"name": "brightness", "power": 0}, {"name": "moments", "a": 1}, 3):
        content["evaluate"]["metrics"][1] = wrong
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, schema)
    assert schema["$defs"]["Brightness"]["description"] == "Difference of the mean brightness."


def test_an_axis_does_not_take_the_name_of_a_metric(tmp_path):
    methods = METHODS + "\n\n@metric\ndef levels(real, generated): ...\n"
    grid = {"grid": {"noise.levels": [3, 4]}}
    plain = plan_in(tmp_path, train=grid)
    own = plan_in(tmp_path, methods, train=grid)
    assert list(plain.runs[0].axes) == ["levels"]
    assert list(own.runs[0].axes) == ["noise_levels"]
