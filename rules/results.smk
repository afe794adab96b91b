# Post-run: what was made of a dataset, in one file. When FOVs failed this rule cannot run, and the
# same function is called when the run ends.


rule results:
    input:
        lambda wildcards: last_files(PIPELINE, wildcards.dataset),
    output:
        LAYOUT.results("{dataset}"),
    log:
        LAYOUT.log("results", "{dataset}"),
    benchmark:
        LAYOUT.benchmark("results", "{dataset}")
    priority: 6
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory(300),
        runtime=growing(30),
    params:
        options=parameters("results"),
    message:
        "{wildcards.dataset}: assemble processing_results.yaml"
    script:
        "../scripts/results.py"
