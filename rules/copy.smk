# Step 1: the raw file's planes become one npy stack per FOV and channel, in the source's dtype.
#
# One job per FOV reads each frame once for all its channels. Datasets that use different channels
# have different outputs, hence one rule for each set of channels. The raw file itself is no input:
# it may be moved or touched. What decides is the digest of its content among the parameters.

for NUMBER, (CHANNELS, DATASETS) in enumerate(PIPELINE.datasets_by("channels").items()):

    rule:
        name:
            "copy" if NUMBER == 0 else f"copy_{NUMBER}"
        output:
            stacks=[output_of(kind, channel) for kind, channel in CHANNELS],
            times=output_of("times"),
        log:
            log_of("copy"),
        benchmark:
            benchmark_of("copy")
        wildcard_constraints:
            dataset=PIPELINE.constraint(DATASETS),
        priority: 1
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        resources:
            **resources_of("copy"),
        params:
            step="copy",
            channels=[channel for _, channel in CHANNELS],
            raw=PIPELINE.pin,
            options=parameters("copy"),
        message:
            "{wildcards.dataset}, FOV {wildcards.fov}: copy"
        script:
            "../scripts/copy.py"
