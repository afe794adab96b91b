"""What was made of a dataset, read FOV by FOV; `fovflow.resultsform` is the file that tells it."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fovflow.errors import FovflowError
from fovflow.jobrecord import reads_others
from fovflow.layout import (
    ANALYSIS,
    ANSWER_RECORD,
    EVERYTHING_RECORD,
    RESULTS_NAME,
    fit_record,
    fov_name,
    inspected,
    merge_record,
    parse,
    parse_table,
)
from fovflow.records import leads_out, read_yaml
from fovflow.resultsform import checked, discover, entries, in_our_form
from fovflow.stacks import StackReader
from fovflow.stages import FILES, STACKS, position
from fovflow.states import seg_of_folder, states_of_folder
from fovflow.tables import read_header
from fovflow.units import SECONDS_PER, TimeUnit
from fovflow.verdicts import find_verdicts, judged, read_verdicts, traces_of
from fovflow.verdicts import read_traces as read_judged

if TYPE_CHECKING:
    from fovflow.corrected import CorrectedFrames


@dataclass(frozen=True, slots=True, repr=False)
class FovResult:
    """The files of one FOV. Nothing is opened before it is asked for, and it can be pickled."""

    index: int
    """Its position in the raw file, from 0."""
    status: str
    """``complete``, ``failed``, ``outdated``, ``incomplete``, or ``unknown`` where no results file
    tells."""
    step: str = ""
    """Where it failed."""
    error: str = ""
    """Why it failed."""
    stacks: dict[str, dict[int, Path]] = field(default_factory=dict)
    """Existing stacks by kind (``pc``, ``fl``, ``seg``, ``fl_corrected``, ``seg_labeled``) and
    channel."""
    backgrounds: dict[int, Path] = field(default_factory=dict)
    """Models of the background by channel: `stack` and `reader` make corrected frames of them again
    where the stack of these is not kept and that of ``fl`` is."""
    traces_path: Path | None = None
    """The traces; a person's verdicts (``…_inspected.csv``) on them take precedence."""
    channel_traces: dict[int, Path] = field(default_factory=dict)
    """The tables of traces by channel, where another program has written one for each."""
    dataset: str = ""
    """Name of the dataset."""
    path: Path = Path()
    """The FOV's folder."""
    outputs: dict[str, dict[str, Path]] = field(default_factory=dict)
    """Existing outputs of user steps, by step and name."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the dataset: ``channels``, ``channel_names``, ``time_units``, ``pixel_um``,
    ``frames``, ``size``, ``seg`` (the channel in which cells are found), …."""
    selected: bool = True
    """False of an FOV that the last run was not asked for, and that was complete already."""
    stale_verdicts: str = ""
    """Why a person's verdicts beside the traces are not used; empty where they are, or there are
    none."""

    def __repr__(self) -> str:
        why = f" at {self.step}" if self.step else ""
        return f"<FovResult {self.name!r}: {self.status}{why}>"

    @property
    def name(self) -> str:
        """The FOV in words: ``plate1/fov_003``."""
        return f"{self.dataset}/fov_{fov_name(self.index)}"

    @property
    def to_draw(self) -> list[Path]:
        """The stack to draw on and that of the cells; empty where either is not there."""
        found = [
            next((path for kind in kinds for path in self.stacks.get(kind, {}).values()), None)
            for kinds in (("pc", "fl"), ("seg_labeled", "seg"))
        ]
        return [path for path in found if path] if all(found) else []

    @property
    def position(self) -> str:
        """Name of its position, such as that of a well; empty where there is none."""
        return str((self.metadata.get("positions") or {}).get(str(self.index), ""))

    def stack(self, kind: str, channel: int | None = None) -> Any:
        """Open a stack as a read-only memory map of shape (T, Y, X).

        `channel` is needed where there are several. Corrected frames that are not kept are made
        again when they are asked for: what is returned then is a `CorrectedFrames`, which takes
        indices as an array does.
        """
        channels = self._files(kind)
        file = _only(channels, channel)
        if file is None:
            raise FovflowError(
                f"FOV {self.index} has no stack {kind!r} of channel {channel}",
                found=", ".join(f"{k} {c}" for k, cs in self.stacks.items() for c in cs) or "none",
                remedy="name one of these; stacks that `keep` leaves out are removed after a run, "
                "and a user step is given only those that its `inputs` name",
            )
        if file in self.backgrounds.values():
            return self.reader(kind, next(iter(channels)) if channel is None else channel)
        return np.load(file, mmap_mode="r", allow_pickle=False)

    def _files(self, kind: str) -> dict[int, Path]:
        """Return the files of a kind of stack by channel, or what its frames are made of."""
        files = self.stacks.get(kind, {})
        if kind == "fl_corrected" and not files:
            raw = self.stacks.get("fl", {})
            return {c: path for c, path in self.backgrounds.items() if c in raw}
        return files

    def channels_of(self, kind: str) -> list[int]:
        """Return the channels of which there is a stack, or one whose frames are made again."""
        return list(self._files(kind))

    def reader(self, kind: str, channel: int) -> StackReader | CorrectedFrames:
        """Open a stack to read it frame by frame; it is to be closed."""
        file = self._files(kind)[channel]
        if file not in self.backgrounds.values():
            return StackReader(file)
        from fovflow.corrected import CorrectedFrames

        return CorrectedFrames(file, self.stacks["fl"][channel])

    @property
    def outdated(self) -> str:
        """Why the traces are not those that the last run wanted; empty where they are, or none."""
        before = (
            self.status in ("outdated", "failed") and self.step and self.traces_path is not None
        )
        if not before or position(self.step) > position("extract"):
            return ""
        return f"the traces are outdated, from step {self.step} on: run the pipeline again"

    def traces(self) -> Any:
        """Return the traces as a pandas.DataFrame; see `fovflow.features` for the columns.

        Verdicts of a person on these traces count. Those of other traces do not: it is warned of
        them, and of traces that are outdated.
        """
        import pandas as pd

        if self.traces_path is None:
            raise FovflowError(
                f"FOV {self.index} has no traces",
                found=f"status {self.status} {self.error}".rstrip(),
                remedy="run the pipeline again",
            )
        told = [f"a person's verdicts are not used: {self.stale_verdicts}"]
        for text in told * bool(self.stale_verdicts) + [self.outdated] * bool(self.outdated):
            warnings.warn(f"{self.name}: {text}", stacklevel=2)
        table = traces_of(self.traces_path)
        found = pd.read_csv(table)
        if table == self.traces_path:
            return found
        columns = {str(name): found[name].to_numpy() for name in found}
        joined = judged(columns, read_verdicts(self.traces_path))
        return pd.DataFrame(joined).replace({"flags": {"": float("nan")}})

    @property
    def time_units(self) -> TimeUnit:
        """Unit of the times of traces; FovflowError where it is not known."""
        unit = self.metadata.get("time_units")
        if unit not in SECONDS_PER:
            raise FovflowError(
                f"{self.name}: the unit of its times is not known",
                found=f"time_units {unit!r}",
                remedy=f"let processing_results.yaml name one of {', '.join(SECONDS_PER)}",
            )
        known: TimeUnit = unit
        return known

    def times(self) -> Any:
        """Return the frames' times as a pandas.DataFrame: ``frame``, ``time_s``, ``missing``, …."""
        return self.table("times")

    def tracks(self) -> Any:
        """Return the links between detections as a pandas.DataFrame."""
        return self.table("tracks")

    def cells(self) -> Any:
        """Return the cells as a pandas.DataFrame, one row each; see `fovflow.features.cell_table`.

        It is made of the traces, with a person's verdicts where there are any, and of the links,
        where there are any: without them no parents are known, and motion is not freed of drift.
        """
        import pandas as pd

        from fovflow.features import cell_table

        try:
            links = self.tracks()
        except FovflowError:  # results of another program
            links = None
        size = self.metadata.get("size")
        table = cell_table(
            self.traces(),
            shape=(size["height"], size["width"]) if size else None,
            pixel_um=self.metadata.get("pixel_um"),
            time_units=self.time_units,
            links=links,
        )
        return pd.DataFrame(table)

    def output(self, step: str, name: str | None = None) -> Path:
        """Return the path of a user step's output; `name` is needed where there are several."""
        file = _only(self.outputs.get(step, {}), name)
        if file is None:
            found = ", ".join(f"{s}/{n}" for s, names in self.outputs.items() for n in names)
            raise FovflowError(
                f"FOV {self.index} has no output {name} of a step {step!r}",
                found=found or "none",
                remedy="name one of these; a user step is given only those that its `inputs` name",
            )
        return file

    def table(self, kind: str) -> Any:
        """Return the one table of that kind, such as ``tracks``, as a pandas.DataFrame."""
        import pandas as pd

        name = Path(FILES[kind].path).name if kind in FILES else kind
        name = name.format(dataset="*", fov=fov_name(self.index), channel="*")
        tables = {path: found for path in self.path.glob(name) if (found := parse(path.name))}
        seg = str(self.metadata.get("seg")) if kind in FILES and FILES[kind].role == "seg" else ""
        if tables:
            return pd.read_csv(min(tables, key=lambda path: (tables[path].channel != seg, path)))
        raise FovflowError(
            f"FOV {self.index} has no table of {kind}",
            found=f"no file …_{kind}.csv in {self.path}",
            remedy="run the pipeline again",
        )


