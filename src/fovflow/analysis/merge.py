"""Tables of samples: one per sample, feature and channel, and one of everything."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fovflow.analysis.samples import Sample
from fovflow.atomic import atomic_open
from fovflow.config.analysis import OWN_COLUMNS
from fovflow.errors import FovflowError
from fovflow.results import Traces, read_traces, traces_header, traces_or_verdicts
from fovflow.units import SECONDS_PER, format_fovs

if TYPE_CHECKING:
    import pandas as pd

    from fovflow.processing import Job

MERGE_REVISION = 1
"""Raised whenever the same traces would give other tables."""

TIME_LINE = "# Time units: "
"""Beginning of the first line of an analysis CSV."""

_BATCH = 100_000
_CHANNEL = re.compile(r"(.+)_ch_(\d+)")
_NUMBERS: dict[type, str] = {
    int: r"-?(0|[1-9]\d{0,17})", float: r"-?(0|[1-9]\d*)?(\.\d+)?([eE][+-]?\d+)?",
}  # fmt: skip
_INTEGERS = re.compile(r"fov|cell|frame|parent|bbox_[xy][01]")


class Measure(NamedTuple):
    """A feature of a channel, and its column in tables of traces."""

    feature: str
    channel: int
    column: str

    @property
    def name(self) -> str:
        """What a file of it is called after its sample: ``intensity_total_ch_1``."""
        return f"{self.feature}_ch_{self.channel}"


@dataclass(slots=True)
class Source:
    """What a sample is merged from."""

    sample: Sample
    traces: Mapping[int, Traces]
    """Its tables of traces, or people's verdicts, by FOV."""
    time_units: str
    """Unit of the times in its traces."""
    channels: Mapping[int, str] = field(default_factory=dict)
    """Names of channels by index."""
    left_out: dict[int, str] = field(default_factory=dict)
    """FOVs that gave nothing, and why; `tables` adds to it."""

    def tables(
        self, columns: Callable[[str], bool] = lambda _: True
    ) -> Iterator[tuple[int, pd.DataFrame]]:
        """Yield the traces of each FOV that has any, with times in hours as ``time_h``.

        An FOV whose traces cannot be read, or that has none, is left out, and why is noted.

        `columns`: tells by its name whether a column is wanted besides times and verdicts.
        """
        import pandas as pd

        for fov, path in self.traces.items():
            try:
                found = read_traces(path, lambda name: name == "time" or columns(name))
                found["time_h"] = found["time"] * (SECONDS_PER[self.time_units] / 3600)
                cells = found["cell"]
            except (FovflowError, KeyError, TypeError) as error:
                self.left_out[fov] = f"unreadable traces: {_in_words(error)}"
                continue
            if not cells.size:
                self.left_out[fov] = "no cells"
                continue
            found.setdefault("good", np.ones(cells.size, bool))
            found.setdefault("frame", np.unique(found["time"], return_inverse=True)[1])
            table = pd.DataFrame(found)
            table["good"] = table["good"].astype(bool)
            if table.duplicated(["cell", "frame"]).any():
                self.left_out[fov] = "two rows of one cell and frame"
                continue
            yield fov, table.sort_values(["cell", "frame"], kind="stable")

    def left_out_words(self) -> str:
        """Return in words which FOVs gave nothing and why."""
        if self.sample.problem:
            return self.sample.problem
        reasons: dict[str, list[int]] = {}
        for fov, reason in sorted({**self.sample.left_out, **self.left_out}.items()):
            reasons.setdefault(reason, []).append(fov)
        return "; ".join(f"{format_fovs(fovs)}: {reason}" for reason, fovs in reasons.items())


def merge(job: Job) -> None:
    """Write the tables of one sample: the work of a script."""
    source = write_sample(job.options, job.input.traces, job.output)
    job.note(f"left out: {source.left_out_words() or 'nothing'}")


def merge_everything(job: Job) -> None:
    """Write the tables of all samples: the work of a script."""
    paths = dict(job.output.items())
    write_everything(job.options, job.input.traces, paths)
    if "parquet" not in paths:
        job.note("no traces.parquet: it needs pyarrow, which fovflow[parquet] installs")


def write_sample(
    options: Mapping[str, Any],
    traces: Sequence[str],
    files: Sequence[str],
    lost: Mapping[int, str] | None = None,
) -> Source:
    """Write the tables of one sample as planned; see `source_of`. Returns what it is made of."""
    source = source_of(options, traces, lost)
    measures = [Measure(*each) for each in options["measures"]]
    merge_sample(source, measures, Path(files[0]).parent)
    return source


