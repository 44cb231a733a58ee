"""Failures of a plugin's code once work has begun."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.errors import RunError, ScoresweepError
from scoresweep.pipeline.study.origin import Origin
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure

__all__ = ["named_failures"]


@contextlib.contextmanager
def named_failures(origin: Origin) -> Iterator[None]:
    """Turn an exception of the plugin into a `RunError` that names its line.

    Errors of scoresweep and of a lack of memory pass unchanged.
    """
    try:
        yield
    except ScoresweepError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise RunError(describe_failure(error, origin)) from None
