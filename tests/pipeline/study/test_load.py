"""Errors in a study name file, dotted path, value, what was expected and the closest name."""

import json

import pytest
from checkout import ROOT
from tiny_study import TINY

from scoresweep.pipeline.commands.schema import study_schema
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

MISTAKES = {
    "unknown key": ("steps: 120", "stepps: 120", ["train.stepps", "Did you mean 'steps'?"]),
    "unknown block": ("evaluate:", "evalute:", ["evalute", "Did you mean 'evaluate'?"]),
    "missing key": ("  steps: 120\n", "", ["train.steps: is missing"]),
    "wrong type": ("steps: 120", "steps: many", ["train.steps: 'many': expected an integer"]),
    "a truth value for a number": (
        "steps: 120",
        "steps: true",
        ["train.steps: true: expected an integer"],
    ),
    "neither number nor word": (
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
    "one level": ("levels: 5", "levels: 1", ["train.noise", "levels of 2 or more, found 1"]),
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
    "bad name": ("study: tiny", "study: ../tiny", ["study: '../tiny': expected letters"]),
    "infinite": ("sigma_max: 8.0", "sigma_max: .inf", ["train.noise.sigma_max: inf", "finite"]),
    "a step size that diverges": ("4e-3]", "0.03]", ["step_size: 0.03: diverges", "= 0.02"]),
    "parts of a batch": (
        "batch_size: 64",
        "batch_size: 64\n  gradient_accumulation: 3",
        ["train.batch_size: 64: expected a multiple of"],
    ),
    "classes of pixels": ("frechet]", "classes]", ["classes: needs class probabilities"]),
    "a dataset twice": (
        "{name: digits}",
        "[{name: digits}, {name: digits}]",
        ["dataset: digits", "2 times"],
    ),
    "one resampling": ("resamplings: 0", "resamplings: 1", ["resamplings: 1: expected 0 or"]),
    "automatic steps of another rule": (
        "grid: {sampler.step_size: [2e-3, 4e-3]}",
        "grid: {sampler.step_size: [auto], sampler.step_rule: [linear]}",
        ["sample.sampler.step_size: 'auto'", "'linear'"],
    ),
    "a sweep without effect": (
        "{seed: [0, 1]}",
        "{log.scalars: [5, 9]}",
        ["train.grid.log.scalars", "cannot be swept"],
    ),
    "key twice": (
        "  steps: 120",
        "  steps: 120\n  steps: 9",
        ["line 8, column 3", "'steps'"],
    ),
    "not YAML": ("dataset: {name: digits}", "dataset: {name: [", ["is not valid YAML", "line"]),
    "a list": (TINY, "- 1", ["is a list; expected the keys study, dataset"]),
    "nothing": (TINY, "", ["is empty; expected the keys study, dataset"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(tmp_path, mistake):
    before, after, wanted = MISTAKES[mistake]
    assert before in TINY
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace(before, after, 1))
    with pytest.raises(InputError) as error:
        plan_study(load_study(path), where=str(path))
    message = str(error.value)
    assert str(path) in message
    for part in wanted:
        assert part in message


def test_every_mistake_is_listed_at_once(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace("steps: 120", "steps: -1").replace("count: 50", "count: 1"))
    with pytest.raises(InputError) as error:
        load_study(path)
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == [
        " train.steps",
        " sample.count",
    ]


def test_a_study_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_study(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not a UTF-8 text file"):
        load_study(tmp_path / "binary.yaml")


def test_numbers_and_words_are_read_as_people_write_them():
    values = parse_yaml("[2e-5, 1E3, 1e+2, no, off, true, null, 1.5, .5, 7, [1, [2]]]", "x")
    assert values == [2e-5, 1e3, 1e2, "no", "off", True, None, 1.5, 0.5, 7, [1, [2]]]
    assert [type(v) for v in values[:3]] == [float] * 3


def test_blocks_are_shared_as_yaml_has_it():
    text = "base: &base {a: 1, b: 2}\none: {<<: *base, b: 3}\ntwo: {<<: [*base, {c: 4}]}"
    values = parse_yaml(text, "x")
    assert values["one"] == {"a": 1, "b": 3}
    assert values["two"] == {"a": 1, "b": 2, "c": 4}
    with pytest.raises(InputError, match=r"line 2, .*'b' is repeated"):
        parse_yaml(text.replace("b: 3", "b: 3, b: 4"), "x")


def test_the_command_ends_with_2_and_one_message(scoresweep, tmp_path):
    (tmp_path / "wrong.yaml").write_text(TINY.replace("steps: 120", "stepps: 120"))
    for command in ("stage", "train", "sample", "score-error", "evaluate", "report", "status"):
        ended = scoresweep(command, "wrong.yaml", cwd=tmp_path)
        assert ended.returncode == 2
        assert "wrong.yaml: train.stepps: 120: is not a known key." in ended.stderr
        assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.yaml"]


def test_the_schema_in_the_repository_is_the_one_of_the_code():
    stored = json.loads((ROOT / "workflow/schemas/study.schema.json").read_text())
    assert stored == study_schema(), "run `make schema`"


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda p: p.stem)
def test_every_study_of_the_repository_is_right(path):
    plan = plan_study(load_study(path), where=str(path))
    assert plan.runs
    assert plan.settings
