# Only the manifest of the Zarr store, written last, is declared as output: Snakemake would delete a
# declared store if the job fails.
rule stage:
    input:
        needs("stage", "dataset"),
    output:
        update(paths.dataset_manifest("{dataset}")),
    log:
        paths.results / "logs" / "stage" / "{dataset}.log",
    conda:
        "../../environment.yml"
    resources:
        attempt=attempt_number,
    params:
        study=study_file,
        code=code_option,
    shell:
        "scoresweep stage {params.study:q} --dataset {wildcards.dataset:q} {params.code}"
        " 2>&1 | tee -i {log:q}"
