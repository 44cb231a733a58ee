# Checkpoints, curves and TensorBoard files are not declared: Snakemake would delete them when a
# training that can go on is started again. The weights are written last.
rule train:
    input:
        dataset_of_run,
    output:
        layout.weights("{run}"),
    log:
        layout.results / "logs" / "train" / "{run}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        nodes=1,
        processes=1,
        gpu=0,
        training_slots=1,
    params:
        study=study_file,
        threads_each=threads_each,
    shell:
        "scoresweep train {params.study:q} --run {wildcards.run:q} --nodes {resources.nodes}"
        " --processes {resources.processes} --gpus {resources.gpu} --threads {params.threads_each}"
        " 2>&1 | tee {log:q}"
