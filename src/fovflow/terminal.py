"""Text on terminals and in logs: what comes from names and messages can't steer the terminal."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # line separators, order of writing
    "\ud800-\udfff\ufff9-\ufffb\U000e0000-\U000e007f]"  # bytes that are no UTF-8, invisible tags
)
_COLOUR = re.compile(r"(\x1b\[(?:0|(?:1;)?3[0-7])m)")
"""What Snakemake writes of its own to a terminal."""


def printable(text: str, *, one_line: bool = False, colours: bool = False) -> str:
    r"""Return text with control characters as ``\uXXXX``, as JSON writes them.

    Tabs and line feeds stay, unless `one_line`. `colours`: sequences that set a colour stay, too.

    Examples
    --------
    >>> print(printable("plate\x1b[2J\x9b1m"))
    plate\u001b[2J\u009b1m
    """
    if colours and "\x1b" in text:
        parts = _COLOUR.split(text)
        return "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))
    safe = text if text.isprintable() else _UNSAFE.sub(_escaped, text)
    return safe.replace("\n", "\\n").replace("\t", "\\t") if one_line else safe


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class SafeStream:
    """A text stream that writes what is `printable` to the stream `raw`."""

    def __init__(self, raw: TextIO, *, colours: bool = False):
        self.raw = raw
        self._colours = colours

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def write(self, text: str) -> int:
        """Write text; return its length."""
        self.raw.write(printable(text, colours=self._colours))
        return len(text)


def safe(stream: TextIO, *, colours: bool = False) -> TextIO:
    """Return a stream that writes what is printable to another one."""
    return cast(TextIO, SafeStream(unguarded(stream), colours=colours))


def unguarded(stream: TextIO) -> TextIO:
    """Return the stream behind a safe one, for those who steer the terminal themselves."""
    return stream.raw if isinstance(stream, SafeStream) else stream


@contextmanager
def safe_output() -> Iterator[None]:
    """Let everything that is printed inside the block be printable, in any encoding."""
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (stream and safe(stream) for stream in before)  # None: it is closed
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
