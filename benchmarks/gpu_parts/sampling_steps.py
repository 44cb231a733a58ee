"""Steps of annealed Langevin dynamics of both networks (see `steps.py`)."""

from __future__ import annotations

import functools

from annealed_langevin import own_step, peer_step, plain_step
from harness import Run
from ncsnv2 import Case

from gpu_parts.part import Part, run_part
from gpu_parts.steps import Make, Steps


def measure(part: Part) -> None:
    """Measure all sampling steps for which there is time."""

    def public(case: Case) -> Make:
        given = (case, part.device, case.batch)
        if part.peer and case.network == "ncsnv2":
            return functools.partial(peer_step, *given, part.peer)
        return functools.partial(plain_step, *given)

    def own(case: Case) -> Make:
        def make(bf16: bool, compiled: bool, capturable: bool = False) -> Run:  # noqa: ARG001
            return own_step(case, part.device, case.batch, bf16, compiled)

        return make

    Steps(part, "Langevin step", target=0.5).measure(public, own)


if __name__ == "__main__":
    run_part(measure)
