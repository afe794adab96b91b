"""The form of ``processing_results.yaml``: checked, and what other programs write read in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fovflow.errors import FovflowError, explained
from fovflow.records import REMAKE, leads_out
from fovflow.stages import FILES, STACKS


def in_our_form(content: Any, file: Path, skipped: list[str]) -> Any:
    """Return a results file in which another program lists files by FOV alone in our form.

    It is read as far as it goes; sentences about the rest are added to `skipped`.
    """
    files = content.get("results") if isinstance(content, dict) else None
    if not isinstance(files, dict) or "results_paths" in content:
        return content
    with explained(f"{file} is no results file", AttributeError, IndexError, KeyError, TypeError):
        given = content["channels"]
        pc, fl = (given.get("pc") or [0])[0], [entry[0] for entry in given.get("fl") or ()]
    paths: dict[str, dict[str, Any]] = {}
    for fov, found in files.items():
        if _no_number(fov) or not isinstance(found, dict):
            what = "it is no number of an FOV" if _no_number(fov) else "it lists no files"
            skipped.append(f"FOV {str(fov)[:40]!r} is skipped: {what}")
            continue
        own = paths[str(fov)] = {k: v for k, v in found.items() if k != "traces"}
        own["traces_csv"] = [[channel, found.get("traces")] for channel in fl or [pc]]
        for kind in (*STACKS, "traces"):
            try:
                entries(own, kind, file, str(fov))
            except (FovflowError, KeyError, TypeError):
                del own[FILES[kind].listed]
                skipped.append(f"FOV {fov}: {kind} is skipped: it is no name of a file")
    if files and not paths:
        raise FovflowError(f"{file} is no results file", found=skipped[0], remedy=REMAKE)
    return {**content, "channels": {"pc": pc, "fl": fl}, "results_paths": paths}


def entries(paths: Mapping[str, Any], kind: str, file: Path, fov: str) -> list[tuple[int, str]]:
    """Return channel and name of each listed file of a kind: one such pair, or a list of them."""
    listed = FILES[kind].listed
    given = paths.get(listed) or []
    pairs = [given] if given and not isinstance(given[0], list) else given
    for pair in pairs:
        types = [type(part) for part in pair] if isinstance(pair, list) else []
        if types != [int, str]:
            raise FovflowError(
                f"{file} is no results file",
                found=f"results_paths.{fov}.{listed} has {str(pair)[:80]}, not channel and name",
                remedy=REMAKE,
            )
    return [(channel, name) for channel, name in pairs]


def _no_number(fov: Any) -> bool:
    return not (str(fov).isascii() and str(fov).isdecimal() and len(str(fov)) < 10)


_FORM: dict[str, tuple[type, ...]] = {
    "results_paths": (dict,),
    "results_paths.*": (dict,),
    "results_paths.*.steps": (dict,),
    "results_paths.*.steps.*": (dict,),
    "results_paths.*.steps.*.*": (str,),
    **{f"results_paths.*.{file.listed}": (list,) for file in FILES.values() if file.listed},
    "fovs": (dict,),
    "fovs.*": (dict,),
    "fovs.*.status": (str,),
    "fovs.*.frame": (int,),
    "dataset": (str,),
    "channels": (dict,),
    "channels.pc": (int,),
    "channels.fl": (list,),
    "channels.fl.*": (int,),
    "channel_names": (dict,),
    "kept": (list,),
    "kept.*": (str,),
    "problems": (list,),
    "corrections_not_followed": (dict,),
    "corrections_not_followed.*": (list,),
    "positions": (dict,),
    "positions.*": (str,),
    "not_selected": (list,),
    "not_selected.*": (int,),
    "findings": (list,),
    "findings.*": (str,),
    "frames": (dict,),
    "size": (dict,),
    "raw": (dict,),
    "counts": (dict,),
    "pixel_um": (int, float),
    "params": (dict,),
    "params.*": (dict,),
    "params.extract.arguments": (dict,),
    "params.extract.arguments.features": (dict,),
    "params.extract.arguments.features.*": (list,),
    "params.extract.arguments.features.*.*": (str,),
    "params.extract.qc": (dict,),
}
"""Types of the values of a results file, where they are not null; ``*`` is each key or item."""


def checked(content: Any, file: Path) -> dict[str, Any]:
    """Return the content of a results file, FOVs as text.

    Raises FovflowError that names the place where it is of another kind than it should be.
    """
    found = _wrong_place(content) if isinstance(content, dict) else type(content).__name__
    if not found and not isinstance(content.get("results_paths"), dict):
        found = "no results_paths"
    if found:
        raise FovflowError(f"{file} is no results file", found=found, remedy=REMAKE)
    by_fov = {key: content.get(key) or {} for key in ("results_paths", "fovs")}
    named = {k: {str(int(fov)): v for fov, v in part.items()} for k, part in by_fov.items()}
    return {**content, **named}


def _wrong_place(content: dict[str, Any]) -> str:
    """Return which value is of another kind than it should be, and how; empty where none is."""
    for form, kinds in _FORM.items():
        for place, value in _at(content, "", form.split(".")):
            number = isinstance(value, bool) and bool not in kinds
            if value is not None and (number or not isinstance(value, kinds)):
                wanted = " or ".join(_WORDS[kind] for kind in kinds)
                return f"{place} is {_WORDS.get(type(value), type(value).__name__)}, not {wanted}"
    for key in ("results_paths", "fovs"):
        for fov in content.get(key) or {}:
            if _no_number(fov):
                return f"{key} has {str(fov)[:40]!r}, which is no number of an FOV"
    name = content.get("dataset") or "."
    problem = leads_out(None, name) or ("/" in name and "is no name of a folder")
    return f"dataset is {name[:80]!r}, which {problem}" if problem else ""


_WORDS = {
    dict: "a mapping", list: "a list", str: "text", int: "a whole number", float: "a number",
    bool: "true or false",
}  # fmt: skip


def _at(value: Any, place: str, form: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of all that a path of keys with wildcards leads to."""
    if not form:
        yield place, value
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if form[0] in ("*", str(key)):
                yield from _at(item, f"{place}.{key}".lstrip("."), form[1:])
