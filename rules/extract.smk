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
    conda:
        "../envs/fovflow.yaml"
    params:
        options=parameters("extract"),
    priority: 5
    resources:
        mem_mb=memory("extract"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: extract traces"
    script:
        "../scripts/extract.py"
