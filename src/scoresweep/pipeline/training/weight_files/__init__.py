"""Weight files of other programs.

Nothing in such a file is ever executed; unknown content is refused by name. `read` reads a file,
`contents` recognises which program wrote it, and `parameters` checks each tensor.
"""