def _only(files: Mapping[Any, Path], key: Any) -> Path | None:
    """Return the file that is meant: that of the key, or without one the only one."""
    return next(iter(files.values())) if key is None and len(files) == 1 else files.get(key)


_LEADING = ("fov", "cell", "frame", "time", "good", "flags", "position_x", "position_y",
            "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1")  # fmt: skip
"""Columns of traces that belong to no channel."""

_NOT_METADATA = frozenset(
    {"results_paths", "fovs", "counts", "pixels", "problems", "findings", "not_selected"}
    | {"output_dir", "corrections_not_followed"}
)


@dataclass(frozen=True, slots=True, repr=False)
class Results:
    """A dataset's results; see `load_results`."""

    folder: Path
    """The dataset's folder."""
    dataset: str
    """Its name."""
    channels: dict[str, Any]
    """``pc`` index, ``fl`` indices."""
    time_units: str
    """Unit of times in tables."""
    fovs: dict[int, FovResult]
    """What there is of each FOV, by index."""
    missing: tuple[Path, ...]
    """Files that the results file names and that are not there."""
    content: dict[str, Any]
    """The whole results file."""
    skipped: tuple[str, ...] = ()
    """What another program's results file lists and cannot be read, a sentence each."""

    def __repr__(self) -> str:
        complete = sum(fov.status == "complete" for fov in self.fovs.values())
        of = f"{complete} of {len(self.fovs)} FOVs complete"
        return f"<Results {self.dataset!r}: {of}, in {str(self.folder)!r}>"

    def _repr_html_(self) -> str:
        from fovflow.notebook import results_card

        return results_card(self)

    def traces(self) -> Any:
        """Return the traces of all FOVs that have any, as one pandas.DataFrame."""
        import pandas as pd

        text = "is left out: its traces are not in the folder, or a link leads out of it"
        for fov in self.fovs.values():
            if fov.status == "complete" and fov.traces_path is None:
                warnings.warn(f"{fov.name} {text}", stacklevel=2)
        tables = [fov.traces() for fov in self.fovs.values() if fov.traces_path is not None]
        tables = [table for table in tables if len(table)] or tables[:1]
        if not tables:
            return pd.DataFrame()
        return pd.concat(tables, ignore_index=True)

    def cells(self) -> Any:
        """Return the cells of all FOVs that have traces, as one pandas.DataFrame."""
        import pandas as pd

        tables = [fov.cells() for fov in self.fovs.values() if fov.traces_path is not None]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    @property
    def samples(self) -> Any:
        """The dataset's samples and what came of them, as a pandas.DataFrame; empty without any."""
        return self._own(self._analysed("samples.csv"))

    def merged(self) -> Any:
        """Return the rows of the dataset in the table of all samples, as a pandas.DataFrame.

        Empty where it was made of other traces than there are now.
        """
        import pandas as pd

        stale = reads_others(self.folder.parent, EVERYTHING_RECORD)
        return pd.DataFrame() if stale else self._own(self._analysed("traces.csv.gz"))

    @property
    def fits(self) -> Any:
        """The fits to the dataset's samples, one row per cell, as a pandas.DataFrame.

        Columns ``sample``, ``condition``, ``replicate``, ``feature`` and ``channel`` come first.
        """
        import pandas as pd

        about = self._analysed("samples.csv")
        own, tables = {*self.samples.get("sample", ())}, []
        outdir = self.folder.parent
        old = {name for name in own if reads_others(outdir, merge_record(name))}
        for path in sorted((outdir / ANALYSIS).glob("*_ch_*_fitted_*.csv")):
            name, measure, model = parse_table(path.stem, about.get("sample", ())) or ("", "", "")
            if name not in own - old or not model:
                continue
            if not reads_others(outdir, fit_record(name, measure)):
                row = about[about["sample"] == name].iloc[0]
                table = pd.read_csv(path)
                for key in ("replicate", "condition", "sample"):
                    table.insert(0, key, row[key])
                feature, _, channel = measure.rpartition("_ch_")
                table.insert(3, "feature", feature)
                table.insert(4, "channel", int(channel))
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    @property
    def comparisons(self) -> Any:
        """The comparisons of the conditions of all samples, as a pandas.DataFrame.

        Empty where they were made of other tables, or these of other traces, than there are now.
        """
        import pandas as pd

        names = self._analysed("samples.csv").get("sample", ())
        stale = reads_others(self.folder.parent, ANSWER_RECORD, *map(merge_record, names))
        name = "comparisons.csv"
        return pd.DataFrame() if stale else self._analysed(name, "condition", "reference")

    def _analysed(self, name: str, *texts: str) -> Any:
        """Return a table of the analysis; names are text, whatever they look like."""
        import pandas as pd

        path = self.folder.parent / ANALYSIS / name
        if not path.exists():
            return pd.DataFrame()
        kinds = dict.fromkeys(("dataset", "sample", "flags", *texts), str)
        return pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])

    def _own(self, table: Any) -> Any:
        return (
            table[table["dataset"] == self.dataset].reset_index(drop=True) if len(table) else table
        )


