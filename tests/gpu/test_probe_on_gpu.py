"""`scoresweep plan --gpus 1` times networks on the GPU, as its jobs use them."""

from __future__ import annotations

import pytest
import torch
from tiny_study import TINY, untrained_plan

from scoresweep.networks import MLP
from scoresweep.pipeline.commands.estimate import probe_network, stopwatch
from scoresweep.pipeline.study.load import parse_yaml

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fresh_process")]

MOVED = {
    "mlp": "pipeline/training/training_step.py TrainingStep.__init__",
    "oracle": "networks/oracle.py Oracle._apply",
}
"""What moves the network to the GPU."""


@pytest.mark.parametrize("name", MOVED)
def test_the_probe_times_steps_and_scores_on_the_gpu(gpu, staged, tmp_path, monkeypatch, name):
    for module in (probe_network, stopwatch):
        monkeypatch.setattr(module, "LONG_ENOUGH", 60.0)  # full batches, and the sampler too
    monkeypatch.setattr(stopwatch, "MAX_CALLS", 1)
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"] |= {"grid": {}, "network": {"name": name}, "precision": "bf16"}
    content["sample"] |= {"precision": "bf16"}
    plan = untrained_plan(tmp_path / "study", staged, content)
    is_low, forward = [], MLP.forward

    def noted(*given):
        is_low.append(torch.is_autocast_enabled("cuda"))
        return forward(*given)

    monkeypatch.setattr(MLP, "forward", noted)
    with gpu.watch() as waits:
        times = probe_network.time_network(plan.runs[0], plan.settings[0], plan.paths, "cuda")
    assert MOVED[name] in waits
    assert "pipeline/commands/estimate/probe_network.py _with_sampler" in waits
    assert all(is_low)
    known = {field for field, seconds in times._asdict().items() if seconds}
    of_training = {"step_seconds", "image_seconds"} if name == "mlp" else set()
    assert known - {"parameters"} == {"sample_seconds"} | of_training
