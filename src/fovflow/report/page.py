"""The report as one HTML page that needs nothing else: no network, no script.

Its markup stands in ``templates/``, its words here.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

import fovflow
from fovflow.corrections import briefly
from fovflow.quality import PEOPLE, REASONS, RULES
from fovflow.report.charts import LINES, frame_chart, trace_chart
from fovflow.report.gather import Answer, DatasetSummary, FovSummary, without_folders
from fovflow.stages import STAGES
from fovflow.units import format_fovs, format_ranges, number, spread, ticks

MOST_ROWS = 2000
"""FOVs of a dataset in the table, at most: a page of more rows is slow to open."""

OFTEN = 0.15
"""Share of measurements, or of an FOV's cells, from which a flag is worth a look."""
HINTS = {
    "min_frames": "tracks are short. See first whether masks merge and fall apart (fovflow try); "
    "then raise track.max_gap, or lower qc.min_frames and qc.min_frames_fraction",
    "border": "cells touch the border of the frame: image sparser cells or larger frames, or lower "
    "qc.border_px",
    "saturation": "the fluorescence is saturated: expose it shorter; qc.max_saturated_fraction is "
    "the share of pixels that may be",
    "invalid": "pixels have no value: look at the raw frames and at correct",
    "area_jump": "masks merge and fall apart: raise segment.neck_ratio where cells are merged, "
    "lower it where they are in pieces, or try method unet (fovflow try)",
    "merge": "masks swallow neighbours: raise segment.neck_ratio, or try method unet (fovflow try)",
    "frame": "the segmentation of whole frames is not reliable: the flags of frames in the table "
    "of FOVs say why",
    "focus": "the focus is lost: look at the frames; qc.focus_ratio is what is sharp enough",
    "size": "objects are much smaller or larger than others: raise segment.min_area_um2 against "
    "dirt, see whether cells are merged; qc.size_ratio is the factor that is allowed",
    "debris": "objects neither move nor change: raise segment.min_contrast and "
    "segment.faint_area_um2 (logstd), or segment.probability (unet)",
    "ragged": "objects are pale and ragged: lower segment.n_sigma where parts of flat cells are "
    "found (logstd), or try method unet (fovflow try)",
    "low_confidence": "links are doubtful: better masks come first; then track.reach_um and "
    "track.max_distance_um, or more frames per hour",
    "fast": "cells move by about their own size between frames: record more often, or raise "
    "track.reach_um and track.max_distance_um",
}  # fmt: skip

_PARTS = re.compile(r"// PARTS: (.+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BETWEEN_TAGS = re.compile(r"(?<=[>}])\n\s*(?=[<{])")


def page(datasets: Sequence[DatasetSummary], answer: Answer | None = None) -> str:
    """Return the whole report; the same datasets, in this order, give the same bytes."""
    fovs = [fov for dataset in datasets for fov in dataset.fovs]
    complete = sum(fov.status == "complete" for fov in fovs)
    failed = sum(fov.status == "failed" for fov in fovs)
    problems = sum(bool(dataset.problems) for dataset in datasets)
    answer, browser = answer or Answer(), ""
    if any(fov.files or fov.embedded for fov in fovs):
        browser = _PARTS.sub(lambda m: "\n".join(map(text, m[1].split(", "))), text("browser.js"))
    return rendered(
        "page.html.j2",
        browser,
        beside=True,
        index=Markup(_index(datasets, answer)) if browser else "",
        datasets=datasets,
        answer=answer,
        headline=_headline(len(fovs), complete, failed, problems),
        fovs=len(fovs),
        complete=complete,
        failed=failed,
    )


def rendered(template: str, script: str = "", *, beside: bool = False, **values: Any) -> str:
    """Return a page whose policy lets run its script, and files beside it or not; nothing else."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    if script:
        digest = b64encode(sha256(script.encode()).digest()).decode()
        policy += " blob:" * beside + f"; script-src 'sha256-{digest}'" + " 'self'" * beside
    found = templates().get_template(template)
    return found.render(version=fovflow.__version__, policy=policy, script=Markup(script), **values)


@cache
def templates() -> jinja2.Environment:
    """Return the templates, with the functions that they call; all values are escaped."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
    )
    functions = (
        count, facts, failures, flags_of, flat, format_ranges, frame_chart, hints, number, percent,
        plural, rows_shown, rule_words, status_words, ticks, trace_chart,
    )  # fmt: skip
    made.globals |= {function.__name__: function for function in functions}
    made.globals |= {
        "plain": Markup,
        "LINES": LINES,
        "STEPS": {name: stage.words for name, stage in STAGES.items()},
    }
    return made


