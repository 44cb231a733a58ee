"""Which results of a study are done, missing or outdated, and which jobs run next.

`examine_results` decides this for `scoresweep plan`, `scoresweep status`, the report and the
Snakefile, so they always agree. It compares the content of files only, never their times or
Snakemake's records: each result records the hashes of its inputs (`input_hashes.py`) and the code
that computed it (`code_version.py`). A result without such a record, from an earlier version,
counts as done. Each folder is listed once, and only small files are read.
"""

from scoresweep.pipeline.results.due_batches import batch_results, due_tasks, num_due_tasks
from scoresweep.pipeline.results.examine import examine_results
from scoresweep.pipeline.results.halving_choice import Choice
from scoresweep.pipeline.results.halving_stages import Outcome, outcomes
from scoresweep.pipeline.results.report_state import outdated_measurements
from scoresweep.pipeline.results.result import RULES, SWEEP_STEPS, Result, Results, Rule
from scoresweep.pipeline.results.states import (
    dataset_state,
    is_imported,
    metrics_state,
    network_state,
    recorded_dataset,
    reference_state,
    samples_state,
    score_error_state,
)

__all__ = [
    "RULES",
    "SWEEP_STEPS",
    "Choice",
    "Outcome",
    "Result",
    "Results",
    "Rule",
    "batch_results",
    "dataset_state",
    "due_tasks",
    "examine_results",
    "is_imported",
    "metrics_state",
    "network_state",
    "num_due_tasks",
    "outcomes",
    "outdated_measurements",
    "recorded_dataset",
    "reference_state",
    "samples_state",
    "score_error_state",
]
