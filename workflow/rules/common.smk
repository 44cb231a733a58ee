import functools
import math
import shlex
import tempfile
import time

from snakemake.settings.enums import RerunTrigger

from scoresweep.pipeline.cluster.environment import (
    check_clusters,
    check_paths,
    remove_slurm_variables,
)
from scoresweep.pipeline.cluster.squeue import wait_for_slurm
from scoresweep.pipeline.cluster.workflow_head import (
    record_workflow_end,
    record_workflow_start,
)


# Options that name rules
# -----------------------
def check_rule_names():
    """Refuse resources and threads of rules that do not exist, which Snakemake would ignore."""
    settings = workflow.resource_settings
    options = {
        "--set-resources": settings.overwrite_resources,
        "--set-threads": settings.overwrite_threads,
    }
    names = [rule.name for rule in workflow.rules]
    for option, given in options.items():
        for name in given:
            if name not in names:
                raise WorkflowError(
                    f"{option} {name}: there is no such rule; expected one of "
                    f"{', '.join(names)} (sweep draws and measures)"
                )


def check_until():
    """Refuse `--until sweep` with successive halving, in which a `sweep` needs others.

    Snakemake would start no such job, and end with "BUG: Out of jobs".
    """
    if plan.halving and "sweep" in workflow.dag_settings.until:
        raise WorkflowError(
            "--until sweep: stops after the first count of sample.halving; expected "
            "--omit-from report, which draws and measures every count"
        )


# Which jobs to run
# -----------------
# `examine_results` decides this from the content of files, as it does for `scoresweep plan` and `status`.
# Inputs pass the decision to Snakemake:
# - A finished input is `ancient`, so its modification time does not matter.
# - A job that replaces an existing output has the input OUTDATED, which the rule `outdated` makes.
#   An input made by another job triggers a job whatever the clocks say.
# A Snakemake process that runs a single job on a node does neither.
MARKERS = tempfile.TemporaryDirectory() if workflow.is_main_process else None
OUTDATED = str(Path(MARKERS.name, "outdated")) if MARKERS else "outdated"


@functools.cache
def results():
    """Return the state of every result of the study, and of every batch."""
    from scoresweep.pipeline.results import batch_results, examine_results
    from scoresweep.pipeline.results.kept_weights import check_kept_weights
    from scoresweep.pipeline.results.source_checks import check_sources

    found = examine_results(plan, this_code=reruns_for_code())
    try:
        check_kept_weights(plan, found)
        check_sources(plan, found)
    except ScoresweepError as error:
        raise WorkflowError(str(error))
    found.by_key |= batch_results(plan, found, batches())
    return found


@functools.cache
def batches():
    """Return the batches of settings, one for each job of the rule `sweep`."""
    from scoresweep.pipeline.study.batches import (
        SETTINGS_PER_JOB_ON_SLURM,
        split_into_batches,
    )

    cores = workflow.resource_settings.cores  # None on clusters
    size = SETTINGS_PER_JOB or (None if cores else SETTINGS_PER_JOB_ON_SLURM)
    return split_into_batches(plan, cores or 1, size)


def reruns_for_code():
    """Return whether results of other code are outdated: `--rerun-triggers code mtime`.

    Snakemake knows this when it plans the jobs, not yet when it parses the rules.
    """
    return RerunTrigger.CODE in workflow.rerun_triggers


def needs(rule, *names):
    """Return the input function of `rule`, whose wildcards are `names`; see `DEPENDENCIES`."""

    def inputs(wildcards):
        if not workflow.is_main_process:
            return []
        ids = [getattr(wildcards, name) for name in names]
        result = results()[(rule, *ids)]
        dependencies = [results()[key] for key in DEPENDENCIES[rule](*ids)]
        files = [ancient(d.output) for d in dependencies if is_input(d, result)]
        return files + [OUTDATED] * (result.is_due and result.output.exists())

    return inputs


def is_input(dependency, result):
    """Return whether to declare `dependency` as an input of the job that makes `result`.

    Not if only other jobs need it again: it would trigger the job of a finished result. Not if its
    modification time is in the future: Snakemake would fail the job.
    """
    if dependency.is_due:
        return result.is_due
    try:
        return dependency.output.stat().st_mtime <= time.time()
    except OSError:
        return False


def dataset_key(run):
    return ("stage", plan.run(run).dataset.id)


def reference_keys(run):
    return [("reference", plan.run(run).dataset.id, name) for name in plan.extractors]


def earlier_batch_keys(run, name):
    """Return the batches from whose metrics successive halving chooses the tasks of a batch."""
    count = next(batch.count for batch in batches() if batch.name == name)
    if count is None or count == plan.counts[0]:
        return []
    before = plan.counts[plan.counts.index(count) - 1]
    return batch_keys_by_stage()[halving_group()[run], before]


@functools.cache
def halving_group():
    """Return the group of runs of successive halving that each run is in."""
    groups = plan.halving_groups().items()
    return {run.id: group for group, runs in groups for run in runs}


@functools.cache
def batch_keys_by_stage():
    """Return the keys of the batches of a group of runs, by group and count."""
    keys = {}
    for batch in batches():
        stage = (halving_group()[batch.run], batch.count)
        keys.setdefault(stage, []).append(("sweep", batch.run, batch.name))
    return keys


