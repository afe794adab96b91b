"""What a tracker is: labels frame by frame in, a lineage out."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from fovflow.tracking.lineage import Lineage


class Tracker(Protocol):
    """Follows the cells of one FOV. Masks are never altered, only renamed.

    A plug-in registers a callable under the entry point group ``fovflow.trackers``; it is called
    as ``plugin(pixel_um=…, **options)`` and returns a tracker.
    """

    def add(self, t: int, labels: NDArray[Any]) -> None:
        """Take the labels of frame `t`, (Y, X) integers, 0 = background.

        Frames come in ascending order; a frame that was never acquired is left out.
        """
        ...

    def finish(self) -> Lineage:
        """Return the lineage of all frames that were added."""
        ...
