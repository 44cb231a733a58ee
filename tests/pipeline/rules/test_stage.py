from __future__ import annotations

import itertools
import resource
import shutil
import signal
import time
from multiprocessing import get_context

import numpy as np
import pytest
import zarr
from PIL import Image

from scoresweep.pipeline.data import dataset_store
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules import stage as module
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import parse_study, plan_study


def plan_of(dataset, root):
    content = {
        "study": "toy",
        "dataset": dataset,
        "train": {
            "network": {"name": "mlp"},
            "noise": {"name": "geometric", "sigma_max": 1.0, "sigma_min": 0.1, "levels": 2},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-5}},
    }
    plan = plan_study(parse_study(content, "toy.yaml"), root)
    return plan, plan.study.dataset[0].id


def test_the_digits(tmp_path, capsys):
    plan, name = plan_of({"name": "digits"}, tmp_path)
    stage(plan, name)
    store = tmp_path / "data" / "digits.zarr"
    train = read_split(store, "train")
    assert train.shape == (1, 8, 8)
    assert (len(train.values), len(read_split(store, "test").values)) == (1437, 360)
    attributes = zarr.open_group(store, mode="r").attrs
    assert attributes["pixel_range"] == [0, 16]
    assert attributes["licence"] == "CC BY 4.0"
    assert {"source", "sha256", "version", "class_names"} <= set(attributes)
    assert "1,437 + 360 samples of 8×8 pixels" in capsys.readouterr().err


def test_staging_again_does_nothing(tmp_path, capsys):
    plan, name = plan_of({"name": "digits"}, tmp_path)
    stage(plan, name)
    before = identities(tmp_path / "data")
    stage(plan, name)
    assert identities(tmp_path / "data") == before
    assert "is already staged" in capsys.readouterr().err


def test_one_of_two_processes_stages(tmp_path, monkeypatch, capfd):
    plan, name = plan_of({"name": "digits"}, tmp_path)
    orphan = get_context("spawn").Process(target=stage, args=(plan, name))
    written, write = [], module.write_store

    def noting(*arguments):
        orphan.start()
        while "another process does this already" not in (said := capfd.readouterr().err):
            assert orphan.is_alive(), said
            time.sleep(0.05)
        write(*arguments)
        written.extend(identities(tmp_path / "data"))

    monkeypatch.setattr(module, "write_store", noting)
    stage(plan, name)
    orphan.join(60)
    assert orphan.exitcode == 0
    assert "is already staged" in capfd.readouterr().err
    assert identities(tmp_path / "data") == written


def identities(folder):
    """Inode and modification time of each file of the data."""
    files = sorted(p for p in folder.rglob("*") if not p.name.endswith(".lock"))
    return [(p, p.stat().st_ino, p.stat().st_mtime_ns) for p in files]


def test_a_truncated_store_is_staged_again(tmp_path, capsys):
    plan, name = plan_of({"name": "digits"}, tmp_path)
    stage(plan, name)
    store = plan.paths.dataset_store(name)
    expected = read_split(store, "train")
    file = next(f for f in (store / "train" / "image" / "c").rglob("*") if f.is_file())
    file.write_bytes(file.read_bytes()[:-1])
    stage(plan, name)
    assert f"{file}: has " in capsys.readouterr().err
    np.testing.assert_array_equal(read_split(store, "train").values, expected.values)


def test_a_subset_is_the_first_samples(tmp_path):
    whole, subset = {"name": "digits"}, {"name": "digits", "subset": 50}
    for dataset in (whole, subset):
        stage(*plan_of(dataset, tmp_path))
    stores = [plan.paths.dataset_store(name) for plan, name in map_plans(tmp_path, whole, subset)]
    for split in ("train", "test"):
        every, first = (read_split(store, split) for store in stores)
        np.testing.assert_array_equal(first.values, every.values[:50])
        np.testing.assert_array_equal(first.labels, every.labels[:50])


def test_a_subset_of_user_data_has_every_class(tmp_path):
    for index, name in enumerate(f"{s}/{c}" for s in ("train", "test") for c in "abc"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(6):
            image = Image.fromarray(np.full((4, 4), 10 * index + i, np.uint8))
            image.save(tmp_path / "own" / name / f"{i}.png")
    own = {"name": "folder", "path": str(tmp_path / "own"), "subset": 6}
    plan, name = plan_of(own, tmp_path)
    stage(plan, name)
    store = plan.paths.dataset_store(name)
    for split, first in (("train", 0), ("test", 30)):
        part = read_split(store, split)
        assert part.labels.tolist() == [0, 0, 1, 1, 2, 2]
        values = [first + place for place in (0, 1, 10, 11, 20, 21)]
        assert part.values[:, 0, 0, 0].tolist() == values


def map_plans(root, *datasets):
    return [plan_of(dataset, root) for dataset in datasets]


def test_user_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 2))
    np.save(tmp_path / "p.npy", points)
    plan, name = plan_of({"name": "array", "path": str(tmp_path / "p.npy")}, tmp_path)
    stage(plan, name)
    assert read_split(plan.paths.dataset_store(name), "test").values.shape == (4, 2)


