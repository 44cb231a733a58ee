from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from scoresweep.pipeline.data import dataset_store
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.data.memory_loader import InMemoryLoader
from scoresweep.pipeline.data.shard_loader import ShardLoader, open_loader
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError

COUNT = 1000  # 7 shards of 128 and one of 104
SHARD_BYTES = 128 * 4 * 4


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_store, "SHARD", 128)
    points = np.random.default_rng(0).normal(size=(COUNT, 4)).astype(np.float32)
    points[:, 0] = np.arange(COUNT)
    write_store(tmp_path / "big.zarr", {"train": Split(points)}, {})
    return tmp_path / "big.zarr"


def opened(store, batch_size=96, shards=2, seed=0):
    return open_loader(store, "train", batch_size, seed, memory_limit=3 * shards * SHARD_BYTES)


def order(loader, steps):
    return torch.cat([loader.batch(step) for step in range(steps)])[:, 0].long()


def test_a_split_within_the_limit_is_kept_in_memory(store):
    loader = open_loader(store, "train", 10, 3, memory_limit=COUNT * 16)
    expected = InMemoryLoader(read_split(store, "train"), 10, 3)
    assert isinstance(loader, InMemoryLoader)
    assert torch.equal(loader.batch(5), expected.batch(5))


@pytest.mark.parametrize("shards", [0, 1, 2])
@pytest.mark.parametrize("batch_size", [1000, 250])
def test_each_epoch_visits_every_sample_once(store, shards, batch_size):
    loader = opened(store, batch_size, shards)
    assert isinstance(loader, ShardLoader)
    epochs = order(loader, 3 * COUNT // batch_size).reshape(3, COUNT)
    assert all(sorted(epoch.tolist()) == list(range(COUNT)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])


def test_no_sample_is_lost(store):
    values = read_split(store, "train").values
    x = opened(store).batch(3)
    np.testing.assert_array_equal(x.numpy(), values[x[:, 0].long().numpy()])


@pytest.mark.parametrize("cuts", [(48,), (1, 95), (10, 20, 70)])
def test_batches_do_not_depend_on_slicing_or_order(store, cuts):
    whole, parts = opened(store), opened(store)
    for step in (25, 3, 10, 11, 2000):
        cut = [parts.batch(step, a, b) for a, b in itertools.pairwise((0, *cuts, 96))]
        assert torch.equal(torch.cat(cut), whole.batch(step))


def test_a_block_mixes_its_shards_in_another_order_each_epoch(store):
    first = order(opened(store, COUNT), 2).reshape(2, COUNT)[:, :256] // 128
    for shards in first:
        assert len(shards.unique()) == 2
        assert int((shards.diff() != 0).sum()) > 10
    assert set(first[0].tolist()) != set(first[1].tolist())


def test_blocks_have_different_orders(store):
    row = order(opened(store, COUNT), 1)
    within_shards = {tuple((row[row // 128 == shard] % 128).tolist()) for shard in range(7)}
    assert len(within_shards) == 7


def test_another_seed_gives_another_order(store):
    assert not torch.equal(opened(store).batch(0), opened(store, seed=1).batch(0))


def test_a_missing_shard_is_named(store):
    next((store / "train/point/c").glob("3/*")).unlink()
    with pytest.raises(InputError, match="is missing"):
        opened(store)


def test_damage_is_detected_on_reading(store):
    file = next((store / "train/point/c").glob("3/*"))
    content = bytearray(file.read_bytes())
    content[200] ^= 255
    file.write_bytes(content)
    loader = opened(store, COUNT)
    with pytest.raises(InputError, match="train/point is damaged"):
        loader.batch(0)
