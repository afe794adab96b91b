"""Optimal one-to-one assignment on sparse candidates, and how sure each link of it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fovflow.labels import BoolArray, FloatArray, IntArray


def assign(source: IntArray, target: IntArray, weight: FloatArray) -> tuple[BoolArray, FloatArray]:
    """Choose candidates of the largest total weight, each source and target at most once.

    `source`, `target`: (k,) the two ends of each candidate; no pair occurs twice. `weight`: (k,)
    float64, each > 0. Return for each candidate whether it is chosen and its margin: the largest
    total minus the largest total of the assignments without this candidate: 0 where another
    assignment is as good, its own weight where it has no rival; NaN where it is not chosen.

    Candidates without a rival are taken at once; the others fall into connected components of
    the candidate graph, and each component is a small dense problem. Among assignments of equal
    total the one is taken that the solver meets first with sources and targets in ascending
    order, so that the result does not depend on the order of the candidates.

    Examples
    --------
    >>> chosen, margin = assign(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, 0.6, 0.3]))
    >>> chosen.tolist(), margin[chosen].round(3).tolist()
    ([True, False, True], [0.2, 0.2])
    """
    chosen = np.zeros(source.size, bool)
    margin = np.full(source.size, np.nan)
    alone = (np.bincount(source)[source] == 1) & (np.bincount(target)[target] == 1)
    chosen[alone] = True
    margin[alone] = weight[alone]
    for members in components(source, target, np.flatnonzero(~alone)):
        rows, i = np.unique(source[members], return_inverse=True)
        columns, j = np.unique(target[members], return_inverse=True)
        table = np.zeros((rows.size, columns.size))
        table[i, j] = weight[members]
        partner = solve(table)
        picked = partner[i] == j
        chosen[members[picked]] = True
        margin[members[picked]] = margins(table, partner)[i[picked]]
    return chosen, margin


def components(source: IntArray, target: IntArray, members: IntArray) -> list[IntArray]:
    """Group candidates that share a source or a target, directly or through others."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    # Targets count from -1 downwards, so that both kinds of node fit in one dictionary.
    ends = [(int(source[k]), -1 - int(target[k])) for k in members]
    for a, b in ends:
        ra, rb = root(a), root(b)
        if ra != rb:
            parent[max(ra, rb)] = min(ra, rb)
    groups: dict[int, list[int]] = {}
    for k, (a, _) in zip(members.tolist(), ends, strict=True):
        groups.setdefault(root(a), []).append(k)
    return [np.array(group, np.int64) for group in groups.values()]


def solve(weight: FloatArray) -> IntArray:
    """Return the column of each row in an assignment of the largest total; -1 for none.

    `weight`: (n, m) float64; 0 marks a pair that is no candidate.

    Shortest augmenting paths with potentials (Kuhn 1955; Jonker & Volgenant 1987), at the cost
    -weight: a row or column paired at cost 0 is a row or column without a partner.
    """
    if weight.shape[0] > weight.shape[1]:
        row_of = solve(weight.T)
        partner = np.full(weight.shape[0], -1, np.int64)
        columns = np.flatnonzero(row_of >= 0)
        partner[row_of[columns]] = columns
        return partner
    n, m = weight.shape
    cost = -weight
    u, v = np.zeros(n), np.zeros(m)
    owner = np.full(m, -1, np.int64)
    for row in range(n):
        _augment(cost, u, v, owner, row)
    partner = np.full(n, -1, np.int64)
    columns = np.flatnonzero(owner >= 0)
    partner[owner[columns]] = columns
    real = weight[np.arange(n), partner] > 0
    return np.where(real, partner, -1)


def _augment(cost: FloatArray, u: FloatArray, v: FloatArray, owner: IntArray, row: int) -> None:
    """Give `row` a column along the cheapest alternating path; change u, v and owner in place."""
    m = v.size
    distance = np.full(m, np.inf)
    previous = np.full(m, -1, np.int64)
    open_ = np.ones(m, bool)
    visited: list[int] = []
    current, base, last = row, 0.0, -1
    while True:
        reach = base + cost[current] - u[current] - v
        better = open_ & (reach < distance)
        distance[better] = reach[better]
        previous[better] = last
        last = int(np.argmin(np.where(open_, distance, np.inf)))
        base = float(distance[last])
        open_[last] = False
        if owner[last] < 0:
            break
        visited.append(last)
        current = int(owner[last])
    u[row] += base
    for column in visited:
        slack = base - distance[column]
        u[owner[column]] += slack
        v[column] -= slack
    while last >= 0:
        before = int(previous[last])
        owner[last] = row if before < 0 else owner[before]
        last = before


def margins(weight: FloatArray, partner: IntArray) -> FloatArray:
    """Return, per row with a partner, how much the total falls when its link is forbidden.

    `weight`: (n, m) float64; 0 marks a pair that is no candidate. `partner`: (n,) the column of
    each row in an optimal assignment, -1 for none.

    The best assignment without a link differs from the optimum by one alternating cycle or path
    through it. Taking "no partner" as one more node closes the paths too; the cheapest cycle
    through each node comes from the algorithm of Floyd and Warshall. There is no cycle of
    negative cost, because the assignment is optimal.
    """
    linked = np.flatnonzero(partner >= 0)
    column = partner[linked]
    own = weight[linked, column]
    free_columns = np.setdiff1d(np.arange(weight.shape[1]), column)
    free_rows = np.flatnonzero(partner < 0)
    k = linked.size
    cost = np.full((k + 1, k + 1), np.inf)
    inner = weight[np.ix_(linked, column)]
    cost[:k, :k] = np.where(inner > 0, own[:, None] - inner, np.inf)
    cost[:k, k] = own - weight[np.ix_(linked, free_columns)].max(axis=1, initial=0.0)
    cost[k, :k] = -weight[np.ix_(free_rows, column)].max(axis=0, initial=0.0)
    np.fill_diagonal(cost, np.inf)
    for through in range(k + 1):
        np.minimum(cost, cost[:, through, None] + cost[None, through], out=cost)
    result: NDArray[np.float64] = np.full(partner.size, np.nan)
    result[linked] = np.clip(np.diag(cost)[:k], 0.0, own)
    return result
