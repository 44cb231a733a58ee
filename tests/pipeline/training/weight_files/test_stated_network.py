"""Networks of two weight files are compared by their options."""

from typing import ClassVar, Literal

from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.training.weight_files.stated_network import StatedNetwork, list_differences


class Other(MethodConfig):
    """A network of a plugin, whose option has the name of one of `unet`."""

    target: ClassVar[str] = "other:other"
    name: Literal["other"]
    attention: bool = True


def test_attention_of_another_network_is_compared_as_it_is():
    for found, expected in ((True, []), (False, ["attention False, in the run True"])):
        stated = StatedNetwork("scoresweep", {"name": "other", "attention": found}, (1, 8, 8))
        assert list_differences(stated, Other(name="other"), (1, 8, 8)) == expected
