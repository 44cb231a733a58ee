"""A built-in method is one file and one line, as CONTRIBUTING.md says."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import scoresweep as scoresweep_package

HEAD = "import torch\n\nfrom scoresweep.plugins import *\n"

FILES = {
    "dataset": (
        "pipeline/data/sources/ball.py",
        """
@dataset(source="drawn here")
def ball(*, radius: float = 2.0):
    points = radius * torch.randn(60, 3).clamp(-1, 1)
    return points[:40], points[40:]
""",
    ),
    "noise_ladder": (
        "noise.py",
        """
@noise_ladder
def halves(*, sigma_max: float, levels: int = 3):
    return [sigma_max / 2**i for i in range(levels)]
""",
    ),
    "network": (
        "networks/linear.py",
        """
@network(version="1")
class Linear(torch.nn.Module):
    def __init__(self, shape, *, bias: bool = True):
        super().__init__()
        self.layer = torch.nn.Linear(*shape, *shape, bias=bias)

    def forward(self, x, sigma):
        return self.layer(x) / sigma[:, None]
""",
    ),
    "objective": (
        "objectives/plain.py",
        """
@objective
def plain(score, x, sigma, z, *, weight: float = 1.0):
    scale = sigma[:, None]
    return weight * (scale * score(x + scale * z, sigma) + z).square().sum(1)
""",
    ),
    "sampler": (
        "samplers/drift.py",
        """
@sampler
def drift(score, x, sigmas, *, step_size: float):
    for sigma in sigmas:
        x = x + step_size * score(x, sigma.expand(len(x)))
    return x
""",
    ),
    "metric": (
        "metrics/spread.py",
        """
@metric(better="lower")
def spread(real, generated, *, power: float = 1.0):
    return float((generated.std() / real.std() - 1).abs() ** power)
""",
    ),
    "extractor": (
        "metrics/extractors/halves_of_points.py",
        """
@extractor
def halved(x, *, factor: float = 0.5):
    return factor * x
""",
    ),
}
NAMES = {
    "dataset": "ball",
    "noise_ladder": "halves",
    "network": "Linear",
    "objective": "plain",
    "sampler": "drift",
    "metric": "spread",
    "extractor": "halved",
}
STUDY = {
    "study": "included",
    "dataset": {"name": "ball"},
    "train": {
        "network": {"name": "Linear", "bias": False},
        "noise": {"name": "halves", "sigma_max": 4.0},
        "objective": {"name": "plain"},
        "steps": 2,
        "batch_size": 8,
    },
    "sample": {"sampler": {"name": "drift", "step_size": 0.1}, "count": 4, "chunk": 4},
    "evaluate": {"metrics": ["spread", "frechet"], "extractors": ["halved"], "resamplings": 0},
}
CODE = """
import json
from pathlib import Path

import xarray as xr
from scoresweep import load_network
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.commands.methods import describe_methods
from scoresweep.pipeline.commands.schema import study_schema
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.study import load_study, plan_study

plan = plan_study(load_study(Path("study.yaml")))
run, setting, data = plan.runs[0], plan.settings[0], plan.study.dataset[0].id
stage(plan, data)
train_here(run, plan.paths, Resources())
sample(plan, run.id, setting.id)
reference(plan, data, plan.extractor("halved"))
evaluate(plan, run.id, setting.id)
metrics = xr.load_dataset(plan.paths.metrics(run.id, setting.id))
manifest = json.loads(plan.paths.dataset_manifest(data).read_text())
found = {
    "defs": list(study_schema()["$defs"]),
    "methods": list(describe_methods()),
    "sigmas": load_network(plan.paths.run(run.id)).sigmas.tolist(),
    "sha256": manifest["attributes"]["sha256"],
    "metrics": {name: float(metrics[name]) for name in ("spread", "frechet_halved")},
}
Path("found.json").write_text(json.dumps(found))
"""


@pytest.mark.slow
def test_a_built_in_method_of_each_kind_is_one_file_and_one_line(tmp_path):
    """A copy of the program, to which one of each kind is added, runs a study of them."""
    package = shutil.copytree(Path(scoresweep_package.__file__).parent, tmp_path / "scoresweep")
    table = package / "pipeline/study/methods/included.py"
    for kind, (file, code) in FILES.items():
        path = package / file
        text = path.read_text() if path.exists() else HEAD
        if path.name == "noise.py":
            text = text.replace("import torch\n", f"{HEAD}", 1)
        path.write_text(text + code)
        module = "scoresweep." + file.removesuffix(".py").replace("/", ".")
        line = f'"{kind}": {{"{NAMES[kind]}": "{module}:{NAMES[kind]}"}},'
        assert f'"{kind}": {{}},' in table.read_text()
        table.write_text(table.read_text().replace(f'"{kind}": {{}},', line))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", CODE], check=False, **options)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name.title() for name in NAMES.values()} <= {*found["defs"]}
    for kind, name in NAMES.items():
        (line,) = (line for line in found["methods"] if line.startswith(f"  {name} ["))
        assert str(package / FILES[kind][0]) in str(tmp_path / line.split("[")[1])
    assert found["sigmas"] == [4.0, 2.0, 1.0]
    assert found["sha256"] == {}
    assert all(math.isfinite(value) for value in found["metrics"].values())
