# Inception takes hours on CPUs; for the other extractors the default is enough.
SLOW_REFERENCE = (
    {"runtime": 240} if any(n.startswith("inception") for n in plan.extractors) else {}
)


rule reference:
    input:
        needs("reference", "dataset", "extractor"),
    output:
        update(plan.reference("{dataset}", "{extractor}")),
    log:
        layout.results / "logs" / "reference" / "{dataset}.{extractor}.log",
    # Early: weights that cannot be fetched are noticed before the networks are trained.
    priority: 1
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        **SLOW_REFERENCE,
        attempt=patient_attempt,
        gpu=0,
    params:
        study=study_file,
    shell:
        "scoresweep reference {params.study:q} --dataset {wildcards.dataset:q}"
        " --extractor {wildcards.extractor:q} --gpus {resources.gpu} --threads {threads}"
        " 2>&1 | tee -i {log:q}"
