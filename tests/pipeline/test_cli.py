"""The command line: help, imports, selection of jobs, exit codes."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from checkout import ROOT
from tiny_study import TINY, give_data, tiny_plan
from typer.main import get_command
from typer.testing import CliRunner
from written_samples import write_samples

from scoresweep.pipeline import cli
from scoresweep.pipeline.commands.schema import study_schema
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.sampling.sampling_job import ONE_CORE, Devices
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.system.atomic_files import write_json

COMMANDS = [
    "stage",
    "reference",
    "train",
    "score-error",
    "sample",
    "evaluate",
    "report",
    "plan",
    "status",
    "rename",
    "schema",
]
HEAVY = ("torch", "xarray", "zarr", "matplotlib", "sklearn", "accelerate", "submitit", "scipy")
STUDIES = ("scoresweep.pipeline.study", "yaml", "psutil")
"""What only a study file needs, or its results."""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Write a study file to the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(TINY)
    return "study.yaml"


def shown(*arguments):
    """Return the output of a command, without boxes and line breaks."""
    ended = CliRunner(env={"COLUMNS": "100"}).invoke(cli.app, arguments)
    assert ended.exit_code == 0, ended.output
    return re.sub(r"[\s│╭╮╰╯─]+", " ", ended.output)


def main(monkeypatch, *arguments):
    """Run the command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["scoresweep", *arguments])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    return ended.value.code or 0


def test_help_lists_steps_in_order():
    text = shown("--help")
    steps, look = text.split("Inspect and manage")
    places = [re.search(rf" {name} [A-Z]", steps) for name in COMMANDS[:7]]
    assert all(places)
    assert [place.start() for place in places] == sorted(place.start() for place in places)
    assert all(re.search(rf" {name} [A-Z]", look) for name in COMMANDS[7:])
    assert "snakemake --cores 2 --configfile STUDY" in text
    assert shown("-h") == text


def test_every_command_and_rule_has_a_file_of_its_name():
    def names(folder):
        return {path.stem for path in folder.glob("*.py")} - {"__init__"}

    package = Path(cli.__file__).parent
    rules, commands = names(package / "rules"), names(package / "commands")
    assert {name.replace("-", "_") for name in get_command(cli.app).commands} == rules | commands
    assert not rules & commands
    declared = {
        path.stem: re.findall(r"^(?:rule|checkpoint) (\w+):", path.read_text(), re.MULTILINE)
        for path in ROOT.glob("workflow/rules/*.smk")
    }
    assert declared.pop("common") == []
    assert declared == {name: [name] for name in declared}
    assert declared.keys() <= rules


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_describes_its_parameters(command):
    text = shown(command, "--help")
    described = get_command(cli.app).commands[command]
    assert re.sub(r"\s+", " ", described.help) in text
    assert described.help.endswith(".")
    for parameter in described.params:
        assert parameter.help, parameter.name
        assert re.sub(r"\s+", " ", parameter.help) in text
    if command != "schema":
        assert "Study file (YAML)." in text


