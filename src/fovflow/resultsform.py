"""The form of ``processing_results.yaml``: made and checked; other programs' read in it, too."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import fovflow
from fovflow.atomic import write_text
from fovflow.config.findings import FRAME_FINDINGS, FRAME_NOTES
from fovflow.errors import FovflowError, explained
from fovflow.layout import Layout, parse
from fovflow.records import REMAKE, leads_out, yaml_text
from fovflow.stages import FILES, STACKS
from fovflow.states import seg_of_folder

SCHEMA_VERSION = 1


def results_paths(
    layout: Layout,
    dataset: str,
    fov: int,
    channels: Mapping[str, Any],
    kept: frozenset[str],
    *,
    steps: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return one FOV's entry of ``results_paths``: existing files, relative to the dataset.

    `channels`: ``pc`` and ``seg`` (index or None) and ``fl`` (list of indices). `kept`: kinds of
    stacks that stay after the run. `steps`: names of the outputs of each user step.
    """
    folder = layout.dataset(dataset)
    channels_of = {"pc": [channels["pc"]], "fl": channels["fl"], "seg": [channels["seg"]]}
    channels_of[""] = channels["fl"] or channels_of["seg"]  # a table of all is listed for each
    paths: dict[str, Any] = {}
    for kind, file in FILES.items():
        if not file.listed:
            continue
        entries = [
            [channel, os.path.relpath(name, folder)]
            for channel in channels_of[file.role]
            if channel is not None
            and (kind in kept or not file.pixel_bytes)
            and Path(name := layout.file(kind, dataset, fov, channel)).exists()
        ]
        if file.role == "fl":
            paths[file.listed] = entries
        elif entries:
            paths[file.listed] = entries[0] if file.role else entries
    for step, names in (steps or {}).items():
        files = {name: Path(layout.output(dataset, fov, name)) for name in names}
        paths.setdefault("steps", {})[step] = {
            name: os.path.relpath(file, folder) for name, file in files.items() if file.exists()
        }
    return paths


def results_text(content: Mapping[str, Any]) -> str:
    """Return a dataset's ``processing_results.yaml``, keys in their fixed order."""
    versions = {"schema_version": SCHEMA_VERSION, "fovflow_version": fovflow.__version__}
    return yaml_text({**versions, **content})


def write_results(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a dataset's ``processing_results.yaml`` atomically."""
    write_text(path, results_text(content))


def findings_of(tables: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return a sentence for each finding that most frames of a dataset are flagged with.

    `tables`: the segmentation's tables of its FOVs, frame by frame; those that are absent are left
    out. The words and what to do are in `fovflow.config.findings`.
    """
    frames, flagged, known = 0, Counter[str](), FRAME_FINDINGS | FRAME_NOTES
    for table in tables:
        with suppress(OSError):
            lines = Path(table).read_text(encoding="utf-8").splitlines()[1:]
            frames += len(lines)
            flagged.update(word for line in lines for word in known if word in line)
    return [
        f"{flagged[word]} of {frames} frames are flagged {word!r}"
        f"{', and their rows are not good' * (word in FRAME_FINDINGS)}: {sentence}"
        for word, sentence in known.items()
        if flagged[word] > frames / 2
    ]


def discover(place: Path) -> dict[str, Any]:
    """Make the content of a results file from the ``fov_*`` folders that there are."""
    fovs: dict[str, Any] = {}
    channels: dict[str, Any] = {"pc": None, "fl": []}
    seg = seg_of_folder(place)
    for folder in sorted(place.glob("fov_*")):
        number = folder.name.removeprefix("fov_")
        if not number.isdecimal():
            continue
        paths = fovs.setdefault(str(int(number)), {})
        for path in sorted(folder.iterdir()):
            name = f"{folder.name}/{path.name}"
            found = parse(name)
            if found is None or not FILES[found.kind].listed:
                continue
            file, channel = FILES[found.kind], int(found.channel or 0)
            if file.role == "seg" and seg not in (None, channel):
                continue  # of a channel that cells were found in before
            if file.role in ("pc", "seg"):
                paths[file.listed] = [channel, name]
            else:
                paths.setdefault(file.listed, []).append([channel, name])
            if file.role == "pc":
                channels["pc"] = channel
            elif file.role == "fl":
                channels["fl"] = sorted({*channels["fl"], channel})
    return {"dataset": place.name, "channels": channels, "time_units": "", "results_paths": fovs}


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
