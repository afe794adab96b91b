"""Keep the engine's scheduler from looking at all jobs more often than it must.

With a limit on submissions (there is one by default) the engine's main loop sets a timer at the end
of each round, and the timer begins the next round. So does each job that ends, so that with every
job one more chain of rounds goes on to the end of the run: after 500 jobs, 500 rounds a second.
"""

from __future__ import annotations

import threading
from typing import Any

_WAITS = "_fovflow_waits"


def calm_scheduler(workflow: Any) -> None:
    """Let one timer at a time begin rounds of the scheduler, and none where jobs run here.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        Its limit on jobs per time is taken off where it is the default and jobs run on this
        machine: it keeps queues of clusters from being flooded.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    settings = workflow.scheduling_settings
    limit = getattr(settings, "max_jobs_per_timespan", None)
    if workflow.local_exec and limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None
    if hasattr(JobScheduler, "_schedule_reevalutation"):  # the engine's own spelling
        JobScheduler._schedule_reevalutation = _begin_round_later


def _begin_round_later(scheduler: Any, delay: float) -> None:
    """Begin a round after `delay` seconds, unless one is due already."""
    if getattr(scheduler, _WAITS, False):
        return
    setattr(scheduler, _WAITS, True)

    def begin() -> None:
        setattr(scheduler, _WAITS, False)
        scheduler._open_jobs.release()

    timer = threading.Timer(delay, begin)
    timer.daemon = True  # the end of a run does not wait for it
    timer.start()
