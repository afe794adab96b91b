"""Private names of Snakemake that the adapter uses: an upgrade that moves one is noticed here."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest
import snakemake.api

from fovflow.adapter.engine import names

PARAMETERS = {
    "snakemake.persistence.file.FilePersistence.__init__": [
        "self", "nolock", "dag", "conda_prefix", "singularity_prefix", "shadow_prefix", "warn_only",
        "path",
    ],
    "snakemake.dag.DAG.incomplete_files": ["self"],
    "snakemake.script.PythonScript._execute_cmd": ["self", "cmd", "kwargs"],
    "snakemake.scheduling.job_scheduler.JobScheduler._schedule_reevalutation": ["self", "delay"],
    "snakemake.script.PythonScript.get_preamble": ["self"],
    "snakemake.dag.ScriptProcessor.process_job": ["self", "job"],
    "snakemake.rules.Rule.expand_resources": ["self", "wildcards", "input", "attempt",
                                              "skip_evaluation"],
    "snakemake.jobs.Job.log_info": ["self", "indent", "printshellcmd"],
    "snakemake.common.get_function_params": ["func"],
    "snakemake.sourcecache.parse_uri": ["path_or_uri"],
    "snakemake.jobs.Job.check_protected_output": ["self"],
    "snakemake.jobs.Job.prepare": ["self"],
    "snakemake.jobs.Job.remove_existing_output": ["self"],
    "snakemake.jobs.Job.cleanup": ["self", "skip_outputs"],
    "snakemake.jobs.Job.postprocess": [
        "self", "store_in_storage", "handle_log", "handle_touch", "error", "ignore_missing_output",
        "check_output_mtime",
    ],
    "snakemake.dag.DAG.check_and_touch_output": [
        "self", "job", "wait", "ignore_missing_output", "no_touch", "wait_for_local",
        "check_output_mtime",
    ],
    "snakemake.dag.DAG.clean": ["self", "only_temp", "dryrun"],
    "snakemake.dag.DAG.cleanup_workdir": ["self"],
    "snakemake.io._IOFile._local_inventory": ["self", "cache"],
    "snakemake.jobs.GroupJob.log_error": ["self", "msg", "aux_logs", "kwargs"],
}  # fmt: skip
"""Parameters of the methods that are replaced."""


def owner_of(name: str) -> type | ModuleType:
    module, owner, _ = name.rsplit(".", 2)
    found = getattr(importlib.import_module(module), owner)
    assert isinstance(found, type | ModuleType)
    return found


def has(owner: type | ModuleType, attribute: str) -> bool:
    """Tell whether a module or class defines an attribute, also one that its methods set."""
    if isinstance(owner, ModuleType):
        return hasattr(owner, attribute)
    if any(attribute in vars(base) or attribute in getattr(base, "__annotations__", {})
           for base in owner.__mro__):  # fmt: skip
        return True
    return re.search(rf"self\.{attribute}\b[^=\n]*=(?!=)", inspect.getsource(owner)) is not None


@pytest.mark.parametrize("name", [*names.PATCHED, *names.PRIVATE])
def test_the_engine_has_the_name(name):
    assert has(owner_of(name), name.rpartition(".")[2])


def test_a_name_that_is_gone_is_noticed():
    workflow = owner_of("snakemake.workflow.Workflow.dryrun")
    assert not has(workflow, "dry_run_of_old")


@pytest.mark.parametrize("name", names.PATCHED)
def test_replaced_methods_take_what_they_took(name):
    method = inspect.unwrap(getattr(owner_of(name), name.rpartition(".")[2]))
    assert list(inspect.signature(method).parameters) == PARAMETERS[name]


def test_only_the_engine_room_names_private_parts():
    source = Path(names.__file__).parents[2]
    words = {name.rpartition(".")[2] for name in [*names.PATCHED, *names.PRIVATE]}
    own = {"dag", "configfiles", "persistence", "modifier", "touch"}  # words of other things, too
    pattern = re.compile(r"workflow\.(?:{})\b".format("|".join(sorted(words - own))))
    found = {
        path.relative_to(source).parent.as_posix()
        for path in source.rglob("*.py")
        if "workflow" not in path.relative_to(source).parts[:1] and pattern.search(path.read_text())
    }
    assert found == {"adapter/engine"}


def test_the_versions_that_were_tried_are_those_that_the_package_admits():
    admitted = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert f'"snakemake>={names.OLDEST.removesuffix(".0")},<10"' in admitted
    assert snakemake.__version__ in (names.OLDEST, names.NEWEST)
