"""Label frames: their runs of one id, and new ids in place of old ones, many pixels at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.signedinteger[Any]]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_WORD = 8
_CHUNK = 4096


def padded_size(labels: NDArray[Any]) -> int:
    """Return the pixels of a frame, rounded up to whole words of flags."""
    return -(-labels.size // _WORD) * _WORD


def find_runs(labels: NDArray[Any], flags: BoolArray) -> tuple[IntArray, IntArray, NDArray[Any]]:
    """Return the first pixels, lengths and ids of a frame's runs, in raster order.

    `labels`: (Y, X), C-contiguous. `flags`: a buffer of `padded_size`.
    """
    flat, changes = labels.reshape(-1), flags[: labels.size]
    flags[labels.size :] = False
    if labels.size:
        np.not_equal(flat[1:], flat[:-1], out=changes[1:])
        changes[:: labels.shape[1]] |= labels[:, 0] != 0
        changes[0] = True
    # Eight flags at a time: changes are rare, and nonzero() of the flags themselves is slow.
    words = np.flatnonzero(flags.view(np.uint64) != 0)
    bits = np.flatnonzero(flags.view(np.uint64)[words].view(bool))
    at = np.asarray((words[bits >> 3] << 3) + (bits & 7))
    value = flat.take(at)
    inside = value != 0
    return at[inside], np.diff(at, append=flat.size)[inside], value[inside]


def resampled(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the pixels of a (Y, X) frame that are nearest to those of a picture of this size."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[np.ix_(rows, columns)])


def boxes(labels: NDArray[Any]) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield each id of a (Y, X) frame, in ascending order, with rows and columns of its box."""
    labels = np.ascontiguousarray(labels)
    at, length, value = find_runs(labels, np.empty(padded_size(labels), bool))
    ids, of = np.unique(value, return_inverse=True)
    y, x = np.divmod(at, labels.shape[1])
    found = run_boxes(of, y, x, x + length, len(ids))
    for label, (y0, x0, y1, x1) in zip(ids.tolist(), found.tolist(), strict=True):
        yield label, (slice(y0, y1), slice(x0, x1))


def run_boxes(owner: IntArray, row: IntArray, start: IntArray, stop: IntArray, n: int) -> IntArray:
    """Return the half-open boxes of n objects, (n, 4) y0, x0, y1, x1, from their runs of pixels.

    `owner`: the object of each run, 0 to n - 1; it covers ``start <= x < stop`` of its row.
    """
    box = np.empty((n, 4), np.int64)
    box[:, :2], box[:, 2:] = np.iinfo(np.int64).max, 0
    for side, values in enumerate((row, start)):
        np.minimum.at(box[:, side], owner, values)
    for side, values in enumerate((row + 1, stop), 2):
        np.maximum.at(box[:, side], owner, values)
    return box


def contours(labels: NDArray[Any]) -> Iterator[tuple[int, Sequence[NDArray[np.int32]]]]:
    """Yield each id of a (Y, X) frame with the outline of each of its pieces, (n, 1, 2) x and y."""
    import cv2

    for label, (rows, columns) in boxes(labels):
        mask = (labels[rows, columns] == label).astype(np.uint8)
        corner = (columns.start, rows.start)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
        yield label, [np.asarray(each, np.int32) for each in found]


def relabel(labels: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """Return ``table[labels]`` for a table whose first entry is 0; fast where most is background.

    Parameters
    ----------
    labels : numpy.ndarray
        (Y, X) integers.
    table : numpy.ndarray
        (k,) with ``table[0] == 0``.

    Raises
    ------
    IndexError
        If a label lies outside the table.
    """
    group = 8 // labels.dtype.itemsize
    if not labels.flags.c_contiguous or labels.size % group or not labels.size:
        return np.asarray(table[labels])
    # Eight bytes at a time, because most words are background, and in chunks that stay in cache.
    words = labels.reshape(-1).view(np.uint64)
    filled = np.flatnonzero(words != 0)
    result = np.zeros(labels.shape, table.dtype)
    same_size = table.dtype.itemsize == labels.dtype.itemsize
    target = result.reshape(-1).view(np.uint64) if same_size else result.reshape(-1, group)
    for start in range(0, filled.size, _CHUNK):
        part = filled[start : start + _CHUNK]
        values = np.take(table, words[part].view(labels.dtype))
        target[part] = values.view(np.uint64) if same_size else values.reshape(-1, group)
    return result


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Return ids or frames as integers of four bytes, where they fit."""
    fits = not values.size or (values.min() >= 0 and values.max() < 1 << 31)
    return values.astype(np.int32 if fits else np.int64, copy=False)