def _source(name: str) -> str:
    """Return a template without the line breaks between its tags: they are not in the page."""
    return _BETWEEN_TAGS.sub("", text(name))


def text(name: str) -> str:
    """Return a file of the folder of templates."""
    return (files("fovflow.report") / "templates" / name).read_text("utf-8")


def _index(datasets: Sequence[DatasetSummary], answer: Answer) -> str:
    """Return what the browser is told at the start, as JSON that cannot end its element."""
    names = {dataset.name for dataset in datasets}
    told = {
        "datasets": [
            {
                "name": dataset.name,
                "columns": dataset.columns,
                "shown": list(dataset.columns),
                "fovs": [_index_of(fov) for fov in dataset.fovs],
            }
            for dataset in datasets
            if dataset.fovs
        ],
        "samples": [each for each in answer.samples if each["dataset"] in names],
        "fits": [each for each in answer.fits if each["dataset"] in names],
        "rules": {rule: rule_words(rule) for rule in (*RULES, *REASONS, *PEOPLE)},
    }
    text = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _index_of(fov: FovSummary) -> dict[str, Any]:
    objects = [] if fov.objects is None else fov.objects.values.tolist()
    return {
        "index": fov.index,
        "name": fov.name,
        "status": fov.status,
        "cells": fov.cells,
        "good": fov.good_cells,
        "median_frames": fov.median_frames,
        "flagged": len({*()}.union(*fov.flagged.values())) if fov.series else None,
        "levels": fov.levels,
        "unmet": briefly(fov.unmet, 200),
        "objects": [value if math.isfinite(value) else None for value in objects],
        **fov.files,
        **dict.fromkeys(fov.embedded, "#"),
    }


