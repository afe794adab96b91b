"""The report as one HTML page that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fovflow
from fovflow.report import axes
from fovflow.report.dataset import dataset_section
from fovflow.report.markup import Html, join, tag
from fovflow.report.summary import DatasetSummary
from fovflow.report.words import plural, status_words
from fovflow.units import format_ranges

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(datasets: Sequence[DatasetSummary]) -> Html:
    """Return the whole report; the same datasets give the same bytes.

    Parameters
    ----------
    datasets : sequence of DatasetSummary
        In the order in which they are shown.
    """
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    names = ", ".join(dataset.name for dataset in datasets)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"fovflow {fovflow.__version__}"),
        tag("title", f"{names} · fovflow report" if names else "fovflow report"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        _header(datasets),
        tag("main", [dataset_section(d, i) for i, d in enumerate(datasets)]),
        tag("footer", f"Made by fovflow {fovflow.__version__} from the files beside this page."),
    )
    return join(Html("<!DOCTYPE html>\n"), tag("html", head, body, lang="en"), Html("\n"))


def _header(datasets: Sequence[DatasetSummary]) -> Html:
    fovs = [fov for dataset in datasets for fov in dataset.fovs]
    complete = sum(fov.status == "complete" for fov in fovs)
    failed = sum(fov.status == "failed" for fov in fovs)
    cells = sum(dataset.ledger.cells for dataset in datasets)
    kept = sum(dataset.ledger.cells_kept for dataset in datasets)
    rows = sum(dataset.ledger.rows_kept for dataset in datasets)
    problems = sum(bool(dataset.problems) for dataset in datasets)
    return tag(
        "header",
        tag("p", "fovflow", tag("span", f" {fovflow.__version__}"), class_="brand"),
        tag("h1", _headline(len(fovs), complete, failed, problems)),
        tag(
            "dl",
            _tile(axes.count(len(datasets)), plural(len(datasets), "dataset")),
            _tile(f"{axes.count(complete)} of {axes.count(len(fovs))}", "FOVs complete"),
            _tile(axes.count(failed), "failed", "bad") if failed else None,
            _tile(axes.count(cells), "cells detected"),
            _tile(axes.count(kept), f"good cells · {axes.percent(kept, cells)}", "good"),
            _tile(axes.count(rows), "good measurements"),
            class_="tiles",
        ),
        _contents(datasets) if len(datasets) > 1 else None,
        [_alarm(dataset, i) for i, dataset in enumerate(datasets)],
    )


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


def _tile(value: str, label: str, kind: str = "") -> Html:
    return tag("div", tag("dd", value), tag("dt", label), class_=f"tile {kind}".strip())


def _contents(datasets: Sequence[DatasetSummary]) -> Html:
    links = []
    for i, dataset in enumerate(datasets):
        whole = dataset.number_of("complete") == len(dataset.fovs) and not dataset.problems
        links.append(
            tag(
                "a",
                tag("b", dataset.name),
                tag(
                    "span",
                    f"{dataset.number_of('complete')} of {len(dataset.fovs)} FOVs · "
                    f"{axes.count(dataset.ledger.cells_kept)} good cells",
                ),
                href=f"#dataset-{i}",
                class_="whole" if whole else "part",
            )
        )
    return tag("nav", links, aria_label="Datasets")


def _alarm(dataset: DatasetSummary, i: int) -> Html | None:
    """Return what went wrong in a dataset, each reason once, or None."""
    groups: dict[str, list[int]] = {}
    for fov in dataset.fovs:
        if fov.status != "complete":
            groups.setdefault(status_words(fov), []).append(fov.index)
    if not groups and not dataset.problems:
        return None
    items = [
        tag("li", tag("b", f"{plural(len(fovs), 'FOV')} {format_ranges(fovs)} "), reason)
        for reason, fovs in groups.items()
    ]
    items += [tag("li", problem) for problem in dataset.problems]
    return tag(
        "aside",
        tag("h2", tag("a", dataset.name, href=f"#dataset-{i}")),
        tag("ul", items),
        class_="alarm",
    )
