# Asked for where a dataset, or FOVs that the config names, cannot be processed: fails and says why,
# while everything else goes on.
rule problem:
    output:
        LAYOUT.problem("{dataset}"),
    log:
        LAYOUT.log("problem", "{dataset}"),
    benchmark:
        LAYOUT.benchmark("problem", "{dataset}")
    priority: 100
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=250,
    params:
        problems=lambda wildcards: list(PIPELINE.datasets[wildcards.dataset].problems),
        partly=lambda wildcards: bool(PIPELINE.datasets[wildcards.dataset].fovs),
    message:
        "{wildcards.dataset}: checking the dataset"
    script:
        "../scripts/problem.py"
