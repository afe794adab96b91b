# Step 4: one id per cell over time, and the table of links between detections.

for SEGMENTED, DATASETS in PIPELINE.datasets_by("seg").items():

    rule:
        name:
            "track"
            if len(PIPELINE.datasets_by("seg")) == 1
            else f"track_ch_{SEGMENTED}"
        input:
            labels=file_of("seg", SEGMENTED),
            times=file_of("times"),
        output:
            labeled=output_of("seg_labeled", SEGMENTED),
            tracks=output_of("tracks"),
        log:
            log_of("track"),
        benchmark:
            benchmark_of("track")
        wildcard_constraints:
            dataset=PIPELINE.constraint(DATASETS),
        priority: 4
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        resources:
            **resources_of("track"),
        params:
            step="track",
            options=parameters("track"),
        message:
            "{wildcards.dataset}, FOV {wildcards.fov}: track"
        script:
            "../scripts/track.py"
