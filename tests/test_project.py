"""The files around the code agree with each other."""

import re
import tomllib

import yaml
from checkout import ROOT

CONDA_NAMES = {"torch": "pytorch", "pot": "pot", "types-pyyaml": "types-pyyaml"}


def split(requirement):
    name, version = re.fullmatch(r"([\w-]+)(.*)", requirement.replace(" ", "")).groups()
    return name.lower(), version


def test_conda_and_pip_install_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(
        split(r) for r in project["dependencies"] + project["optional-dependencies"]["dev"]
    )
    wanted = {CONDA_NAMES.get(name, name): version for name, version in wanted.items()}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    found = dict(split(r) for r in listed)
    assert found.pop("python") == project["requires-python"]
    assert found.pop("pip") == ""
    assert found == wanted


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert {split(r)[0] for r in wanted} <= pinned


def test_the_version_stands_in_one_way():
    import scoresweep

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert scoresweep.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
