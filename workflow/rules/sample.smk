rule sample:
    input:
        needs("sample", "run", "setting"),
    output:
        update(layout.samples_manifest("{run}", "{setting}")),
    log:
        layout.results / "logs" / "sample" / "{run}" / "{setting}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        attempt=patient_attempt,
        processes=1,
        gpu=0,
    params:
        study=study_file,
        code=code_option,
        threads_each=threads_each,
    shell:
        "scoresweep sample {params.study:q} --run {wildcards.run:q} --setting {wildcards.setting:q}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads_each}"
        " {params.code} 2>&1 | tee -i {log:q}"
