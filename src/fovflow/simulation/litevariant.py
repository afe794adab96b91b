"""Lite Variant: the typed key-value records in which ND2 files keep their metadata.

A record is: type (1 byte), length of the name in UTF-16 units with its terminating zero (1 byte),
the name, the value. A level, that is, a nested record, is: number of items (uint32), its length
from its first byte to the end of its items (uint64), the items, and the offset of each item from
the level's first byte (uint64 each). A list is a level whose items have empty names. As read by
the `nd2` package (BSD-3-Clause).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

_BOOL, _INT32, _UINT32, _DOUBLE, _STRING, _BYTES, _LEVEL = 1, 2, 3, 6, 8, 9, 11


class Signed(int):
    """An integer to be stored as int32; plain ones are stored as uint32."""


def encode(name: str, value: object) -> bytes:
    """Return the record of one named value.

    Parameters
    ----------
    name : str
        At most 254 UTF-16 units; empty for items of a list.
    value : bool, int, Signed, float, str, bytes, mapping or sequence
        Mappings become levels, sequences become lists.

    Raises
    ------
    TypeError
        For any other kind of value.

    Examples
    --------
    >>> encode("a", 1).hex(" ")
    '03 02 61 00 00 00 01 00 00 00'
    """
    wide = (name + "\0").encode("utf-16-le")
    kind, body = _scalar(value)
    if kind:
        return struct.pack("<BB", kind, len(wide) // 2) + wide + body
    if isinstance(value, Mapping):
        items = [encode(str(key), item) for key, item in value.items()]
    elif isinstance(value, Sequence):
        items = [encode("", item) for item in value]
    else:
        raise TypeError(f"no record for {type(value).__name__}")
    head = struct.pack("<BB", _LEVEL, len(wide) // 2) + wide
    start = len(head) + struct.calcsize("<IQ")
    offsets, end = [], start
    for item in items:
        offsets.append(end)
        end += len(item)
    table = struct.pack(f"<{len(items)}Q", *offsets)
    return head + struct.pack("<IQ", len(items), end) + b"".join(items) + table


def _scalar(value: object) -> tuple[int, bytes]:
    """Return type and bytes of a plain value; type 0 if it is none."""
    for kind, type_, form in _NUMBERS:
        if isinstance(value, type_):
            return kind, struct.pack(form, value)
    if isinstance(value, str):
        return _STRING, (value + "\0").encode("utf-16-le")
    if isinstance(value, bytes):
        return _BYTES, struct.pack("<Q", len(value)) + value
    return 0, b""


_NUMBERS: tuple[tuple[int, type, str], ...] = (
    (_BOOL, bool, "<B"),
    (_INT32, Signed, "<i"),
    (_UINT32, int, "<I"),
    (_DOUBLE, float, "<d"),
)
