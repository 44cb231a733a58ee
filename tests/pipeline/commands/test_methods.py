"""Command `methods`: built-in and own methods with their options."""

from __future__ import annotations

import sys

import pytest
from checkout import ROOT
from plugin_study import install, write_study

from scoresweep.pipeline.commands.methods import describe_methods
from scoresweep.pipeline.study.plugins.study_models import BUILT_IN, NAMES, members


def listed(lines, name, kind="sampler"):
    """Return the line of a method of a kind, and its options by name."""
    lines = list(lines)
    lines = lines[lines.index(f"{kind}s".replace("_", " ")) :]
    (start,) = (
        i
        for i, line in enumerate(lines[: lines.index("")])
        if line.split(":")[0].split(" [")[0] == f"  {name}"
    )
    options = {}
    for line in lines[start + 1 :]:
        if not line.startswith("      "):
            break
        option, _, rest = line.strip().partition(" ")
        options[option] = rest
    return lines[start], options


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_built_in_method_is_listed_with_its_options(kind):
    lines = list(describe_methods())
    for method in members(kind):
        name = method.model_fields["name"].annotation.__args__[0]
        options = listed(lines, name, kind)[1]
        assert options.keys() == method.model_fields.keys() - {"name", "label"}


@pytest.mark.parametrize("kind", NAMES)
def test_every_metric_and_extractor_is_listed_with_a_text(kind):
    lines = list(describe_methods())
    for name in NAMES[kind]:
        line, options = listed(lines, name, kind)
        assert len(line) > len(f"  {name}: ") + 10
        assert options == {}


def test_types_limits_and_defaults_are_told():
    options = listed(describe_methods(), "annealed_langevin")[1]
    assert options["step_size"].startswith('(number > 0 or "auto", required): Step size ε')
    assert options["steps_per_level"].startswith("(integer ≥ 1, default 5): ")
    assert '"variance", "linear"' in options["step_rule"]


def test_methods_of_plugins_name_their_file():
    line, options = listed(describe_methods(ROOT / "examples/my_methods.yaml"), "heavy_ball")
    assert "examples/my_methods.py:7]: Annealed Langevin dynamics with momentum" in line
    assert options["momentum"] == "(number, default 0.5)"


def test_methods_of_installed_packages_are_listed_with_their_place(tmp_path, monkeypatch):
    install(tmp_path, heavy_ball="heavy_ball", other="heavy_ball", mlp="Small", nonsuch="nonsuch")
    monkeypatch.syspath_prepend(tmp_path)
    lines = list(describe_methods())
    line, options = listed(lines, "heavy_ball")
    assert f"{tmp_path / 'balls_to_install.py'}:" in line
    assert options.keys() == {"denoise", "step_size", "momentum"}
    listed(lines, "mlp", "network")  # once: the built-in one
    assert len([line for line in lines if line.startswith("not loaded: ")]) == 2
    del sys.modules["balls_to_install"]


def test_what_an_own_metric_measures_is_told(tmp_path):
    methods = """from scoresweep.plugins import metric
@metric(on="features", better={"gap": "higher"}, unit="m", needs_images=True)
def depth(real, generated): ...
"""
    line, _ = listed(describe_methods(write_study(tmp_path, methods)), "depth", "metric")
    assert line.endswith(
        "my_methods.py:2]: (on features; gap: higher is better; unit m; needs images)"
    )
