# Step 3: fluorescence less its background, float32.


# The flat-field is sampled from the raw file over all its FOVs: it is the same whichever FOVs are
# selected, and one bad FOV does not keep the others from being corrected.
rule flat_field:
    input:
        unpack(PIPELINE.dark),
        plan=LAYOUT.plan("{dataset}"),
    output:
        LAYOUT.flat_field("{dataset}", "{channel}"),
    log:
        LAYOUT.log("flat_field", "{dataset}", rest="_ch_{channel}"),
    benchmark:
        LAYOUT.benchmark("flat_field", "{dataset}", rest="_ch_{channel}")
    priority: 3
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory("copy"),
        runtime=minutes("flat_field"),
    params:
        options=parameters("flat_field"),
    message:
        "{wildcards.dataset}: estimate the flat-field of channel {wildcards.channel}"
    script:
        "../scripts/flat_field.py"


rule correct:
    input:
        unpack(PIPELINE.illumination),
        stack=LAYOUT.stack("fl", "{dataset}", "{fov}", "{channel}"),
        labels=lambda wildcards: PIPELINE.segmented("seg", wildcards),
        times=LAYOUT.times("{dataset}", "{fov}"),
    output:
        corrected=bulky(
            "fl_corrected",
            LAYOUT.stack("fl_corrected", "{dataset}", "{fov}", "{channel}"),
        ),
        frames=LAYOUT.correct_frames("{dataset}", "{fov}", "{channel}"),
    log:
        LAYOUT.log("correct", "{dataset}", "{fov}", "_ch_{channel}"),
    benchmark:
        LAYOUT.benchmark("correct", "{dataset}", "{fov}", "_ch_{channel}")
    priority: 3
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        mem_mb=memory("correct"),
        runtime=minutes("correct"),
        fov_step=1,
        disk_mb=disk("correct"),
    params:
        options=parameters("correct"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: correct channel {wildcards.channel}"
    script:
        "../scripts/correct.py"
