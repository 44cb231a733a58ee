"""Files of weights that other programs wrote: what they are, and the tensors in them.

Nothing in such a file is ever executed. What is not understood is refused by name. `kinds` says
what a file is, `read` reads it, `contents` says whose tensors it holds, and `parameters` checks
each of them.
"""
