"""A study with a sampler and a network of a plugin: trained, sampled, measured, reported."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from faults.in_process import train_run
from plugin_study import METHODS, plan_in, write_study
from tiny_study import give_data, save_untrained_networks

from scoresweep import load_network
from scoresweep.pipeline.cluster.launch import launch
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.commands.estimate.costs import Costs
from scoresweep.pipeline.commands.estimate.probe import time_unknown
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError
from scoresweep.pipeline.report.saved_report import read_report
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.sampling.sampling_job import Devices
from scoresweep.pipeline.study.plugins.plugin_files import plugin_sha256
from scoresweep.pipeline.training.network_setup import make_network

BALL = {"name": "heavy_ball", "step_size": 1e-3}
SMALL = {"name": "Small", "channels": 3}
MEASURED = (
    METHODS
    + """

from scoresweep.plugins import metric


@metric(better="lower", long_name="difference of brightness")
def brightness(real, generated):
    return (real.mean() - generated.mean()).abs()
"""
)
ONE = {"train": {"network": SMALL, "grid": {}}, "sample": {"sampler": BALL, "grid": {}}}


@pytest.fixture
def folder(staged, tmp_path):
    give_data(tmp_path, staged)
    return tmp_path


@pytest.fixture(scope="module")
def finished(staged, tmp_path_factory):
    """The folder of a finished study, computed by the commands."""
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("finished")
    give_data(folder, staged)
    grid = {"sampler": [{"name": "annealed_langevin", "step_size": 2e-3}, BALL]}
    train = {"network": SMALL, "steps": 40, "grid": {}}
    evaluate = {"metrics": ["score_error", "frechet", "brightness"]}
    write_study(folder, MEASURED, train=train, sample={"grid": grid}, evaluate=evaluate)
    commands = "reference|train|score-error|sample --processes 2|evaluate|report"
    for command in commands.split("|"):
        name, *options = command.split()
        call = [sys.executable, "-m", "scoresweep", name, "study.yaml", *options]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def plan(finished):
    from scoresweep.pipeline.study import load_study, plan_study

    return plan_study(load_study(finished / "study.yaml"), finished)


@pytest.mark.slow
def test_results_of_plugins_are_complete(plan, scoresweep):
    done = scoresweep("plan", "study.yaml", "--no-probe", cwd=plan.paths.root)
    assert "nothing left to do" in done.stdout, done.stdout + done.stderr
    report = read_report(plan.paths.report)
    assert sorted(report.rows["sampler"]) == [
        "annealed_langevin(step_size=0.002)",
        "heavy_ball(step_size=0.001)",
    ]
    assert report.plan.settings[1].id == plan.settings[1].id
    assert report.metrics["brightness"].better == "lower"
    assert report.metrics["brightness"].title == "difference of brightness"
    assert report.rows["brightness"].notna().all()


@pytest.mark.slow
def test_reports_are_compared_without_the_plugin(plan, scoresweep, tmp_path):
    paths = [tmp_path / f"{name}.nc" for name in "ab"]
    for path in paths:
        path.write_bytes(plan.paths.report.read_bytes())
    done = scoresweep("compare", *paths, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "heavy_ball" in done.stdout
    done = scoresweep("compare", *paths, "--measure", "brightness", cwd=tmp_path)
    assert "difference of brightness (lower is better)" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_results_keep_a_copy_of_the_plugin(plan):
    run, setting = plan.runs[0], plan.settings[1]
    (record,) = json.loads(plan.paths.provenance(run.id).read_text())["plugins"]
    assert record["files"] == {"my_methods.py": MEASURED}
    assert record["sha256"] == setting.sample.sampler.plugin
    manifest = json.loads(plan.paths.samples_manifest(run.id, setting.store).read_text())
    assert manifest["plugins"] == {"my_methods.py": record["sha256"]}
    copy = plan.paths.plugin_copy("my_methods", record["sha256"])
    assert json.loads(copy.read_text()) == record


@pytest.mark.slow
def test_a_network_of_a_plugin_is_loaded_only_with_the_plugin(plan, tmp_path):
    run = plan.paths.run(plan.runs[0].id)
    with pytest.raises(InputError, match=r"my_methods\.py"):
        load_network(run)
    network = load_network(run, plugins=[plan.paths.root / "my_methods.py"])
    assert network.module.first.out_channels == 3
    edited = tmp_path / "my_methods.py"
    edited.write_text(METHODS + "# edited\n")
    with pytest.raises(InputError) as error:
        load_network(run, plugins=[edited])
    assert plan.runs[0].train.network.plugin in str(error.value)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_plugin_file_that_load_network_does_not_find_is_named(tmp_path, monkeypatch, is_absolute):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_methods.py").write_text(METHODS)
    missing = tmp_path / "my_method.py"
    with pytest.raises(InputError) as error:
        load_network(tmp_path, plugins=str(missing) if is_absolute else [missing.name])
    assert str(missing) in str(error.value)
    assert "my_methods.py" in str(error.value)
    assert "study" not in str(error.value)


@pytest.mark.slow
def test_samples_do_not_depend_on_the_number_of_processes(plan, folder):
    (folder / "results/tiny").mkdir(parents=True)
    import shutil

    shutil.copytree(plan.paths.results / "runs", folder / "results/tiny/runs")
    grid = {"sampler": [{"name": "annealed_langevin", "step_size": 2e-3}, BALL]}
    train = {"network": SMALL, "steps": 40, "grid": {}}
    again = plan_in(folder, MEASURED, train=train, sample={"grid": grid})
    run, setting = again.runs[0].id, again.settings[1]
    sample(again, run, setting.id)
    drawn = [read_samples(p.paths.samples(run, setting.store)).values for p in (plan, again)]
    assert (drawn[0] == drawn[1]).all()


def test_a_network_that_predicts_noise_is_a_score(folder):
    run = plan_in(folder, **ONE).runs[0]
    network = make_network(run, plan_in(folder, **ONE).paths)
    x, sigma = torch.rand(5, 1, 8, 8), torch.tensor([0.1, 0.5, 1.0, 2.0, 8.0])
    expected = -network.module(x, sigma) / sigma[:, None, None, None]
    torch.testing.assert_close(network(x, sigma), expected)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("return self", "return torch.cat([x, x], 1); self", ["my_methods.py", "(2, 2, 8, 8)"]),
        ("self.last(torch.relu", "self.lost(torch.relu", ["my_methods.py:46", "'lost'"]),
        ("padding=1)\n\n", "padding=1)\n        1 / 0\n\n", ["my_methods.py:44", "Zero"]),
        ('predicts="noise"', 'predicts="score", needs_images=True', []),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(
    folder, monkeypatch, old, new, named
):
    monkeypatch.chdir(folder)
    plan = plan_in(folder, METHODS.replace(old, new), **ONE)
    if not named:
        assert make_network(plan.runs[0], plan.paths)
        return
    with pytest.raises(InputError) as error:
        make_network(plan.runs[0], plan.paths)
    assert all(word in str(error.value) for word in named), str(error.value)


RETURN = "            observe(level, x, drift)\n    return x\n"
CLONE = "x, velocity = x.clone(), torch.zeros_like(x)"


def drawn(folder, methods, **options):
    plan = plan_in(
        folder, methods, train={"grid": {}}, sample={"sampler": BALL | options, "grid": {}}
    )
    save_untrained_networks(plan)
    run, setting = plan.runs[0].id, plan.settings[0]
    sample(plan, run, setting.id)
    return plan.paths.samples(run, setting.store)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (RETURN, RETURN.replace("return x", "return x[:, 0]"), ["(20, 8, 8)", "(20, 1, 8, 8)"]),
        (RETURN, RETURN.replace("return x", "return None"), ["NoneType"]),
        (RETURN, RETURN.replace("return x", "return x / 0"), ["20 of 20 samples"]),
        (RETURN, RETURN.replace("return x", "return y"), ["my_methods.py:35", "NameError"]),
        (RETURN, RETURN.replace("level,", "level + 1,"), ["level 5"]),
        (CLONE, CLONE + "; sigmas *= 2", ["'sigmas'"]),
        ("    x, velocity = x.clone(),", "    x += 1; velocity =", ["'x'"]),
    ],
)
def test_a_sampler_that_breaks_the_contract_is_named(folder, monkeypatch, old, new, named):
    monkeypatch.chdir(folder)
    assert old in METHODS
    with pytest.raises(RunError) as error:
        drawn(folder, METHODS.replace(old, new))
    assert error.value.exit_code == 1
    named = ["my_methods.py:1" if "35" not in "".join(named) else "heavy_ball", *named]
    assert all(word in str(error.value) for word in named), str(error.value)


@pytest.mark.parametrize(
    "noise", ["torch.randn_like(x)", "torch.from_numpy(numpy.random.normal(size=x.shape)).to(x)"]
)
def test_global_random_numbers_of_a_sampler_come_from_the_seed(folder, noise):
    methods = METHODS.replace("torch.empty_like(x).normal_(generator=generator)", noise)
    methods = methods.replace("import torch\n", "import numpy\nimport torch\n", 1)
    plan = plan_in(folder, methods, train={"grid": {}}, sample={"sampler": BALL, "grid": {}})
    save_untrained_networks(plan)
    values = []
    for _ in range(2):
        sample(plan, plan.runs[0].id, plan.settings[0].id)
        store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
        values.append(read_samples(store).values.copy())
        shutil.rmtree(plan.paths.results / "samples", ignore_errors=True)
        assert not store.exists()
        torch.randn(3)
    assert (values[0] == values[1]).all()
    assert (values[0][:10] != values[0][10:20]).any()


@pytest.mark.parametrize("line", ["y = 1 / 0", "raise SystemExit(3)", "x += 1"])
def test_a_sampler_that_fails_in_a_trial_run_is_refused_by_plan(folder, monkeypatch, line):
    monkeypatch.chdir(folder)
    plan = plan_in(folder, METHODS.replace(CLONE, f"{line}; {CLONE}"), **ONE)
    with pytest.raises(InputError, match=r"my_methods\.py:\d+: the sampler 'heavy_ball'"):
        Costs().evaluations_per_sample(plan, plan.runs[0], plan.settings[0])


STEP = "        step = step_size"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", 5 + 1),  # one for each level, and one to denoise
        ("score(torch.cat([x, x]), torch.full((2 * len(x),), sigma))", 15 + 1),
        ("[score(part, torch.full((len(part),), sigma)) for part in x.split(2)]", 10 + 1),
        # Levels and score are those of the study: x/σ² falls with the levels from 8 to 0.1.
        ("[score(x, torch.full((len(x),), sigma)) for _ in range(sigma > 7.9)]", 6 + 1),
    ],
)
def test_score_evaluations_are_counted_for_each_sample(folder, line, expected):
    methods = METHODS.replace(STEP, f"        {line}\n{STEP}")
    plan = plan_in(folder, methods, **ONE)
    assert Costs().evaluations_per_sample(plan, plan.runs[0], plan.settings[0]) == expected


def test_score_evaluations_of_in_painting_are_counted(folder):
    """With what the task passes, for which the sampler has no defaults."""
    methods = METHODS.replace("generator=None,", "known, mask, noise=None, generator=None,")
    methods = methods.replace(STEP, f"        x = torch.where(mask, known, x)\n{STEP}")
    sampling = {"sampler": BALL, "task": TASKS["in-painting"], "grid": {}}
    plan = plan_in(folder, methods, **ONE | {"sample": sampling})
    assert Costs().evaluations_per_sample(plan, plan.runs[0], plan.settings[0]) == 6


def test_a_score_that_is_not_zero_is_counted_with(folder):
    """A sampler that divides by the norm of the score, as Langevin correctors do."""
    methods = METHODS.replace(
        "        velocity = ",
        "        assert (drift.flatten(1).norm(dim=1) > 0).all()\n        velocity = ",
    )
    plan = plan_in(folder, methods, **ONE)
    assert Costs().evaluations_per_sample(plan, plan.runs[0], plan.settings[0]) == 6


def test_a_sampler_that_exits_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(RunError, match=r"my_methods\.py:\d+: the sampler 'heavy_ball': SystemExit"):
        drawn(folder, METHODS.replace(CLONE, "raise SystemExit(3)"))


FIRST = "self.first = torch.nn.Conv2d(shape[0], channels, 3, padding=1)"
RELU = "torch.relu(self.first(x))"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (FIRST, FIRST.replace("= ", "= torch.nn.Sequential(") + ", torch.nn.Dropout(0.1))", "1: D"),
        (RELU, f"torch.dropout({RELU}, 0.1, self.training)", "in forward"),
        (RELU, f"{RELU} * numpy.random.normal()", "eval()"),
        (
            FIRST,
            FIRST.replace("= ", "= torch.nn.Sequential(") + ", torch.nn.BatchNorm2d(channels))",
            "first.1.running_mean",
        ),
        (RELU, f"({RELU} - x.mean(0))", "other samples"),
        (FIRST, f"{FIRST}; self.scale = torch.randn(1)", ""),
        ("sigma):", "sigma):\n        if self.training: 1 / 0", "my_methods.py:"),
        (RELU, f"{RELU}.detach() - self.last.requires_grad_(False).bias[0]", "no gradient"),
        (FIRST, f"{FIRST}; self.again = self.first", "first.weight and again.weight"),
    ],
)
def test_a_network_that_cannot_be_trained_reproducibly_is_refused(folder, old, new, named):
    methods = METHODS.replace(old, new).replace("import torch\n", "import numpy, torch\n", 1)
    if "scale" in new:
        methods = methods.replace(RELU, f"{RELU} * self.scale")
    plan = plan_in(folder, methods, **ONE)
    with pytest.raises(InputError) as error:
        train_run(plan)
    assert "'Small'" in str(error.value)
    assert named in str(error.value)
    with pytest.raises(InputError, match="'Small'"):
        time_unknown(plan, Costs())


def test_the_weights_of_a_network_come_from_the_seed(folder):
    first = "numpy.random.normal()"
    methods = METHODS.replace(FIRST, f"{FIRST}; self.w = torch.nn.Parameter(torch.tensor({first}))")
    methods = methods.replace("import torch\n", "import numpy\nimport torch\n", 1)
    plan, weights = plan_in(folder, methods, **ONE), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(make_network(plan.runs[0], plan.paths).module.w.item())
    assert weights[0] == weights[1] != weights[2]


def test_the_final_step_is_done_unless_the_study_or_the_plugin_says_otherwise(folder):
    plain = METHODS.replace("    x, velocity", "    return x.clone()\n    x, velocity")
    never = plain.replace("@sampler\n", "@sampler(denoise=False)\n")
    values = [
        read_samples(drawn(folder, *case[:1], **case[1])).values.astype(int)
        for case in ((plain, {}), (plain, {"denoise": False}), (never, {}))
    ]
    assert (values[1] == values[2]).all()
    assert (values[0] != values[1]).any()
    with pytest.raises(InputError, match="denoise"):
        drawn(folder, never, denoise=True)


SAME = """
from scoresweep.plugins import sampler
from scoresweep.samplers import annealed_langevin