def test_help_and_status_import_nothing_heavy(study):
    code = f"""
import sys
from typer.testing import CliRunner
from scoresweep.pipeline.cli import app, _plan
from pathlib import Path

for command in {[[], *[[name] for name in COMMANDS]]}:
    ended = CliRunner().invoke(app, [*command, "--help"])
    assert ended.exit_code == 0, ended.output
print(sorted(set({STUDIES}) & set(sys.modules)))
_plan(Path("{study}"), Path())
for command in (["status", "{study}"], ["schema"], ["status", "none.yaml"]):
    CliRunner().invoke(app, command)
print(sorted(set({HEAVY}) & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stderr == ""
    assert ended.stdout == "[]\n[]\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["train"], "Missing argument"),
        (["train", "study.yaml", "--processes", "0"], "Invalid value for '--processes'"),
        (["train", "study.yaml", "--cluster", "moon"], "Invalid value for '--cluster'"),
        (["status", "none.yaml"], "none.yaml: cannot be read"),
        (["train", "study.yaml", "--run", "seed=9"], "run 'seed=9' is not part of the study"),
        (["sample", "study.yaml", "--setting", "x"], "setting 'x' is not part of the study"),
        (["stage", "study.yaml", "--dataset", "digit"], "Did you mean 'digits'?"),
        (["train", "study.yaml"], "is not staged; run `scoresweep stage`"),
        (["status", "study.yaml"], "there is no study tiny here"),
        (["status", "study.yaml", "--watch", "--json"], "--watch and --json"),
        (["plan", "study.yaml", "--tflops", "20"], "add --gpus 1"),
    ],
)
def test_wrong_input_exits_with_2_and_one_message(
    study, tmp_path, monkeypatch, capsys, arguments, message
):
    assert main(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err
    assert message in re.sub(r"[\s│╭╮╰╯─]+", " ", said)
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == [study]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("schema", "rename")])
def test_every_command_validates_the_study(study, tmp_path, monkeypatch, capsys, command):
    (tmp_path / study).write_text(TINY.replace("steps: 120", "stepps: 120"))
    assert main(monkeypatch, command, study) == 2
    said = capsys.readouterr().err
    assert "study.yaml: train.stepps: 120" in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == [study]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("wrong [input]"), 2, "Error: wrong [input]\n"),
        (RunError("failed"), 1, "Error: failed\n"),
        (OSError(28, "No space left on device", "x"), 1, "Error: x: No space left on device\n"),
        (OSError(122, "Disk quota exceeded"), 1, "Error: a file: Disk quota exceeded\n"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_exit_code_and_message_of_errors(study, monkeypatch, capsys, error, code, message):
    from scoresweep.pipeline.commands import status

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(status, "run_status", fail)
    assert main(monkeypatch, "status", study) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if message is not None:
        assert said == message


def test_bugs_keep_their_traceback(study, monkeypatch):
    from scoresweep.pipeline.commands import status

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(status, "run_status", fail)
    with pytest.raises(ZeroDivisionError):
        main(monkeypatch, "status", study)


@pytest.fixture
def called(study, monkeypatch):
    """Return a function that runs a command and returns the arguments of each call of its rule."""
    calls = []
    for name in ("stage", "reference", "train", "score_error", "sample", "evaluate", "sweep"):
        module = importlib.import_module(f"scoresweep.pipeline.rules.{name}")
        monkeypatch.setattr(module, name, lambda plan, *rest, **_: calls.append(rest))

    def run(command, *options):
        calls.clear()
        assert main(monkeypatch, command, study, *options) == 0
        return calls.copy()

    return run


@pytest.fixture
def pairs(study):
    """Ids of the runs and settings of the study, each with each."""
    plan = plan_study(load_study(Path(study)))
    return [(run.id, setting.id) for run in plan.runs for setting in plan.settings]


def test_a_step_does_all_by_default(called, pairs):
    runs = [run for run, _ in pairs[::2]]
    assert called("stage") == [("digits",)]
    assert called("reference") == [("digits", "pixels", 0)]
    assert called("score-error", "--gpus", "1") == [(run, 1, "") for run in runs]
    assert called("evaluate") == [(*pair, 0) for pair in pairs]
    assert called("evaluate", "--gpus", "1") == [(*pair, 1) for pair in pairs]
    assert called("sample") == [(*pair, ONE_CORE) for pair in pairs]
    assert called("sweep") == [(run, "1-of-1", ONE_CORE) for run in runs]
    assert [run for run, _ in called("train")] == runs


def test_ids_select_what_a_step_does(called, pairs):
    run, setting = pairs[3]
    on = ("--processes", "3", "--threads", "2", "--gpus", "1")
    of_pixels = ("--extractor", "pixels", "--gpus", "1")
    assert called("reference", *of_pixels) == [("digits", "pixels", 1)]
    chosen = ("--run", run[-8:], "--setting", setting[-8:])
    assert called("sample", *chosen, *on) == [(run, setting, Devices(3, 2, 1))]
    chosen = ("--run", run[-8:], "--batch", "2-of-3")
    assert called("sweep", *chosen, *on) == [(run, "2-of-3", Devices(3, 2, 1))]


def test_resources_are_those_of_every_training(called):
    (_, first), (_, second) = called("train", "--processes", "2", "--threads", "3", "--gpus", "1")
    assert second == first
    assert (first.cluster, first.nodes, first.processes) == ("local", 1, 2)
    assert (first.gpus, first.threads) == (1, 3)


def test_failed_setting_does_not_stop_the_others(study, staged, tmp_path, monkeypatch, capsys):
    give_data(tmp_path, staged)
    plan = tiny_plan(tmp_path)
    pairs = [(run.id, setting.id) for run in plan.runs for setting in plan.settings]
    levels = {name: torch.ones(1) for name in ("sigma", "step_size", "score_norm")}
    for run, setting in ((run, plan.settings[1].store) for run in plan.runs):
        store = plan.paths.samples(run.id, setting)
        described = write_samples(store, torch.rand(50, 1, 8, 8), levels=levels)
        write_json(plan.paths.samples_manifest(run.id, setting), described)
    assert main(monkeypatch, "reference", study) == 0
    capsys.readouterr()
    assert main(monkeypatch, "evaluate", study) == 1
    said = capsys.readouterr().err
    assert [plan.paths.metrics(*pair).exists() for pair in pairs] == [False, True, False, True]
    names = [" / ".join(pair) for pair in pairs]
    for name in (names[0], names[2]):
        assert re.search(rf"^{name}: failed: .", said, re.MULTILINE)
    assert "2 of 4 settings" in said
    assert said.rstrip().endswith(f"{names[0]}, {names[2]}")
    # The error of a single setting is raised as it is.
    one = ("--run", pairs[0][0], "--setting", pairs[0][1])
    assert main(monkeypatch, "evaluate", study, *one) == 2


def test_schema_is_json():
    ended = CliRunner().invoke(cli.app, ["schema"])
    assert json.loads(ended.output) == study_schema()
    assert json.loads(ended.output)["title"] == "A scoresweep study"


def test_ctrl_c_exits_with_130_and_no_traceback(study, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")  # reading it waits
    command = [sys.executable, "-m", "scoresweep", "status", "pipe.yaml"]
    process = psutil.Popen(command, stderr=subprocess.PIPE, text=True)
    with open(tmp_path / "pipe.yaml", "w"):  # noqa: PTH123 (waits for the reader)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said


def test_version(scoresweep):
    ended = scoresweep("--version")
    assert ended.returncode == 0
    assert ended.stdout.split() == ["scoresweep", importlib.import_module("scoresweep").__version__]
