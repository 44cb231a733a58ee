"""The examples of the README and of the pages work, and the paths in them exist."""

import math
import re

import pytest
import yaml
from checkout import ROOT
from faked_study import CONTENT, fake_metrics, fake_plan, fake_run, fake_score_error

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.study import parse_study, plan_study

PAGES = [
    path.relative_to(ROOT)
    for folder in (
        ROOT,
        *(ROOT / name for name in ["docs", "docs/api", "docs/gallery", "config", "slurm"]),
    )
    for path in sorted(folder.glob("*.md"))
]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150


def test_the_library_example_samples_the_mixture(capsys):
    (example,) = blocks("docs/api/index.md", "python")
    namespace: dict[str, object] = {}
    exec(example, namespace)
    share = float(namespace["share"])  # type: ignore[arg-type]
    # Four standard errors of 2,000 samples, plus the bias left from the start after 1,200 steps.
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 2000) ** 0.5 + 0.02
    assert "of the samples are in the mode" in capsys.readouterr().out


def test_the_report_example_answers_its_questions(tmp_path, monkeypatch, capsys):
    """With made-up numbers, in the format shown."""
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
    (example,) = blocks("docs/analysis.md", "python no-run")
    exec(example, {})
    answers = capsys.readouterr().out.splitlines()
    step = abs(math.log10(2e-6 / 2e-5))
    best = 0.2 + 0.3 / 30 + 0.025  # the made-up distance of 30 levels at 2e-5, mean of two seeds
    assert answers[0] == "[2.e-05 2.e-05]"
    assert answers[1] == f"[{(best + step) / best:.2f} 1.  ]"
    assert answers[2].endswith("[10. 30.]")
    shown = blocks("docs/analysis.md", "text")[0].splitlines()
    assert [line.count("[") for line in shown] == [line.count("[") for line in answers]


def test_the_study_shown_is_the_default_one():
    (shown,) = blocks("docs/studies.md", "yaml")
    shown = yaml.safe_load(shown)
    plan = plan_study(parse_study(shown, "studies.md"))
    assert len(plan.runs) * len(plan.settings) == 12
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    for block in ("train", "sample", "evaluate"):
        for key, value in shown[block].items():
            assert default[block][key] == value, f"{block}.{key}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_and_paths_exist(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (ROOT / page.parent / target).exists(), target
    for path in re.findall(r"`((?:src|tests|config|benchmarks)/[\w./]+\.\w+)`", text):
        if not path.endswith("mine.yaml"):
            assert (ROOT / path).exists(), path
    for script in re.findall(r"python ((?:benchmarks|docs)/\w+\.py)", text):
        assert (ROOT / script).exists(), script
