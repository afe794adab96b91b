# Steps of the user's own: one rule for each entry of `steps` in the configuration.

for STEP in PIPELINE.config.steps:

    rule:
        name:
            STEP.name
        input:
            unpack(PIPELINE.user_steps.inputs(STEP)),
        output:
            [LAYOUT.output("{dataset}", "{fov}", name) for name in STEP.outputs],
        log:
            LAYOUT.log(STEP.name, "{dataset}", "{fov}"),
        benchmark:
            LAYOUT.benchmark(STEP.name, "{dataset}", "{fov}")
        priority: 6
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        threads: STEP.threads
        resources:
            mem_mb=memory_of(STEP.mem_mb),
            runtime=growing(STEP.runtime_min),
            fov_step=1,
        params:
            step=STEP.name,
            outputs=list(STEP.outputs),
            options=PIPELINE.user_steps.options(STEP),
        message:
            f"{{wildcards.dataset}}, FOV {{wildcards.fov}}: {STEP.name}"
        script:
            "../scripts/step.py"
