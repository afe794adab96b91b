# Step 2: cells of each frame, one id per cell and frame, 0 is background.


rule segment:
    input:
        stack=PIPELINE.source,
        times=LAYOUT.times("{dataset}", "{fov}"),
    output:
        labels=bulky("seg", LAYOUT.stack("seg", "{dataset}", "{fov}", "{channel}")),
        frames=LAYOUT.segment_frames("{dataset}", "{fov}", "{channel}"),
    log:
        LAYOUT.log("segment", "{dataset}", "{fov}", "_ch_{channel}"),
    benchmark:
        LAYOUT.benchmark("segment", "{dataset}", "{fov}", "_ch_{channel}")
    priority: 2
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory("segment"),
        runtime=minutes("segment"),
        fov_step=1,
        disk_mb=disk("segment"),
    params:
        options=parameters("segment"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: segment"
    script:
        "../scripts/segment.py"
