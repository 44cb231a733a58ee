import pytest
import torch
from accelerate import Accelerator

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.training import setup
from scoresweep.pipeline.training.setup import make_accelerator


@pytest.mark.skipif(torch.cuda.is_available(), reason="Accelerate uses the GPU here")
@pytest.mark.usefixtures("fresh_process")
def test_processes_that_do_not_find_each_other_are_stopped(monkeypatch):
    """If Accelerate is not set to use CPUs, each process counts itself only."""
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("torch.distributed.init_process_group", lambda **_: None)
    monkeypatch.setattr(setup, "Accelerator", lambda cpu, **options: Accelerator(**options))
    with pytest.raises(RunError, match="1 processes found each other, not 2"):
        make_accelerator("no", gpus=0)
