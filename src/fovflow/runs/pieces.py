"""Content of any size, read in pieces."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from fovflow.atomic import Digest

PIECE = 4 << 20
"""Bytes of a piece."""


def pieces_in(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is left of an open file in pieces."""
    while piece := file.read(PIECE):
        yield piece


def pieces_of(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield a file's content in pieces."""
    with Path(path).open("rb") as file:
        yield from pieces_in(file)


def digest_of_pieces(pieces: Iterable[bytes], each: Callable[[bytes], Any] | None = None) -> Digest:
    """Return the digest of content in pieces; `each`, such as a file's ``write``, gets them all."""
    sha256, size = hashlib.sha256(), 0
    for piece in pieces:
        sha256.update(piece)
        size += len(piece)
        if each is not None:
            each(piece)
    return Digest(size, sha256.hexdigest())
