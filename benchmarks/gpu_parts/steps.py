"""Steps of several variants at several batches: time, share of the matrix rate, ratio to the first.

Variants compute in full float32 unless they say otherwise. The public program runs with cuDNN's
benchmark, as its `main.py` sets it, in full float32 and, as "with TF32", as PyTorch's defaults let
it. Without its checkout, a plain loop of our network takes its place.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from harness import Run, flops_of
from ncsnv2 import Case

from gpu_parts.device_time import MatrixRate, captured, seconds_per_call, synchronize
from gpu_parts.part import Part

__all__ = ["Steps", "Variant"]

BATCHES = (128, 512, 64, 256)
"""Batches, most valuable first."""
NAMES = {"ncsnv2": "NCSNv2", "ncsnpp": "NCSN++"}
COMPILING = {"ncsnv2": 40.0, "ncsnpp": 80.0}
"""Seconds that must be left to compile a network."""
FLOPS_BATCH = 2
"""Images of the step whose operations are counted."""
TIMES = 6.0
"""Target speed-up in bf16 over the public program in float32."""


@dataclass(frozen=True)
class Variant:
    """A way to take a step."""

    name: str
    make: Callable[[], Run]
    is_base: bool = False
    """Whether the others are compared with it."""
    tf32: bool = False
    benchmark: bool = False
    """Let cuDNN try all kernels (`torch.backends.cudnn.benchmark`)."""
    graph: bool = False
    """Capture the step as a CUDA graph."""
    compiles: bool = False
    once: bool = False
    """Measure it at the first batch only."""


Make = Callable[..., Run]
"""Returns a step: the public program's or that of a plain loop without arguments, ours for (bf16,
compiled) and `capturable`."""


def variants(public: Make, own: Make, base: str) -> list[Variant]:
    """Return all variants, most valuable first; `base` names the first."""
    return [
        Variant(f"{base} float32", public, is_base=True, benchmark=True),
        Variant("ours bf16", lambda: own(True, False)),
        Variant("ours float32", lambda: own(False, False)),
        Variant("ours bf16, CUDA graph", lambda: own(True, False, capturable=True), graph=True),
        Variant("ours bf16, cuDNN benchmark", lambda: own(True, False), benchmark=True, once=True),
        Variant(f"{base} with TF32", public, tf32=True, benchmark=True, once=True),
        Variant("ours bf16 compiled", lambda: own(True, True), compiles=True, once=True),
        Variant(
            "ours bf16 compiled, CUDA graph",
            lambda: own(True, True, capturable=True),
            graph=True,
            compiles=True,
            once=True,
        ),
    ]


class Steps:
    """Measures one kind of step, and keeps the best figures.

    Args:
        part: takes the rows.
        kind: "training step" or "Langevin step".
        target: share of the bf16 matrix rate.
    """

    def __init__(self, part: Part, kind: str, target: float) -> None:
        self.part, self.kind, self.target = part, kind, target
        self.rate = MatrixRate(part.device, part.quick)
        self.best: dict[str, float] = {}

    def measure(
        self, make_public: Callable[[Case], Make], make_own: Callable[[Case], Make]
    ) -> None:
        """Measure all for which there is time; both arguments take the network and its batch."""
        if self.part.quick:  # compiling takes longer than all the rest
            torch.compiler.set_stance("force_eager")
        for kind in (torch.bfloat16, torch.float32):
            rate = MatrixRate(self.part.device, self.part.quick, kind)() / 1e12
            what = f"matrix products in {str(kind).removeprefix('torch.')}"
            self.part.add(what, figure=rate, unit="TFLOP/s")
        size = (4, (3, 16, 16)) if self.part.quick else (128, (3, 32, 32))
        for batch in (4,) if self.part.quick else BATCHES:
            for name in NAMES:
                case = Case(*size, batch, name)
                work = functools.partial(self._measure_network, case, make_public, make_own)
                self.part.attempt(f"{NAMES[name]}, {self.kind}, batch {batch}", work)

    def _measure_network(
        self, case: Case, make_public: Callable[[Case], Make], make_own: Callable[[Case], Make]
    ) -> None:
        counted = make_own(replace(case, batch=FLOPS_BATCH))(False, False)
        flops = flops_of(counted) / FLOPS_BATCH * case.batch
        has_peer = self.part.peer is not None and case.network == "ncsnv2"
        base = "public" if has_peer else "plain"
        kinds = variants(make_public(case), make_own(case), base)
        all_kinds = self.part.quick or case.batch == BATCHES[0]
        self.measure_case(case, [kind for kind in kinds if all_kinds or not kind.once], flops)

    def measure_case(self, case: Case, kinds: Sequence[Variant], flops: float) -> None:
        """Add a row for each variant of a step of `flops` operations.

        They are those of matrix products and convolutions only.
        """
        base: Variant | None = None
        base_seconds = 0.0
        for variant in kinds:
            what = f"{NAMES[case.network]}, {self.kind}, batch {case.batch}, {variant.name}"
            if variant.graph and self.part.device.type != "cuda":
                self.part.add(what, note="not measured: needs a GPU")
                continue

            def work(variant: Variant = variant, what: str = what) -> None:
                nonlocal base, base_seconds
                seconds, row = self._time(variant)
                if variant.is_base:
                    base, base_seconds = variant, seconds
                share = flops / seconds / row["matrix_rate"]
                times = base_seconds / seconds if base else None
                row |= {"figure": case.batch / seconds, "unit": "images/s", "share": share}
                row |= {"times": times, "tflop_per_s": flops / seconds / 1e12}
                self.part.add(what, batch=case.batch, variant=variant.name, **row)
                if "bf16" in variant.name:
                    self._conclude(case, share, times, base.name if base else "")

            needed = 0.0 if self.part.quick else COMPILING[case.network] * variant.compiles
            self.part.attempt(what, work, seconds=needed)

    def _time(self, variant: Variant) -> tuple[float, dict]:
        """Return the seconds of a step, and what else a row has."""
        device = self.part.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with _settings(variant.tf32, variant.benchmark):
            start = time.perf_counter()
            step = variant.make()
            run = captured(step) if variant.graph else step
            run()
            synchronize(device)
            first = time.perf_counter() - start
            seconds = seconds_per_call(run, device, 0.02 if self.part.quick else 1.0)
        row = {"ms": 1e3 * seconds, "first_s": first, "matrix_rate": self.rate()}
        if device.type == "cuda":
            row["gib"] = torch.cuda.max_memory_allocated() / 2**30
        if variant.compiles:
            row["note"] = f"first step after {first:.0f} s"
        return seconds, row

    def _conclude(self, case: Case, share: float, times: float | None, base: str) -> None:
        """Update the rows with targets."""
        name = f"{NAMES[case.network]}, {self.kind} in bf16, best"
        found = [(f"{name} share of the bf16 matrix rate", share, "%", self.target)]
        if times is not None:
            found.append((f"{name} against {base}", times, "x", TIMES))
        for what, figure, unit, target in found:
            self.best[what] = max(figure, self.best.get(what, 0.0))
            shown = None if self.part.quick else target
            self.part.conclude(what, figure=self.best[what], unit=unit, target=shown)


@contextlib.contextmanager
def _settings(tf32: bool, benchmark: bool) -> Iterator[None]:
    """Set whether convolutions may use TF32, and how cuDNN chooses kernels."""
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark
    cudnn.allow_tf32, cudnn.benchmark = tf32, benchmark
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark = before
