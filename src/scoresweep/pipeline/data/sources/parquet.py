"""User data: Parquet files with encoded images, as written by Hugging Face's `datasets`."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scoresweep.pipeline.data.array_files.class_labels import encode_labels
from scoresweep.pipeline.data.array_files.find_samples import LABELS, split_of
from scoresweep.pipeline.data.array_files.variables import Array
from scoresweep.pipeline.data.file_formats import require_format
from scoresweep.pipeline.data.image_files.decoding import DecodeOptions, Frames, read_images
from scoresweep.pipeline.data.image_files.file_tree import File
from scoresweep.pipeline.data.loaded_dataset import LoadedDataset, user_dataset
from scoresweep.pipeline.data.split_names import VALIDATION_IS_TEST
from scoresweep.pipeline.data.user_files import list_files
from scoresweep.pipeline.errors import InputError, did_you_mean, join_names
from scoresweep.pipeline.system.console import say

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_parquet"]

SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)$")
"""Name of one file of a set, such as `train-00000-of-00005`."""


def read_parquet(
    path: Path,
    test_fraction: float = 0.1,
    keys: Any = None,
    size: int | None = None,
    range: tuple[float, float] | None = None,  # noqa: A002 - the name of the option
    frames: Frames | None = None,
) -> LoadedDataset:
    """Read a Parquet file, or a folder of files named by split (`train-00000-of-00002`).

    The images are a column of image files, binary or `{bytes, path}`; `keys` selects it if there
    are several. The labels are the column `label`, `y`, ... or the one in `keys`; a `ClassLabel`
    gives the class names. The other options are those of `read_folder`.

    Raises `InputError` if pyarrow is not installed, or if a file is missing, damaged or ambiguous.
    """
    require_format(path, "parquet")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"dataset.name: parquet: reading {path} requires pyarrow, which is not installed. Run: "
            f"pip install 'scoresweep[parquet]'"
        ) from error
    named = {} if keys is None else keys.model_dump(exclude_none=True)
    if extra := named.keys() - {"image", "label"}:
        raise InputError(
            f"dataset.keys.{min(extra)}: is not supported for Parquet files; expected only image "
            f"and label. Remove it."
        )
    parts = {split: _Part(path, files, named) for split, files in _shards(path).items()}
    unused = sorted({name for part in parts.values() for name in part.unused})
    if unused:
        first = parts["train"]
        used = [name for name in (first.image, first.label) if name is not None]
        say(f"{path}: using the columns {join_names(used)}; ignoring {join_names(unused)}")
    files = [file for part in parts.values() for file in part.files()]
    decoded = read_images(files, DecodeOptions(size, range, frames))
    for note in decoded.notes:
        say(f"{path}: {note}")
    labels, names = _labels(path, parts)
    splits = decoded.splits({split: part.count for split, part in parts.items()}, labels, names)
    return user_dataset(path, splits, test_fraction)


class _Part:
    """The images and labels of one split."""

    def __init__(self, path: Path, shards: Sequence[Path], keys: dict[str, str]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self.shards = shards
        try:
            schema = parquet.read_schema(shards[0])
            self.image = _image_column(shards[0], schema, keys.get("image"))
            self.label = _label_column(shards[0], schema, keys, self.image)
            wanted = [name for name in (self.image, self.label) if name is not None]
            self.unused = [name for name in schema.names if name not in wanted]
            self.tables = [self._read(file, wanted) for file in shards]
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{path}: cannot be read as Parquet ({error}). Copy or save it again."
            ) from error
        self.names = _class_names(schema, self.label)
        self.count = sum(len(table) for table in self.tables)
        if self.count < 2:
            found = "one image" if self.count else "no images"
            raise InputError(f"{shards[0]}: has {found}; expected at least two.")

    def _read(self, file: Path, wanted: list[str]) -> pa.Table:
        from pyarrow import parquet

        with parquet.ParquetFile(file, page_checksum_verification=True) as open_image:
            missing = [name for name in wanted if name not in open_image.schema_arrow.names]
            if missing:
                raise InputError(
                    f"{file}: has no column {missing[0]!r}, unlike {self.shards[0]}; expected the "
                    f"same columns in all files of a split. Save the files again."
                )
            return open_image.read(wanted)

    def files(self) -> list[File]:
        """Return the encoded images, as files."""
        found = []
        for shard, table in zip(self.shards, self.tables, strict=True):
            for row, value in enumerate(table.column(self.image)):
                where = f"{shard}: {self.image} of row {row}"
                content = value.as_py()
                content = content.get("bytes") if isinstance(content, dict) else content
                if content is None:
                    raise InputError(
                        f"{where}: contains no image, or only the name of a file. Store the images "
                        f"in the Parquet file, or remove the row."
                    )
                found.append(File((shard.name, str(row)), where, partial(io.BytesIO, content)))
        return found

    def labels(self) -> Array | None:
        """Return the labels (N,); None if there is no column of labels."""
        import pyarrow as pa

        if self.label is None:
            return None
        columns = [table.column(self.label) for table in self.tables]
        if pa.types.is_nested(columns[0].type):
            raise InputError(
                f"{self.shards[0]}: the column {self.label} has the type {columns[0].type}; "
                f"expected integers or text. To ignore it: dataset.keys: {{image: {self.image}}}"
            )
        for shard, column in zip(self.shards, columns, strict=True):
            if column.null_count:
                row = next(i for i, value in enumerate(column) if not value.is_valid)
                raise InputError(
                    f"{shard}: the column {self.label} has {column.null_count:,} missing values; "
                    f"the first is in row {row}. Remove these rows, or ignore the column: "
                    f"dataset.keys: {{image: {self.image}}}"
                )
        values = [value for column in columns for value in column.to_pylist()]
        return np.array(values, object if isinstance(values[0], str | bytes) else None)


def _shards(path: Path) -> dict[str, list[Path]]:
    """Return the files of each split."""
    if path.is_file():
        return {"train": [path]}
    files = [file for file in list_files(path) if file.suffix == ".parquet"]
    found: dict[str | None, list[Path]] = defaultdict(list)
    for file in files:
        found[split_of(str(file.relative_to(path).with_suffix("")))].append(file)
    if None in found and len(found) > 1:
        raise InputError(
            f"{found[None][0]}: the name contains no split, unlike other files in {path}. Rename "
            f"or move it (train-..., test-...)."
        )
    if None not in found and "train" not in found:
        raise InputError(
            f"{path}: found no training files, only {join_names(file.name for file in files)}. "
            f"Rename the training files to train-..."
        )
    tests = [split for split in ("test", "validation") if split in found]
    if len(tests) == 2:
        say(f"{path}: ignoring {join_names(file.name for file in found['validation'])}")
    chosen = {"train": found["train"] or found[None]}
    if tests:
        chosen["test"] = found[tests[0]]
    if tests == ["validation"]:
        say(f"{path}: {VALIDATION_IS_TEST}")
    for shards in chosen.values():
        _check_shards(path, shards)
    return chosen


def _check_shards(path: Path, shards: list[Path]) -> None:
    """Raise `InputError` if a split has files in several folders, or if files are missing."""
    if len(folders := sorted({str(file.parent) for file in shards})) > 1:
        raise InputError(
            f"{path}: the files of one split are in several folders: {join_names(folders)}. Set "
            f"dataset.path to one of them."
        )
    numbers: dict[tuple[str, int], set[int]] = defaultdict(set)
    for file in shards:
        if match := SHARD.match(file.stem):
            numbers[match[1], int(match[3])].add(int(match[2]))
    for (name, count), present in numbers.items():
        if missing := sorted(set(range(count)) - present):
            raise InputError(
                f"{path}: {len(missing):,} of {count:,} files {name}-*-of-{count:05d}.parquet are "
                f"missing; the first is number {missing[0]}. Download or copy them again."
            )


def _image_column(file: Path, schema: pa.Schema, key: str | None) -> str:
    """Return the column of encoded images."""
    import pyarrow as pa

    def holds_files(kind: pa.DataType) -> bool:
        if pa.types.is_struct(kind):
            return any(field.name == "bytes" and holds_files(field.type) for field in kind)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    found: list[str] = [field.name for field in schema if holds_files(field.type)]
    if key is not None:
        if key in found:
            return key
        raise InputError(
            f"dataset.keys.image: {file} has no column {key!r} of encoded images."
            f"{did_you_mean(key, found)} Found: {join_names(found) or 'none'}."
        )
    if len(found) > 1:
        named = [name for name in found if name.lower() in ("image", "img")]
        found = named if len(named) == 1 else found
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{file}: several columns may be the images: {join_names(found)}. Choose one in the "
            f"study: dataset.keys: {{image: {found[0]}}}"
        )
    raise InputError(
        f"{file}: has no column of encoded images, only {join_names(schema.names)}. To read "
        f"columns of numbers: np.save('data.npy', "
        f"pandas.read_parquet(path)[columns].to_numpy(float))"
    )


def _label_column(file: Path, schema: pa.Schema, keys: dict[str, str], image: str) -> str | None:
    """Return the column of labels; None if there is none."""
    if "label" in keys:
        if keys["label"] in schema.names:
            return keys["label"]
        raise InputError(
            f"dataset.keys.label: {file} has no column {keys['label']!r}."
            f"{did_you_mean(keys['label'], schema.names)} Found: {join_names(schema.names)}."
        )
    if keys:
        return None
    found = [name for name in schema.names if name.lower() in LABELS and name != image]
    return min(found, key=lambda name: LABELS.index(name.lower()), default=None)


def _class_names(schema: pa.Schema, label: str | None) -> list[str] | None:
    """Return the names in a `ClassLabel` of Hugging Face; None if there are none."""
    try:
        described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return [str(name) for name in names]


def _labels(path: Path, parts: dict[str, _Part]) -> tuple[dict[str, Array], list[str] | None]:
    """Return the classes of each split, and the class names."""
    found = {split: part.labels() for split, part in parts.items()}
    labels = {split: values for split, values in found.items() if values is not None}
    if not labels:
        return {}, None
    if len(labels) < len(parts):
        raise InputError(
            f"{path}: only {next(iter(labels))} has labels; expected labels in both splits, or in "
            f"neither. Add them, or ignore them: dataset.keys: {{image: {parts['train'].image}}}"
        )
    return encode_labels(path, labels, parts["train"].names)
