"""The report: one HTML page that shows what a run made of all datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

REPORT_REVISION = 4
"""Raised whenever the same results would give another page."""


def write_report(
    path: str | Path,
    outdir: str | Path,
    names: Iterable[str] | None = None,
    problems: Mapping[str, Iterable[str]] | None = None,
    *,
    single: bool = False,
) -> None:
    """Write the report of an output folder atomically, from what is there now; safe to repeat.

    Parameters
    ----------
    path : path-like
        The HTML file to write.
    outdir : path-like
        The output folder, with one folder per dataset.
    names : iterable of str, optional
        Datasets to show; all that there are by default. They are shown sorted by name.
    problems : mapping of str to iterable of str, optional
        Why a dataset, or a part of it, could not be processed; read from the output folder where
        it is not given.
    single : bool
        Whether the cells to look at stand in the page, too: one file to hand on, of 20 MB at most.

    Raises
    ------
    FovflowError
        If the folder holds no dataset.
    """
    from fovflow.atomic import write_text
    from fovflow.errors import FovflowError
    from fovflow.layout import Layout
    from fovflow.report.gather import answer_in, embed, find_datasets, gather
    from fovflow.report.page import page

    folder = Path(outdir)
    chosen = find_datasets(folder) if names is None and folder.is_dir() else list(names or ())
    if not chosen:
        raise FovflowError(
            f"{folder} holds no results",
            found="no folder with a processing_results.yaml",
            remedy="give the output folder of a run, or run the pipeline first",
        )
    told = gather(folder, chosen, problems or {}, Path(path))
    if single:
        embed(Layout(folder), told)
    write_text(path, page(told, answer_in(folder)))
    # It is no longer the page that a job has recorded; a job writes its record after it.
    Path(Layout(Path(path).parent).log("report")).with_suffix(".json").unlink(missing_ok=True)


__all__ = ["REPORT_REVISION", "write_report"]