@pytest.mark.parametrize("kind", ["array", "zarr", "folder"])
def test_changed_user_data_is_staged_again(tmp_path, capsys, kind):
    source = tmp_path / "own"
    plan, name = plan_of({"name": kind, "path": str(source), "test_fraction": 0.5}, tmp_path)
    store = plan.paths.dataset_store(name)
    values = np.zeros((6, 4, 4), np.uint8)
    for grey, message in ((0, "staged"), (0, "is already staged"), (9, "own has changed since")):
        values[:] = grey
        write_own(source, kind, values)
        stage(plan, name)
        assert message in capsys.readouterr().err
        assert np.unique(read_split(store, "train").values) == grey
    shutil.rmtree(source) if source.is_dir() else source.unlink()
    stage(plan, name)
    assert "is already staged" in capsys.readouterr().err


def write_own(source, kind, values):
    if kind == "array":
        with source.open("wb") as file:
            np.save(file, values)
    elif kind == "zarr":
        written = {"write_empty_chunks": True}
        zarr.create_array(source, data=values, overwrite=True, config=written)
    else:
        source.mkdir(exist_ok=True)
        for index, image in enumerate(values):
            Image.fromarray(image).save(source / f"{index}.png")


def test_wrong_data_leaves_no_file(tmp_path):
    np.save(tmp_path / "p.npy", np.full((40, 2), np.nan))
    plan, name = plan_of({"name": "array", "path": str(tmp_path / "p.npy")}, tmp_path)
    with pytest.raises(InputError, match="80 values are NaN"):
        stage(plan, name)
    assert names(tmp_path / "data") == [f".{name}.lock"]


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def limit_files():
    """Limit the size of files; the error is like that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize(("shard", "size"), [(4096, 20_000), (128, 3_000)])
def test_a_full_disk_leaves_no_file(tmp_path, monkeypatch, limit_files, shard, size):
    monkeypatch.setattr(dataset_store, "SHARD", shard)
    plan, name = plan_of({"name": "digits"}, tmp_path)
    limit_files(size)
    with pytest.raises(RunError, match=r"digits\.zarr: could not be written \(.*space"):
        stage(plan, name)
    assert names(tmp_path / "data") == [".digits.lock"]


@pytest.mark.parametrize(
    ("count", "fraction", "named"),
    [
        (2, 0.5, "at least four"),
        (3, 0.1, "at least four"),
        (4, 0.1, "Set it to 0.5"),
        (10, 0.1, "0.2 to 0.8"),
        (10, 0.9, "0.2 to 0.8"),
        (10, 0.99, "0.2 to 0.8"),
    ],
)
def test_a_test_fraction_with_too_few_samples(tmp_path, count, fraction, named):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(count, 3)))
    dataset = {"name": "array", "path": str(tmp_path / "a.npy"), "test_fraction": fraction}
    plan, name = plan_of(dataset, tmp_path)
    with pytest.raises(InputError, match=rf"dataset\.test_fraction: {fraction} .*{named}"):
        stage(plan, name)
    assert not (tmp_path / "data" / f"{name}.zarr").exists()


def save_labels(path, train, test):
    images = np.zeros((4, 4, 6, 1), np.uint8)
    np.savez(path, x_train=images, y_train=train, x_test=images, y_test=test)


def test_a_test_split_of_other_classes_is_refused(tmp_path, capsys):
    dataset = {"name": "array", "path": str(tmp_path / "a.npz")}
    save_labels(tmp_path / "a.npz", ["cat", "dog"] * 2, ["images"] * 4)
    plan, name = plan_of(dataset, tmp_path)
    with pytest.raises(InputError, match=r"a\.npz: .*images.*cat, dog.*dataset\.keys"):
        stage(plan, name)
    save_labels(tmp_path / "a.npz", ["cat", "dog"] * 2, ["bird", "dog"] * 2)
    stage(plan, name)
    assert "2 classes (cat, dog)" in capsys.readouterr().err


def test_other_folders_in_the_test_split_are_refused(tmp_path):
    for split, name in itertools.product(("train/cat", "train/dog", "test/images"), "ab"):
        (tmp_path / "in" / split).mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / "in" / split / f"{name}.png")
    dataset = {"name": "folder", "path": str(tmp_path / "in"), "test_fraction": 0.5}
    plan, name = plan_of(dataset, tmp_path)
    with pytest.raises(InputError, match=r"images.*cat, dog.*dataset\.splits"):
        stage(plan, name)
    plan, name = plan_of(dataset | {"splits": {"train": "train"}}, tmp_path)
    stage(plan, name)


def test_recorded_options_stay_the_same(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 3)))
    plan, name = plan_of({"name": "array", "path": str(tmp_path / "a.npy")}, tmp_path)
    stage(plan, name)
    recorded = zarr.open_group(tmp_path / "data" / f"{name}.zarr", mode="r").attrs["dataset"]
    assert list(recorded) == ["name", "subset", "path", "title", "test_fraction"]
