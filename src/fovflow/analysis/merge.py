"""Tables of samples: one per sample, feature and channel, and one of everything."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fovflow.analysis.reading import write_table
from fovflow.analysis.samples import Sample
from fovflow.atomic import atomic_open
from fovflow.config.analysis import OWN_COLUMNS
from fovflow.errors import ConfigError, FovflowError
from fovflow.results import Traces, read_traces, traces_header
from fovflow.tables import KINDS
from fovflow.units import SECONDS_PER, format_fovs

if TYPE_CHECKING:
    import pandas as pd

_CHANNEL = re.compile(r"(.+)_ch_(\d+)")
_HEAD = "# Time units: h\n"


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
    """What a sample is merged from.

    `traces`: tables, or people's verdicts on them, by FOV. `time_units`: unit of their times.
    `channels`: names by index. `left_out`: FOVs that gave nothing, and why; reading adds to it.
    """

    sample: Sample
    traces: Mapping[int, Traces]
    time_units: str
    channels: Mapping[int, str] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)

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
                what = f"no column {error}" if isinstance(error, KeyError) else str(error)
                self.left_out[fov] = f"unreadable traces: {' '.join(what.split())}"
                continue
            found.setdefault("good", np.ones(cells.size, bool))
            if "frame" not in found:
                found["frame"] = _frames(found["time"])
            table = pd.DataFrame(found)
            table["good"] = table["good"].astype(bool)
            if table.empty:
                self.left_out[fov] = "no cells"
            elif table.duplicated(["cell", "frame"]).any():
                self.left_out[fov] = "two rows of one cell and frame"
            else:
                if not table["good"].any():
                    self.left_out[fov] = "no good cell"
                yield fov, table.sort_values(["cell", "frame"], kind="stable")

    def header(self) -> list[str]:
        """Return the columns of all tables."""
        columns: dict[str, None] = {}
        for path in self.traces.values():
            with suppress(FovflowError):
                columns |= dict.fromkeys(traces_header(path))
        return list(columns)

    def left_out_words(self) -> str:
        """Return in words which FOVs gave nothing and why."""
        if self.sample.problem:
            return self.sample.problem
        reasons: dict[str, list[int]] = {}
        for fov, reason in sorted({**self.sample.left_out, **self.left_out}.items()):
            reasons.setdefault(reason, []).append(fov)
        return "; ".join(f"{format_fovs(fovs)}: {reason}" for reason, fovs in reasons.items())


def _frames(time: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the frame of each row of a table that does not tell it.

    Where times lie on a grid, a frame is a place on it, so that an FOV whose cells come later is
    not taken for one that began later; else times count from the first.
    """
    times, place = np.unique(time, return_inverse=True)
    if times.size > 1 and np.isfinite(times).all():
        on_grid = np.floor(times / np.diff(times).min() + 0.5)
        if np.unique(on_grid).size == times.size:
            return np.asarray(on_grid[place], np.int64)
    return np.asarray(place, np.int64)


def merge_sample(source: Source, measures: Sequence[Measure], folder: Path) -> None:
    """Write the tables of one sample: the good rows of its FOVs, by FOV, cell and frame.

    There are two for each measure: ``{sample}_{feature}_ch_{channel}.csv``, tidy, with the columns
    ``time``, ``fov``, ``cell`` and ``value``; and ``…_wide.csv`` with a row per frame and a column
    per cell. Times are in hours; in the wide one a frame has the mean of its times in all FOVs.

    Raises FovflowError if no FOV of the sample has a good cell.
    """
    import pandas as pd

    parts = []
    columns = {measure.column: None for measure in measures}
    for fov, table in source.tables(columns.__contains__):
        if lacking := [column for column in columns if column not in table]:
            source.left_out[fov] = f"not measured: {', '.join(lacking)}"
        elif table["good"].any():
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
        write_table(folder / f"{name}.csv", tidy, _HEAD)
        wide = rows.pivot(index="frame", columns=["fov", "cell"], values=measure.column)
        keys = zip(*map(wide.columns.get_level_values, ("fov", "cell")), strict=True)
        wide = wide.set_axis([f"fov_{fov:03d}_cell_{cell}" for fov, cell in keys], axis=1)
        wide = wide.set_axis(times.rename("time"))
        write_table(folder / f"{name}_wide.csv", wide, _HEAD, index=True)


def everything_in(folder: str | Path) -> dict[str, str]:
    """Return the files of `merge_all`; the one in Parquet where pyarrow is installed."""
    names = {"csv": "traces.csv.gz", "samples": "samples.csv"}
    names |= {"parquet": "traces.parquet"} if find_spec("pyarrow") else {}
    return {key: f"{folder}/{name}" for key, name in names.items()}


