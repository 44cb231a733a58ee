# The Zarr store itself is not declared: Snakemake would delete it on a failure. Its manifest is
# written last, so a store whose manifest exists is whole.
rule stage:
    input:
        needs("stage", "dataset"),
    output:
        update(layout.dataset_manifest("{dataset}")),
    log:
        layout.results / "logs" / "stage" / "{dataset}.log",
    conda:
        "../../environment.yml"
    resources:
        attempt=patient_attempt,
    params:
        study=study_file,
        code=code_option,
    shell:
        "scoresweep stage {params.study:q} --dataset {wildcards.dataset:q} {params.code}"
        " 2>&1 | tee -i {log:q}"
