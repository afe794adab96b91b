"""Random streams that depend on what they are for, not on when they are drawn."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Return the generator of one purpose.

    Two streams with different purposes or keys are independent, so any frame can be rendered on
    its own, in any order, with the same result.

    Parameters
    ----------
    seed : int
        The movie's seed.
    purpose : str
        What the numbers are for, such as ``"noise"``.
    *keys : int
        Position, frame, cell, channel: whatever sets this stream apart (each ≥ 0).
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
