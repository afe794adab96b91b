"""`map_fovs`: call a function with many fields of view, in threads or in processes."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from time import monotonic
from typing import Any, Literal

from fovflow.mapping.outcomes import Outcome, Outcomes, attempt, named
from fovflow.mapping.processes import Processes
from fovflow.mapping.selection import (
    Call,
    Task,
    arguments_of,
    check_callback,
    check_choice,
    check_number,
    function_name,
    open_datasets,
    select_fovs,
)
from fovflow.progress import Progress

_LOGGER = logging.getLogger("fovflow.mapping")


def map_fovs(
    callback: Callable[..., Any],
    results: Any,
    fovs: Any = None,
    *,
    workers: int = 8,
    parallelism: Literal["thread", "process"] = "thread",
    fov_args: Iterable[Mapping[str, Any]] | Mapping[Any, Mapping[str, Any]] | None = None,
    show_progress: bool = True,
    task_desc: str | None = None,
    on_error: Literal["collect", "raise"] = "collect",
    **kwargs: Any,
) -> Outcomes:
    """Call ``callback(fov, **fov_args[i], **kwargs)`` for many FOVs, several at a time.

    Parameters
    ----------
    callback : callable
        Takes a `fovflow.results.FovResult`: its files are opened only when it asks for them.
    results : Results, path-like, or dict or iterable of these
        What `fovflow.load_results` returns, a folder with one or several datasets, or several of
        these.
    fovs : iterable, optional
        Indices, names (``"fov_003"``, ``"plate1/3"``), ranges (one text, ``"0-5, 7"``) or FOV
        objects, also mixed; all where it is not given.
    workers : int
        Number of threads or processes.
    parallelism : {"thread", "process"}
        Threads share memory and suit reading and NumPy; processes suit long Python loops, and one
        that crashes costs its own FOV only. Processes are fresh (spawn): the callback must be
        importable, arguments and values must be picklable.
    fov_args : iterable of dict, or dict by FOV, optional
        Arguments of each FOV's own: one for each of `fovs`, in their order or by name.
    show_progress : bool
        A bar on a terminal; elsewhere a line every 30 seconds.
    task_desc : str, optional
        What stands before the bar; the callback's name otherwise.
    on_error : {"collect", "raise"}
        Whether a failure is one of the outcomes, or ends all and is raised, with a note that names
        the FOV.
    **kwargs
        Arguments that all FOVs share.

    Returns
    -------
    Outcomes
        A dict from ``"plate1/fov_003"`` to `Outcome`, in the order of `fovs`; see
        `Outcomes.values_only`, `Outcomes.failures` and `Outcomes.raise_first`.

    Raises
    ------
    ConfigError
        Before anything runs: unknown or repeated FOVs, arguments that clash, that are too many or
        too few or that the callback does not take, a wrong choice, or things that cannot be
        pickled.
    KeyboardInterrupt
        After Ctrl-C: no further FOV is begun; processes are ended; callbacks in threads cannot be
        interrupted, and end with the program or by themselves.

    Examples
    --------
    >>> def count_cells(fov, min_frames=1):
    ...     return (fov.traces().groupby("cell").size() >= min_frames).sum()
    >>> outcomes = fovflow.map_fovs(count_cells, "results", min_frames=30)  # doctest: +SKIP
    >>> outcomes["plate1/fov_003"].value  # doctest: +SKIP
    41
    """
    check_choice("parallelism", parallelism, ("thread", "process"))
    check_choice("on_error", on_error, ("collect", "raise"))
    workers = check_number("workers", workers)
    datasets = open_datasets(results)
    chosen = select_fovs(datasets, fovs)
    tasks = list(zip(chosen, arguments_of(chosen, datasets, fov_args, kwargs), strict=True))
    check_callback(callback, tasks, kwargs)
    if not tasks:
        return Outcomes()
    count = min(workers, len(tasks))
    processes = Processes(callback, tasks, kwargs, count) if parallelism == "process" else None
    here = nullcontext(lambda fov, own: attempt(callback, fov, {**own, **kwargs}))
    threads = _Threads([here] * count if processes is None else processes.workers, tasks)
    found: dict[int, Outcome] = {}
    what = task_desc or function_name(callback)
    try:
        with Progress(len(tasks), what, shown=show_progress) as progress:
            for index, outcome in threads:
                found[index] = outcome
                progress.count(ok=outcome.ok)
                if not outcome.ok:
                    name = tasks[index][0].name
                    if on_error == "raise":
                        threads.stop()
                        if processes is None:
                            threads.join()
                        raise named(name, outcome)
                    with progress.aside():
                        _LOGGER.error("%s: %s failed\n%s", what, name, outcome.traceback)
    finally:
        threads.stop()
        if processes is not None:
            processes.stop(threads.join)
    return Outcomes({tasks[i][0].name: found[i] for i in range(len(tasks))})


class _Threads:
    """Threads that take FOVs one by one; iterate to get (index of the task, outcome) as they come.

    A thread takes the next task when it has done its last one: nothing queues up. The threads are
    daemons, so that a stopped program need not wait for callbacks that cannot be interrupted.

    `calls`: one for each thread; what it enters returns the outcome of an FOV and its own
    arguments.
    """

    def __init__(self, calls: Iterable[AbstractContextManager[Call]], tasks: Sequence[Task]):
        self._total = len(tasks)
        self._waiting = iter(enumerate(tasks))
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._done: SimpleQueue[tuple[int, Outcome] | BaseException] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(call,), name=f"map_fovs-{i}", daemon=True)
            for i, call in enumerate(calls)
        ]

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        for thread in self._threads:
            thread.start()
        for _ in range(self._total):
            found = self._done.get()
            if isinstance(found, BaseException):
                raise found
            yield found

    def stop(self) -> None:
        """Begin no further FOV."""
        self._stopped.set()

    def join(self, seconds: float = math.inf) -> None:
        """Wait for those at work."""
        until = monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(None if seconds == math.inf else max(0.0, until - monotonic()))

    def _work(self, entered: AbstractContextManager[Call]) -> None:
        try:
            with entered as call:
                while not self._stopped.is_set():
                    with self._lock:
                        following = next(self._waiting, None)
                    if following is None:
                        return
                    index, task = following
                    self._done.put((index, call(*task)))
        except BaseException as error:
            self._done.put(error)
