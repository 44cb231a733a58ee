"""One part of `on_gpu.py`: its settings, its time, and the rows that it has measured so far."""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from scoresweep.out_of_memory import is_out_of_memory

__all__ = ["Part", "run_part"]


class Part:
    """Collects rows, and writes all of them to its file after each.

    Args:
        settings: "device", "dry_run", "until" when it should end (`time.time`), "output" to write,
            and what `on_gpu.py` was given on its command line: "peer", "data" and "weights".
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.until: float = settings["until"]
        self.device = torch.device(settings["device"])
        self.quick: bool = settings["dry_run"]
        self.output = Path(settings["output"])
        self.peer, self.data, self.weights = (
            Path(settings[name]) if settings.get(name) else None
            for name in ("peer", "data", "weights")
        )
        self.rows: list[dict[str, Any]] = []
        self.conclusions: dict[str, dict[str, Any]] = {}

    def seconds_left(self) -> float:
        """Return the seconds until this part should end."""
        return self.until - time.time()

    def add(self, what: str, **row: Any) -> None:
        """Add a row.

        Of its entries, the table shows `figure` with `unit`, `target` (with `at_least`: 0 or more
        than it), `share` of the bf16 matrix rate, `times` as fast as the public program, and
        `note`. `failed` marks what should have worked.
        """
        self.rows.append({"what": what} | row)
        self.write()

    def conclude(self, what: str, **row: Any) -> None:
        """Add or replace a row that follows from those measured so far; they stand at the end."""
        self.conclusions[what] = {"what": what} | row
        self.write()

    def attempt(self, what: str, work: Callable[[], object], seconds: float = 0.0) -> None:
        """Call `work`, which adds rows; if it fails, add a row that says why, and go on.

        It is not called if fewer than `seconds` are left.
        """
        if self.seconds_left() < seconds:
            self.add(what, note="not measured: no time left")
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a failure costs only what it measures
            self._explain(what, error)
        gc.collect()
        if self.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # a failed capture of a graph may forbid it
                torch.cuda.empty_cache()

    def _explain(self, what: str, error: Exception) -> None:
        if isinstance(error, ModuleNotFoundError) and "scoresweep" not in str(error.name):
            self.add(what, note=f"not measured: needs the package {error.name}")
        elif is_out_of_memory(error):
            self.add(what, note="not measured: out of memory")
        else:
            traceback.print_exc(file=sys.stderr)
            lines = str(error).strip().splitlines() or [""]
            note = f"failed: {type(error).__name__}: {lines[0][:200]}"
            self.add(what, failed=True, note=note)

    def write(self) -> None:
        """Write the rows; the file is whole at any moment."""
        temporary = self.output.with_suffix(".tmp")
        rows = [*self.rows, *self.conclusions.values()]
        temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        temporary.replace(self.output)


def run_part(measure: Callable[[Part], None]) -> None:
    """Run a part with the settings (JSON) that the command line gives."""
    from scoresweep.pipeline.system.process import disable_tf32, retain_freed_memory

    part = Part(json.loads(sys.argv[1]))
    retain_freed_memory()
    disable_tf32()
    torch.manual_seed(0)
    part.write()
    measure(part)
