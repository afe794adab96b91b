"""Which jobs the engine runs: what our records say decides, and what a person asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from fovflow.adapter.engine import Engine, refuse
from fovflow.adapter.engine.patches import replaces

if TYPE_CHECKING:
    from fovflow.planning.pipeline import Decision


def decide(engine: Engine, find: Callable[[], tuple[Decision, Mapping[str, str]]]) -> None:
    """Have the engine run those of our jobs that have a reason, and what depends on them.

    Times of files, and what the engine knows of earlier runs, are no reasons for these jobs;
    files that are missing, ``--forcerun`` and the like are.

    `engine`: the workflow. `find`: called when the jobs are known; returns what runs, and by the
    path of a job's first output why it must not run.
    """
    from snakemake.dag import DAG

    @replaces(DAG, "incomplete_files", anew=True)
    async def _(ask: Any, dag: Any) -> list[str]:
        if dag.workflow is not engine.workflow:
            return list(await ask(dag))
        settings = engine.workflow.execution_settings  # there are none of what runs no jobs
        if settings and not engine.is_module:  # all jobs are ours, its metadata decide nothing
            settings.keep_metadata = False
        (reasons, restored, idle), refused = find()
        ours: set[str] = set()
        for job in dag.jobs:
            first = str(job.output[0]) if job.output else ""
            if first in refused:
                raise refuse(refused[first])
            if first in reasons:
                dag._reason[job] = _own_reason(reasons[first])
                ours.update(map(str, job.output))
        if restored and not (dag.forcefiles or dag.forcerules):
            _leave_idle(dag, restored, idle)
        return [file for file in await ask(dag) if str(file) not in ours]


def _leave_idle(dag: Any, restored: Collection[str], idle: Collection[str]) -> None:
    """Let jobs that are `idle` not run because those in `restored` do."""

    def are(jobs: Any, files: Collection[str]) -> list[Any]:
        return [job for job in jobs if job.output and str(job.output[0]) in files]

    cut = [
        (maker, user, dag.depending[maker].pop(user))
        for maker in are(list(dag.jobs), restored)
        for user in are(list(dag.depending[maker]), idle)
    ]
    update = dag.update_needrun

    async def update_needrun(**keys: Any) -> None:
        await update(**keys)
        for maker, user, files in cut:
            if user in dag._needrun:  # it runs for a reason of the engine's: it has to wait
                dag.depending[maker][user] = files

    dag.update_needrun = update_needrun


def _own_reason(words: str) -> Any:
    """Return why a job runs as the engine keeps it, deaf to what the engine finds by itself."""
    from snakemake import jobs

    base: Any = jobs.Reason

    class OwnReason(base):  # type: ignore[misc]
        """Why a job of this package runs."""

        updated_input = property(lambda _: set())
        params_changed = input_changed = code_changed = property(lambda _: False, lambda *_: None)
        no_metadata = outdated_metadata = params_changed

        def __bool__(self) -> bool:
            return bool(words and not self.finished) or super().__bool__()

        def __str__(self) -> str:
            return super().__str__() if self.updated_input_run or not words else words

    return OwnReason()
