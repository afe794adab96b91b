"""Names of the files of a series: which part is the position, the time, the channel, z."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from unicodedata import normalize

from fovflow.errors import ConfigError, FovflowError
from fovflow.readers.clocks import TIME_UNITS, elapsed_s
from fovflow.units import Pattern

FIELDS = ("position", "time", "channel", "z")

_KEYWORDS = {
    **dict.fromkeys(("xy", "pos", "position", "series", "scene", "stage", "fov"), "position"),
    **dict.fromkeys(("field", "site", "point", "view", "well", "s", "p", "xypos"), "position"),
    **dict.fromkeys(("t", "time", "tp", "timepoint", "frame", "tt"), "time"),
    **dict.fromkeys(("c", "ch", "channel", "w", "wave", "wavelength", "laser"), "channel"),
    **dict.fromkeys(("cy", "alexa", "atto", "dylight", "filter"), "channel"),
    **dict.fromkeys(("z", "slice", "zslice", "plane", "focus", "zpos", "zposition"), "z"),
    **dict.fromkeys(("zstep", "zplane", "zlevel"), "z"),
}
PHASE_WORDS = re.compile(
    r"(?i)(?<!meta)(?<!ana)(?<!pro)(?<!telo)(?<!inter)(?<!\b[sm][-_ ])(?<!\bg\d[-_ ])phase|"
    r"^(pc|phc|(?-i:ph|Ph|PH)\d?|bf|td)$|bright.?field|"
    r"trans(?=mi|li|ph|[^a-z]|$)|dic\b"
)
_CHANNEL_WORDS = re.compile(
    PHASE_WORDS.pattern + r"|gfp|rfp|yfp|cfp|bfp|cherry|venus|tomato|ruby|scarlet|citrine|dapi|"
    r"hoechst|fitc|tritc|texas|cy\d|alexa|fluo|sytox|^(red|green|blue|far.?red)$"
)
_ROW_C = re.compile(r"^C\d{2}$")
_MOMENT = re.compile(
    r"(?<!\d)(19|20)\d{2}(-?)\d{2}\2\d{2}[T_ -]\d{2}([-.h]?)\d{2}(\3\d{2}|m\d{2}s?)?(?!\d)"
)
"""Date and time of day, with separators, that are one part of a name."""
_WELL = re.compile(r"^[A-P]([01]?\d|2[0-4])$")
_NO_TIME = re.compile(
    r"fld|tile|row|col|column|[abd-hj-oqruvxy]|day|roi|rep|plate|area|region|loc|location|chamber|"
    r"lane|dish|slide|trap|well[a-p]|embryo|colony|mouse|animal|donor|patient"
)
"""Words and letters before numbers that are no frames: they are asked about."""
_SEPARATORS = re.compile(
    rf"(?:(?!(?<=\d)[.,]\d+(?:{'|'.join(TIME_UNITS)})(?![^\W_]))[\W_])+", re.IGNORECASE
)
"""What stands between the parts of a name, but for the point of a duration such as ``0.5h``."""
_LABEL = re.compile(r"[A-Za-z]+_?(?=\d+$)")
_WORD_BEFORE = re.compile(r"(?:^|[^\W\d_]*[^\w])([^\W\d_]+)$")
_RUNS = re.compile(r"\d+|\D+")
_FIELD = re.compile(r"\{(\w*)(?::([^{}]*))?\}|[*\[\]]")
_JOINED = {
    **dict.fromkeys(("position", "well", "site", "field"), "position"),
    **{name: name for name in ("time", "channel", "z")},
    "ignore": "",
}
_DIGITS = {"Y": 4, **dict.fromkeys("ymdHMS", 2), "j": 3, "f": 6}
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


@dataclass(frozen=True, slots=True)
class Names:
    """What names say: the fields of each name, None for those left out.

    `time_form` is that of the times, where it is known; `time_left_over` tells that a number was
    taken for the time because nothing else was left; `scheme` names a microscope's naming rule.
    """

    fields: list[NameFields | None]
    time_form: str | None = None
    time_left_over: bool = False
    scheme: str = ""


def match_pattern(names: Sequence[str], pattern: Pattern) -> Names:
    """Read names by explicit patterns, each by the first that fits; others have no fields.

    `names`: paths below the root of the series, with ``/``; ``docs/readers.md`` has the language of
    patterns. One must match from some folder down to the end of the path; the case of its suffix
    does not count. One without a field, or of another name, is a `ConfigError`, and so are
    different forms of times.
    """
    if isinstance(pattern, str):
        return _match_one(names, pattern)
    found = [_match_one(names, each) for each in pattern]
    forms = {each.time_form for each in found}
    if len(forms) != 1:
        raise ConfigError(
            "pattern: all of several patterns need one form of the times",
            found=", ".join(str(form) for form in forms) or "no pattern",
            remedy="write {time}, {time:d}, {time:elapsed} or the same clock in each",
        )
    rows = zip(*(each.fields for each in found), strict=True)
    fields = [next((each for each in row if each is not None), None) for row in rows]
    return Names(fields, forms.pop())


def _match_one(names: Sequence[str], pattern: str) -> Names:
    pattern, expression, position, depth = normalize("NFC", pattern), "", 0, 0
    forms: list[str] = []
    joined: dict[str, str] = {}
    for token in _FIELD.finditer(pattern):
        between = pattern[position : token.start()]
        expression += re.escape(between)
        position = token.end()
        name, how, mark = token[1], token[2], token[0]
        if mark == "*":
            expression += "[^/]*"
        elif mark == "[":
            expression, depth = expression + r"(?:\[?", depth + 1
        elif mark == "]":
            expression, depth = expression + r"\]?)?", depth - 1
        elif name not in _JOINED:
            fields = ", ".join(_JOINED)
            raise ConfigError(f"pattern: there is no field {name!r}", found=pattern, remedy=fields)
        else:
            adjacent = not between and expression.endswith(")")
            group = f"f{len(joined)}"
            joined[group] = _JOINED[name]
            expression += f"(?P<{group}>{_field_expression(name, how, adjacent)})"
            forms += [how] if name == "time" and how else []
        if depth not in (0, 1):
            break
    if not set(joined.values()) - {""}:
        raise ConfigError("pattern: it names no field", found=pattern, remedy=_REMEDY)
    if depth:
        raise ConfigError(
            "pattern: its brackets do not match", found=pattern, remedy="close each [ with a ]"
        )
    import re2  # its time grows linearly with the name, whatever the pattern

    rest, dot, suffix = pattern[position:].rpartition(".")
    ending = f"{re.escape(rest + dot)}(?i:{re.escape(suffix)})" if dot else re.escape(suffix)
    regex = re2.compile(f"(?:.*/)?{expression}{ending}".encode())
    normal = (normalize("NFC", name) for name in names)  # macOS writes ü as two characters
    matches = (regex.fullmatch(name.translate(_LETTERS).encode()) for name in normal)
    texts = (
        match and [each and each.decode().translate(_BYTES) for each in match.groups()]
        for match in matches
    )
    found = [
        None if each is None else _join(dict(zip(joined, each, strict=True)), joined, bool(forms))
        for each in texts
    ]
    return Names(found, "_".join(forms) or None)


_LETTERS = {0xDC00 + byte: 0x10FF00 + byte for byte in range(128, 256)}
"""Letters that RE2 takes, in place of bytes that are no UTF-8."""
_BYTES = {letter: byte for byte, letter in _LETTERS.items()}


def _field_expression(name: str, how: str | None, adjacent: bool) -> str:
    if name == "time" and how is not None and how not in ("d", "elapsed"):
        return "".join(
            f"\\d{{{_DIGITS[part[1]]}}}"
            if part[:1] == "%" and part[1:] in _DIGITS
            else re.escape(part)
            for part in re.findall(r"%.|[^%]", how)
        )
    if name == "time" and how == "elapsed":
        return r"(?:\d+(?:[.,]\d+)?[A-Za-z]+[-_ ]?)+"
    if name == "z" or how == "d" or (name == "time" and adjacent):
        return r"\d+"
    return "[^/]+?"


def _join(match: Mapping[str, str | None], joined: dict[str, str], timed: bool) -> NameFields:
    """Return the fields of a name; texts of the same field are joined.

    The same text twice counts once, but for the parts of a clock (`timed`).
    """
    texts: dict[str, list[str]] = {}
    for group, field in joined.items():
        text = match[group]
        known = texts.setdefault(field, [])
        if text and (text not in known or (timed and field == "time")):
            texts[field].append(text)
    return NameFields(**{field: "_".join(parts) for field, parts in texts.items() if field})


@dataclass(frozen=True)
class _Scheme:
    """A naming rule of a microscope; groups named like fields, with a number where joined."""

    name: str
    text: str
    time_form: str | None = None
    alone: bool = False
    """Whether all files must fit, and not only most."""

    @cached_property
    def expression(self) -> re.Pattern[str]:
        return re.compile(rf"(?P<folder>.*?/)??{self.text}", re.IGNORECASE)


_SCHEMES = (
    _Scheme(
        "Operetta and Opera Phenix",
        r"(?P<position>r\d+c\d+)(?P<position2>f\d+)p(?P<z>\d+)-(?P<channel>ch\d+)sk(?P<time>\d+)"
        r"(?:fk\d+)?(?:fl\d+)?",
    ),
    _Scheme(
        "Yokogawa CQ1 and CellVoyager",
        r"(?P<position>W\d+)(?P<position2>F\d+)T(?P<time>\d+)Z(?P<z>\d+)(?P<channel>C\d+)",
    ),
    _Scheme(
        "Yokogawa CV7000 and CV8000",
        r"(?:[^/]*_)?(?P<position>[A-P]\d{2})_T(?P<time>\d+)(?P<position2>F\d+)L\d+A\d+"
        r"Z(?P<z>\d+)(?P<channel>C\d+)",
    ),
    _Scheme(
        "ImageXpress",
        r"(?:TimePoint_(?P<time>\d+)/)?(?:ZStep_(?P<z>\d+)/)?[^/]*_(?P<position>[A-P]\d{2})"
        r"(?:_(?P<position2>s\d+))?(?:_(?P<channel>w\d+))?"
        r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}",
    ),
    _Scheme(
        "Incucyte, exported",
        r"(?P<channel>[^/]*?)_?(?P<position>[A-P]\d{1,2})_(?P<position2>\d+)_"
        r"(?P<time>\d{4}y\d{2}m\d{2}d_\d{2}h\d{2}m|\d+d\d{2}h\d{2}m)",
    ),
    _Scheme(
        "Incucyte archive",
        r"(?P<time>\d{4})/(?P<time2>\d{2})/(?P<time3>\d{4})/(?:(?P<position>\d+)/)?"
        r"(?P<position2>[A-P]\d{1,2})-(?P<position3>\d+)-(?P<channel>[A-Za-z]\w*)",
        "%y%m_%d_%H%M",
    ),
    _Scheme(
        "Leica Matrix Screener",
        r"[^/]*--(?:L\d+--)?S\d+--(?P<position>U\d+--V\d+)--J\d+--E\d+--O\d+--"
        r"(?P<position2>X\d+--Y\d+)--T(?P<time>\d+)--Z(?P<z>\d+)--(?P<channel>C\d+)",
    ),
    _Scheme(
        "Micro-Manager",
        r"(?:(?P<position>[^/]*)/)?img_(?P<time>\d{9})_(?P<channel>[^/]+)_(?P<z>\d{3})",
    ),
    _Scheme(
        "Olympus scanR",
        r"[^/]*--(?P<position>W\d+)--(?P<position2>P\d+)--Z(?P<z>\d+)--T(?P<time>\d+)--"
        r"(?P<channel>[^/.]+)",
    ),
    _Scheme(
        "BioTek Gen5",  # the two numbers between well and field are a step and the channel's number
        r"(?P<position>[A-P]\d{1,2})(?P<position2>ROI\d+)?_-?\d+_\d+_(?P<position3>\d+)"
        r"(?:Z(?P<z>\d+))?_(?P<channel>[^/_]+)_(?P<time>\d+)",
    ),
    _Scheme(
        "MetaMorph",
        r"[^/]*_(?P<channel>w\d+[^_/.\d][^_/.]*)(?:_(?P<position>s\d+))?(?:_t(?P<time>\d+))?",
        alone=True,
    ),
)
_THUMBNAIL = re.compile(r"(?i)_thumb[0-9A-F-]*$")


def _by_scheme(names: Sequence[str]) -> Names | None:
    """Read names by the naming rule of a microscope; None unless one fits most names.

    Others, such as a camera's dark image in the same folder, have no fields.
    """
    for scheme in _SCHEMES:
        matches = [scheme.expression.fullmatch(name) for name in names]
        if 2 * matches.count(None) < (1 if scheme.alone else len(matches)):
            groups = {group: group.rstrip("23") for group in scheme.expression.groupindex}
            timed = scheme.time_form is not None
            del groups["folder"]
            found = [match and _join(match.groupdict(), groups, timed) for match in matches]
            if len({*found} - {None}) < sum(each is not None for each in found):
                found = _with_folders([match and match["folder"] for match in matches], found)
            return Names(found, scheme.time_form, scheme=scheme.name)
    return None


def _with_folders(
    folders: Sequence[str | None], fields: Sequence[NameFields | None]
) -> list[NameFields | None]:
    """Add what the folders say to fields of which some are alike; ask where that is not clear."""
    known = [f"{folder or ''}image" for folder, each in zip(folders, fields, strict=True) if each]
    said = (each for each in detect_fields(known).fields if each)
    one_channel = len({each.channel for each in fields if each}) == 1

    def joined(each: NameFields, above: NameFields) -> NameFields:
        position = "_".join(filter(None, (above.position, each.position)))
        channel = "_".join(filter(None, (above.channel, each.channel)))
        channel = above.channel if above.channel and one_channel else channel
        return replace(each, position=position, channel=channel)

    return [each and joined(each, next(said)) for each in fields]


def read_names(names: Sequence[str]) -> Names:
    """Tell the fields from the names themselves, together: paths below the root without suffix.

    The naming rules of microscopes go first, then the words and letters of `detect_fields`. Small
    pictures for the screen (``_thumb``) are left out.
    """
    wanted = [name for name in names if not _THUMBNAIL.search(name)]
    if not wanted or len(wanted) == len(names):
        return _by_scheme(names) or detect_fields(names)
    found = _by_scheme(wanted) or detect_fields(wanted)
    rest = iter(found.fields)
    fields = [None if _THUMBNAIL.search(name) else next(rest) for name in names]
    return replace(found, fields=fields)


def pattern_of(names: Sequence[str], read: Names) -> str:
    """Return a pattern that reads names as they were read, for a user to change; empty if none.

    It is made from the first name, and given only if it divides all names in the same way.
    """
    for labelled in (("position", "time", "z"), FIELDS, ()):
        pattern = _pattern_from_one(names, read, labelled)
        with suppress(ConfigError):
            again = match_pattern(names, pattern).fields
            if all(_alike(read.fields, again, field) for field in FIELDS):
                return pattern
    return ""


def _pattern_from_one(names: Sequence[str], read: Names, labelled: Sequence[str]) -> str:
    """Return the first name with its fields in place of their texts.

    Letters before the number of a `labelled` field stay as they are.
    """
    known = [each for each in read.fields if each is not None]
    text = names[read.fields.index(known[0])]
    varying = [field for field in FIELDS if len({getattr(each, field) for each in known}) > 1]

    def field_of(part: str, field: str, form: str = "") -> str:
        plain = field not in labelled or _WELL.match(part)
        label = None if plain else _LABEL.match(part)
        return f"{label[0] if label else ''}{{{field}{form and f':{form}'}}}"

    rule = next((each for each in _SCHEMES if each.name == read.scheme), None)
    if rule is not None and (match := rule.expression.match(text)):
        parts = ("time", "time2", "time3")
        forms = dict(zip(parts, (rule.time_form or "").split("_"), strict=False))
        for group in sorted({*match.re.groupindex} - {"folder"}, key=match.start, reverse=True):
            field = group.rstrip("23")
            if match[group] and field in varying:
                form = forms.get(group, "")
                start, end = match.span(group)
                text = f"{text[:start]}{field_of(match[group], field, form)}{text[end:]}"
        return re.sub(r"(?<=L\d\d)A\d\d", "*", text)  # a CV8000's action goes with its channel
    for field in reversed(varying):
        value = getattr(known[0], field)
        moment = _MOMENT.search(text) if field == "time" else None
        if moment is not None and _digits_of(moment) == value:
            text = text.replace(moment[0], f"{{time:{_form_of(moment[0])}}}")
            continue
        for part in [value] if value in text else value.split("_"):
            head, found, tail = text.rpartition(part or text)
            text = f"{head}{field_of(part, field)}{tail}" if found and part else text
    return text


def _form_of(moment: str) -> str:
    """Return the form of a date and time of day, for a pattern."""
    units = iter(["%Y", "%m", "%d", "%H", "%M", "%S"])
    return re.sub(r"^\d{4}|\d\d", lambda _: next(units), moment)


def _alike(
    fields: Sequence[NameFields | None], others: Sequence[NameFields | None], field: str
) -> bool:
    """Tell whether two readings of names divide them in the same way."""
    both = [(a, b) for a, b in zip(fields, others, strict=True) if a is not None]
    pairs = {(getattr(a, field), getattr(b, field) if b else None) for a, b in both}
    return len(pairs) == len({a for a, _ in pairs}) and all(b is not None for _, b in pairs)


@dataclass(slots=True)
class _Column:
    """One part of the names: a number, or a word that varies."""

    values: list[str]  # as compared
    texts: list[str]  # as shown
    label: str
    folder: bool
    kind: str | None = None
    joined: bool = False
    """Whether the label stands right before the number."""


def detect_fields(names: Sequence[str]) -> Names:
    """Tell the fields from the names themselves: paths below the root without suffix, with ``/``.

    Numbers after a known word or letter are what it says; words of a stain or contrast are
    channels, other words of folders and wells positions; one number that is left over is the time.
    Names that are made up differently or leave a choice are refused; the remedy is a pattern.
    """
    parts = _columns(names)
    rows_of_a_plate = [
        each for each in parts if {*each.texts} and all(map(_ROW_C.match, each.texts))
    ]
    if rows_of_a_plate and min(int(value) for value in rows_of_a_plate[0].values) > 1:
        raise _ambiguous("these could be channels, or wells of row C", rows_of_a_plate)
    for column in parts:
        column.kind = column.kind or _kind(column)
    _decide_letters(parts)
    constant = {column.kind for column in parts if len(set(column.values)) == 1}
    columns = _without_doubles([each for each in parts if len(set(each.values)) > 1])
    letters = [each for each in columns if each.label in ("c", "w") and each.kind == "channel"]
    if many := [each for each in letters if len({*each.values}) > 6]:
        raise _ambiguous("these are more channels than a microscope has: perhaps wells", many)
    left_over = _assign_rest(columns, names, time_is_told="time" in constant)
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
    fields = [{kind: each[i] for kind, each in chosen.items()} for i in range(len(names))]
    return Names([NameFields(**each) for each in fields], time_left_over=left_over)


def _digits_of(match: re.Match[str]) -> str:
    return "".join(filter(str.isdecimal, match[0]))


def _columns(names: Sequence[str]) -> list[_Column]:
    names = [_MOMENT.sub(_digits_of, name) for name in names]
    rows = [_SEPARATORS.split(name.strip("/")) for name in names]
    length = len(rows[0])
    odd = next((i for i, row in enumerate(rows) if len(row) != length), None)
    if odd is not None:
        raise FovflowError(
            "the names of the series are made up in different ways",
            found=f"{names[0]!r} and {names[odd]!r}",
            remedy=f'name those that are meant, such as "data/*.tif", or {_REMEDY}',
        )
    n_folders = len(_SEPARATORS.split(names[0].rpartition("/")[0])) if "/" in names[0] else 0
    columns: list[_Column] = []
    for k in range(length):
        values = [row[k] for row in rows]
        before = [{row[j] for row in rows} for j in (k - 2, k - 1) if j >= 0]
        words = ["", "", *(each.pop() if len(each) == 1 else "" for each in before)]
        columns += _split(values, words[-2:], folder=k < n_folders)
    return columns


def _split(values: list[str], before: Sequence[str], *, folder: bool) -> list[_Column]:
    """Split a part of the names, `before` which two others stand, where all are made up alike."""
    if len(set(values)) == 1 and not values[0][-1:].isdecimal():
        return []
    whole = [_Column(values, values, "", folder)]
    letters = {value[:1].lower() for value in values}
    if all(map(_WELL.match, values)) and not (len(letters) == 1 and letters <= {*_KEYWORDS}):
        return whole
    if len(set(values)) > 1 and None not in map(elapsed_s, values):
        return [_Column(values, values, "", folder, "time")]
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
                if i or not all(_CHANNEL_WORDS.search(word) for word in set(column)):
                    return whole
                columns.append(_Column(column, column, "", folder, "channel"))
            continue
        label = runs[0][i - 1] if i else ""
        if i and len({row[i - 1] for row in runs}) > 1:  # behind words of channels
            label = ""
        texts = [label + text for text in column]
        joined = bool(label)
        word = None if i else _WORD_BEFORE.search(before[1])
        if word is not None:
            label = word[1]
            texts = [f"{label}_{text}" for text in column]
        if runs[0][i + 1 : i + 2] == ["nm"]:
            label = "wavelength"
        if (
            label and i < 2 and (two := f"{before[i]}{label}".lower()) in _KEYWORDS
        ):  # "time point 3"
            label = two
        columns.append(_Column(column, texts, label.lower(), folder, joined=joined))
    return columns


def _kind(column: _Column) -> str | None:
    distinct = set(column.values)
    if all(value.isdecimal() for value in distinct):
        return _KEYWORDS.get(column.label)
    if all(_WELL.match(value) for value in distinct):
        return "position"
    stained = [value for value in distinct if _CHANNEL_WORDS.search(value)]
    if len(stained) == len(distinct) or any(map(PHASE_WORDS.search, stained)):
        return "channel"
    if stained:
        raise _ambiguous("these could be channels or positions", [column])
    return "position" if column.folder else None


def _decide_letters(columns: list[_Column]) -> None:
    """Let the letters of one name decide each other.

    With ``ch``, or with ``r``, ``c`` is a column of the plate and no channel; with ``r`` and ``c``,
    ``p`` is a plane; with ``t`` and ``f``, or ``c`` as well, ``w`` is a well.
    """
    single = {column.label: column for column in columns if len(column.label) <= 2}
    kinds: dict[str, str] = {}
    with_row = {"r", "c"} <= {*single}
    if with_row or {"ch", "c"} <= {*single}:
        kinds |= dict.fromkeys("rcf", "position")
    if with_row and {"f", "p"} <= {*single}:
        kinds["p"] = "z"
    if {"w", "t"} <= {*single} and {"f", "c"} & {*single}:
        kinds |= dict.fromkeys("wf", "position")
    for label in kinds.keys() & single.keys():
        single[label].kind = kinds[label]


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


def _assign_rest(columns: list[_Column], names: Sequence[str], *, time_is_told: bool) -> bool:
    """Take the one number that is left over in the files' own names for the time; tell if so.

    Nothing is needed where the known parts tell all files apart.
    """
    rest = [column for column in columns if column.kind is None]
    known = [column.values for column in columns if column.kind is not None]
    if not rest or (known and len(set(zip(*known, strict=True))) == len(names)):
        return False
    has_time = time_is_told or any(column.kind == "time" for column in columns)
    number = all(value.isdecimal() for value in rest[0].values) and not rest[0].folder
    number = number and not (
        (rest[0].joined or len(rest[0].label) > 1) and _NO_TIME.fullmatch(rest[0].label)
    )
    if len(rest) > 1 or has_time or not number:
        raise _ambiguous("it is not clear what some parts of the names mean", rest)
    rest[0].kind = "time"
    return True


def _ambiguous(what: str, columns: list[_Column]) -> FovflowError:
    shown = "; ".join(
        ", ".join(repr(text) for text in sorted(set(column.texts))[:3]) for column in columns
    )
    return FovflowError(what, found=shown, remedy=_REMEDY)


def _constant_position(name: str) -> str:
    """Return the position that all names have in common, such as ``xy01``, if they name one."""
    found = re.findall(
        r"(?i)(?<![a-z])(?<!z[_ -])((?:xy|pos|position|fov|site|scene)[_-]?\d+)", name
    )
    return str(found[-1]) if found else ""
