"""What the README shows works."""

import math
import re

import yaml
from checkout import ROOT
from faked_study import CONTENT, fake_metrics, fake_plan, fake_run, fake_score_error

from scoresweep.pipeline.cluster.progress import collect_jobs
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.study import parse_study, plan_study

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_without_the_workflow(capsys):
    (example,) = blocks("python")
    namespace: dict[str, object] = {}
    exec(example, namespace)
    share = float(namespace["share"])  # type: ignore[arg-type]
    # Four standard errors of 2,000 draws, and what 1,200 steps leave of the start's even shares.
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5 + 0.02
    assert "of the samples are in the mode" in capsys.readouterr().out


def test_the_questions_to_a_report_are_answered(tmp_path, monkeypatch, capsys):
    """On made-up numbers, by the same code, in the same form."""
    train = CONTENT["train"] | {"grid": {"noise.levels": [10, 30], "seed": [0, 1]}}
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [2e-6, 2e-5]}}
    plan = fake_plan(tmp_path, study="digits", train=train, sample=sample)
    for run in plan.runs:
        fake_run(plan, run)
        fake_score_error(plan, run)
        for setting in plan.settings:
            fake_metrics(plan, run, setting)
    tables = collect(plan, collect_jobs(plan))
    tables.tree.to_netcdf(plan.paths.report, engine="h5netcdf")
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python no-run")
    exec(example, {})
    answers = capsys.readouterr().out.splitlines()
    step = abs(math.log10(2e-6 / 2e-5))
    near = 0.2 + 0.3 / 30 + 0.025  # the made-up distance of 30 levels at 2e-5, mean of two seeds
    assert answers[0] == "[2.e-05 2.e-05]"
    assert answers[1] == f"[{(near + step) / near:.2f} 1.  ]"
    assert answers[2].endswith("[10. 30.]")
    shown = blocks("text")[0].splitlines()
    assert [line.count("[") for line in shown] == [line.count("[") for line in answers]


def test_the_study_that_it_shows_is_right_and_is_the_default_one():
    (shown,) = blocks("yaml")
    shown = yaml.safe_load(shown)
    plan = plan_study(parse_study(shown, "README.md"))
    assert len(plan.runs) * len(plan.settings) == 12
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for block in ("train", "sample", "evaluate"):
        for key, value in shown[block].items():
            assert default[block][key] == value, f"{block}.{key}"


def test_every_file_that_it_links_to_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
