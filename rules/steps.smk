# Steps of the user's own: one rule for each entry of `steps` in the configuration.

for STEP in PIPELINE.config.steps:

    rule:
        name:
            STEP.name
        input:
            unpack(PIPELINE.user_inputs(STEP)),
        output:
            [LAYOUT.output("{dataset}", "{fov}", name) for name in STEP.outputs],
        log:
            log_of(STEP.name),
        benchmark:
            benchmark_of(STEP.name)
        priority: 6
        group:
            fov_group
        conda:
            "../envs/fovflow.yaml"
        threads: STEP.threads
        resources:
            **resources_of(STEP.name),
        params:
            step=STEP.name,
            outputs=list(STEP.outputs),
            options=parameters(STEP.name),
        message:
            f"{{wildcards.dataset}}, FOV {{wildcards.fov}}: {STEP.name}"
        script:
            "../scripts/step.py"
