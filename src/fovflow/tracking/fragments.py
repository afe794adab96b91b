"""Fragments: pieces that come off a cell for a short time and belong to it all the while."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fovflow.labels import IntArray
from fovflow.tracking.divisions import Chains, Origin
from fovflow.tracking.linking import COVERED
from fovflow.tracking.tracks import roots

SMALL = 0.4
"""Largest ratio of a piece's area to its cell's, where only one end of its life speaks for it."""


@dataclass(frozen=True, slots=True)
class _Life:
    """What is known of a chain: its detections, where it came from and where it went."""

    detections: list[int]
    origin: int
    fate: int
    longest: int


def join_fragments(
    chains: Chains,
    found: Sequence[Origin],
    covered: Sequence[tuple[int, int]],
    max_detections: int,
) -> IntArray:
    """Return for each chain the chain that it is a piece of, itself if it is none.

    The result is indexed by the first detection of a chain and gives that of the whole cell. See
    docs/algorithms/tracking.md, "Fragments". `covered`: (detection without a link so far, linked
    detection that covers it). `max_detections`: most detections of a piece between two frames in
    which it is one with its cell.
    """
    owner = np.arange(chains.head.size, dtype=np.int32)
    origin = _origins(chains, found)
    into = _hosts(chains, covered)
    by_chain = np.argsort(chains.head, kind="stable")
    heads = chains.head[by_chain]

    def members(head: int) -> list[int]:
        low, high = np.searchsorted(heads, [head, head + 1])
        detections: list[int] = by_chain[low:high].tolist()  # in order of time
        return detections

    lives = {
        head: _life(members(head), origin, into)
        for head in set(origin)
        | {int(chains.head[lost]) for lost in into if chains.following[lost] < 0}
    }
    for head, life in lives.items():
        whole = _whole(chains, members, life, max_detections)
        if whole >= 0:
            owner[head] = whole
    return roots(owner)  # a piece of a piece belongs to the whole


def _origins(chains: Chains, found: Sequence[Origin]) -> dict[int, int]:
    """Return, per newborn, the chain whose mask covered its place most recently."""
    origin: dict[int, int] = {}
    for c in sorted(found, key=lambda c: (-chains.frame[c.earlier], c.earlier)):
        if c.pixels >= COVERED * chains.area[c.newborn] and chains.following[c.earlier] >= 0:
            origin.setdefault(c.newborn, int(chains.head[c.earlier]))
    return origin


def _hosts(chains: Chains, covered: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Return, per covered detection, the chain that covers it first."""
    hosts: dict[int, int] = {}
    for lost, host in sorted(covered):  # detections are numbered in the order of frames
        hosts.setdefault(lost, int(chains.head[host]))
    return hosts


def _life(detections: list[int], origin: Mapping[int, int], into: Mapping[int, int]) -> _Life:
    """Sum up a chain; where it is one with the cell of its origin or fate, a new stretch begins."""
    start, end = origin.get(detections[0], -1), into.get(detections[-1], -1)
    wholes = {start, end} - {-1}
    longest = run = 0
    for detection in detections:
        run += 1
        longest = max(longest, run)
        if into.get(detection, -1) in wholes:
            run = 0
    return _Life(detections, start, end, longest)


def _whole(
    chains: Chains, members: Callable[[int], list[int]], life: _Life, max_detections: int
) -> int:
    """Return the chain that a chain is a piece of, -1 for none."""
    if life.longest > max_detections:
        return -1
    if life.origin >= 0 and life.fate >= 0 and life.origin != life.fate:
        return -1
    whole = max(life.origin, life.fate)
    there = {int(chains.frame[d]): d for d in members(whole)}
    if len(there) <= len(life.detections):
        return -1
    beside = [there.get(int(chains.frame[d]), -1) for d in life.detections]
    if min(beside) < 0:
        return -1
    if life.origin != life.fate:  # one end only
        ratio = chains.area[life.detections] / chains.area[beside]
        if len(life.detections) > max_detections or float(ratio.max()) > SMALL:
            return -1
    return whole
