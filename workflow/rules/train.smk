# Checkpoints, curves and TensorBoard files are not declared: Snakemake would delete them when a
# training that can go on is started again. Nor are the weights: their manifest is written last.
# On a cluster it runs on this machine, from where it submits a job of its own and waits for it;
# that job starts itself again, so that Snakemake need not.
localrules:
    train,


rule train:
    input:
        needs("train", "run"),
    output:
        update(layout.weights_manifest("{run}")),
    log:
        layout.results / "logs" / "train" / "{run}.log",
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
        threads_each=threads_each,
        on_slurm=on_slurm,
    shell:
        "scoresweep train {params.study:q} --run {wildcards.run:q} --nodes {resources.nodes}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads_each}"
        " {params.on_slurm} {params.code} 2>&1 | tee -i {log:q}"
