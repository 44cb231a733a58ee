"""Detect the format of a file or folder from its content and name.

Each supported format belongs to one `dataset.name`. Other formats are refused by name, with a way
to convert them.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path, PurePosixPath

import google_crc32c

from scoresweep.pipeline.data.image_files.pillow_formats import SUFFIXES as IMAGE_SUFFIXES
from scoresweep.pipeline.errors import InputError

__all__ = [
    "HDF5",
    "NETCDF3",
    "NPY",
    "NPZ",
    "PARQUET",
    "ZARR",
    "detect_format",
    "find_dataset_name",
    "require_format",
]

NPY, NPZ, HDF5, NETCDF3 = "NumPy .npy", "NumPy .npz", "HDF5", "netCDF 3"
ZARR, PARQUET, FOLDER, IMAGES_ZIP, IDX = "Zarr", "Parquet", "folder", "zip of images", "IDX"
NO_IMAGES = "folder without images"
IMAGE = "one PNG, JPEG or GIF file"
DATASET_NAME = {
    NPY: "array",
    NPZ: "array",
    HDF5: "array",
    NETCDF3: "array",
    ZARR: "zarr",
    PARQUET: "parquet",
    FOLDER: "folder",
    IMAGES_ZIP: "folder",
}
"""The `dataset.name` of each supported format."""

SAVE = "np.savez('data.npz', image=..., label=...)"
CONVERT = {
    "TFRecord": f"decode its records (tf.data, or the package tfrecord) and {SAVE}",
    "LMDB": f"read it with the package lmdb and write the images as files, or {SAVE}",
    "PyTorch (.pt, .pth)": f"load it with torch.load and {SAVE} of tensor.numpy()",
    "MATLAB .mat": f"load it with scipy.io.loadmat (version 7.3: h5py, axes reversed) and {SAVE}",
    "text table (csv, tsv)": "np.save('data.npy', pandas.read_csv(path).to_numpy(float))",
    "text": "np.save('data.npy', np.loadtxt(path))",
    "JSON": f"load it and {SAVE}",
    "tar archive": "unpack it (tar -xf) and use dataset.name: folder, or pack its images as .zip",
    "pickle": f"if you trust it, load it in Python and {SAVE} (it is never unpickled here)",
    "Arrow": "datasets.load_from_disk(path)['train'].to_parquet('train.parquet')",
    "safetensors": f"load it with safetensors.numpy.load_file and {SAVE}",
    "gzip": "unpack it (gunzip)",
    "bzip2": "unpack it (bunzip2)",
    "xz": "unpack it (unxz)",
    "7z": "unpack it, or pack its files as .zip",
    "RAR": "unpack it, or pack its files as .zip",
    "zip": "unpack it, and set dataset.path to the folder or file",
    "Excel": "np.save('data.npy', pandas.read_excel(path).to_numpy(float))",
    "SQLite": f"read the table with pandas.read_sql and {SAVE}",
    "FITS": f"read it with astropy.io.fits and {SAVE}",
    "DICOM": "save the images as 8-bit PNG files (pydicom), one folder per class",
    "NIfTI": f"read the slices with nibabel and {SAVE}",
    "video": "save its frames as image files: ffmpeg -i FILE frames/%06d.png",
    IMAGE: "put the images in a folder or .zip, and use dataset.name: folder",
    IDX: "dataset: {name: mnist, source: {path: FOLDER}} reads the four files of MNIST; "
    f"otherwise load it and {SAVE}",
}
MAGIC_BYTES = [
    (0, b"\x93NUMPY", NPY),
    (0, b"CDF\x01", NETCDF3),
    (0, b"CDF\x02", NETCDF3),
    (0, b"PAR1", PARQUET),
    (0, b"ARROW1", "Arrow"),
    (0, b"\xff\xff\xff\xff", "Arrow"),
    (0, b"MATLAB", "MATLAB .mat"),
    (257, b"ustar", "tar archive"),
    (16, struct.pack("<I", 0xBEEFC0DE), "LMDB"),
    (0, b"SQLite format 3", "SQLite"),
    (0, b"SIMPLE  =", "FITS"),
    (128, b"DICM", "DICOM"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"7z\xbc\xaf", "7z"),
    (0, b"Rar!", "RAR"),
    (4, b"ftyp", "video"),
    (0, b"\x89PNG", IMAGE),
    (0, b"\xff\xd8\xff", IMAGE),
    (0, b"GIF8", IMAGE),
    (0, b"\x00\x00\x08\x01", IDX),
    (0, b"\x00\x00\x08\x03", IDX),
    *[(offset, b"\x89HDF\r\n\x1a\n", HDF5) for offset in (0, 512, 1024, 2048)],
]
"""Offset, bytes and format; the first match counts."""
SUFFIXES = {
    "TFRecord": (".tfrecord", ".tfrecords", ".tfrec"),
    "LMDB": (".lmdb", ".mdb"),
    "PyTorch (.pt, .pth)": (".pt", ".pth", ".ckpt"),
    "MATLAB .mat": (".mat",),
    "text table (csv, tsv)": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "text": (".txt", ".dat"),
    "JSON": (".json", ".jsonl"),
    "tar archive": (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst"),
    "pickle": (".pkl", ".pickle", ".p"),
    "Arrow": (".arrow", ".feather"),
    "safetensors": (".safetensors",),
    "NIfTI": (".nii", ".nii.gz"),
    "RAR": (".rar",),
    "7z": (".7z",),
    "video": (".mp4", ".avi", ".mov", ".mkv", ".webm"),
    "gzip": (".gz",),
    NPY: (".npy",),
    NPZ: (".npz",),
    HDF5: (".h5", ".hdf5", ".nc", ".nc4"),
    PARQUET: (".parquet",),
}
IN_FOLDERS = ("TFRecord", "tar archive", "Arrow", "PyTorch (.pt, .pth)", "MATLAB .mat", "pickle")
"""Formats of folders without images, by the suffixes of their files."""
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")


def require_format(path: Path, name: str) -> str:
    """Return the format of the data at `path`, which must be one of `dataset.name: name`.

    Raises `InputError` if the path does not exist, is empty, cannot be read or has another format.
    """
    if not path.exists():
        kind = "folder or archive" if name == "folder" else "file or folder"
        hint = (
            " Correct the path."
            if path.is_absolute()
            else f" Correct the path, which is relative to {Path.cwd()}."
        )
        if str(path).startswith("~") or "$" in str(path):
            hint = " ~ and $VARIABLES are not expanded: write the full path."
        raise InputError(f"dataset.path: {path}: no such {kind}.{hint}")
    found = _format_of_content(path)
    if name == "folder" and found in ("zip", NPZ) and path.suffix.lower() == ".zip":
        return IMAGES_ZIP  # without images, an error of its reader
    if name == "folder" and found == NO_IMAGES:
        return FOLDER  # likewise
    if name == "parquet" and found == FOLDER and any(path.rglob("*.parquet")):
        return PARQUET  # with some images for its README
    if found in DATASET_NAME and DATASET_NAME[found] != name:
        raise InputError(
            f"dataset.name: {name} cannot read {path}, which is {found}. Use dataset.name: "
            f"{DATASET_NAME[found]}"
        )
    if found == NO_IMAGES:
        raise InputError(
            f"dataset.path: {path}: this folder contains no images, Zarr or Parquet data. "
            f"Correct the path; for an array (dataset.name: array), give the path of its file."
        )
    if found in CONVERT:
        raise InputError(
            f"dataset.path: {path}: {found} is not a supported format. To convert it: "
            f"{CONVERT[found]}"
        )
    if found is None:
        raise InputError(
            f"dataset.path: {path}: unknown format. Supported are .npy, .npz, HDF5 and netCDF "
            f"(dataset.name: array), Zarr (zarr), Parquet (parquet), and image files in a folder "
            f"or .zip (folder)."
        )
    return found


def find_dataset_name(path: Path) -> str:
    """Return the `dataset.name` that reads the data at `path`; raise `InputError` if none does."""
    found = _format_of_content(path) if path.exists() else FOLDER
    name = DATASET_NAME.get(found or "", "array")
    require_format(path, name)
    return name


def _format_of_content(path: Path) -> str | None:
    """Return the format; raise `InputError` if a file is empty or cannot be read."""
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"dataset.path: {path}: is an empty file. Copy or create it again.")
        return detect_format(path)
    except OSError as error:
        raise InputError(
            f"dataset.path: {error.filename or path}: cannot be read ({error.strerror}). Check its "
            f"permissions."
        ) from error


def detect_format(path: Path) -> str | None:
    """Return the format of a file or folder; None if it is unknown."""
    if path.is_dir():
        return _folder_format(path)
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:6] == b"MATLAB":  # version 7.3 is HDF5 after this header
        return "MATLAB .mat"
    by_name = next((f for f, ends in SUFFIXES.items() if path.name.lower().endswith(ends)), None)
    if head[:2] == b"\x1f\x8b":
        return by_name if by_name in CONVERT else "gzip"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_format(path)
    for offset, magic, name in MAGIC_BYTES:
        if head[offset : offset + len(magic)] == magic:
            return name
    if by_name not in CONVERT or by_name == "PyTorch (.pt, .pth)":
        if len(head) >= 12 and _is_tfrecord(head):
            return "TFRecord"
        if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return by_name if by_name in CONVERT else "pickle"
    return by_name


def _is_tfrecord(head: bytes) -> bool:
    """Return whether the first record's length is followed by its checksum (masked CRC-32C)."""
    crc = google_crc32c.value(head[:8])
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    return bool(struct.unpack("<I", head[8:12])[0] == masked)


