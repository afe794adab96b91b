"""Optimal one-to-one assignment and the margin of each of its links, by brute solving."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components


def largest_sum(weights: np.ndarray) -> tuple[list[tuple[int, int]], float]:
    """Pairs of the assignment with the largest sum; weight 0 means no candidate."""
    rows, columns = linear_sum_assignment(weights, maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if weights[i, j] > 0]
    return pairs, float(sum(weights[i, j] for i, j in pairs))


def assign(weights: np.ndarray) -> dict[tuple[int, int], float]:
    """Links (row, column) of the optimal assignment, each with its margin."""
    n, m = weights.shape
    graph = np.zeros((n + m, n + m), dtype=bool)
    graph[:n, n:] = weights > 0
    component = connected_components(graph, directed=False)[1]
    links = {}
    for k in np.unique(component):
        rows = np.nonzero(component[:n] == k)[0]
        columns = np.nonzero(component[n:] == k)[0]
        block = weights[np.ix_(rows, columns)]
        pairs, best = largest_sum(block)
        for i, j in pairs:
            without = block.copy()
            without[i, j] = 0
            links[int(rows[i]), int(columns[j])] = best - largest_sum(without)[1]
    return links
