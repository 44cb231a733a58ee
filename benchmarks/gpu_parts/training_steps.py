"""Training steps of both networks (see `steps.py`): loss, gradient, Adam and moving average."""

from __future__ import annotations

import functools

from ncsnv2 import Case
from training_step import own_step, peer_step, plain_step

from gpu_parts.part import Part, run_part
from gpu_parts.steps import Make, Steps


def measure(part: Part) -> None:
    """Measure all training steps for which there is time."""

    def public(case: Case) -> Make:
        if part.peer and case.network == "ncsnv2":
            return functools.partial(peer_step, case, part.device, part.peer)
        return functools.partial(plain_step, case, part.device)

    def own(case: Case) -> Make:
        return functools.partial(own_step, case, part.device)

    Steps(part, "training step", target=0.4).measure(public, own)


if __name__ == "__main__":
    run_part(measure)
