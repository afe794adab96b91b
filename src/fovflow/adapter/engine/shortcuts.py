"""What Snakemake works out again for every job, remembered or left out.

None of it changes which jobs run, or with what. With thousands of jobs it was half of the engine's
time: see docs/performance.md. `names` lists what is replaced.
"""

from __future__ import annotations

import atexit
import gc
import os
from contextlib import suppress
from functools import cache
from typing import Any

from fovflow.adapter.engine import is_our_rule, is_own
from fovflow.adapter.engine.patches import replaces
from fovflow.adapter.given import source_of_given

_DONE = "_fovflow_shortcuts"


def take_shortcuts(*, silent: bool) -> None:
    """Let the engine do nothing for each job that it could do once.

    `silent`: whether the engine only plans and says nothing: then no sentences on jobs are made.
    """
    from snakemake import common, dag, jobs, rules, sourcecache
    from snakemake.common.tbdstring import TBDString
    from snakemake.iocontainers import ResourceList
    from snakemake.script import PythonScript

    if silent:
        jobs.Job.log_info = lambda *_, **__: None
    if getattr(common, _DONE, False):
        return
    setattr(common, _DONE, True)
    gc.set_threshold(100_000)  # millions of objects live as long as the plan
    atexit.register(gc.freeze)  # nobody looks for cycles among them when the program ends
    parameters = cache(common.get_function_params)  # of a few functions, asked for by every job
    for module in (common, rules, jobs):
        module.get_function_params = parameters
    sourcecache.parse_uri = cache(sourcecache.parse_uri)

    seen: set[Any] = set()

    @replaces(dag.ScriptProcessor, "process_job")
    def _(look: Any, processor: Any, job: Any) -> None:
        if is_our_rule(job.rule):  # its script is the same file for all jobs of the rule
            if job.rule in seen:
                return
            seen.add(job.rule)
        look(processor, job)

    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    @replaces(rules.Rule, "expand_resources")
    def _(
        expand: Any, rule: Any, wildcards: Any, given: Any, attempt: int, *, skip_evaluation: Any
    ) -> Any:
        if not _needs_the_same(rule):
            return expand(rule, wildcards, given, attempt, skip_evaluation=skip_evaluation)
        key = rule, wildcards.get("dataset"), attempt, frozenset(skip_evaluation or ())
        if key not in known:  # what our jobs need does not depend on the field of view
            found = expand(rule, wildcards, given, attempt, skip_evaluation=skip_evaluation)
            if any(isinstance(value, TBDString) for value in found):
                return found  # a default that waits for a file
            known[key] = dict(found.items())
        return ResourceList(fromdict=known[key])

    @replaces(PythonScript, "get_preamble")
    def _(preamble: Any, script: Any) -> str:
        with suppress(TypeError):
            if is_own(script) and not (script.container_img or script.conda_env):
                return _preamble(script)
        return str(preamble(script))


def _needs_the_same(rule: Any) -> bool:
    """Tell whether all jobs of a rule and dataset need the same: a user's settings may differ."""
    settings = rule.workflow.resource_settings
    defaults = getattr(settings.default_resources, "args", ())
    return (
        is_our_rule(rule)
        and rule.name not in settings.overwrite_resources
        and not any("wildcards" in str(default) for default in defaults)
    )


def _preamble(script: Any) -> str:
    """Return what the engine writes above a script, without imports of the engine."""
    from snakemake.common import get_snakemake_searchpaths

    file = os.path.realpath(script.path.get_path_or_uri(secret_free=True))
    return (
        f"import sys;sys.path.extend({get_snakemake_searchpaths()!r});"
        "from math import inf, nan;from fovflow.adapter.given import Given;"
        f"snakemake = {source_of_given(script.rulename, script)};"
        f"__real_file__ = __file__;__file__ = {file!r};\n"
    )
