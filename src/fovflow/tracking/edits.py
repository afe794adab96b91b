"""A person's corrections of tracks, applied to what the tracker found.

They come after the assignment and are not part of it: so they hold for every tracker, plug-ins too,
change no other cell, and need no second tracking where one is added.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fovflow.tracking.tracks import Column, Lineage


@dataclass(frozen=True, slots=True)
class Edit:
    """A correction of the cell of a label in a frame; `words` name it."""

    action: str
    frame: int
    label: int
    words: str
    target_frame: int = -1
    target_label: int = 0


def edited(lineage: Lineage, edits: Sequence[Edit]) -> tuple[Lineage, list[str]]:
    """Return the lineage with corrections, and which of them cannot be followed, in words.

    - ``cut``: the track ends before the frame, and goes on as a new cell; where the cell begins
      there, it is no daughter any more.
    - ``link``: the cell goes on as the other one, which begins after it has ended.
    - ``merge``: both are one cell, also in frames in which both are there.
    - ``split``: the other one is a daughter of the cell.

    Other cells keep their ids, new ones come last.
    """
    made, told = _Edited(lineage), []
    for edit in edits:
        reason = made.apply(edit)
        if reason:
            told.append(f"{edit.words}: {reason}")
    return made.finish(), told


class _Edited:
    def __init__(self, lineage: Lineage):
        self._lineage = lineage
        self._links: dict[str, Column] = {n: v.copy() for n, v in lineage.links.items()}
        self._luts = {t: (labels, cells.copy()) for t, (labels, cells) in lineage._luts.items()}
        self._n_cells = lineage.n_cells

    def apply(self, edit: Edit) -> str:
        """Follow one correction; return why not, else nothing."""
        cell = self._cell(edit.frame, edit.label)
        other = self._cell(edit.target_frame, edit.target_label) if edit.target_label else 0
        if not cell or (edit.action != "cut" and not other):
            return "there is no cell"
        if edit.action != "cut" and cell == other:
            return "" if edit.action in ("link", "merge") else "a cell is no daughter of itself"
        action = {"cut": self._cut, "link": self._link, "merge": self._merge, "split": self._split}
        return action[edit.action](cell, edit.frame if edit.action == "cut" else other)

    def _cell(self, frame: int, label: int) -> int:
        labels, cells = self._luts.get(frame, (np.zeros(0), np.zeros(0)))
        found = cells[labels == label]
        return int(found[0]) if found.size else 0

    def _rows(self, cell: int) -> Column:
        rows = np.flatnonzero(self._links["cell"] == cell)
        return np.asarray(rows[np.argsort(self._links["frame"][rows], kind="stable")])

    def _cut(self, cell: int, frame: int) -> str:
        rows = self._rows(cell)
        later = rows[self._links["frame"][rows] >= frame]
        if later.size == rows.size:
            if self._links["parent"][rows[0]]:
                self._begin(int(rows[0]))
            return ""  # it begins there already
        self._n_cells += 1
        self._links["cell"][later] = self._n_cells
        for t, (_, cells) in self._luts.items():
            if t >= frame:
                cells[cells == cell] = self._n_cells
        daughters = np.flatnonzero(
            (self._links["parent"] == cell) & (self._links["previous_frame"] >= frame)
        )
        self._links["parent"][daughters] = self._n_cells
        self._begin(int(later[0]))
        return ""

    def _begin(self, row: int, previous: int = -1, parent: int = 0) -> None:
        """Tell of a cell's first row, or of one that a person has linked, where it comes from."""
        frame = int(self._links["frame"][row])
        between = sum(previous < t < frame for t in self._luts) if previous >= 0 else 0
        sure = np.nan if previous < 0 else 1.0
        new = {"previous_frame": previous, "gap": between, "parent": parent, "iou": np.nan}
        new |= {"confidence": sure, "distance_px": np.nan, "merged": 0, "split": 0}
        for name, value in new.items():
            self._links[name][row] = value

    def _link(self, cell: int, other: int) -> str:
        mine, theirs = self._rows(cell), self._rows(other)
        last, first = self._links["frame"][mine[-1]], self._links["frame"][theirs[0]]
        if last >= first:
            return f"it is still there when the other begins, in frame {first}"
        self._begin(int(theirs[0]), int(last))
        self._join(cell, other)
        return ""

    def _merge(self, cell: int, other: int) -> str:
        mine, theirs = self._rows(cell), self._rows(other)
        double = np.isin(self._links["frame"][theirs], self._links["frame"][mine])
        if not double.any():
            return "the two are never there together"
        self._join(cell, other)
        self._keep(~np.isin(np.arange(self._links["cell"].size), theirs[double]))
        frames = self._links["frame"]
        rows = self._rows(cell)
        for before, row in itertools.pairwise(rows.tolist()):
            if self._links["previous_frame"][row] != frames[before]:
                self._begin(int(row), int(frames[before]))
        return ""

    def _split(self, mother: int, daughter: int) -> str:
        mine, theirs = self._rows(mother), self._rows(daughter)
        first = self._links["frame"][theirs[0]]
        earlier = self._links["frame"][mine][self._links["frame"][mine] < first]
        if not earlier.size:
            return "the daughter is there before its mother"
        self._begin(int(theirs[0]), int(earlier[-1]), mother)
        return ""

    def _join(self, cell: int, other: int) -> None:
        """Let all that is of the other cell be of this one."""
        self._links["cell"][self._links["cell"] == other] = cell
        self._links["parent"][self._links["parent"] == other] = cell
        self._links["parent"][(self._links["cell"] == cell) & (self._links["parent"] == cell)] = 0
        for _, cells in self._luts.values():
            cells[cells == other] = cell

    def _keep(self, rows: Column) -> None:
        self._links = {name: column[rows] for name, column in self._links.items()}

    def finish(self) -> Lineage:
        self._keep(np.lexsort((self._links["frame"], self._links["cell"])))
        return dataclasses.replace(
            self._lineage, n_cells=self._n_cells, links=self._links, _luts=self._luts
        )