def load_results(folder: str | os.PathLike[str]) -> Results:
    """Read a dataset's results, also after its folder was moved or copied.

    Parameters
    ----------
    folder : path-like
        The dataset's folder, its ``processing_results.yaml``, or an output folder that holds a
        single dataset. Without a results file the FOVs are discovered from ``fov_*`` folders.

    Raises
    ------
    FovflowError
        If there are no results, or those of several datasets.

    Examples
    --------
    >>> results = fovflow.load_results("results/plate1")  # doctest: +SKIP
    >>> results.traces().query("good").groupby("cell").size()  # doctest: +SKIP
    """
    inside = _find_datasets(Path(folder).expanduser())
    if len(inside) != 1:
        raise FovflowError(
            f"{folder} holds several datasets",
            found=", ".join(path.name for path in inside),
            remedy="give one dataset's folder",
        )
    return _load_dataset(inside[0])


def load_datasets(folder: str | os.PathLike[str]) -> dict[str, Results]:
    """Read the results of every dataset of an output folder, by name; copies by their folders'.

    Raises FovflowError if there are no results.
    """
    found = [_load_dataset(place) for place in _find_datasets(Path(folder))]
    names = Counter(results.dataset for results in found)
    return {r.dataset if names[r.dataset] == 1 else r.folder.name: r for r in found}


