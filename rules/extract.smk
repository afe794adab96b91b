# Step 5: traces, one row per cell and frame, with the verdict of the quality rules.


rule extract:
    input:
        unpack(PIPELINE.inputs("seg_labeled", "segment_frames", "fl", "fl_background")),
        phase=PIPELINE.phase,
        times=file_of("times"),
        tracks=file_of("tracks"),
    output:
        traces=output_of("traces"),
    log:
        log_of("extract"),
    benchmark:
        benchmark_of("extract")
    priority: 5
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("extract"),
    params:
        options=parameters("extract"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: extract traces"
    script:
        "../scripts/extract.py"
