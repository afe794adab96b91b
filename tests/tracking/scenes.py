"""Label stacks drawn by hand, and moving discs with known ids."""

from __future__ import annotations

import numpy as np


def boxes(*frames, shape=(80, 80)):
    """Draw frames, each a dict of label -> (y, x, height, width), into a (T, Y, X) stack."""
    stack = np.zeros((len(frames), *shape), np.uint16)
    for frame, drawn in zip(stack, frames, strict=True):
        for label, (y, x, height, width) in drawn.items():
            frame[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = label
    return stack


def drawn(*places, shape=(80, 80)):
    """Draw one frame of boxes (y, x, height, width), labelled 1, 2, …"""
    return boxes(dict(enumerate(places, start=1)), shape=shape)[0]


def disc(frame, y, x, radius, label):
    """Draw a disc where the frame is still empty."""
    rows, columns = np.ogrid[: frame.shape[0], : frame.shape[1]]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    frame[inside & (frame == 0)] = label


def walking_discs(rng, frames=40, per_side=10, pitch=34, radius=11, step=1.5):
    """Return (T, Y, X) masks of per_side² discs that walk at random about a grid; ids 1..n."""
    side = per_side * pitch
    stack = np.zeros((frames, side, side), np.uint16)
    grid = (np.arange(per_side) + 0.5) * pitch
    place = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    size = rng.uniform(0.75, 1.0, len(place)) * radius
    offset = np.zeros_like(place)
    span = np.arange(-radius - 1, radius + 2)
    for frame in stack:
        for label, ((y, x), r) in enumerate(zip(place + offset, size, strict=True), start=1):
            rows, columns = round(y) + span, round(x) + span
            inside = (rows[:, None] - y) ** 2 + (columns - x) ** 2 <= r * r
            k, m = np.nonzero(inside)
            k, m = rows[k], columns[m]
            seen = (k >= 0) & (k < side) & (m >= 0) & (m < side)
            frame[k[seen], m[seen]] = label
        offset = 0.9 * offset + rng.normal(0, step, offset.shape)
    return stack


def drop(stack, share, rng):
    """Return a copy without a random share of the detections."""
    result = stack.copy()
    for frame in result:
        ids = np.unique(frame[frame > 0])
        frame[np.isin(frame, ids[rng.random(ids.size) < share])] = 0
    return result


def shuffle_labels(stack, rng):
    """Return a copy with each frame's labels permuted at random, and gaps between them."""
    result = np.zeros_like(stack)
    for frame, out in zip(stack, result, strict=True):
        ids = np.unique(frame[frame > 0])
        fresh = rng.choice(np.arange(1, 3 * ids.size + 1), ids.size, replace=False)
        table = np.zeros(int(frame.max()) + 1, stack.dtype)
        table[ids] = fresh
        out[:] = table[frame]
    return result


def ids_at(labeled, *points):
    """Return the id under each (t, y, x)."""
    return [int(labeled[p]) for p in points]


def rows_of(links, cell):
    """Return one cell's rows as a dict of lists."""
    return {name: column[links["cell"] == cell].tolist() for name, column in links.items()}
