"""What the README shows works."""

import re
from pathlib import Path

import yaml

from scoresweep.study import parse_study, plan_study

ROOT = Path(__file__).parents[1]
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
