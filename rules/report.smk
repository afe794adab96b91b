# One HTML page that shows what came out of all datasets. When something failed this rule cannot run,
# and the same function is called when the run ends.


rule report:
    input:
        report_inputs(PIPELINE),
    output:
        LAYOUT.report(),
    log:
        LAYOUT.log("report"),
    benchmark:
        LAYOUT.benchmark("report")
    priority: 5
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory(400),
        runtime=growing(30),
    params:
        options=report_options(PIPELINE),
    message:
        "all datasets: make report.html"
    script:
        "../scripts/report.py"