def write_everything(
    options: Mapping[str, Any],
    traces: Sequence[str],
    files: Mapping[str, str],
    lost: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """Write the tables of all samples as planned; `lost` is by name of the sample."""
    rest, failed = iter(traces), lost or {}
    merge_all(
        [
            source_of(each, list(islice(rest, len(each["fovs"]))), failed.get(each["sample"]))
            for each in options["samples"]
        ],
        files,
    )


def source_of(
    options: Mapping[str, Any], traces: Sequence[str], lost: Mapping[int, str] | None = None
) -> Source:
    """Return what a sample is merged from, as planning describes it.

    `options`: see `fovflow.planning.analysis.AnalysisPlan.options`. `traces`: the file of each FOV.
    `lost`: FOVs that have failed, and why.
    """
    name, dataset, names = options["sample"], options["dataset"], options["fovs"]
    lost = {fov: reason for fov, reason in (lost or {}).items() if fov in names}
    files = zip(names, map(Path, traces), strict=True)
    there = {fov: traces_or_verdicts(file) for fov, file in files if fov not in lost}
    sample = Sample(name, dataset, names, **options.get("about", {}))
    return Source(sample, there, options["time_units"], options.get("channels", {}), lost)


def merge_sample(source: Source, measures: Sequence[Measure], folder: Path) -> None:
    """Write the tables of one sample: the good rows of its FOVs, by FOV, cell and frame.

    There are two for each measure: ``{sample}_{feature}_ch_{channel}.csv``, tidy, with the columns
    ``time``, ``fov``, ``cell`` and ``value``; and ``…_wide.csv`` with a row per frame and a column
    per cell. Times are in hours; in the wide one a frame has the mean of its times in all FOVs.

    Raises
    ------
    FovflowError
        If no FOV of the sample has a good cell.
    """
    import pandas as pd

    parts = []
    columns = {measure.column: None for measure in measures}
    for fov, table in source.tables(columns.__contains__):
        if lacking := [column for column in columns if column not in table]:
            source.left_out[fov] = f"not measured: {', '.join(lacking)}"
        elif not table["good"].any():
            source.left_out[fov] = "no good cell"
        else:
            good = table.loc[table["good"], ["cell", "frame", "time_h", *columns]]
            parts.append(good.assign(fov=fov))
    if not parts:
        raise FovflowError(
            f"the sample {source.sample.name} has no good cells",
            found=source.left_out_words() or "no FOVs",
            remedy="look at the flags in the traces, or take the sample out",
        )
    rows = pd.concat(parts, ignore_index=True).rename(columns={"time_h": "time"})
    times = rows.drop_duplicates(["fov", "frame"]).groupby("frame")["time"].mean()
    for measure in measures:
        name = f"{source.sample.name}_{measure.name}"
        tidy = rows.assign(value=rows[measure.column])[["time", "fov", "cell", "value"]]
        write_analysis(folder / f"{name}.csv", tidy, index=False)
        wide = rows.pivot(index="frame", columns=["fov", "cell"], values=measure.column)
        keys = zip(*map(wide.columns.get_level_values, ("fov", "cell")), strict=True)
        names = [f"fov_{fov:03d}_cell_{cell}" for fov, cell in keys]
        wide = wide.set_axis(names, axis=1).set_axis(times.rename("time"))
        write_analysis(folder / f"{name}_wide.csv", wide)


def write_analysis(path: str | Path, table: pd.DataFrame, *, index: bool = True) -> None:
    """Write an analysis CSV whose times are in hours, atomically."""
    with atomic_open(path) as file:
        file.write(f"{TIME_LINE}h\n")
        table.to_csv(file, index=index, lineterminator="\n")


def merge_all(sources: Sequence[Source], paths: Mapping[str, str | Path]) -> None:
    """Write the table of everything, all cells with their verdict, and the table of samples.

    Parameters
    ----------
    sources : sequence of Source
    paths : mapping of str to path-like
        ``csv`` (gzip), ``samples``, and perhaps ``parquet``, which needs pyarrow.
    """
    columns, typed = _columns(sources), _typed(sources)
    counts = {source.sample.name: [0, 0, 0] for source in sources}
    with ExitStack() as stack:
        raw = stack.enter_context(atomic_open(paths["csv"], "wb"))
        packed = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
        text = stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
        parquet = None
        if "parquet" in paths:
            file = stack.enter_context(atomic_open(paths["parquet"], "wb"))
            parquet = stack.enter_context(_Parquet(file, columns, typed))
        text.write(",".join(columns) + "\n")
        for table in _batches(sources, columns, typed, counts):
            shown = table.assign(good=table["good"].map({True: "TRUE", False: "FALSE"}))
            shown.to_csv(text, index=False, header=False, lineterminator="\n")
            if parquet is not None:
                parquet.write(table)
    _write_samples(sources, counts, typed, paths["samples"])


def _columns(sources: Sequence[Source]) -> list[str]:
    """Return the columns of the table of everything, from the headers of all tables."""
    found = dict.fromkeys(
        [*OWN_COLUMNS[:5], *(name for source in sources for name in source.sample.columns),
         *(name for name in OWN_COLUMNS[5:] if name != "time")]
    )  # fmt: skip
    for source in sources:
        headers: dict[str, None] = {}
        for path in source.traces.values():
            with suppress(FovflowError):
                headers |= dict.fromkeys(traces_header(path))
        names = _renamed(headers, source.channels)
        found |= dict.fromkeys(names[name] for name in headers if name != "time")
    return list(found)


def _renamed(columns: Mapping[str, Any] | pd.Index, channels: Mapping[int, str]) -> dict[str, str]:
    """Return for each column its name with the channel's name in place of its index."""
    clean = {index: re.sub(r"\W+", "_", name).strip("_") for index, name in channels.items()}
    names = list(clean.values())
    found = {}
    for column in columns:
        match = _CHANNEL.fullmatch(column)
        name = clean.get(int(match[2]), "") if match else ""
        found[column] = (
            f"{match[1]}_{name}" if match and names.count(name) == 1 and name else column
        )
    return found


def _batches(
    sources: Sequence[Source],
    columns: list[str],
    typed: Mapping[str, Mapping[str, Any]],
    counts: Mapping[str, list[int]],
) -> Iterator[pd.DataFrame]:
    """Yield the rows of all FOVs in tables of some size; count FOVs, cells and good cells."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    for source in sources:
        sample = source.sample
        about = {"dataset": sample.dataset, "sample": sample.name, **typed[source.sample.name]}
        for fov, table in source.tables():
            cells = table.groupby("cell")["good"].any()
            if not cells.any():
                source.left_out[fov] = "no good cell"
            for place, number in enumerate((int(cells.any()), len(cells), int(cells.sum()))):
                counts[source.sample.name][place] += number
            named = table.rename(columns=_renamed(table.columns, source.channels))
            named = named.assign(**about, fov=fov, position=sample.fovs.get(fov, ""))
            waiting.append(named.reindex(columns=columns))
            if sum(map(len, waiting)) >= _BATCH:
                yield pd.concat(waiting, ignore_index=True)
                waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


class _Parquet:
    """The table of everything as Parquet."""

    def __init__(self, file: Any, columns: list[str], typed: Mapping[str, Mapping[str, Any]]):
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {name: pa.string() for name in OWN_COLUMNS[:3]}
        kinds |= {"good": pa.bool_(), "flags": pa.string()}
        for name, value in ((n, v) for about in typed.values() for n, v in about.items()):
            known = {int: pa.int64(), float: pa.float64(), str: pa.string()}
            if value is not None:
                kinds[name] = known[type(value)]
        for name in columns:
            kinds.setdefault(name, pa.int64() if _INTEGERS.fullmatch(name) else pa.float64())
        self._schema = pa.schema([(name, kinds[name]) for name in columns])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._table = pa.Table

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, table: pd.DataFrame) -> None:
        """Write rows; a column of unknown text has no values."""
        import pandas as pd

        numbers = [
            f.name for f in self._schema if f.type == "double" and table[f.name].dtype == object
        ]
        table = table.assign(**{n: pd.to_numeric(table[n], errors="coerce") for n in numbers})
        made = self._table.from_pandas(table, self._schema, preserve_index=False)
        self._writer.write_table(made.replace_schema_metadata(None))


def _typed(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """Return condition, replicate and further columns of each sample.

    A column is numbers where all its texts are, so that ``0`` and ``2.5`` read alike, and text
    where one is not: such as ``007``.
    """
    texts = {
        sample.name: {
            "condition": sample.condition, "replicate": sample.replicate, **sample.columns,
        }
        for sample in (source.sample for source in sources)
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {name: {} for name in texts}
    for column in dict.fromkeys(column for about in texts.values() for column in about):
        given = [text for about in texts.values() if (text := about.get(column, ""))]
        kinds = [kind for kind, p in _NUMBERS.items() if all(map(re.compile(p).fullmatch, given))]
        kind = kinds[0] if kinds and given else str
        for name, about in texts.items():
            text = about.get(column, "")
            found[name][column] = kind(text) if text or kind is str else None
    return found


def _write_samples(
    sources: Sequence[Source],
    counts: Mapping[str, list[int]],
    typed: Mapping[str, Mapping[str, Any]],
    path: str | Path,
) -> None:
    """Write the table of samples: what each is, and what came of it."""
    import pandas as pd

    rows = []
    for source in sources:
        fovs, cells, good = counts[source.sample.name]
        rows.append(
            {
                "sample": source.sample.name,
                "dataset": source.sample.dataset,
                **typed[source.sample.name],
                "fovs": fovs,
                "cells": cells,
                "good_cells": good,
                "left_out": source.left_out_words(),
            }
        )
    with atomic_open(path) as file:
        pd.DataFrame(rows).to_csv(file, index=False, lineterminator="\n")


def _in_words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no column {error.args[0]}"
    return " ".join(str(error).split())
