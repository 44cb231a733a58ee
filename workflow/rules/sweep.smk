# Draws and measures some settings of a run, and its score error. The results themselves are not
# declared: the failure of one setting would delete those of the others.
rule sweep:
    input:
        needs("sweep", "run", "batch"),
    output:
        paths.batch("{run}", "{batch}"),
    log:
        paths.batch_log("{run}", "{batch}"),
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        attempt=attempt_number,
        processes=1,
        gpu=0,
        runtime=sweep_minutes,
    params:
        study=study_file,
        code=code_option,
        threads=threads_per_process,
    shell:
        "scoresweep sweep {params.study:q} --run {wildcards.run:q} --batch {wildcards.batch}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads}"
        " {params.code} 2>&1 | tee -i {log:q}"
