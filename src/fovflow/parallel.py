"""Frames of one job on several cores: side by side where that is possible, else one by one.

Frames go to threads: NumPy and OpenCV let other threads work while they are at it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ContextDecorator, contextmanager
from functools import cache
from threading import Event, Lock, local
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], threads: int) -> Iterator[T]:
    """Yield what each task returns, or raise what it raises, in the order of the tasks.

    What the iterable itself raises comes after the results of the tasks before it.

    Parameters
    ----------
    tasks : iterable of callable
        The iterable itself is never asked from two threads at once.
    threads : int
        How many tasks are at work at once; with 1 all is done in the caller's thread. One task
        more than these has begun, waits or is done before its result is asked for.

    Examples
    --------
    >>> list(in_order([lambda: "one", lambda: "two"], threads=2))
    ['one', 'two']
    """
    if threads <= 1:
        for task in tasks:
            result = task()
            del task  # what it holds goes before the next one is asked for
            yield result
            del result
        return
    begun: deque[Future[T]] = deque()
    failed: Exception | None = None
    left = iter(tasks)
    with ThreadPoolExecutor(threads, "fovflow-frame") as pool:
        while failed is None:
            try:
                begun.append(pool.submit(next(left)))
            except StopIteration:
                break
            except Exception as error:  # it is raised after the results before it
                failed = error
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    if failed is not None:
        raise failed


class Turn:
    """The place of one frame among those of its movie, for work that needs the frame before.

    Such work stands in a `wait` of a number, the same in every frame: it begins when the frame
    before is through the `wait` of that number. ``with`` a turn stands around all work on its
    frame, and lets the frames after go on whatever became of it. Turns are made in the order of the
    frames, each of the one `before`, and the threads that use them begin in that order.

    Parameters
    ----------
    before : Turn or None
        That of the frame before; None for the first.
    waits : int
        How many there are.
    """

    def __init__(self, before: Turn | None = None, waits: int = 0):
        self._before = before
        self._through = [Event() for _ in range(waits)]

    @contextmanager
    def wait(self, number: int) -> Iterator[None]:
        """Hold the block back until the frame before is through the one of this number."""
        if self._before is not None:
            self._before._through[number].wait()
        yield
        self._through[number].set()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        for number, through in enumerate(self._through):
            if not through.is_set():
                with self.wait(number):
                    pass
        self._before = None  # else each frame would keep all before it


class OwnBuffer(local):
    """Memory that each thread has for itself and uses again: fresh memory costs as much as work."""

    def __init__(self, dtype: DTypeLike):
        self._array: NDArray[Any] = np.empty(0, dtype)

    def of(self, *shape: int) -> NDArray[Any]:
        """Return an array of this shape; what is in it is of no meaning."""
        if self._array.shape != shape:
            self._array = np.empty(shape, self._array.dtype)
        return self._array


class _OneBlasThread(ContextDecorator):
    """Holds BLAS to one thread while any thread of ours is inside."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                _take_control()
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _take_control()
                self._limit.restore_original_limits()
                _take_control()


one_blas_thread = _OneBlasThread()
"""Context, or decorator, for products of matrices whose last bits must not depend on the number of
threads: with more than one, OpenBLAS cuts large matrices to other pieces and rounds otherwise."""


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread set limits: newer releases ignore all but the first that did, in silence."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
