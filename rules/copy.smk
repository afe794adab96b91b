# Step 1: the raw file's planes become one npy stack per FOV and channel, in the source's dtype.
#
# One job per FOV reads each frame once for all its channels. Datasets that use different channels
# have different outputs, hence one rule for each set of channels. The raw file itself is no input:
# it may be moved or touched. The plan file changes when its content does.

for NUMBER, (CHANNELS, DATASETS) in enumerate(PIPELINE.channel_sets().items()):

    rule:
        name:
            "copy" if NUMBER == 0 else f"copy_{NUMBER}"
        input:
            plan=LAYOUT.plan("{dataset}"),
        output:
            stacks=[
                bulky(kind, LAYOUT.stack(kind, "{dataset}", "{fov}", channel))
                for kind, channel in CHANNELS
            ],
            times=LAYOUT.times("{dataset}", "{fov}"),
        log:
            LAYOUT.log("copy", "{dataset}", "{fov}"),
        benchmark:
            LAYOUT.benchmark("copy", "{dataset}", "{fov}")
        wildcard_constraints:
            dataset=PIPELINE.constraint(DATASETS),
        priority: 1
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory("copy"),
            runtime=minutes("copy"),
            fov_step=1,
            disk_mb=disk("copy"),
        params:
            step="copy",
            channels=[channel for _, channel in CHANNELS],
            options=parameters("copy"),
        message:
            "{wildcards.dataset}, FOV {wildcards.fov}: copy"
        script:
            "../scripts/copy.py"
