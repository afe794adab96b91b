# Samples: their tables, one table of everything, fits, and comparisons. Nothing is asked for without
# `samples`. Where FOVs of a sample failed its rules cannot run, and the same functions are called
# when the run ends. A changed condition or column of the table of samples makes only the table of all anew.

ANALYSIS = PIPELINE.analysis


# One job per sample reads each FOV once for all its tables. Samples of datasets that differ in
# channels have different tables, hence one rule for each set of tables.
for NUMBER, (NAMES, SAMPLES) in enumerate(ANALYSIS.by_measures().items()):

    rule:
        name:
            "merge" if NUMBER == 0 else f"merge_{NUMBER}"
        input:
            lambda wildcards: ANALYSIS.traces(wildcards.sample),
        output:
            [file for name in NAMES for file in ANALYSIS.tables("{sample}", name)],
        log:
            LAYOUT.log("analysis/{sample}/merge"),
        benchmark:
            LAYOUT.benchmark("analysis/{sample}/merge")
        wildcard_constraints:
            sample="|".join(map(re.escape, SAMPLES)),
        priority: 6
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory(500),
            runtime=growing(30),
        params:
            step="merge",
            options=lambda wildcards: ANALYSIS.options(wildcards.sample),
        message:
            "sample {wildcards.sample}: merge traces"
        script:
            "../scripts/merge.py"


if ANALYSIS.measures:

    rule merge_everything:
        input:
            lambda wildcards: ANALYSIS.traces(),
        output:
            **ANALYSIS.everything(),
        log:
            LAYOUT.log("analysis/merge_everything"),
        benchmark:
            LAYOUT.benchmark("analysis/merge_everything")
        priority: 6
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory(600),
            runtime=growing(60),
        params:
            options=ANALYSIS.all_options(),
        message:
            "all samples: merge traces"
        script:
            "../scripts/merge_everything.py"


if any(ANALYSIS.fits.values()):

    rule fit:
        input:
            ANALYSIS.tables("{sample}", "{feature}_ch_{channel}")[0],
        output:
            ANALYSIS.fitted("{sample}", "{feature}_ch_{channel}"),
        log:
            LAYOUT.log("analysis/{sample}/fit_{feature}_ch_{channel}"),
        benchmark:
            LAYOUT.benchmark("analysis/{sample}/fit_{feature}_ch_{channel}")
        wildcard_constraints:
            sample="|".join(map(re.escape, ANALYSIS.samples)),
            feature="|".join(PIPELINE.config.fit.features),
        priority: 7
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory(1500),
            runtime=growing(60),
        params:
            options=ANALYSIS.fit_options(),
        message:
            "sample {wildcards.sample}: fit {wildcards.feature} of channel {wildcards.channel}"
        script:
            "../scripts/fit.py"


if ANALYSIS.answer():

    rule statistics:
        input:
            [str(table.path) for table in ANALYSIS.compared()],
        output:
            ANALYSIS.answer(),
        log:
            LAYOUT.log("analysis/statistics"),
        benchmark:
            LAYOUT.benchmark("analysis/statistics")
        priority: 7
        conda:
            "../envs/fovflow.yaml"
        resources:
            mem_mb=memory(1000),
            runtime=growing(60),
        params:
            options=ANALYSIS.statistics_options(),
        message:
            "all samples: compare the conditions"
        script:
            "../scripts/compare.py"
