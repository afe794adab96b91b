# Step 2: cells of each frame, one id per cell and frame, 0 is background.


rule segment:
    input:
        stack=PIPELINE.copied,
        times=file_of("times"),
    output:
        labels=output_of("seg"),
        frames=output_of("segment_frames"),
    log:
        log_of("segment"),
    benchmark:
        benchmark_of("segment")
    priority: 2
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    threads: threads_of("segment")
    resources:
        **resources_of("segment"),
    params:
        options=parameters("segment"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: segment"
    script:
        "../scripts/segment.py"