def _load_dataset(place: Path) -> Results:
    file = place / RESULTS_NAME
    there = file.exists()
    skipped: list[str] = []
    content = (
        checked(in_our_form(read_yaml(file), file, skipped), file) if there else discover(place)
    )
    for text in skipped:
        warnings.warn(f"{file}: {text}", stacklevel=3)
    missing: list[Path] = []
    metadata: dict[str, Any] = {"dataset": place.name, "seg": seg_of_folder(place)}
    metadata |= {key: value for key, value in content.items() if key not in _NOT_METADATA}
    states = {str(fov): state for fov, state in states_of_folder(place).items()}
    states = {**(content.get("fovs") or {}), **states}
    content = {**content, "fovs": states, "seg": metadata["seg"]}
    keys = sorted({*content["results_paths"], *states}, key=int)
    return Results(
        folder=place,
        dataset=str(metadata["dataset"]),
        channels=dict(content.get("channels") or {}),
        time_units=str(content.get("time_units", "")),
        fovs={int(key): _fov_result(place, key, content, metadata, missing) for key in keys},
        missing=tuple(missing),
        content=content,
        skipped=tuple(skipped),
    )


def _find_datasets(folder: Path) -> list[Path]:
    if folder.name == RESULTS_NAME:
        return [folder.parent]
    if not folder.is_dir():
        raise FovflowError(f"there is no folder {folder}", remedy="give a dataset's result folder")
    found = [folder] if _is_dataset(folder) else sorted(filter(_is_dataset, folder.iterdir()))
    if not found:
        raise FovflowError(
            f"{folder} holds no results",
            found="no fov_* folders",
            remedy="give one dataset's folder",
        )
    return found


def _is_dataset(folder: Path) -> bool:
    return (folder / RESULTS_NAME).exists() or any(folder.glob("fov_*"))


