"""Names of the files of a series: which part is the position, the time, the channel, z."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fovflow.errors import ConfigError, FovflowError

FIELDS = ("position", "time", "channel", "z")

_KEYWORDS = {
    **dict.fromkeys(("xy", "pos", "position", "series", "scene", "stage", "fov"), "position"),
    **dict.fromkeys(("field", "site", "point", "view", "well", "s", "p", "xypos"), "position"),
    **dict.fromkeys(("t", "time", "tp", "timepoint", "frame", "tt"), "time"),
    **dict.fromkeys(("c", "ch", "channel", "w", "wave", "wavelength"), "channel"),
    **dict.fromkeys(("z", "slice", "zslice", "plane", "focus"), "z"),
}
_CHANNEL_WORDS = re.compile(
    r"(?i)phase|^(pc|phc|ph\d?|bf|td)$|bright.?field|trans|dic|gfp|rfp|yfp|cfp|bfp|cherry|venus|"
    r"tomato|ruby|scarlet|citrine|dapi|hoechst|fitc|tritc|texas|cy\d|alexa|fluo|sytox|^(red|green|"
    r"blue|far.?red)$"
)
_WELL = re.compile(r"^[A-P]\d{1,2}$")
_SEPARATORS = re.compile(r"[/\\_\-.\s=,]+")
_RUNS = re.compile(r"\d+|\D+")
_FIELD = re.compile(r"\{(\w+)\}|(\*)")
_REMEDY = (
    'say how the names are made up with a pattern, such as "{position}/{channel}_{time}.tif" '
    "(fields position, time, channel, z)"
)


@dataclass(frozen=True, slots=True)
class NameFields:
    """What the name of one file says; an empty text where it says nothing."""

    position: str = ""
    time: str = ""
    channel: str = ""
    z: str = ""


def match_pattern(names: Sequence[str], pattern: str) -> list[NameFields | None]:
    """Read names by an explicit pattern; None for names that do not match.

    `names`: paths below the root of the series, with ``/``. `pattern`: plain text with
    ``{position}``, ``{time}``, ``{channel}``, ``{z}``, and ``*`` for anything within one name. It
    must match from some folder down to the end of the path. A field that stands twice must have the
    same text both times. A pattern without any field, or with one of another name, is a
    `ConfigError`.
    """
    expression, position, seen = "", 0, set()
    for token in _FIELD.finditer(pattern):
        expression += re.escape(pattern[position : token.start()])
        name = token[1]
        if name is None:
            expression += "[^/]*"
        elif name not in FIELDS:
            raise ConfigError(
                f"pattern: there is no field {name!r}", found=pattern, remedy=", ".join(FIELDS)
            )
        elif name in seen:
            expression += f"(?P={name})"
        else:
            expression += f"(?P<{name}>" + (r"\d+" if name == "z" else "[^/]+?") + ")"
            seen.add(name)
        position = token.end()
    if not seen:
        raise ConfigError("pattern: it names no field", found=pattern, remedy=_REMEDY)
    regex = re.compile("(?:.*/)?" + expression + re.escape(pattern[position:]))
    matches = (regex.fullmatch(name) for name in names)
    return [None if match is None else NameFields(**match.groupdict()) for match in matches]


@dataclass(slots=True)
class _Column:
    """One part of the names: a number, or a word that varies."""

    values: list[str]  # as compared
    texts: list[str]  # as shown
    label: str
    folder: bool
    kind: str | None = None


def detect_fields(names: Sequence[str]) -> list[NameFields]:
    """Tell the fields from the names themselves: paths below the root without suffix, with ``/``.

    Numbers after a known word or letter (``xy01``, ``pos_3``, ``s2`` position; ``t001``,
    ``frame_10`` time; ``c1``, ``ch2``, ``w1`` channel; ``z3`` z) are taken for what they say;
    words that name a stain or contrast (``GFP``, ``phase``) are channels, other words of folders
    and names of wells (``B7``) positions. One number that is left over is the time. Names that are
    made up differently or leave a choice are refused; the remedy is a pattern.
    """
    parts = _columns(names)
    for column in parts:
        column.kind = _kind(column)
    constant = {column.kind for column in parts if len(set(column.values)) == 1}
    columns = _without_doubles([each for each in parts if len(set(each.values)) > 1])
    _assign_rest(columns, names, time_is_told="time" in constant)
    chosen: dict[str, list[str]] = {}
    for kind in FIELDS:
        same = [column for column in columns if column.kind == kind]
        if len(same) > 1 and kind != "position":
            raise _ambiguous(f"two parts of the names could be the {kind}", same)
        if same:
            texts = zip(*(column.texts for column in same), strict=True)
            chosen[kind] = ["_".join(text) for text in texts]
    if "position" not in chosen:
        chosen["position"] = [_constant_position(names[0])] * len(names)
    return [
        NameFields(**{kind: each[i] for kind, each in chosen.items()}) for i in range(len(names))
    ]


def _columns(names: Sequence[str]) -> list[_Column]:
    rows = [_SEPARATORS.split(name.strip("/")) for name in names]
    length = len(rows[0])
    odd = next((i for i, row in enumerate(rows) if len(row) != length), None)
    if odd is not None:
        raise FovflowError(
            "the names of the series are made up in different ways",
            found=f"{names[0]!r} and {names[odd]!r}",
            remedy=_REMEDY,
        )
    n_folders = len(_SEPARATORS.split(names[0].rpartition("/")[0])) if "/" in names[0] else 0
    columns: list[_Column] = []
    for k in range(length):
        values = [row[k] for row in rows]
        before = {row[k - 1] for row in rows} if k else set()
        columns += _split(values, before, folder=k < n_folders)
    return columns


def _split(values: list[str], before: set[str], *, folder: bool) -> list[_Column]:
    """Split one part of the names into letters and digits where all are made up alike."""
    if len(set(values)) == 1 and not values[0][-1:].isdecimal():
        return []
    whole = [_Column(values, values, "", folder)]
    runs = [_RUNS.findall(value) for value in values]
    shapes = {tuple(run.isdecimal() for run in row) for row in runs}
    if len(shapes) != 1:
        return whole
    (shape,) = shapes
    columns = []
    for i, is_number in enumerate(shape):
        column = [row[i] for row in runs]
        if not is_number:
            if len(set(column)) > 1:
                return whole
            continue
        label = runs[0][i - 1] if i else ""
        texts = [label + text for text in column]
        if not i and len(before) == 1 and next(iter(before)).isalpha():
            label = next(iter(before))
            texts = [f"{label}_{text}" for text in column]
        columns.append(_Column(column, texts, label.lower(), folder))
    return columns


def _kind(column: _Column) -> str | None:
    distinct = set(column.values)
    if all(value.isdecimal() for value in distinct):
        return _KEYWORDS.get(column.label)
    if all(_WELL.match(value) for value in distinct):
        return "position"
    if any(_CHANNEL_WORDS.search(value) for value in distinct):
        return "channel"
    return "position" if column.folder else None


def _without_doubles(columns: list[_Column]) -> list[_Column]:
    """Drop parts that say the same as another one does, such as ``GFP/gfp_001``."""
    kept: list[_Column] = []
    for column in sorted(columns, key=lambda each: each.kind is None):
        rivals = [each for each in kept if column.kind in (None, each.kind)]
        if not any(_same(column.values, rival.values) for rival in rivals):
            kept.append(column)
    return [column for column in columns if any(column is each for each in kept)]


def _same(some: list[str], others: list[str]) -> bool:
    """Tell whether two parts divide the files in the same way."""
    pairs = set(zip(some, others, strict=True))
    return len(pairs) == len(set(some)) == len(set(others))


def _assign_rest(columns: list[_Column], names: Sequence[str], *, time_is_told: bool) -> None:
    """Take the one number that is left over in the files' own names for the time.

    Nothing is needed where the known parts tell all files apart.
    """
    rest = [column for column in columns if column.kind is None]
    known = [column.values for column in columns if column.kind is not None]
    if not rest or (known and len(set(zip(*known, strict=True))) == len(names)):
        return
    has_time = time_is_told or any(column.kind == "time" for column in columns)
    number = all(value.isdecimal() for value in rest[0].values) and not rest[0].folder
    if len(rest) > 1 or has_time or not number:
        raise _ambiguous("it is not clear what some parts of the names mean", rest)
    rest[0].kind = "time"


def _ambiguous(what: str, columns: list[_Column]) -> FovflowError:
    shown = "; ".join(
        ", ".join(repr(text) for text in sorted(set(column.texts))[:3]) for column in columns
    )
    return FovflowError(what, found=shown, remedy=_REMEDY)


def _constant_position(name: str) -> str:
    """Return the position that all names have in common, such as ``xy01``, if they name one."""
    found = re.findall(r"(?i)(?<![a-z])((?:xy|pos|position|fov|site|scene)[_-]?\d+)", name)
    return str(found[-1]) if found else ""
