# Step 5: traces, one row per cell and frame, with the verdict of the quality rules.


rule extract:
    input:
        unpack(PIPELINE.extract_inputs),
    output:
        traces=LAYOUT.traces("{dataset}", "{fov}"),
    log:
        LAYOUT.log("extract", "{dataset}", "{fov}"),
    benchmark:
        LAYOUT.benchmark("extract", "{dataset}", "{fov}")
    priority: 5
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory("extract"),
        runtime=minutes("extract"),
        fov_step=1,
    params:
        options=parameters("extract"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: extract traces"
    script:
        "../scripts/extract.py"
