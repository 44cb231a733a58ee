"""The files around the code agree with each other."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

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


def test_the_version_is_the_same_everywhere():
    import scoresweep

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert scoresweep.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


OPTIONAL = {"pyarrow"}
"""The extra `parquet`."""

COMES_WITH = {
    "cycler": "matplotlib",
    "pydantic-core": "pydantic",
    "snakemake-interface-executor-plugins": "snakemake",
}

USED_BY_NAME = {
    "h5netcdf": ("src", 'engine="h5netcdf"'),
    "plotly": ("src", 'find_spec("plotly")'),
    "tensorboard": ("src", "torch.utils.tensorboard"),
}
"""Packages that are used without an import in `src`: where, and by which text."""


def text_of(place):
    path = ROOT / place
    files = path.rglob("*.py") if path.is_dir() else [path]
    return "\n".join(file.read_text() for file in files)


def test_runtime_dependencies_are_the_packages_that_the_program_uses():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {split(requirement)[0] for requirement in project["dependencies"]}
    modules = set()
    for node in ast.walk(ast.parse(text_of("src").replace("from __future__", "from sys"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    installed = packages_distributions()
    packages = {
        package.lower().replace("_", "-")
        for module in modules - set(sys.stdlib_module_names) - {"scoresweep"}
        for package in installed[module]
    }
    used = {COMES_WITH.get(package, package) for package in packages - OPTIONAL}
    used |= {name for name, (place, text) in USED_BY_NAME.items() if text in text_of(place)}
    assert used == required


def test_names_of_test_files_are_unique():
    """Otherwise pytest does not collect the second, and only a whole run shows it."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
