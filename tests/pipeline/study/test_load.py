"""Errors in a study name file, dotted path, value, what was expected and the closest name."""

import json

import pytest
from checkout import ROOT
from tiny_study import TINY

from scoresweep.pipeline.commands.schema import study_schema
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

ERRORS = {
    "unknown key": ("steps: 120", "stepps: 120", ["train.stepps", "Did you mean 'steps'?"]),
    "unknown block": ("evaluate:", "evalute:", ["evalute", "Did you mean 'evaluate'?"]),
    "missing key": (
        "  steps: 120\n",
        "",
        ["train.steps: is missing; this key is required (Training"],
    ),
    "missing key that is swept": (
        "  steps: 120\n  batch_size: 64\n",
        "  batch_size: 64\n  zip: [{steps: [60, 120]}]\n",
        ["train.steps: is missing", "write one of its values"],
    ),
    "missing option that is swept": (
        "step_size: 2e-3, steps",
        "steps",
        ["sample.sampler.step_size: is missing", "write one of its values"],
    ),
    "wrong type": ("steps: 120", "steps: many", ["train.steps: 'many': expected an integer"]),
    "boolean for a number": (
        "steps: 120",
        "steps: true",
        ["train.steps: true: expected an integer"],
    ),
    "neither number nor keyword": (
        "sigma_max: 8.0",
        "sigma_max: big",
        ["'big': expected a number or 'max_distance' or"],
    ),
    "unknown dataset": ("name: digits", "name: digit", ["dataset.name: 'digit'", "'digits'?"]),
    "no name": ("{name: mlp, width: 16", "{width: 16", ["train.network.name: is missing"]),
    "unknown network": ("name: mlp", "name: mpl", ["train.network.name: 'mpl'", "'mlp'?"]),
    "option of another network": (
        "blocks: 1",
        "channels: 1",
        ["network.channels", "width, blocks"],
    ),
    "sigma_min above sigma_max": (
        "sigma_max: 8.0",
        "sigma_max: 0.01",
        ["train.noise", "0.1 and 0"],
    ),
    "one level": (
        "levels: 5",
        "levels: 1",
        ["train.noise", "levels of 2 or more, at most 1,000,000, found 1"],
    ),
    "too many levels": ("levels: 5", "levels: 1_000_000_000", ["train.noise", "1,000,000, found"]),
    "sigma beyond float32": (
        "sigma_max: 8.0",
        "sigma_max: 1e39",
        ["sigma_max: 1e+39", "less than"],
    ),
    "negative sigma": ("sigma_min: 0.1", "sigma_min: -0.1", ["sigma_min: -0.1", "greater than 0"]),
    "zero step size": ("step_size: 2e-3", "step_size: 0", ["sampler.step_size: 0", "greater than"]),
    "negative step size": ("[2e-3, 4e-3]", "[2e-3, -1]", ["step_size: -1", "greater than 0"]),
    "empty grid": ("[2e-3, 4e-3]", "[]", ["sample.grid.sampler.step_size: []", "at least one"]),
    "unknown path": ("sampler.step_size:", "sampler.stepsize:", ["Did you mean 'step_size'?"]),
    "path with its block": (
        "{seed: [0, 1]}",
        "{train.seed: [0]}",
        ["train.grid.train.seed", "remove 'train.'"],
    ),
    "unknown metric": ("[score_error, frechet]", "[frechett]", ["metrics[0]", "Did you mean"]),
    "a value": (
        "[score_error, frechet]",
        "[fid]",
        ["metrics[0]", "[frechet]", "extractors: [inception]"],
    ),
    "a value of another resize": (
        "[score_error, frechet]",
        "[fid_antialias]",
        ["[frechet]", "[inception_antialias]"],
    ),
    "a short name": ("frechet]", "IS]", ["[inception_score]", "extractors: [inception]"]),
    "one of several values": ("frechet]", "recall]", ["metrics[1]", "[prdc]"]),
    "a value as extractor": ("[pixels]", "[fid]", ["extractors[0]", "[inception]"]),
    "bad name": ("study: tiny", "study: ../tiny", ["study: '../tiny': expected letters"]),
    "infinity": ("sigma_max: 8.0", "sigma_max: .inf", ["train.noise.sigma_max: inf", "finite"]),
    "diverging step size": ("4e-3]", "0.03]", ["step_size: 0.03: diverges", "= 0.02"]),
    "indivisible batch": (
        "batch_size: 64",
        "batch_size: 64\n  gradient_accumulation: 3",
        ["train.batch_size: 64: expected a multiple of"],
    ),
    "classes without classifier": (
        "frechet]",
        "classes]",
        ["classes: needs class probabilities"],
    ),
    "repeated dataset": (
        "{name: digits}",
        "[{name: digits}, {name: digits}]",
        ["dataset: digits", "2 times"],
    ),
    "one resampling": ("resamplings: 0", "resamplings: 1", ["resamplings: 1: expected 0 or"]),
    "automatic step size with another rule": (
        "grid: {sampler.step_size: [2e-3, 4e-3]}",
        "grid: {sampler.step_size: [auto], sampler.step_rule: [linear]}",
        ["sample.sampler.step_size: 'auto'", "'linear'"],
    ),
    "swept option that affects no result": (
        "{seed: [0, 1]}",
        "{log.scalars: [5, 9]}",
        ["train.grid.log.scalars", "cannot be swept"],
    ),
    "repeated key": (
        "  steps: 120",
        "  steps: 120\n  steps: 9",
        ["line 8, column 3", "'steps'"],
    ),
    "invalid YAML": ("dataset: {name: digits}", "dataset: {name: [", ["is not valid YAML", "line"]),
    "a list": (TINY, "- 1", ["is a list; expected the keys study, dataset"]),
    "empty": (TINY, "", ["is empty; expected the keys study, dataset"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_error_names_file_path_and_value(tmp_path, case):
    before, after, wanted = ERRORS[case]
    assert before in TINY
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace(before, after, 1))
    with pytest.raises(InputError) as error:
        plan_study(load_study(path), where=str(path))
    message = str(error.value)
    assert str(path) in message
    for part in wanted:
        assert part in message


def test_all_errors_are_listed(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace("steps: 120", "steps: -1").replace("count: 50", "count: 1"))
    with pytest.raises(InputError) as error:
        load_study(path)
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == [
        " train.steps",
        " sample.count",
    ]


def test_missing_and_binary_files_are_errors(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_study(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a UTF-8 text file"):
        load_study(tmp_path / "binary.yaml")


def test_scalars_follow_yaml_1_2():
    values = parse_yaml("[2e-5, 1E3, 1e+2, no, off, true, null, 1.5, .5, 7, [1, [2]]]", "x")
    assert values == [2e-5, 1e3, 1e2, "no", "off", True, None, 1.5, 0.5, 7, [1, [2]]]
    assert [type(v) for v in values[:3]] == [float] * 3
    assert parse_yaml("[0, -3, 1_000, 0x10]", "x") == [0, -3, 1000, 16]
    strings = ["010", "1:30", "2024-01-01", "08", "1:30.5"]
    assert parse_yaml(f"[{', '.join(strings)}]", "x") == strings


def test_merge_keys_work_and_repeated_keys_are_errors():
    text = "base: &base {a: 1, b: 2}\none: {<<: *base, b: 3}\ntwo: {<<: [*base, {c: 4}]}"
    values = parse_yaml(text, "x")
    assert values["one"] == {"a": 1, "b": 3}
    assert values["two"] == {"a": 1, "b": 2, "c": 4}
    with pytest.raises(InputError, match=r"line 2, .*'b' is repeated"):
        parse_yaml(text.replace("b: 3", "b: 3, b: 4"), "x")


def test_schema_file_is_up_to_date():
    stored = json.loads((ROOT / "workflow/schemas/study.schema.json").read_text())
    assert stored == study_schema(), "run `make schema`"


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda p: p.stem)
def test_studies_of_the_repository_are_valid(path):
    plan = plan_study(load_study(path), where=str(path))
    assert plan.runs
    assert plan.settings
