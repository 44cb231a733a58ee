rule report:
    input:
        needs("report"),
    output:
        paths.report,
        paths.metrics_table,
        report(paths.report_page, caption="../report/page.rst", category="Report"),
    log:
        paths.results / "logs" / "report.log",
    conda:
        "../../environment.yml"
    resources:
        attempt=attempt_number,
    params:
        study=study_file,
    shell:
        "scoresweep report {params.study:q} 2>&1 | tee -i {log:q}"
