"""What a checkpoint leaves open about its network."""

import pytest
import torch

from scoresweep.networks import NCSNpp
from scoresweep.pipeline.training.weight_files.open_points import open_points
from scoresweep.pipeline.training.weight_files.published import Published


@pytest.mark.parametrize(
    ("channels", "options", "is_open"),
    [
        (64, {"embedding": "positional", "block_type": "ddpm"}, True),
        (128, {"embedding": "positional", "block_type": "ddpm"}, False),
        (64, {"embedding": "fourier", "block_type": "ddpm"}, False),
        (64, {"embedding": "positional", "block_type": "biggan"}, False),
    ],
)
def test_a_narrow_ddpm_may_have_other_norms(channels, options, is_open):
    # The program's `ddpm` has 32 groups at every width, its `ncsnpp` at least 4 channels in each.
    ladder = torch.tensor([1.0, 0.1])
    with torch.device("meta"):
        network = NCSNpp(
            (3, 8, 8), ladder, channels=channels, multipliers=(1, 2), blocks=1, **options
        )
    points = open_points(Published({}, ladder, True, 1, ()), network)
    assert ("groups of norms" in points) == is_open
