"""What is this file? `describe` recognises it by its content; nothing in it is executed.

`KINDS` and `FOLDERS` are tables: a new format is one more row. Rows that `read_content` (in `read`)
can read are named by `READABLE`. What the tensors inside a readable file belong to is another
question, which `contents` answers.
"""

from __future__ import annotations

import pickletools
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

__all__ = ["FAILED_DOWNLOADS", "READABLE", "FileKind", "capped", "describe", "globals_of_pickle"]

HEAD = 4096
"""Bytes at the start of a file that are looked at."""
PICKLE = 1 << 20
"""Bytes of a pickle in which names of Python objects are looked for; they come early."""
AGAIN = "download or copy it again"
UNPACK = "unpack it, and name the checkpoint inside"
READABLE = frozenset({"torch_zip", "torch_legacy", "safetensors"})
"""Kinds from which tensors can be read without executing anything."""
FAILED_DOWNLOADS = frozenset({"empty", "html", "xml", "json", "git_lfs", "git_annex"})
"""Kinds that are found in place of a file that could not be downloaded."""

LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number with which `torch.save` began before PyTorch 1.6, after two bytes."""
TENSORFLOW_INDEX = bytes.fromhex("57fb808b247547db")
"""The end of the index of a TensorFlow checkpoint."""


@dataclass(frozen=True)
class FileKind:
    """What a file or folder is."""

    name: str
    what: str
    """Ends the sentence "it is ..."."""
    mend: str = ""
    """What to do about it; "" if that depends on what was expected."""


@dataclass
class _File:
    """A file of which the recognisers look at parts."""

    path: Path
    size: int = field(init=False)
    head: bytes = field(init=False)
    tail: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.path.stat().st_size
        with self.path.open("rb") as file:
            self.head = file.read(HEAD)
            file.seek(max(self.size - 8, 0))
            self.tail = file.read()

    @cached_property
    def text(self) -> str:
        """The start as text, "" if it is none."""
        try:
            text = self.head.decode("utf-8", "strict" if self.size <= HEAD else "ignore")
        except UnicodeDecodeError:
            return ""
        start = text.lstrip("\ufeff \t\r\n")
        return start if all(c.isprintable() or c in "\t\r\n\f" for c in start) else ""

    @cached_property
    def members(self) -> list[str] | None:
        """Names in a zip archive, None if the end of the archive is missing."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error):
            return None

    def starts(self, *beginnings: bytes) -> bool:
        return self.head.startswith(beginnings)

    def says(self, pattern: str) -> bool:
        """Tell whether the text begins with `pattern`."""
        return re.match(pattern, self.text, re.IGNORECASE) is not None

    def holds(self, pattern: str) -> bool:
        """Tell whether a member of the archive has a name that contains `pattern`."""
        return any(re.search(pattern, name) for name in self.members or ())

    @property
    def is_zip(self) -> bool:
        return self.starts(b"PK\x03\x04", b"PK\x05\x06")

    @property
    def is_pickle(self) -> bool:
        return self.starts(b"\x80") and self.head[1:2] <= b"\x05"

    @cached_property
    def header(self) -> int:
        """Bytes of a safetensors file up to the end of its header, 0 if it is none."""
        length = int.from_bytes(self.head[:8], "little")
        return length + 8 if self.head[8:9] == b"{" and length < 1 << 30 else 0

    @cached_property
    def objects(self) -> list[str]:
        """Names of the Python objects in a pickle."""
        with self.path.open("rb") as file:
            return globals_of_pickle(file)

    def mentions(self, pattern: str) -> bool:
        return any(re.match(pattern, name) for name in self.objects)


Test = Callable[[_File], bool]


def _lfs(file: _File) -> FileKind:
    size = re.search(r"^size (\d+)", file.text, re.MULTILINE)
    of = f" of {int(size[1]):,} bytes" if size else ""
    return FileKind("git_lfs", f"a Git LFS pointer to a file{of}", "run `git lfs pull`")


def _other_zip(file: _File) -> FileKind:
    names = ", ".join(capped(file.members or [], 3)) or "nothing"
    return FileKind("zip", f"a zip archive that holds {names}", UNPACK)