def _fov_result(
    place: Path,
    key: str,
    content: Mapping[str, Any],
    metadata: Mapping[str, Any],
    missing: list[Path],
) -> FovResult:
    index = int(key)
    status = content["fovs"].get(key) or {"status": "unknown"}
    paths = content["results_paths"].get(key) or {}
    stacks: dict[str, dict[int, Path]] = {}
    for kind in STACKS:
        for channel, name in entries(paths, kind, place / RESULTS_NAME, key):
            found = _locate(place, name, missing)
            if found:
                stacks.setdefault(kind, {})[channel] = found
    folder = place / f"fov_{fov_name(index)}"
    named = FILES["fl_background"].path.rpartition("/")[2]
    about = {"dataset": metadata["dataset"], "fov": fov_name(index)}
    models = {c: folder / named.format(channel=c, **about) for c in stacks.get("fl", {})}
    listed = entries(paths, "traces", place / RESULTS_NAME, key)
    tables = {channel: path for channel, n in listed if (path := _locate(place, n, missing))}
    traces = next(iter(tables.values()), None)
    verdicts, stale = find_verdicts(traces) if traces else (None, "")
    outputs = {
        step: {
            str(n): path
            for n, rel in (files or {}).items()
            if rel and (path := _locate(place, rel, missing))
        }
        for step, files in (paths.get("steps") or {}).items()
    }
    return FovResult(
        index=index,
        status=str(status.get("status", "unknown")),
        step=str(status.get("step", "")),
        error=str(status.get("error", "")),
        stacks=stacks,
        backgrounds={channel: path for channel, path in models.items() if path.is_file()},
        traces_path=verdicts if verdicts and not stale else traces,
        dataset=str(metadata["dataset"]),
        channel_traces=tables if len({*tables.values()}) > 1 else {},
        path=folder,
        outputs=outputs,
        metadata=metadata,
        selected=index not in (content.get("not_selected") or ()),
        stale_verdicts=stale,
    )


def traces_or_verdicts(traces: Path) -> Path:
    """Return a person's verdicts on traces where there are any, else the traces.

    Whether they are of these traces is seen when they are read.
    """
    verdicts = Path(inspected(str(traces)))
    return verdicts if verdicts.exists() else traces


Traces = Path | Mapping[int, Path]
"""A table of traces, or one for each channel by its index, as another program writes them."""


def read_traces(
    traces: Traces, columns: Callable[[str], bool] = lambda _: True
) -> dict[str, NDArray[Any]]:
    """Read traces, with a person's verdicts where these are of them.

    Features of tables by channel have the channel in their names, as ours have.

    `columns`: tells by its name whether a column is wanted.
    """
    if not isinstance(traces, Path):
        return _joined({channel: read_traces(path) for channel, path in traces.items()})
    return read_judged(traces, columns=lambda n: n in ("cell", "frame", "good") or columns(n))


def _joined(tables: Mapping[int, dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return tables by channel as one; it has the rows of the first."""
    found: dict[str, NDArray[Any]] = {}
    rows: list[tuple[int, int]] = []
    for channel, table in tables.items():
        keys = [*zip(*(table[key].tolist() for key in ("cell", "frame")), strict=True)]
        if not found:
            rows, found = keys, {name: table[name] for name in table if name in _LEADING}
        where = {key: i for i, key in enumerate(keys)}
        order = [where.get(key, -1) for key in rows]
        for name in [name for name in table if name not in _LEADING]:
            values = np.append(table[name].astype(np.float64), np.nan)
            column = name if re.search(r"_ch_\d+$", name) else f"{name}_ch_{channel}"
            found[column] = values[order]
    return found


def traces_header(traces: Traces) -> list[str]:
    """Return the columns of traces, or of a person's verdicts and the traces that they are on."""
    if not isinstance(traces, Path):
        return list(read_traces(traces))
    own = traces_of(traces)
    judged_columns = [] if find_verdicts(own)[1] else read_header(traces)
    return list(dict.fromkeys([*read_header(own), *judged_columns]))


def _locate(place: Path, name: str, missing: list[Path]) -> Path | None:
    """Find a file by its last two parts below the folder; note it where it is missing."""
    last = "/".join(PureWindowsPath(name).parts[-2:])  # both kinds of separators
    path = place / last
    if not leads_out(place, last) and path.exists():
        return path
    missing.append(path)
    return None
