# Step 6: numbers, pictures and outlines of the cells, which the report loads when one looks at them.


rule browse:
    input:
        unpack(PIPELINE.inputs("seg_labeled", "fl", "traces")),
        phase=PIPELINE.phase,
        times=file_of("times"),
        tracks=file_of("tracks"),
    output:
        numbers=output_of("browse_numbers"),
        pictures=output_of("browse_pictures"),
    log:
        log_of("browse"),
    benchmark:
        benchmark_of("browse")
    priority: 5
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("browse"),
    params:
        options=parameters("browse"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: draw the cells for the report"
    script:
        "../scripts/browse.py"
