rule evaluate:
    input:
        needs("evaluate", "run", "setting"),
    output:
        update(paths.metrics("{run}", "{setting}")),
    log:
        paths.results / "logs" / "evaluate" / "{run}" / "{setting}.log",
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
        "scoresweep evaluate {params.study:q} --run {wildcards.run:q} --setting {wildcards.setting:q}"
        " --gpus {resources.gpu} --threads {threads} {params.code} 2>&1 | tee -i {log:q}"
