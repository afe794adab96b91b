"""Fields of view in the report: the table of all, and pictures of some."""

from __future__ import annotations

import base64

from fovflow.report import axes, charts
from fovflow.report.markup import Html, join, tag
from fovflow.report.summary import CellLabel, DatasetSummary, FovSummary, Picture
from fovflow.report.words import plural, rule_words, status_words

_MANY = 24
"""FOVs from which the table scrolls within a frame of its own."""

MOST_ROWS = 2000
"""FOVs of a dataset in the table, at most: a page of more rows is slow to open."""

_COLUMNS = (
    ("FOV", ""), ("status", ""), ("frames", "num"), ("missing", "num"), ("cells", "num"),
    ("good", "num"), ("median track", "num"), ("flags", ""), ("cells per frame", ""),
)  # fmt: skip


def fov_table(dataset: DatasetSummary) -> Html:
    """Return the table of all FOVs of a dataset."""
    total, shown = len(dataset.fovs), _shown(dataset.fovs)
    left_out = (
        f"{axes.count(len(shown))} of {axes.count(total)} rows: first those that are not complete, "
        "then complete ones, spread evenly. processing_results.yaml has all; what stands above "
        "counts all."
    )
    return tag(
        "div",
        tag("h3", f"{total} {plural(total, 'field')} of view"),
        tag("p", left_out, class_="hint") if len(shown) < total else None,
        tag(
            "div",
            tag(
                "table",
                tag(
                    "thead",
                    tag("tr", [tag("th", name, class_=kind or None) for name, kind in _COLUMNS]),
                ),
                tag("tbody", [_row(fov) for fov in shown]),
            ),
            class_="table many" if total > _MANY else "table",
        ),
        tag(
            "p",
            "Flags: number of cells that carry each. Median track: frames in which a cell was "
            "found. Bars in the small charts: flagged frames; grey: frames that were not acquired.",
            class_="hint",
        ),
    )


def _shown(fovs: list[FovSummary]) -> list[FovSummary]:
    """Return the FOVs of the table: all, or as many as may be, in their order."""
    if len(fovs) <= MOST_ROWS:
        return fovs
    complete = [fov for fov in fovs if fov.status == "complete"]
    chosen = [fov for fov in fovs if fov.status != "complete"][:MOST_ROWS]
    room = min(MOST_ROWS - len(chosen), len(complete))
    chosen += [complete[i * len(complete) // room] for i in range(room)]
    return sorted(chosen, key=lambda fov: fov.index)


def _row(fov: FovSummary) -> Html:
    values: list[str | Html] = [
        str(fov.index),
        _status(fov),
        _count(fov.frames),
        _count(fov.missing),
        _count(fov.cells),
        _count(fov.good_cells),
        "–" if fov.median_frames is None else f"{fov.median_frames:g}",
        tag("span", _flags(fov), class_="chips"),
        "" if fov.objects is None else charts.sparkline(fov.objects),
    ]
    complete = fov.status == "complete"
    words = "; ".join(filter(None, ["" if complete else status_words(fov), fov.note]))
    return join(
        tag(
            "tr",
            [
                tag("td", value, class_=kind or None, data_label=name)
                for value, (name, kind) in zip(values, _COLUMNS, strict=True)
            ],
            class_="told" if words else None,
        ),
        tag(
            "tr",
            tag("td", words, colspan=len(_COLUMNS)),
            class_="why" if complete else "why not-complete",
        )
        if words
        else None,
    )


def _count(value: int | None) -> str:
    return "–" if value is None else axes.count(value)


def _status(fov: FovSummary) -> Html:
    kind = fov.status if fov.status in ("complete", "failed") else "waiting"
    return tag("b", fov.status, class_=f"status {kind}")


def _flags(fov: FovSummary) -> list[Html]:
    chips = [
        tag("span", rule, tag("b", axes.count(cells)), title=f"{rule_words(rule)}")
        for rule, cells in fov.reasons.items()
    ]
    chips += [
        tag(
            "span",
            f"{flag}",
            tag("b", axes.count(frames)),
            title=f"{frames} {plural(frames, 'frame')}",
            class_="frames-flag",
        )
        for flag, frames in sorted(fov.frame_flags.items())
    ]
    return chips


def pictures(dataset: DatasetSummary) -> Html | None:
    """Return pictures and charts of the FOVs that have pictures, and why others have none."""
    shown = [fov for fov in dataset.fovs if fov.pictures]
    if not shown and not dataset.picture_note:
        return None
    return tag(
        "div",
        tag("h3", "Cells in the images"),
        tag("p", dataset.picture_note, class_="hint") if dataset.picture_note else None,
        tag(
            "p",
            "First, middle and last frame. White ids: good in this frame; ",
            tag("span", "orange ids", class_="orange"),
            ": rejected.",
            class_="hint",
        )
        if any(picture.labels for fov in shown for picture in fov.pictures)
        else None,
        [_fov(dataset.name, fov) for fov in shown],
        class_="gallery",
    )


def _fov(name: str, fov: FovSummary) -> Html:
    words = []
    if fov.cells is not None and fov.good_cells is not None:
        words.append(f"{axes.count(fov.cells)} {plural(fov.cells, 'cell')}")
        words.append(f"{axes.count(fov.good_cells)} good")
    return tag(
        "article",
        tag("h4", f"FOV {fov.index}", tag("span", f" {', '.join(words)}") if words else None),
        tag("div", [_picture(name, fov.index, item) for item in fov.pictures], class_="pictures"),
        tag("div", [charts.frame_chart(series) for series in fov.series], class_="charts"),
    )


def _picture(name: str, fov: int, picture: Picture) -> Html:
    data = base64.b64encode(picture.png).decode("ascii")
    size = min(14.0, max(8.0, 66.0 / max(len(picture.labels), 1) ** 0.5))
    return tag(
        "figure",
        tag(
            "svg",
            tag("title", f"{name}, FOV {fov}, frame {picture.frame}"),
            tag(
                "image",
                href=Html(f"data:image/png;base64,{data}"),
                width=picture.width,
                height=picture.height,
            ),
            tag(
                "g",
                [_label(label, picture, size) for label in picture.labels],
                font_size=f"{size:.1f}",
                stroke_width=f"{size / 6:.1f}",
            ),
            viewBox=f"0 0 {picture.width} {picture.height}",
            role="img",
        ),
        tag("figcaption", f"frame {picture.frame}"),
        class_="picture",
    )


def _label(label: CellLabel, picture: Picture, size: float) -> Html:
    words = f"cell {label.cell}: " + ("good" if label.good else "rejected")
    if label.flags:
        words += f" ({label.flags.replace(';', ', ')})"
    half = size * 0.3 * len(str(label.cell))
    x = min(max((label.x + 0.5) * picture.scale, half), picture.width - half)
    y = min(max((label.y + 0.5) * picture.scale, size * 0.5), picture.height - size * 0.5)
    return tag(
        "text",
        tag("title", words),
        str(label.cell),
        x=f"{x:.0f}",
        y=f"{y + size * 0.35:.0f}",
        class_=None if label.good else "rejected",
    )
