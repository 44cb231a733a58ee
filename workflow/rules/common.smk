import shlex


def study_file(wildcards, threads):
    """The study file, for the commands of the rules.

    Snakemake leaves parameters that depend on `threads` out of its record of a job: a study file
    that is moved or renamed runs nothing again.
    """
    return STUDY


def own_data(wildcards):
    """People's own file or folder, when a dataset is one: if it is newer, it is staged again.

    One that does not exist is left to `scoresweep stage`, which says so in the study's words.
    """
    path = getattr(plan.dataset(wildcards.dataset), "path", None)
    return [path] if path and path.exists() else []


def threads_each(wildcards, threads, resources):
    """The threads of one of a job's processes: `threads` is what the job may use in all."""
    return max(1, threads // resources.processes)


def dataset_of_run(wildcards):
    """The staged dataset that a run is trained on."""
    return layout.dataset_manifest(plan.run(wildcards.run).dataset.id)


def references_of_run(wildcards):
    """Features of the real samples, on every extractor of the study."""
    dataset = plan.run(wildcards.run).dataset.id
    return [plan.reference(dataset, extractor) for extractor in plan.extractors]


def prepare_slurm():
    """Where jobs run on SLURM, wait while it does not answer, and keep the name that all jobs of
    this start bear, for `scoresweep status` and `cancel`."""
    if uses_slurm():
        from scoresweep.launch.environment import (
            check_clusters,
            check_paths,
            remove_slurm_variables,
        )
        from scoresweep.launch.patient_executor import be_patient
        from scoresweep.pipeline.slurm_jobs import note_head

        refuse_arrays()
        try:
            check_clusters()
            for path in (layout.results, Path(workflow.main_snakefile)):
                check_paths(path, "slurm")
        except ScoresweepError as error:
            raise WorkflowError(str(error))
        remove_slurm_variables()
        be_patient(workflow.scheduler._executor)
        note_head(layout, workflow.scheduler._executor.run_uuid)


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
        from scoresweep.launch.slurm import wait_for_slurm

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
