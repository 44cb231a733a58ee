rule report:
    input:
        needs("report"),
    output:
        layout.report,
        layout.metrics_table,
        report(layout.report_page, caption="../report/page.rst", category="Report"),
    log:
        layout.results / "logs" / "report.log",
    conda:
        "../../environment.yml"
    resources:
        attempt=patient_attempt,
    params:
        study=study_file,
    shell:
        "scoresweep report {params.study:q} 2>&1 | tee -i {log:q}"
