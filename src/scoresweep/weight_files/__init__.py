"""Files of weights that other programs wrote: what they are, and the tensors in them.

Nothing in such a file is ever executed. What is not understood is refused by name.
"""

from scoresweep.weight_files.contents import States, describe_content, find_states
from scoresweep.weight_files.kinds import FileKind, capped, describe
from scoresweep.weight_files.parameters import plain_parameters
from scoresweep.weight_files.read import Content, read_content

__all__ = [
    "Content",
    "FileKind",
    "States",
    "capped",
    "describe",
    "describe_content",
    "find_states",
    "plain_parameters",
    "read_content",
]
