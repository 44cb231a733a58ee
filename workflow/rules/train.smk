# Only the manifest of the weights, written last, is declared as output: Snakemake would delete
# declared checkpoints when it restarts an interrupted training.
# With SLURM this rule runs locally; `scoresweep train` submits a job, waits for it and requeues it.
localrules:
    train,


rule train:
    input:
        needs("train", "run"),
    output:
        update(paths.weights_manifest("{run}")),
    log:
        paths.results / "logs" / "train" / "{run}.log",
    retries: 0
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        nodes=1,
        processes=1,
        gpu=0,
        training_slots=1,
        runtime=240,
    params:
        study=study_file,
        code=code_option,
        threads=threads_per_process,
        slurm=slurm_options,
    shell:
        "scoresweep train {params.study:q} --run {wildcards.run:q} --nodes {resources.nodes}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads}"
        " {params.slurm} {params.code} 2>&1 | tee -i {log:q}"
