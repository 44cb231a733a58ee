"""A size that fits on a GPU is found by halving."""

import pytest
import torch

from scoresweep.pipeline.system.gpu_memory import REPEATS, fits_on_gpu, largest_fitting_size


def test_the_largest_half_that_fits_with_a_quarter_to_spare():
    tried = []
    assert largest_fitting_size(lambda size: tried.append(size) or size <= 6, 40) == 5
    assert tried == [25, 12, 6]
    assert largest_fitting_size(lambda size: False, 40) == 0


def test_work_fits_if_it_does_several_times():
    done = []
    assert fits_on_gpu(lambda: done.append(1))
    assert len(done) == REPEATS


def test_work_that_runs_out_of_memory_does_not_fit():
    assert not fits_on_gpu(lambda: torch.empty(2**55))
    with pytest.raises(RuntimeError, match="shape"):
        fits_on_gpu(lambda: torch.ones(2).reshape(3))
