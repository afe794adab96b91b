"""HTML by construction: any text that goes into an element is escaped, and nothing else can be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FOLDERS = re.compile(r"(?<![\w.~/…])/(?:[^\s/;,:'\"()<>]+/)+")
_VOID = frozenset({"meta", "img", "br", "path", "line", "rect", "circle", "image", "polygon"})


class Html(str):
    """Text that is HTML already; plain `str` is not, and is escaped where it is used."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def text(value: object) -> Html:
    """Return `value` as HTML text: escaped, without control characters and lone surrogates."""
    if isinstance(value, Html):
        return value
    plain = str(value).encode("utf-8", "replace").decode("utf-8")
    return Html(escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", plain), quote=True))


def join(*children: Child) -> Html:
    """Return children one after another; None is left out, lists and iterators are opened."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(text(child))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """Return an element.

    Parameters
    ----------
    name : str
    *children : str, Html, iterable of these, or None
        Plain text is escaped.
    **attributes : object
        Values are escaped; None and False leave the attribute out, True gives it no value. A
        trailing underscore is dropped (``class_``), others become hyphens.

    Examples
    --------
    >>> tag("p", "a < b", tag("b", "c"), class_="x")
    '<p class="x">a &lt; b<b>c</b></p>'
    """
    pieces = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        pieces.append(f" {attribute}" if value is True else f' {attribute}="{text(value)}"')
    if name in _VOID and not children:
        return Html("".join([*pieces, "/>"]))
    return Html("".join([*pieces, ">", join(*children), f"</{name}>"]))


def without_folders(sentence: str) -> str:
    """Return a sentence with the folders of absolute paths left out: names of files stay.

    Examples
    --------
    >>> without_folders("cannot open /home/me/data/plate1.nd2; found: nothing")
    'cannot open …/plate1.nd2; found: nothing'
    """
    return _FOLDERS.sub("…/", sentence)
