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
    return [layout.reference(dataset, extractor) for extractor in plan.extractors]