def _folder_format(path: Path) -> str:
    names = {entry.name for entry in path.iterdir()}
    if names.intersection(ZARR_FILES):
        return ZARR
    if "data.mdb" in names:
        return "LMDB"
    if names.intersection({"dataset_info.json", "dataset_dict.json", "state.json"}):
        return "Arrow"
    found = {entry.suffix.lower() for entry in path.rglob("*") if entry.is_file()}
    if found.intersection(IMAGE_SUFFIXES):
        return FOLDER
    if ".parquet" in found:
        return PARQUET
    return next((name for name in IN_FOLDERS if found.intersection(SUFFIXES[name])), NO_IMAGES)


def _zip_format(path: Path) -> str:
    """Return the format of the content of a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist() if name[-1:] != "/"]
    except (zipfile.BadZipFile, OSError):
        return NPZ if path.suffix == ".npz" else "zip"
    if any(name.name in ZARR_FILES and len(name.parts) <= 2 for name in names):
        return ZARR
    if any(name.name == "data.pkl" for name in names):
        return "PyTorch (.pt, .pth)"
    if PurePosixPath("[Content_Types].xml") in names:
        return "Excel"
    suffixes = {name.suffix.lower() for name in names}
    if suffixes.intersection(IMAGE_SUFFIXES) or PurePosixPath("dataset.json") in names:
        return IMAGES_ZIP
    return NPZ if suffixes == {".npy"} or path.suffix == ".npz" else "zip"