def merge_all(sources: Sequence[Source], folder: str | Path) -> None:
    """Write the table of everything, all cells with their verdict, and the table of samples."""
    import pandas as pd

    files, about = everything_in(folder), _about(sources)
    columns = [*about.columns, *(name for name in OWN_COLUMNS[5:] if name != "time")]
    columns.insert(1, "position")
    for source in sources:
        found = source.header()
        names = _renamed(found, source.channels)
        columns += (measured := [names[name] for name in found if name != "time"])
        if twice := sorted({*about.columns[4:].astype(str)}.intersection(measured)):
            raise ConfigError(
                f"a column of the samples is called as one of the traces: {', '.join(twice)}",
                remedy="give it another name in the table of samples",
            )
    columns = list(dict.fromkeys(columns))
    counts = about[["sample"]].assign(fovs=0, cells=0, good_cells=0)
    with ExitStack() as stack:
        raw = stack.enter_context(atomic_open(files["csv"], "wb"))
        packed = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
        text = stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
        pd.DataFrame(columns=columns).to_csv(text, index=False, lineterminator="\n")
        for i, source in enumerate(sources):
            for fov, table in source.tables():
                cells = table.groupby("cell")["good"].any()
                counts.iloc[i, 1:] += [int(cells.any()), len(cells), int(cells.sum())]
                table["good"] = np.where(table["good"], "TRUE", "FALSE")
                others = [n for n in table if table[n].dtype == object and n not in OWN_COLUMNS]
                named = table.drop(columns=others).rename(columns=_renamed(table, source.channels))
                position = source.sample.fovs.get(fov, "")
                named = named.assign(
                    **dict(zip(map(str, about), about.iloc[i], strict=True)),
                    fov=fov,
                    position=position,
                )
                named = named.reindex(columns=columns)
                named.to_csv(text, index=False, header=False, lineterminator="\n")
    if "parquet" in files:
        _write_parquet(files["csv"], files["parquet"], columns, about)
    left_out = [source.left_out_words() for source in sources]
    table = pd.concat([about, counts.drop(columns="sample")], axis=1).assign(left_out=left_out)
    write_table(files["samples"], table.set_index("sample"), index=True)


def _about(sources: Sequence[Source]) -> pd.DataFrame:
    """Return what each sample is, one row each.

    A column is numbers where all its texts are, so that ``0`` and ``2.5`` read alike; ``007``
    stays text.
    """
    import pandas as pd

    table = pd.DataFrame(
        {"dataset": s.dataset, "sample": s.name, "condition": s.condition,
         "replicate": s.replicate, **s.columns}
        for s in (source.sample for source in sources)
    ).fillna("")  # fmt: skip
    for name in table.columns[2:]:
        numbers, given = pd.to_numeric(table[name], errors="coerce"), table[name] != ""
        if given.any() and not (numbers.isna() & given | table[name].str.match(r"-?0\d")).any():
            table[name] = numbers
    return table


def _renamed(columns: Iterable[Any], channels: Mapping[int, str]) -> dict[str, str]:
    """Return for each column its name with the channel's name in place of its index.

    A channel whose own name looks like an index, such as ``ch 1``, keeps its index.
    """
    clean = {index: re.sub(r"\W+", "_", name).strip("_") for index, name in channels.items()}
    clean = {i: name for i, name in clean.items() if not re.fullmatch(r"ch_\d+", name)}
    names = list(clean.values())
    found = {}
    for column in columns:
        match = _CHANNEL.fullmatch(column)
        name = clean.get(int(match[2]), "") if match else ""
        found[column] = (
            f"{match[1]}_{name}" if match and name and names.count(name) == 1 else column
        )
    return found


def _write_parquet(csv: str, path: str, columns: Sequence[str], about: pd.DataFrame) -> None:
    """Write the table of everything as Parquet, from its CSV."""
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, open_csv
    from pyarrow.parquet import ParquetWriter

    types = dict.fromkeys(columns, pa.float64())
    types |= {n: {"i": pa.int64(), "f": pa.float64()}.get(about[n].dtype.kind, pa.string())
              for n in about}  # fmt: skip
    own = [name for name in columns if name not in about]
    types |= {n: pa.int64() for n in own if KINDS.get(n) is int or n.startswith("bbox_")}
    types |= {"position": pa.string(), "flags": pa.string(), "good": pa.bool_()}
    options = ConvertOptions(column_types=types, strings_can_be_null=False)
    with open_csv(csv, convert_options=options) as reader, atomic_open(path, "wb") as file:  # noqa: SIM117
        with ParquetWriter(file, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
