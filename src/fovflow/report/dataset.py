"""One dataset's part of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fovflow.report import axes, charts
from fovflow.report.fovs import fov_table, pictures
from fovflow.report.markup import Html, tag, without_folders
from fovflow.report.summary import DatasetSummary, Ledger, TracePlot
from fovflow.report.words import STEPS, plural, rule_words


def dataset_section(dataset: DatasetSummary, i: int) -> Html:
    """Return the section of one dataset, the `i`-th of the page."""
    if not dataset.fovs:
        body: list[Html | None] = [
            tag("p", "No field of view of this dataset was processed.", class_="empty")
        ]
    else:
        body = [
            _plots(dataset),
            _ledger(dataset.ledger, _rejecting(dataset.content)),
            fov_table(dataset),
            pictures(dataset),
            _parameters(dataset.content),
        ]
    return tag(
        "section",
        tag("h2", dataset.name),
        tag("p", _facts(dataset.content), class_="facts"),
        body,
        id=f"dataset-{i}",
        class_="dataset",
    )


def _facts(content: Mapping[str, Any]) -> str:
    frames, size = content.get("frames") or {}, content.get("size") or {}
    names, facts = content.get("channel_names") or {}, []
    if frames:
        count = frames.get("count", 0)
        facts.append(f"{count} {plural(count, 'frame')}")
    if size:
        facts.append(f"{size.get('width')} × {size.get('height')} px, {size.get('dtype')}")
    pixel = content.get("pixel_um")
    facts.append(f"{pixel:.4g} µm per px" if isinstance(pixel, int | float) else "")
    facts.append(
        ", ".join(
            f"channel {index}: {name}" if name else f"channel {index}"
            for index, name in names.items()
        )
    )
    facts.append(str((content.get("raw") or {}).get("format", "")))
    return " · ".join(fact for fact in facts if fact)


def _plots(dataset: DatasetSummary) -> Html | None:
    units = str(dataset.content.get("time_units", ""))
    figures = [
        tag(
            "figure",
            tag("figcaption", tag("h3", plot.title), tag("p", _plot_words(plot))),
            charts.traces(plot, units, number, wide=len(dataset.plots) == 1),
            class_="plot",
        )
        for number, plot in enumerate(dataset.plots)
    ]
    if not dataset.number_of("complete"):
        return None
    return tag("div", figures, class_="plots")


def _plot_words(plot: TracePlot) -> str:
    cells, every = plot.sample.cells, plot.sample.every
    drawn = len(plot.sample.lines(charts.LINES))
    words = f"{axes.count(cells)} good {plural(cells, 'cell')}"
    if drawn < cells:
        words += f", {drawn} of them drawn"
    if cells:
        words += "; thick: median, shaded: middle half of the cells"
    if every > 1:
        words += f" (of every {every}th cell)"
    return words


def _rejecting(content: Mapping[str, Any]) -> frozenset[str]:
    params = content.get("params") or {}
    qc = (params.get("extract") or {}).get("qc") or {}
    return frozenset(qc.get("reject") or ())


def _ledger(ledger: Ledger, rejecting: frozenset[str]) -> Html | None:
    """Return bars: what was detected and kept, and how much carries each flag."""
    if not ledger.rows:
        return tag(
            "div",
            tag("h3", "From detected to kept"),
            tag("p", "No cell was found.", class_="empty"),
        )
    kept = [
        _bar("cells", ledger.cells_kept, ledger.cells, "good"),
        _bar("measurements", ledger.rows_kept, ledger.rows, "good"),
    ]
    reasons = [
        _reason(rule, ledger, "bad" if rule in rejecting else "note")
        for rule in sorted(
            ledger.reason_rows, key=lambda r: (r not in rejecting, -ledger.reason_rows[r], r)
        )
    ]
    if ledger.unexplained:
        words = "Rejected by a person, or without a flag"
        reasons.append(_bar(words, ledger.unexplained, ledger.rows, "bad"))
    left_out = ", ".join(sorted(ledger.not_evaluated))
    return tag(
        "div",
        tag("h3", "From detected to kept"),
        tag("div", kept, class_="bars kept"),
        tag(
            "p",
            "Measurements (one cell in one frame) by flag. One may carry several flags, and none "
            "is deleted: filter on the column ",
            tag("code", "good"),
            ".",
            class_="hint",
        )
        if reasons
        else None,
        tag("div", reasons, class_="bars"),
        tag("p", f"Not evaluated, as its feature is not extracted: {left_out}.", class_="hint")
        if left_out
        else None,
        class_="ledger",
    )


def _reason(rule: str, ledger: Ledger, kind: str) -> Html:
    cells = ledger.reason_cells[rule]
    return _bar(
        tag("span", tag("code", rule), f" {rule_words(rule)}"),
        ledger.reason_rows[rule],
        ledger.rows,
        kind,
        f"{axes.count(cells)} {plural(cells, 'cell')}" + ("" if kind == "bad" else ", noted only"),
    )


def _bar(label: str | Html, part: int, whole: int, kind: str, more: str = "") -> Html:
    share = 100 * part / whole if whole else 0.0
    value = f"{axes.count(part)} of {axes.count(whole)} · {axes.percent(part, whole)}"
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", tag("i", style=f"width:{share:.2f}%"), class_="track"),
        tag("div", value, tag("small", f" {more}") if more else None, class_="value"),
        class_=f"bar {kind}",
    )


def _parameters(content: Mapping[str, Any]) -> Html | None:
    """Return the parameters of each step, folded away."""
    params = content.get("params") or {}
    if not params:
        return None
    steps = [
        tag(
            "div",
            tag("h4", step, tag("span", f" {STEPS[step]}") if step in STEPS else None),
            tag(
                "dl",
                [
                    (tag("dt", key), tag("dd", value))
                    for key, value in _flat(values)
                    if key != "revision"
                ],
            ),
        )
        for step, values in params.items()
    ]
    return tag(
        "details",
        tag("summary", "Parameters used"),
        tag("div", steps, class_="parameters"),
    )


def _flat(values: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested parameters as pairs of a dotted name and a value in words."""
    if isinstance(values, Mapping):
        pairs = []
        for key, value in values.items():
            name = prefix if key == "arguments" else f"{prefix}{key}."
            pairs += _flat(value, name)
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