@sampler
def same(
    score, x, sigmas, *, step_size: float, steps_per_level: int = 5,
    generator, observe, noise=None, known=None, mask=None,
):
    return annealed_langevin(
        score, x, sigmas, step_size=step_size, steps_per_level=steps_per_level, denoise=False,
        generator=generator, observe=observe, noise=noise, known=known, mask=mask,
    )
"""
TASKS = {
    "none": None,
    "in-painting": {"name": "inpainting", "mask": "lower_half"},
    "interpolation": {"name": "interpolation", "steps": 4},
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_sampler_draws_the_samples_of_the_built_in_one_that_it_calls(folder, task):
    """Its levels are float32, which moves few pixels by one of 255."""
    found = []
    for name in ("annealed_langevin", "same"):
        one = {"name": name, "step_size": 2e-3, "steps_per_level": 2}
        blocks = {"train": {"grid": {}}, "sample": {"sampler": one, "task": task, "grid": {}}}
        plan = plan_in(folder, SAME, **blocks)
        save_untrained_networks(plan)
        sample(plan, plan.runs[0].id, plan.settings[0].id)
        store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
        found.append(read_samples(store).values.astype(int))
    difference = abs(found[0] - found[1])
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_a_task_needs_a_sampler_that_takes_what_it_passes(folder):
    blocks = {"sample": {"sampler": BALL, "task": TASKS["in-painting"], "grid": {}}}
    with pytest.raises(InputError, match=r"sample\.task"):
        plan_in(folder, **blocks)


def test_a_job_refuses_a_plugin_that_is_not_the_one_of_the_plan(folder):
    plan = plan_in(folder, **ONE)
    (folder / "my_methods.py").write_text(METHODS + "# edited\n")
    with pytest.raises(ScoresweepError) as error:
        launch(print, plan.settings[0], resources=Resources("local"), logs=folder / "logs")
    assert error.value.exit_code == 2
    assert plan.settings[0].sample.sampler.plugin in str(error.value)
    assert plugin_sha256(folder / "my_methods.py") in str(error.value)


@pytest.mark.slow
def test_a_worker_refuses_a_plugin_that_was_edited_meanwhile(folder):
    plan = plan_in(folder, train={"grid": {}}, sample={"sampler": BALL, "grid": {}})
    save_untrained_networks(plan)
    (folder / "my_methods.py").write_text(METHODS + "# edited\n")
    with pytest.raises(InputError) as error:
        sample(plan, plan.runs[0].id, plan.settings[0].id, Devices(processes=2))
    assert plan.settings[0].sample.sampler.plugin in str(error.value)
