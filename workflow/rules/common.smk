import functools
import shlex
import tempfile
import time

from snakemake.settings.enums import RerunTrigger

# Which jobs run is decided by `examine_results`, from the content of files, for `scoresweep plan` and
# `status` as well. Snakemake is given this decision by inputs:
# - an input that is finished is `ancient`: its time decides nothing;
# - a job whose output exists and has to be made again gets the input OUTDATED, which the rule
#   `outdated` makes: an input that another job makes runs a job whatever the clocks say.
# Processes of Snakemake that run a single job on a node examine nothing and need no inputs.
MARKS = tempfile.TemporaryDirectory() if workflow.is_main_process else None
OUTDATED = str(Path(MARKS.name, "outdated")) if MARKS else "outdated"


def study_file(wildcards):
    """The study file: of a plain text, Snakemake would take braces for wildcards."""
    return STUDY


@functools.cache
def results():
    """The state of every result of the study."""
    from scoresweep.pipeline.results import examine_results

    return examine_results(plan, this_code=is_this_code_asked_for())


def is_this_code_asked_for():
    """Whether results that other code has made are made again: `--rerun-triggers code mtime`.

    Snakemake knows it when it plans the jobs, not yet when it reads the rules.
    """
    return RerunTrigger.CODE in workflow.rerun_triggers


def code_option(wildcards):
    return "--this-code" if is_this_code_asked_for() else ""


def needs(rule, *names):
    """Return an input function: the inputs of the job of `rule` for the wildcards `names`.

    `INPUTS[rule]` names what it is made from.
    """

    def inputs(wildcards):
        if not workflow.is_main_process:
            return []
        ids = [getattr(wildcards, name) for name in names]
        mine = results()[(rule, *ids)]
        others = [results()[key] for key in INPUTS[rule](*ids)]
        found = [ancient(one.output) for one in others if is_named(one, mine)]
        return found + [OUTDATED] * (mine.is_due and mine.output.exists())

    return inputs


def is_named(result, consumer):
    """Whether Snakemake gets `result` as an input of the job of `consumer`.

    What is made again (data that other jobs need) would run the job of a finished consumer. A
    finished file of a clock that is ahead would fail the job: Snakemake compares times after it.
    """
    if result.is_due:
        return consumer.is_due
    try:
        return result.output.stat().st_mtime <= time.time()
    except OSError:
        return False


def data_of_run(run):
    """The result key of the dataset that a run is trained on."""
    return ("stage", plan.run(run).dataset.id)


def references_of_run(run):
    """The result keys of the features of its real samples, on every extractor of the study."""
    return [("reference", plan.run(run).dataset.id, name) for name in plan.extractors]


INPUTS = {
    "stage": lambda dataset: [],
    "reference": lambda dataset, extractor: [("stage", dataset)],
    "train": lambda run: [data_of_run(run)],
    "score_error": lambda run: [("train", run), data_of_run(run)],
    "sample": lambda run, setting: [("train", run), data_of_run(run)],
    "evaluate": lambda run, setting: [
        ("sample", run, setting),
        data_of_run(run),
        *references_of_run(run),
    ],
    "report": lambda: [
        key for key in results().found if key[0] in ("score_error", "evaluate")
    ],
}


def everything(wildcards):
    """What `snakemake` makes without a target: the report, and all that is to be made."""
    if not workflow.is_main_process:
        return []
    due = results().due
    again = [OUTDATED] if any(result.output.exists() for result in due) else []
    return [layout.report, *(result.output for result in due), *again]


def newest_file(wildcards):
    """A file that is newer than results, so that `outdated` runs for any target, not only `all`."""
    if MARKS is None:
        return []
    path = Path(MARKS.name, "now")
    path.touch()
    return [path]


def threads_each(wildcards, threads, resources):
    """The threads of one of a job's processes: `threads` is what the job may use in all."""
    return max(1, threads // resources.processes)


def prepare_slurm():
    """Where jobs run on SLURM, wait while it does not answer, and keep the name that all jobs of
    this start bear, for `scoresweep status` and `cancel`."""
    if uses_slurm():
        from scoresweep.pipeline.cluster.environment import (
            check_clusters,
            check_paths,
            remove_slurm_variables,
        )
        from scoresweep.pipeline.cluster.patient_executor import be_patient
        from scoresweep.pipeline.cluster.study_jobs import record_workflow_start

        refuse_arrays()
        try:
            check_clusters()
            for path in (layout.results, Path(workflow.main_snakefile)):
                check_paths(path, "slurm")
        except ScoresweepError as error:
            raise WorkflowError(str(error))
        remove_slurm_variables()
        # On a command line, `$` in the name of a folder would be read by the shell.
        workflow.executor_settings.pass_command_as_script = True
        be_patient(workflow.scheduler._executor)
        record_workflow_start(layout, workflow.scheduler._executor.run_uuid)


def refuse_arrays():
    """Raise for arrays: the executor looks for the outputs of the first task after each of them.

    https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/447 (executor 2.8.0)
    """
    if rules := workflow.executor_settings.array_jobs:
        raise WorkflowError(
            f"slurm-array-jobs: {rules}: a task of an array that fails deletes what others have "
            f"written; expected no such option (remove slurm-array-jobs and slurm-array-limit from "
            f"the profile)"
        )


def uses_slurm():
    """Whether Snakemake runs the jobs on SLURM (known when the jobs are planned)."""
    return getattr(workflow.executor_plugin, "name", "") == "slurm"


def patient_attempt(wildcards, attempt):
    """The number of the attempt to run a job, as a resource; before another, wait for SLURM.

    A job that cannot be submitted has failed for Snakemake, and one minute without SLURM's
    controller would use up all retries.
    """
    if attempt > 1 and uses_slurm():
        from scoresweep.pipeline.cluster.squeue import wait_for_slurm

        wait_for_slurm()
    return attempt


# What the executor for SLURM understands and training, which is submitted here, does not.
ELSEWHERE = (
    "cluster clusters slurm_cluster cpus_per_gpu cpus_per_task gpu_model gpus mem_mb_per_cpu mpi "
    "tasks tasks_per_gpu tasks_per_node"
)


def on_slurm(wildcards, threads, resources):
    """What the training's SLURM job asks for: the resources of the rule, under the names that the
    executor knows them by for all other rules."""
    if not uses_slurm():
        return ""
    if unknown := [name for name in ELSEWHERE.split() if resources.get(name)]:
        raise WorkflowError(
            f"resources of train: {', '.join(unknown)}: a training cannot ask for these; "
            f"expected nodes, processes, gpu, mem_mb, runtime, slurm_partition, slurm_account, qos, "
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
