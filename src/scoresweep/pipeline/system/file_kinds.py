"""Recognise the kind of a file or folder by its content; nothing in it is executed.

`KINDS` and `FOLDERS` are tables: a new format is one more row. `READABLE` names the kinds that
`training.weight_files.read` can read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.system.file_parts import FileParts

__all__ = ["FAILED_DOWNLOADS", "READABLE", "FileKind", "abbreviate_names", "describe"]

DOWNLOAD_AGAIN = "download or copy it again"
UNPACK = "unpack it and name the checkpoint inside"
READABLE = frozenset({"torch_zip", "torch_legacy", "safetensors"})
"""Kinds whose tensors can be read without executing code."""
FAILED_DOWNLOADS = frozenset({"empty", "html", "xml", "json", "git_lfs", "git_annex"})
"""Kinds that a failed download leaves in place of the file."""

LEGACY_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""Pickled number at offset 2 of a `torch.save` file before PyTorch 1.6."""
TENSORFLOW_INDEX = bytes.fromhex("57fb808b247547db")
"""Last bytes of the index of a TensorFlow checkpoint."""


@dataclass(frozen=True)
class FileKind:
    """Kind of a file or folder."""

    name: str
    description: str
    """Completes the sentence "it is ..."."""
    remedy: str = ""
    """How to fix it; "" if that depends on what was expected."""


Recogniser = Callable[[FileParts], bool]


def _git_lfs(file: FileParts) -> FileKind:
    size = re.search(r"^size (\d+)", file.text, re.MULTILINE)
    of = f" of {int(size[1]):,} bytes" if size else ""
    return FileKind("git_lfs", f"a Git LFS pointer to a file{of}", "run `git lfs pull`")


def _other_zip(file: FileParts) -> FileKind:
    names = ", ".join(abbreviate_names(file.members or [], 3)) or "nothing"
    return FileKind("zip", f"a zip archive that holds {names}", UNPACK)


def _other_pickle(file: FileParts) -> FileKind:
    of = f" of {', '.join(abbreviate_names(file.objects, 3))}" if file.objects else ""
    return FileKind(
        "pickle",
        f"a Python pickle{of}, which is never loaded",
        "in the program that wrote it, save `network.state_dict()` with torch.save",
    )


def _unknown(file: FileParts) -> FileKind:
    return FileKind("unknown", f"of an unknown format (it begins with 0x{file.head[:8].hex()})")


