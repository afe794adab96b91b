# fovflow: raw time-lapse microscopy to single-cell traces, one set of files per field of view.
#
#   raw file ─ copy ─┬─ segment ─┬─ track ──────┬─ extract ─ traces.csv ─ merge ─ fit (samples)
#                    └───────────┴─ correct ────┘               └─ results ─ processing_results.yaml ─ report.html

from snakemake.utils import min_version

min_version("9.20")

if (
    not workflow.overwrite_configfiles
):  # --configfile replaces this one, so that nothing is mixed

    configfile: "config/config.yaml"


include: "rules/common.smk"


rule all:  # the first rule is what is made by default
    input:
        targets(PIPELINE),
    message:
        "all datasets: everything is there"


rule traces:
    input:
        trace_targets(PIPELINE),
    message:
        "all datasets: all traces are there"


include: "rules/problem.smk"
include: "rules/copy.smk"
include: "rules/segment.smk"
include: "rules/correct.smk"
include: "rules/track.smk"
include: "rules/extract.smk"
include: "rules/browse.smk"
include: "rules/steps.smk"
include: "rules/results.smk"
include: "rules/analysis.smk"
include: "rules/report.smk"


# Where this file is used as a module: these do not run, and the recorder of the run does the same.
onstart:
    say(summary(PIPELINE, problems=False))


onsuccess:
    say(describe_outcome(PIPELINE))


onerror:
    bring_up_to_date(PIPELINE, failed=True)  # so that there is a report to look at
    say(describe_outcome(PIPELINE))
