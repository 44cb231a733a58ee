"""Replace a sample store by a larger one, and complete its manifest.

The caller holds the lock of the samples. Zarr stores are folders, which cannot be replaced in one
step: the old one is kept under another name until the manifest describes the new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scoresweep.pipeline.data.store_manifest import check_store, manifest_path, num_held
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.input_hashes import SHA256_OF_FIRST
from scoresweep.pipeline.sampling.sample_store import hash_first, read_samples
from scoresweep.pipeline.system.atomic_files import remove, write_json

__all__ = ["finish_replacement", "record_hashes", "replaced_store"]


def replaced_store(store: Path) -> Path:
    """Return where a store is moved when a larger one replaces it, until that has a manifest."""
    return store.with_name(f".{store.name}.replaced")


def finish_replacement(store: Path) -> None:
    """Finish or undo the replacement of a store that was interrupted.

    The caller holds the lock of the samples. The new store is complete if the manifest describes
    it; otherwise the replaced one, which the manifest still describes, is moved back.
    """
    replaced = replaced_store(store)
    if not replaced.exists():
        return
    try:
        check_store(store)
    except InputError:
        remove(store)
        replaced.rename(store)
    else:
        remove(replaced)


def record_hashes(store: Path, counts: Iterable[int]) -> None:
    """Add the hashes of the first n samples for each n in `counts` that the manifest lacks.

    The caller holds the lock of the samples. Raises `InputError` if the store is damaged.
    """
    manifest = check_store(store)
    recorded = manifest.get(SHA256_OF_FIRST, {})
    if all(str(count) in recorded or count >= num_held(manifest, 0) for count in counts):
        return
    first = recorded | hash_first(read_samples(store).values, counts)
    write_json(manifest_path(store), manifest | {SHA256_OF_FIRST: first})
