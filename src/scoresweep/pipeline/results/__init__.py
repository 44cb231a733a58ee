"""Which results of a study are finished, and which the next `snakemake` makes, and why.

`examine` decides it for `scoresweep plan`, `scoresweep status`, the report and the Snakefile, so
that they agree. It looks at the content of files alone, never at their times or at records of
Snakemake: each result records the hashes of what it was made from (`made_from.py`). A result of an
earlier version without such a record counts as finished. Each folder is listed once, and only small
files are read.
"""

from scoresweep.pipeline.results.examine import examine
from scoresweep.pipeline.results.report_state import outdated_files
from scoresweep.pipeline.results.result import RULES, Result, Results
from scoresweep.pipeline.results.states import (
    data_of,
    is_imported,
    metrics_of,
    network_of,
    reference_of,
    samples_of,
    score_error_of,
    staged_data,
)

__all__ = [
    "RULES",
    "Result",
    "Results",
    "data_of",
    "examine",
    "is_imported",
    "metrics_of",
    "network_of",
    "outdated_files",
    "reference_of",
    "samples_of",
    "score_error_of",
    "staged_data",
]
