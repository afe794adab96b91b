# Step 3: the background of fluorescence, a few numbers per frame.


# The flat-field is sampled from the raw file over all its FOVs: it is the same whichever FOVs are
# selected, and one bad FOV does not keep the others from being corrected.
rule flat_field:
    input:
        unpack(PIPELINE.dark),
    output:
        output_of("flat_field"),
    log:
        log_of("flat_field"),
    benchmark:
        benchmark_of("flat_field")
    priority: 3
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("flat_field"),
    params:
        raw=PIPELINE.pin,
        options=parameters("flat_field"),
    message:
        "{wildcards.dataset}: estimate the flat-field of channel {wildcards.channel}"
    script:
        "../scripts/flat_field.py"


rule correct:
    input:
        unpack(PIPELINE.illumination),
        unpack(PIPELINE.inputs("seg")),
        stack=file_of("fl"),
        times=file_of("times"),
    output:
        background=output_of("fl_background"),
        frames=output_of("correct_frames"),
    log:
        log_of("correct"),
    benchmark:
        benchmark_of("correct")
    priority: 3
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("correct"),
    params:
        options=parameters("correct"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: correct channel {wildcards.channel}"
    script:
        "../scripts/correct.py"


# Fluorescence less its background, float32: where the configuration keeps it, or somebody asks for it.
rule corrected:
    input:
        stack=file_of("fl"),
        background=file_of("fl_background"),
    output:
        output_of("fl_corrected"),
    log:
        log_of("corrected"),
    benchmark:
        benchmark_of("corrected")
    priority: 5
    group:
        fov_group
    conda:
        "../envs/fovflow.yaml"
    resources:
        **resources_of("corrected"),
    params:
        options=parameters("corrected"),
    message:
        "{wildcards.dataset}, FOV {wildcards.fov}: write corrected channel {wildcards.channel}"
    script:
        "../scripts/corrected.py"
