# Step 4: one id per cell over time, and the table of links between detections.

for SEGMENTED, DATASETS in PIPELINE.segmented_channels().items():

    rule:
        name:
            "track"
            if len(PIPELINE.segmented_channels()) == 1
            else f"track_ch_{SEGMENTED}"
        input:
            labels=LAYOUT.stack("seg", "{dataset}", "{fov}", SEGMENTED),
            times=LAYOUT.times("{dataset}", "{fov}"),
        output:
            labeled=bulky(
                "seg_labeled",
                LAYOUT.stack("seg_labeled", "{dataset}", "{fov}", SEGMENTED),
            ),
            tracks=LAYOUT.tracks("{dataset}", "{fov}"),
        log:
            LAYOUT.log("track", "{dataset}", "{fov}"),
        benchmark:
            LAYOUT.benchmark("track", "{dataset}", "{fov}")
        wildcard_constraints:
            dataset=PIPELINE.constraint(DATASETS),
        priority: 4
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory("track"),
            runtime=minutes("track"),
            fov_step=1,
            disk_mb=disk("track"),
        params:
            step="track",
            options=parameters("track"),
        message:
            "{wildcards.dataset}, FOV {wildcards.fov}: track"
        script:
            "../scripts/track.py"
