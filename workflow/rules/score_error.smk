# One for a run: what the network gets wrong does not depend on the sampler.
rule score_error:
    input:
        needs("score_error", "run"),
    output:
        update(paths.score_error("{run}")),
    log:
        paths.results / "logs" / "score_error" / "{run}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        attempt=attempt_number,
        gpu=0,
    params:
        study=study_file,
        code=code_option,
    shell:
        "scoresweep score-error {params.study:q} --run {wildcards.run:q} --gpus {resources.gpu}"
        " --threads {threads} {params.code} 2>&1 | tee -i {log:q}"
