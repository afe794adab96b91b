"""A bar for work that is counted in bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bytes_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal while the body runs.

    Yields
    ------
    callable
        Takes the bytes done since the last call, and the bytes that there are altogether.
    """
    from tqdm import tqdm

    with tqdm(
        desc=what, unit="B", unit_scale=True, disable=None, leave=False, file=sys.stderr
    ) as bar:

        def advance(step: int, total: int) -> None:
            bar.total = total
            bar.update(step)

        yield advance