DEPENDENCIES = {
    "stage": lambda dataset: [],
    "reference": lambda dataset, extractor: [("stage", dataset)],
    "train": lambda run: [dataset_key(run)],
    "sweep": lambda run, batch: [
        ("train", run),
        dataset_key(run),
        *reference_keys(run),
        *earlier_batch_keys(run, batch),
    ],
    "report": lambda: [
        key
        for key, found in results().by_key.items()
        if key[0] == "sweep" and found.is_due
    ],
}


def all_targets(wildcards):
    """Return the report and all results that are due."""
    if not workflow.is_main_process:
        return []
    check_until()
    due = results().due_jobs
    outdated = [OUTDATED] if any(result.output.exists() for result in due) else []
    return [paths.report, *(result.output for result in due), *outdated]


def fresh_file(wildcards):
    """Return a file newer than all results, so that `outdated` runs for any target."""
    if MARKERS is None:
        return []
    path = Path(MARKERS.name, "now")
    path.touch()
    return [path]


# Parameters of rules
# -------------------


def study_file(wildcards):
    """Return the study file; in a plain string, Snakemake would parse braces as wildcards."""
    return STUDY


def code_option(wildcards):
    return "--this-code" if reruns_for_code() else ""


def threads_per_process(wildcards, threads, resources):
    return max(1, threads // resources.processes)


DEFAULT_MINUTES = 60
"""Run time of a job if the profile has no default."""
SHARE_OF_FURTHER_TASKS = 1 / 6
"""Of the default run time: what each task of a batch adds, after the first."""


def reference_threads(wildcards):
    """Return one thread for extractors that use no more or are quick, so that a training can start."""
    return 1 if wildcards.extractor in ("pixels", "classifier") else 2


def sweep_minutes(wildcards):
    """Return the run time of a batch, which grows with the number of tasks that are due.

    A batch that needs more is retried, and continues where it was stopped.
    """
    default = workflow.resource_settings._parsed_default_resources.get("runtime")
    known = default is not None and not default.is_evaluable()
    minutes = (default.value if known else None) or DEFAULT_MINUTES
    if not workflow.is_main_process:
        return minutes
    due = number_of_due_tasks()[wildcards.run, wildcards.batch]
    return math.ceil(minutes * (1 + SHARE_OF_FURTHER_TASKS * max(0, due - 1)))


@functools.cache
def number_of_due_tasks():
    """Return the number of tasks to compute, by run and name of the batch."""
    from scoresweep.pipeline.results import num_due_tasks

    return {(b.run, b.name): num_due_tasks(results(), b) for b in batches()}


# SLURM
# -----
EXECUTOR = "scoresweep-slurm"
# Resources that the executor understands and `scoresweep train`, which submits itself, does not.
NOT_FOR_TRAINING = (
    "cluster clusters slurm_cluster cpus_per_gpu cpus_per_task gpu_model gpus mem_mb_per_cpu mpi "
    "tasks tasks_per_gpu tasks_per_node"
)


def uses_slurm():
    """Return whether Snakemake runs the jobs on SLURM (known when it plans the jobs)."""
    name = getattr(workflow.executor_plugin, "name", "")
    if name == "slurm":
        raise WorkflowError(
            f"executor: slurm: expected {EXECUTOR}, which waits while SLURM does not answer; in "
            f"your profile, change this line to `executor: {EXECUTOR}` and rename the keys slurm-* "
            f"to {EXECUTOR}-* (slurm-status-command: {EXECUTOR}-status-command)"
        )
    return name == EXECUTOR


def prepare_slurm():
    """Check that jobs can run on SLURM; record the name of this run's jobs for status and cancel."""
    if not uses_slurm():
        return
    try:
        check_clusters()
        for path in (paths.results, Path(workflow.main_snakefile)):
            check_paths(path, "slurm")
    except ScoresweepError as error:
        raise WorkflowError(str(error))
    remove_slurm_variables()
    record_workflow_start(paths, workflow.executor_settings.run_uuid)


def attempt_number(wildcards, attempt):
    """Return the number of the attempt to run a job; before a retry, wait until SLURM answers.

    A failed submission counts as a failed job. One minute without SLURM would use up all retries.
    """
    if attempt > 1 and uses_slurm():
        wait_for_slurm()
    return attempt


def slurm_options(wildcards, threads, resources):
    """Return the options with which `scoresweep train` requests the rule's resources."""
    if not uses_slurm():
        return ""
    if unknown := [name for name in NOT_FOR_TRAINING.split() if resources.get(name)]:
        raise WorkflowError(
            f"resources of train: {', '.join(unknown)}: not supported for training; expected "
            f"nodes, processes, gpu, mem_mb, runtime, slurm_partition, slurm_account, qos, "
            f"constraint, gres, or slurm_extra for other options of sbatch"
        )
    options = [
        f"--cluster slurm --minutes {resources.runtime} --memory {resources.mem_mb}"
    ]
    for option in ("partition", "account"):
        if value := resources.get(f"slurm_{option}"):
            options.append(f"--{option} {value}")
    extra = [resources.get("slurm_extra") or ""]
    for option in ("qos", "constraint", "gres"):
        if value := resources.get(option):
            extra.append(f"--{option}={shlex.quote(str(value))}")
    for option in ("qos", "reservation"):
        if value := getattr(workflow.executor_settings, option, None):
            extra.append(f"--{option}={shlex.quote(value)}")
    options.append(f"--extra {shlex.quote(' '.join(extra).strip())}")
    return " ".join(options)
