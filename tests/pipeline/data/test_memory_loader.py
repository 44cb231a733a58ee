from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scoresweep.pipeline.data.memory_loader import InMemoryLoader
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.seeds import generator_for

COUNT = 23
POINTS = Split(np.arange(COUNT, dtype=np.float32)[:, None])
IMAGES = Split(
    np.random.default_rng(0).integers(0, 256, (COUNT, 4, 5, 3), np.uint8), pixel_range=(0.0, 255.0)
)


def epoch_sequence(seed, length):
    orders = [
        torch.randperm(COUNT, generator=generator_for(seed, "order", epoch))
        for epoch in range(length // COUNT + 1)
    ]
    return torch.cat(orders)[:length]


@pytest.mark.parametrize("batch_size", [1, 8, 23, 50])
def test_batches_follow_the_epoch_sequence(batch_size):
    loader = InMemoryLoader(POINTS, batch_size, seed=3)
    found = torch.cat([loader.batch(step)[:, 0] for step in range(12)])
    assert found.tolist() == epoch_sequence(3, 12 * batch_size).float().tolist()


def test_each_epoch_visits_every_sample_once_and_in_another_order():
    loader = InMemoryLoader(POINTS, COUNT, seed=0)
    epochs = [loader.batch(step)[:, 0].tolist() for step in range(4)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=5),
    step=st.integers(0, 10**6),
    flip=st.booleans(),
)
def test_a_batch_does_not_depend_on_slicing(cuts, step, flip):
    loader = InMemoryLoader(IMAGES, 40, seed=1, flip=flip)
    edges = [0, *sorted(cuts), 40]
    parts = [
        loader.batch(step, start, stop) for start, stop in itertools.pairwise(edges) if stop > start
    ]
    assert torch.equal(torch.cat(parts), InMemoryLoader(IMAGES, 40, seed=1, flip=flip).batch(step))


def test_steps_in_any_order():
    loader = InMemoryLoader(POINTS, 8, seed=5)
    backwards = [loader.batch(step) for step in reversed(range(20))][::-1]
    assert torch.equal(torch.cat(backwards), torch.cat([loader.batch(step) for step in range(20)]))


def test_another_seed_gives_another_order():
    assert not torch.equal(
        InMemoryLoader(POINTS, 23, 0).batch(0), InMemoryLoader(POINTS, 23, 1).batch(0)
    )


def test_images_are_in_model_space_and_channels_last():
    loader = InMemoryLoader(IMAGES, 8, seed=2)
    x = loader.batch(1)
    assert torch.equal(x, IMAGES.model_space(epoch_sequence(2, 16)[8:].numpy()))
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_flips_mirror_about_half_of_the_images():
    plain, flipped = (
        InMemoryLoader(IMAGES, 400, seed=0, flip=flip).batch(7) for flip in (False, True)
    )
    mirrored = (flipped == plain.flip(-1)).flatten(1).all(1)
    unchanged = (flipped == plain).flatten(1).all(1)
    assert (mirrored ^ unchanged).all()
    assert 160 < int(mirrored.sum()) < 240


def test_flips_change_from_step_to_step():
    one = Split(IMAGES.values[:1], pixel_range=(0.0, 255.0))
    loader = InMemoryLoader(one, 1, seed=0, flip=True)
    assert len({loader.batch(step).numpy().tobytes() for step in range(20)}) == 2


def test_points_cannot_be_flipped():
    with pytest.raises(InputError, match="flip"):
        InMemoryLoader(POINTS, 8, seed=0, flip=True)