def _other_pickle(file: _File) -> FileKind:
    of = f" of {', '.join(capped(file.objects, 3))}" if file.objects else ""
    return FileKind(
        "pickle",
        f"a Python pickle{of}, which is never loaded",
        "in the program that wrote it, save `network.state_dict()` with torch.save",
    )


def _unknown(file: _File) -> FileKind:
    return FileKind("unknown", f"of an unknown format (it begins with 0x{file.head[:8].hex()})")


KINDS: tuple[tuple[Test, FileKind | Callable[[_File], FileKind]], ...] = (
    (lambda f: f.size == 0, FileKind("empty", "an empty file", AGAIN)),
    (
        lambda f: f.says(r"(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b"),
        FileKind("html", "an HTML page, as a failed download leaves it", AGAIN),
    ),
    (lambda f: f.says("<"), FileKind("xml", "an XML text, as a failed download leaves it", AGAIN)),
    (lambda f: f.says(r"version https://git-lfs"), _lfs),
    (
        lambda f: f.says(r"\S*/annex/objects/"),
        FileKind("git_annex", "a git-annex pointer", "run `git annex get`"),
    ),
    (
        lambda f: f.says(r'model_checkpoint_path: "'),
        FileKind("tensorflow", "the index of a TensorFlow checkpoint"),
    ),
    (
        lambda f: f.says(r"\{") and '"weight_map"' in f.text,
        FileKind("index", "the index of a Hugging Face checkpoint in several files"),
    ),
    (lambda f: f.says(r"[\[{]"), FileKind("json", "a JSON text")),
    (lambda f: bool(f.text.strip()), FileKind("text", "a text")),
    (
        lambda f: f.is_zip and f.members is None,
        FileKind(
            "zip_cut", "a zip archive (as torch.save writes it) that is cut short or damaged", AGAIN
        ),
    ),
    (
        lambda f: f.is_zip and f.holds(r"(^|/)(constants\.pkl$|code/)"),
        FileKind("torchscript", "a TorchScript program, which is never run"),
    ),
    (
        lambda f: f.is_zip and f.holds(r"^[^/]+/data\.pkl$"),
        FileKind("torch_zip", "a file of torch.save"),
    ),
    (
        lambda f: f.is_zip and f.holds(r"\.weights\.h5$"),
        FileKind("keras", "a Keras checkpoint (TensorFlow)"),
    ),
    (lambda f: f.is_zip and f.holds(r"\.npy$"), FileKind("npz", "a file of NumPy arrays (.npz)")),
    (lambda f: f.is_zip, _other_zip),
    (lambda f: 0 < f.header <= f.size, FileKind("safetensors", "a safetensors file")),
    (
        lambda f: f.header > f.size,
        FileKind("safetensors_cut", "a safetensors file that is cut short", AGAIN),
    ),
    (
        lambda f: f.is_pickle and f.head[2:].startswith(LEGACY),
        FileKind("torch_legacy", "a file of torch.save before PyTorch 1.6"),
    ),
    (
        lambda f: f.is_pickle and f.mentions(r"torch_utils\.persistence|dnnlib"),
        FileKind(
            "edm", "an EDM pickle (or of another of NVIDIA's programs), which is never loaded"
        ),
    ),
    (lambda f: f.is_pickle, _other_pickle),
    (
        lambda f: f.starts(b"\x89HDF\r\n\x1a\n"),
        FileKind("hdf5", "an HDF5 file (Keras, TensorFlow or data)"),
    ),
    (
        lambda f: (
            f.tail == TENSORFLOW_INDEX
            or re.search(r"\.data-\d{5}-of-\d{5}$|\.pb$", f.path.name) is not None
        ),
        FileKind("tensorflow", "a part of a TensorFlow checkpoint"),
    ),
    (
        lambda f: (
            re.match(rb"([\x81-\x8f]|\xde..|\xdf....)[\xa1-\xbf][\w./]", f.head, re.S) is not None
        ),
        FileKind("flax", "a Flax checkpoint (msgpack), as JAX programs write it"),
    ),
    (lambda f: f.starts(b"\x93NUMPY"), FileKind("npy", "a NumPy array (.npy)")),
    (lambda f: f.starts(b"GGUF", b"lmgg"), FileKind("gguf", "a GGUF file (llama.cpp)")),
    (lambda f: f.path.suffix == ".onnx", FileKind("onnx", "an ONNX program")),
    (
        lambda f: f.head[257:262] == b"ustar",
        FileKind("tar", "a tar archive (or a checkpoint of PyTorch before 0.2)", UNPACK),
    ),
    (
        lambda f: f.starts(
            b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"
        ),
        FileKind("compressed", "a compressed file", UNPACK),
    ),
    (
        lambda f: f.starts(b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
        FileKind("image", "an image"),
    ),
    (lambda _: True, _unknown),
)
"""Tests of files, the first that holds decides."""

FOLDERS: tuple[tuple[str, FileKind], ...] = (
    (r"model_index\.json|diffusion_pytorch_model\..*", FileKind("diffusers", "a diffusers folder")),
    (
        r"provenance\.json",
        FileKind(
            "scoresweep_run",
            "the folder of a run of this program",
            "a study with the same dataset and train block uses it as it is, under "
            "results/STUDY/runs",
        ),
    ),
    (
        r"data\.pkl",
        FileKind("torch_unpacked", "the unpacked archive of torch.save", "name the archive itself"),
    ),
    (
        r"_METADATA|_CHECKPOINT_METADATA|manifest\.ocdbt",
        FileKind("orbax", "a folder of an Orbax checkpoint (Flax, JAX)"),
    ),
    (
        r"saved_model\.pb|.*\.data-\d{5}-of-\d{5}",
        FileKind("tensorflow", "a folder of a TensorFlow checkpoint"),
    ),
    (
        r".*\.distcp",
        FileKind(
            "torch_distributed",
            "a folder of torch.distributed.checkpoint",
            "make one file of it with `python -m torch.distributed.checkpoint.format_utils "
            "dcp_to_torch`",
        ),
    ),
    (
        r"mp_rank_\d+_model_states\.pt|zero_to_fp32\.py",
        FileKind("deepspeed", "a DeepSpeed folder", "make one file of it with its zero_to_fp32.py"),
    ),
)
"""Names of files that tell what a folder is."""


def describe(path: Path) -> FileKind:
    """Say what the file or folder at `path` is.

    Raises:
        OSError: if it cannot be read.
    """
    if path.is_dir():
        return _describe_folder(path)
    if not path.is_file():
        path.stat()  # says that it does not exist
        return FileKind("special", "no regular file")
    file = _File(path)
    kind = next(kind for test, kind in KINDS if test(file))
    return kind if isinstance(kind, FileKind) else kind(file)


def _describe_folder(path: Path) -> FileKind:
    names = sorted(entry.name for entry in path.iterdir())
    for pattern, kind in FOLDERS:
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    checkpoints = [name for name in names if re.search(r"\.(pth|pt|ckpt|safetensors)$", name)]
    found = f": {', '.join(capped(checkpoints, 3))}" if checkpoints else ""
    return FileKind("folder", "a folder", f"name the checkpoint in it{found}")


def globals_of_pickle(file: IO[bytes], pickles: int = 1) -> list[str]:
    """Return the "module.name" of the Python objects that the last of some pickles asks for.

    Nothing is imported or executed. A pickle that is cut short gives what comes before its end.
    """
    names: list[str] = []
    for _ in range(pickles):
        names, end = [], file.tell() + PICKLE
        try:
            for name in _globals(file):
                names.append(name)
                if file.tell() > end:
                    break
        except (ValueError, OverflowError, MemoryError):
            break
    return list(dict.fromkeys(names))


def _globals(file: IO[bytes]) -> Iterator[str]:
    """Yield the names of objects in one pickle; texts are followed through its memo."""
    memo: dict[Any, str] = {}
    texts = ["", ""]
    last = ""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts)
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = last
        elif opcode.name.endswith("PUT"):
            memo[argument] = last
        else:
            last = argument if isinstance(argument, str) else ""
            if opcode.name.endswith("GET"):
                last = memo.get(argument, "")
            texts = [texts[1], last] if last else texts


def capped(names: Iterable[str], most: int = 5, width: int = 60) -> list[str]:
    """Return the first `most` names, each cut at `width` letters, and how many more there are."""
    listed = list(names)
    shown = [name if len(name) <= width else f"{name[: width - 3]}..." for name in listed[:most]]
    return shown + ([f"and {len(listed) - most:,} more"] if len(listed) > most else [])