KINDS: tuple[tuple[Recogniser, FileKind | Callable[[FileParts], FileKind]], ...] = (
    (lambda f: f.size == 0, FileKind("empty", "an empty file", DOWNLOAD_AGAIN)),
    (
        lambda f: f.text_matches(r"(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b"),
        FileKind("html", "an HTML page, as left by a failed download", DOWNLOAD_AGAIN),
    ),
    (
        lambda f: f.text_matches("<"),
        FileKind("xml", "an XML file, as left by a failed download", DOWNLOAD_AGAIN),
    ),
    (lambda f: f.text_matches(r"version https://git-lfs"), _git_lfs),
    (
        lambda f: f.text_matches(r"\S*/annex/objects/"),
        FileKind("git_annex", "a git-annex pointer", "run `git annex get`"),
    ),
    (
        lambda f: f.text_matches(r'model_checkpoint_path: "'),
        FileKind("tensorflow", "the index of a TensorFlow checkpoint"),
    ),
    (
        lambda f: f.text_matches(r"\{") and '"weight_map"' in f.text,
        FileKind("index", "the index of a Hugging Face checkpoint in several files"),
    ),
    (lambda f: f.text_matches(r"[\[{]"), FileKind("json", "a JSON file")),
    (lambda f: bool(f.text.strip()), FileKind("text", "a text file")),
    (
        lambda f: f.is_zip and f.members is None,
        FileKind(
            "zip_cut",
            "a zip archive (as torch.save writes it) that is truncated or damaged",
            DOWNLOAD_AGAIN,
        ),
    ),
    (
        lambda f: f.is_zip and f.has_member(r"^[^/]+/(constants\.pkl$|code/)"),
        FileKind("torchscript", "a TorchScript program, which is never run"),
    ),
    (
        lambda f: f.is_zip and f.has_member(r"^[^/]+/data\.pkl$"),
        FileKind("torch_zip", "a file of torch.save"),
    ),
    (
        lambda f: f.is_zip and f.has_member(r"\.weights\.h5$"),
        FileKind("keras", "a Keras checkpoint (TensorFlow)"),
    ),
    (
        lambda f: f.is_zip and f.has_member(r"\.npy$"),
        FileKind("npz", "a file of NumPy arrays (.npz)"),
    ),
    (lambda f: f.is_zip, _other_zip),
    (lambda f: 0 < f.header_end <= f.size, FileKind("safetensors", "a safetensors file")),
    (
        lambda f: f.header_end > f.size,
        FileKind("safetensors_cut", "a truncated safetensors file", DOWNLOAD_AGAIN),
    ),
    (
        lambda f: f.is_pickle and f.head[2:].startswith(LEGACY_MAGIC),
        FileKind("torch_legacy", "a file of torch.save before PyTorch 1.6"),
    ),
    (
        lambda f: f.is_pickle and f.imports(r"torch_utils\.persistence|dnnlib"),
        FileKind(
            "edm",
            "a pickle of EDM or another NVIDIA program, which is never loaded, because that runs "
            "code from the file",
            "if you trust it, load it in a network plugin of your own (docs/plugins.md)",
        ),
    ),
    (lambda f: f.is_pickle, _other_pickle),
    (
        lambda f: f.starts_with(b"\x89HDF\r\n\x1a\n"),
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
        FileKind("flax", "a Flax checkpoint (msgpack), as written by JAX programs"),
    ),
    (lambda f: f.starts_with(b"\x93NUMPY"), FileKind("npy", "a NumPy array (.npy)")),
    (lambda f: f.starts_with(b"GGUF", b"lmgg"), FileKind("gguf", "a GGUF file (llama.cpp)")),
    (lambda f: f.path.suffix == ".onnx", FileKind("onnx", "an ONNX program")),
    (
        lambda f: f.head[257:262] == b"ustar",
        FileKind("tar", "a tar archive (or a checkpoint of PyTorch before 0.2)", UNPACK),
    ),
    (
        lambda f: f.starts_with(
            b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"
        ),
        FileKind("compressed", "a compressed file", UNPACK),
    ),
    (
        lambda f: f.starts_with(b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
        FileKind("image", "an image"),
    ),
    (lambda _: True, _unknown),
)
"""Recognisers of files in order; the first match decides."""

FOLDERS: tuple[tuple[str, FileKind], ...] = (
    (r"model_index\.json|diffusion_pytorch_model\..*", FileKind("diffusers", "a diffusers folder")),
    (
        r"provenance\.json",
        FileKind(
            "scoresweep_run",
            "the folder of a scoresweep run without readable weights (model.safetensors)",
            "finish its training, or copy it again",
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
            "convert it to one file with `python -m torch.distributed.checkpoint.format_utils "
            "dcp_to_torch`",
        ),
    ),
    (
        r"mp_rank_\d+_model_states\.pt|zero_to_fp32\.py",
        FileKind(
            "deepspeed", "a DeepSpeed folder", "convert it to one file with its zero_to_fp32.py"
        ),
    ),
)
"""Names of files that identify a folder."""


def describe(path: Path) -> FileKind:
    """Return the kind of the file or folder at `path`.

    Raises:
        OSError: if it cannot be read.
    """
    if path.is_dir():
        return _describe_folder(path)
    if not path.is_file():
        path.stat()  # raises FileNotFoundError
        return FileKind("special", "not a regular file")
    file = FileParts(path)
    kind = next(kind for matches, kind in KINDS if matches(file))
    return kind if isinstance(kind, FileKind) else kind(file)


def _describe_folder(path: Path) -> FileKind:
    names = sorted(entry.name for entry in path.iterdir())
    for pattern, kind in FOLDERS:
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    checkpoints = [name for name in names if re.search(r"\.(pth|pt|ckpt|safetensors)$", name)]
    found = f": {', '.join(abbreviate_names(checkpoints, 3))}" if checkpoints else ""
    return FileKind("folder", "a folder", f"name the checkpoint in it{found}")


def abbreviate_names(names: Iterable[str], limit: int = 5, width: int = 60) -> list[str]:
    """Return the first `limit` names, each cut to `width` letters, and the number of the others."""
    listed = list(names)
    shown = [name if len(name) <= width else f"{name[: width - 3]}..." for name in listed[:limit]]
    return shown + ([f"and {len(listed) - limit:,} more"] if len(listed) > limit else [])
