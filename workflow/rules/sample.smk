rule sample:
    input:
        needs("sample", "run", "store"),
    output:
        update(paths.samples_manifest("{run}", "{store}")),
    log:
        paths.results / "logs" / "sample" / "{run}" / "{store}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        attempt=attempt_number,
        processes=1,
        gpu=0,
    params:
        study=study_file,
        code=code_option,
        setting=lambda wildcards: setting_of(wildcards.store),
        threads=threads_per_process,
    shell:
        "scoresweep sample {params.study:q} --run {wildcards.run:q} --setting {params.setting:q}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads}"
        " {params.code} 2>&1 | tee -i {log:q}"
