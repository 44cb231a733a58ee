def references_of_run(wildcards):
    """Features of the real samples, on every extractor of the study."""
    dataset = plan.run(wildcards.run).dataset.id
    return [layout.reference(dataset, extractor) for extractor in plan.extractors]


rule reference:
    input:
        layout.dataset_manifest("{dataset}"),
    output:
        layout.reference("{dataset}", "{extractor}"),
    log:
        layout.results / "logs" / "reference" / "{dataset}.{extractor}.log",
    threads: 1
    shell:
        "scoresweep reference {STUDY:q} --dataset {wildcards.dataset:q}"
        " --extractor {wildcards.extractor:q} --threads {threads} 2>&1 | tee {log:q}"


# One for a run: what the network gets wrong does not depend on the sampler.
rule score_error:
    input:
        layout.weights("{run}"),
        dataset_of_run,
    output:
        layout.score_error("{run}"),
    log:
        layout.results / "logs" / "score_error" / "{run}.log",
    params:
        measured=plan.evaluate_hash(),
    threads: 1
    shell:
        "scoresweep score-error {STUDY:q} --run {wildcards.run:q} --threads {threads}"
        " 2>&1 | tee {log:q}"


rule evaluate:
    input:
        layout.samples_manifest("{run}", "{setting}"),
        references_of_run,
    output:
        layout.metrics("{run}", "{setting}"),
    log:
        layout.results / "logs" / "evaluate" / "{run}" / "{setting}.log",
    params:
        measured=plan.evaluate_hash(),
    threads: 1
    shell:
        "scoresweep evaluate {STUDY:q} --run {wildcards.run:q} --setting {wildcards.setting:q}"
        " --threads {threads} 2>&1 | tee {log:q}"


# `score_error.nc` and `SETTING.nc` lie in one folder.
ruleorder: score_error > evaluate