def _shown(value: object) -> Markup:
    """Return a value as HTML text: escaped, without control characters and lone surrogates."""
    if isinstance(value, Markup):
        return value
    plain = str(value).encode("utf-8", "replace").decode("utf-8")
    return Markup(escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", plain)))


def count(value: int | None) -> str:
    r"""Return a count with thin spaces between thousands; a dash where it is not known.

    Examples
    --------
    >>> count(12345)
    '12\u202f345'
    """
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def percent(part: float, whole: float) -> str:
    """Return a share in percent; a dash where there is no whole."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if 0 < share < 1:
        return "< 1\N{NO-BREAK SPACE}%"
    if 99 < share < 100:
        return "> 99\N{NO-BREAK SPACE}%"
    return f"{share:.0f}\N{NO-BREAK SPACE}%"


def plural(number: int, one: str, many: str | None = None) -> str:
    """Return the word that fits the number.

    Examples
    --------
    >>> plural(1, "cell"), plural(0, "cell")
    ('cell', 'cells')
    """
    return one if number == 1 else many or f"{one}s"


def rule_words(rule: str) -> str:
    """Return what a quality rule says of a cell."""
    return (RULES | REASONS | PEOPLE).get(rule, rule).rstrip(".")


def status_words(fov: FovSummary) -> str:
    """Return what became of an FOV as a sentence without its end."""
    doing = STAGES[fov.step].words if fov.step in STAGES else fov.step
    if fov.status == "complete":
        return "complete"
    if fov.status == "failed":
        at = "" if fov.at_frame is None else f", at frame {fov.at_frame}"
        return f"failed while {doing} (step {fov.step}{at}): {fov.error}"
    if fov.status == "outdated":
        return f"made with other parameters from the step {fov.step} on; run again"
    if fov.status == "incomplete":
        return f"not made yet from the step {fov.step} on; run again"
    return fov.status


def _headline(fovs: int, complete: int, failed: int, problems: int) -> str:
    if problems and not fovs:
        return "Nothing could be processed"
    if failed:
        return f"{failed} of {fovs} {plural(fovs, 'field')} of view failed"
    if problems:
        return f"{problems} {plural(problems, 'dataset has', 'datasets have')} a problem"
    if complete < fovs:
        return f"{fovs - complete} of {fovs} {plural(fovs, 'field')} of view are not complete"
    if not fovs:
        return "There are no fields of view"
    return "All fields of view are complete" if fovs > 1 else "The field of view is complete"


def failures(dataset: DatasetSummary) -> dict[str, list[int]]:
    """Return why FOVs of a dataset are not complete, each reason once, and which they are."""
    groups: dict[str, list[int]] = {}
    for fov in dataset.fovs:
        if fov.status != "complete":
            groups.setdefault(status_words(fov), []).append(fov.index)
    return groups


def facts(content: Mapping[str, Any]) -> str:
    """Return what a dataset's results file says of its frames and channels, in one line."""
    frames, size = content.get("frames") or {}, content.get("size") or {}
    pixel, total = content.get("pixel_um"), frames.get("count", 0)
    channels = (content.get("channel_names") or {}).items()
    told = [
        f"{total} {plural(total, 'frame')}" if frames else "",
        f"{size.get('width')} × {size.get('height')} px, {size.get('dtype')}" if size else "",
        f"{pixel:.4g} µm per px" if isinstance(pixel, int | float) else "",
        ", ".join(f"channel {i}: {name}" if name else f"channel {i}" for i, name in channels),
        str((content.get("raw") or {}).get("format", "")),
    ]
    return " · ".join(filter(None, told))


def flags_of(dataset: DatasetSummary) -> list[tuple[str, bool]]:
    """Return the flags that rows carry, and whether each rejects: these and frequent ones first."""
    rejecting, rows = {*dataset.rejecting, "rejected"}, dataset.ledger.reason_rows
    order = sorted(rows, key=lambda rule: (rule not in rejecting, -rows[rule], rule))
    return [(rule, rule in rejecting) for rule in order]


class Hint(NamedTuple):
    """A flag that many measurements carry, and what may help."""

    rule: str
    share: float
    words: str
    where: str
    """FOVs where it is frequent, if not in all of them."""


def hints(dataset: DatasetSummary) -> list[Hint]:
    """Return what may be turned for a dataset, the most frequent flag first."""
    rows, found = dataset.ledger.rows, []
    for rule, words in HINTS.items():
        fovs = [fov for fov in dataset.fovs if fov.cells]
        often = [fov for fov in fovs if _share(fov, rule) >= OFTEN]
        share = dataset.ledger.reason_rows[rule] / rows if rows else 0.0
        if rule == "min_frames":  # cells that are lost by other rules carry it, too
            share, often = dataset.ledger.causes[rule] / (dataset.ledger.cells or 1), []
        if share >= OFTEN or (often and max(_share(fov, rule) for fov in often) >= 2 * OFTEN):
            some = often if 0 < len(often) < len(fovs) else []
            where = format_fovs([fov.index for fov in some]) if some else ""
            found.append(Hint(rule, share, words, where))
    return sorted(found, key=lambda hint: -hint.share)


def _share(fov: FovSummary, rule: str) -> float:
    return fov.reasons.get(rule, 0) / (fov.cells or 1)


def rows_shown(fovs: list[FovSummary]) -> list[FovSummary]:
    """Return the FOVs of the table: all, or as many as may be, in their order."""
    if len(fovs) <= MOST_ROWS:
        return fovs
    complete = [fov for fov in fovs if fov.status == "complete"]
    chosen = [fov for fov in fovs if fov.status != "complete"][:MOST_ROWS]
    chosen += spread(complete, MOST_ROWS - len(chosen))
    return sorted(chosen, key=lambda fov: fov.index)


def flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested parameters as pairs of a dotted name and a value in words."""
    if isinstance(values, Mapping):
        pairs = []
        for key, value in values.items():
            name = prefix if key == "arguments" else f"{prefix}{key}."
            pairs += flat(value, name)
        return pairs
    return [(prefix.rstrip("."), _value(values))]


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value) or "none"
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return without_folders(str(value))
