"""Names of Snakemake that no documentation tells of, each with the reason.

A test resolves all of them, so that an upgrade which moves one is noticed.
"""

from __future__ import annotations

OLDEST, NEWEST = "9.20.0", "9.27.1"
"""Versions of Snakemake with which all of this was tried."""

PATCHED = {
    "snakemake.dag.DAG.incomplete_files": (
        "our records, and not marks, times and metadata of the engine, decide which of our jobs run"
    ),
    "snakemake.script.PythonScript.get_preamble": "see shortcuts: a job imports no engine",
    "snakemake.dag.ScriptProcessor.process_job": "see shortcuts: once for each rule",
    "snakemake.rules.Rule.expand_resources": "see shortcuts: once for each rule and dataset",
    "snakemake.jobs.Job.log_info": "see shortcuts: not where nobody sees it",
    "snakemake.common.get_function_params": "see shortcuts: remembered for each function",
    "snakemake.sourcecache.parse_uri": "see shortcuts: remembered for each name",
    "snakemake.script.PythonScript._execute_cmd": "Ctrl-C waits until a script can take it",
    "snakemake.scheduling.job_scheduler.JobScheduler._schedule_reevalutation": (
        "one timer for the next round of the scheduler, not one for every job that ends"
    ),
    "snakemake.jobs.Job.check_protected_output": "see prepare",
    "snakemake.jobs.Job.prepare": "what keeps one job from writing is no reason to end the run",
    "snakemake.jobs.Job.postprocess": (
        "see prepare: what a failed job made cannot be removed; an input that is dated ahead of "
        "what was made from it is no failure"
    ),
    "snakemake.jobs.Job.remove_existing_output": (
        "what was made stays until what is made anew is whole: it may be wanted again"
    ),
    "snakemake.jobs.Job.cleanup": "see remove_existing_output: also where the job fails",
    "snakemake.dag.DAG.check_and_touch_output": (
        "outputs keep the times that their job recorded: they are not read again to be believed"
    ),
    "snakemake.dag.DAG.clean": "deleting outputs asks for the output folder, as a run does",
    "snakemake.dag.DAG.cleanup_workdir": "see prepare: a folder cannot be removed",
    "snakemake.persistence.file.FilePersistence.__init__": (
        "a dry run of a folder that may not be written to keeps its notes elsewhere"
    ),
    "snakemake.io._IOFile._local_inventory": "see prepare: a file in the place of a folder",
    "snakemake.jobs.GroupJob.log_error": (
        "the message of a group is dropped before a logger sees it, and with it why a cluster "
        "refused the job"
    ),
}
"""Methods that are replaced, and why; the names are the engine's own, with their spelling."""

PRIVATE = {
    "snakemake.api.WorkflowApi._workflow": "the rules, for the script of one job by itself",
    "snakemake.dag.DAG.__init__": "see Job",
    "snakemake.dag.DAG.depending": "see _needrun: jobs that wait for others",
    "snakemake.dag.DAG._needrun": "files that come back as they were are no reason to run",
    "snakemake.dag.DAG.update_needrun": "see _needrun",
    "snakemake.dag.DAG.needrun_jobs": "among how many jobs the cores are shared",
    "snakemake.dag.DAG.forcefiles": "see _needrun: what a person has asked for",
    "snakemake.dag.DAG.forcerules": "see forcefiles",
    "snakemake.dag.DAG.reason": "where the engine keeps why a job runs; see Reason",
    "snakemake.jobs.Reason.updated_input": "set by times of files",
    "snakemake.jobs.Reason.clear": "sets what the engine's metadata say",
    "snakemake.iocontainers.Snakemake.__init__": "what the script of one job by itself is given",
    "snakemake.jobs.Job.__init__": "files and parameters of one job by itself",
    "snakemake.scheduling.job_scheduler.JobScheduler._open_jobs": "begins a round",
    "snakemake.scheduling.job_scheduler.JobScheduler.print_progress": (
        "whether the recorder hears of jobs that ended"
    ),
    "snakemake.jobs.Job.dag": "resources that a cluster's job asked for",
    "snakemake.logging.LoggerManager.plugin_handlers": "finds the handler of --logger fovflow",
    "snakemake.logging.LoggerManager.queue_listener": (
        "the run's record must stand before the first job: its handler leaves the queue"
    ),
    "snakemake.modules.WorkflowModifier.path_modifier": "refuses modules with a prefix",
    "snakemake.modules.WorkflowModifier.is_main_snakefile": "is this workflow a module",
    "snakemake.workflow.Workflow.configfiles": "recorded with the run",
    "snakemake.workflow.Workflow.dag": "see needrun_jobs",
    "snakemake.workflow.Workflow.dryrun": "nothing is recorded of a dry run",
    "snakemake.workflow.Workflow.execution_settings": "--no-hooks; --drop-metadata, see decide",
    "snakemake.workflow.Workflow.resource_settings": "--set-resources, which may differ by job",
    "snakemake.common.tbdstring.TBDString": "a resource that is not known yet",
    "snakemake.workflow.Workflow.global_resources": "limit of steps of one FOV on a node",
    "snakemake.workflow.Workflow.is_main_process": "who plans and who only reads the plan",
    "snakemake.workflow.Workflow.local_exec": "whether jobs run on this machine",
    "snakemake.workflow.Workflow.logger_manager": "see LoggerManager",
    "snakemake.workflow.Workflow.main_snakefile": "recorded where this is a module of it",
    "snakemake.workflow.Workflow.modifier": "see WorkflowModifier",
    "snakemake.workflow.Workflow.output_settings": "how much is said",
    "snakemake.workflow.Workflow.persistence": (
        "forgets that a file was made, or knows that it is half made"
    ),
    "snakemake.jobs.Job.rule": "whether a job is of this package",
    "snakemake.workflow.Workflow.register_resource": "limit of steps of one FOV on a node",
    "snakemake.workflow.Workflow.remote_exec": "is this process on a cluster's node",
    "snakemake.workflow.Workflow.scheduling_settings": "takes off the limit of jobs per second",
    "snakemake.workflow.Workflow.storage_settings": "--notemp",
    "snakemake.workflow.Workflow.subprocess_exec": "is this process a job",
    "snakemake.workflow.Workflow.touch": "nothing is recorded of --touch",
}
"""Names that are used and documented nowhere, and what for."""
