"""Output folders as runs leave them, made by hand with known numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Seen, chromium

from fovflow.browsing import Channel, numbers_script, pictures_script, shown_frames
from fovflow.layout import Layout
from fovflow.resultsform import results_paths, write_results
from fovflow.stacks import StackReader
from fovflow.tables import read_csv, write_csv

PARAMS = {
    "copy": {"frames": [0, 5, 1], "crop": None},
    "segment": {"arguments": {"method": "logstd", "n_sigma": 4.0, "split": True}, "revision": 1},
    "extract": {"arguments": {}, "qc": {"reject": ["min_frames", "border"], "note": ["gap"]}},
    "browse": {"columns": ["area_um2", "intensity_total_ch_1"], "channels": {1: "GFP"}},
}


def traces(fov: int, cells: int, frames: int, channels: tuple[int, ...] = (1,)) -> dict[str, Any]:
    """Cell c has intensity 100·c + frame; the last cell is bad, at the border."""
    cell = np.repeat(np.arange(1, cells + 1), frames)
    frame = np.tile(np.arange(frames), cells)
    good = cell < max(cells, 2)
    columns: dict[str, Any] = {
        "fov": np.full(cell.size, fov),
        "cell": cell,
        "frame": frame,
        "time": frame * 10.0,
        "good": good,
        "position_x": 4.0 + 3 * cell,
        "position_y": 6.0 + 0 * cell,
        "area_ch_0": np.full(cell.size, 9),
    }
    for channel in channels:
        columns[f"intensity_total_ch_{channel}"] = 100.0 * cell + frame
        columns[f"saturated_fraction_ch_{channel}"] = 0.0 * cell
    columns["area_um2"] = 9.0 * 0.25 + 0.0 * cell
    columns["flags"] = np.where(good, "", "min_frames;border").astype(object)
    return columns


class Folder:
    """An output folder with one dataset, ``plate``, unless another is named."""

    def __init__(self, path: Path):
        self.path = path
        self.layout = Layout(path)

    def add(
        self,
        name: str = "plate",
        *,
        fovs: int = 2,
        cells: int = 3,
        frames: int = 6,
        fl: tuple[int, ...] = (1,),
        names: dict[int, str] | None = None,
        kept: frozenset[str] = frozenset({"pc", "seg_labeled"}),
        statuses: dict[int, dict[str, Any]] | None = None,
        flags: dict[int, str] | None = None,
        problems: tuple[str, ...] = (),
        size: int = 24,
        positions: dict[str, str] | None = None,
    ) -> None:
        """Write a dataset's tables, stacks and results file."""
        found = {i: {"status": "complete"} for i in range(fovs)} | (statuses or {})
        for fov in found:
            self._fov(name, fov, cells, frames, fl, kept, flags or {}, size)
        channels = {"pc": 0, "fl": list(fl), "seg": 0}
        write_results(
            self.layout.results(name),
            {
                "dataset": name,
                "channels": {"pc": 0, "fl": list(fl)},
                "channel_names": names or {0: "Phase", **{c: f"Dye {c}" for c in fl}},
                "time_units": "min",
                "pixel_um": 0.5,
                "frames": {"count": frames, "first": 0, "last": frames - 1, "step": 1},
                "size": {"height": size, "width": size, "dtype": "uint16"},
                "raw": {"format": "nd2"},
                "params": PARAMS,
                "results_paths": {
                    str(f): results_paths(self.layout, name, f, channels, kept) for f in found
                },
                "fovs": {str(f): entry for f, entry in found.items()},
                "problems": list(problems),
                "positions": positions or {},
            },
        )

    def _fov(self, name, fov, cells, frames, fl, kept, flags, size) -> None:
        layout, frame = self.layout, np.arange(frames)
        missing = np.array(["missing" in flags.get(t, "") for t in range(frames)], bool)
        flag = np.array([flags.get(t, "") for t in range(frames)], object)
        write_csv(
            layout.file("times", name, fov),
            {"frame": frame, "time_s": 600.0 * frame, "missing": missing},
        )
        write_csv(
            layout.file("segment_frames", name, fov, 0),
            {"frame": frame, "n_objects": np.where(missing, 0, cells), "flag": flag},
        )
        for channel in fl:
            level = np.where(missing, np.nan, 100.0 + frame)
            write_csv(
                layout.file("correct_frames", name, fov, channel),
                {"frame": frame, "background_level": level, "flag": flag},
            )
        write_csv(layout.file("traces", name, fov), traces(fov, cells, frames, fl))
        image = np.random.default_rng(fov).integers(90, 110, (frames, size, size)).astype(np.uint16)
        labels = np.zeros((frames, size, size), np.uint16)
        for cell in range(1, cells + 1):
            labels[:, 5:8, 3 + 3 * cell : 6 + 3 * cell] = cell
        for kind, stack in (("pc", image), ("seg_labeled", labels)):
            if kind in kept:
                np.save(layout.file(kind, name, fov, 0), stack)

    def let_browse(
        self, name: str = "plate", pictures: int = 3, parents: dict[int, int] | None = None
    ) -> None:
        """Write what the report loads of each FOV, as rule ``browse`` does.

        `parents`: cell -> the cell that it came of.
        """
        for traces_of in sorted(Path(self.layout.dataset(name)).glob("fov_*/*_traces.csv")):
            fov = int(traces_of.parent.name.removeprefix("fov_"))
            table, times = read_csv(traces_of), read_csv(self.layout.file("times", name, fov))
            links = {"cell": table["cell"], "frame": table["frame"]}
            parent = np.array([(parents or {}).get(int(cell), 0) for cell in table["cell"]])
            links |= {"parent": parent, "confidence": 0.9 + 0.0 * table["cell"]}
            write_csv(self.layout.file("tracks", name, fov), links)
            with (
                StackReader(self.layout.file("pc", name, fov, 0)) as images,
                StackReader(self.layout.file("seg_labeled", name, fov, 0)) as labels,
            ):
                frames = shown_frames(range(len(labels)), pictures)
                height, width = labels.shape[1:]
                about = {
                    "time": (times["time_s"] / 60).tolist(), "unit": "min",
                    "missing": np.flatnonzero(times["missing"]).tolist(),
                    "width": width, "height": height, "scale": 1.0, "shown": frames,
                    "pixel_um": 0.5,
                }  # fmt: skip
                columns = PARAMS["browse"]["columns"]
                numbers = numbers_script(name, fov, table, links, columns=columns, about=about)
                channels = [Channel(0, "Phase", "pc", images), Channel(1, "GFP", "fl", images)]
                drawn = pictures_script(name, fov, channels, labels, frames=frames, size_px=768)
            Path(self.layout.file("browse_numbers", name, fov)).write_text(numbers, "utf-8")
            Path(self.layout.file("browse_pictures", name, fov)).write_text(drawn, "utf-8")

    def analyse(self, name: str = "plate") -> None:
        """Write samples of FOV 0 and FOV 1, and made-up fits to the cells of both."""
        place = self.path / "analysis"
        place.mkdir()
        lines = [f"{name},day 1,control,d1,1,4,3,\n", f"{name},<b>drug<∕b>,drug,d2,1,4,3,\n"]
        head = "dataset,sample,condition,replicate,fovs,cells,good_cells,left_out\n"
        (place / "samples.csv").write_text(head + "".join(lines), "utf-8")
        for fov, sample in enumerate(("day 1", "<b>drug<∕b>")):
            stem = f"{sample}_intensity_total_ch_1"
            cells = ",".join(f"fov_00{fov}_cell_{cell}" for cell in (1, 2, 3))
            (place / f"{stem}.csv").write_text("# Time units: min\ntime,fov,cell,value\n", "utf-8")
            (place / f"{stem}_wide.csv").write_text(f"# Time units: min\ntime,{cells}\n", "utf-8")
            ends = ",".join(f"{p},{p}_se,{p}_low,{p}_high" for p in ("G0", "beta", "offset"))
            rows = [
                f"{fov},{cell},decay,{'FALSE' if cell == 3 else 'TRUE'},0.99,{100 * cell},1,"
                f"{90 * cell},{110 * cell},0.5,0.1,0.4,0.6,10,0,10,10,"
                f"{'bound hit: beta <b>' if cell == 3 else 'ok'}\n"
                for cell in (1, 2, 3)
            ]
            head = f"fov,cell,model_type,success,r_squared,{ends},verdict\n"
            (place / f"{stem}_fitted_decay.csv").write_text(head + "".join(rows), "utf-8")

    def write(self, **options: Any) -> str:
        """Write the report; return its text."""
        from fovflow.report import write_report

        page = self.path / "report.html"
        write_report(page, self.path, **options)
        return page.read_text(encoding="utf-8")


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[str], Folder]:
    """Make an empty output folder of that name."""

    def make(name: str = "results") -> Folder:
        path = tmp_path / name
        path.mkdir(parents=True)
        return Folder(path)

    return make


@pytest.fixture
def folder(make_folder) -> Folder:
    """An empty output folder."""
    return make_folder("results")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser) -> Iterator[Callable[..., Seen]]:
    """Opens a page; nothing may have gone wrong in it when the test ends."""
    pages: list[Seen] = []

    def open_page(path: Path, **options: object) -> Seen:
        pages.append(Seen(browser, path, **options))
        return pages[-1]

    yield open_page
    for each in pages:
        each.context.close()
    assert [each.wrong for each in pages] == [[] for _ in pages]


@pytest.fixture
def seen(opened, folder) -> Seen:
    """A report of two FOVs with four cells each, of which the last is not good."""
    folder.add(fovs=2, cells=4, frames=6, size=64)
    folder.let_browse()
    folder.write()
    return opened(folder.path / "report.html", viewport={"width": 1400, "height": 900})
