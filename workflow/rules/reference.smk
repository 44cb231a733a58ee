# Inception takes hours on CPUs; other extractors finish within the default run time.
SLOW_REFERENCE = (
    {"runtime": 240} if any(n.startswith("inception") for n in plan.extractors) else {}
)


rule reference:
    input:
        needs("reference", "dataset", "extractor"),
    output:
        update(plan.reference("{dataset}", "{extractor}")),
    log:
        paths.results / "logs" / "reference" / "{dataset}.{extractor}.log",
    # Early, so that missing extractor weights stop the study before training.
    priority: 1
    conda:
        "../../environment.yml"
    threads: reference_threads
    resources:
        **SLOW_REFERENCE,
        attempt=attempt_number,
        gpu=0,
    params:
        study=study_file,
    shell:
        "scoresweep reference {params.study:q} --dataset {wildcards.dataset:q}"
        " --extractor {wildcards.extractor:q} --gpus {resources.gpu} --threads {threads}"
        " 2>&1 | tee -i {log:q}"
