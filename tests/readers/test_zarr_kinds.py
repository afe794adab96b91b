"""OME-Zarr folders as they are found: names of axes, versions, scales, several folders."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import fovflow
from fovflow import FovflowError
from fovflow.simulation.containers import write_ome_zarr

KINDS = {"t": "time", "time": "time", "frame": "time", "c": "channel", "wavelength": "channel"}
UNITS = {"time": "minute", "space": "micrometer"}


def axes(*names: str) -> list[dict[str, str]]:
    found = []
    for name in names:
        kind = KINDS.get(name, "space")
        found.append(
            {"name": name, "type": kind} | ({"unit": UNITS[kind]} if kind in UNITS else {})
        )
    return found


def write(
    path: Path, names: Any, scale: list[float] | None = None, version: str = "0.4", base: int = 0
) -> Path:
    """Write an image of 3 frames and 2 channels; the value of a plane is base + 2 t + c."""
    n = 5 if names is None else len(names)
    shape = (3, 2, *(1,) * (n - 4), 24, 32)
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    array = group.create_array("0", shape=shape, chunks=(1,) * (n - 2) + shape[-2:], dtype="u2")
    values = base + np.arange(6, dtype=np.uint16).reshape(3, 2, *(1,) * (n - 2))
    array[:] = np.broadcast_to(values, shape)
    data: dict[str, Any] = {"path": "0"}
    if scale is not None:
        data["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    image: dict[str, Any] = {"version": version, "datasets": [data]}
    if names is not None:
        image["axes"] = names
    group.attrs.update({"multiscales": [image]})
    return path


@pytest.mark.parametrize(
    "names",
    [("t", "c", "y", "x"), ("time", "wavelength", "row", "column"), ("frame", "c", "y", "x")],
)
def test_axes_are_told_by_their_type(tmp_path: Path, names: tuple[str, ...]) -> None:
    with fovflow.open_raw(write(tmp_path / "a.zarr", axes(*names), [5, 1, 0.65, 0.65])) as raw:
        assert (raw.info.n_frames, len(raw.info.channels), raw.info.pixel_um) == (3, 2, 0.65)
        assert raw.times(0).seconds.tolist() == [0, 300, 600]
        assert int(raw.read(0, 2, 1)[0, 0]) == 5


@pytest.mark.parametrize("broken", [False, True])
def test_the_finest_level_is_read_wherever_it_stands(tmp_path: Path, broken: bool) -> None:
    path = write(tmp_path / "a.zarr", axes("t", "c", "y", "x"), [5, 1, 0.65, 0.65])
    group = zarr.open_group(str(path), zarr_format=2)
    group.create_array("s", shape=(3, 2, 12, 16), chunks=(1, 1, 12, 16), dtype="u2")[:] = 9
    small = {"path": "s", "coordinateTransformations": [{"type": "scale", "scale": [5, 1, 2, 2]}]}
    image = dict(group.attrs["multiscales"][0])
    image["datasets"] = [small, *([{"path": "gone"}] * broken), *image["datasets"]]
    group.attrs["multiscales"] = [image]
    with fovflow.open_raw(path) as raw:
        assert (raw.info.width, raw.info.pixel_um, int(raw.read(0, 2, 1)[0, 0])) == (32, 0.65, 5)


@pytest.mark.parametrize(
    "names", [("t", "c", "x", "y"), ("t", "angle", "y", "x"), ("t", "t", "y", "x"), ("t", "y", "x")]
)
def test_axes_that_are_not_understood(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = write(tmp_path / "a.zarr", axes(*names) + axes("x") * (4 - len(names)))
    if len(names) == 4 and names[1] == "angle":
        path = write(tmp_path / "b.zarr", [{"name": "angle"}, *axes("c", "y", "x")])
    with pytest.raises(FovflowError, match="not understood"):
        fovflow.open_raw(path)


@pytest.mark.parametrize("scale", [None, [5, 1, 1, 0.65, 0.65], [5, 1]])
def test_scales_that_are_not_there_are_unknown(tmp_path: Path, scale: list[float] | None) -> None:
    with fovflow.open_raw(write(tmp_path / "a.zarr", axes("t", "c", "y", "x"), scale)) as raw:
        assert (raw.info.pixel_um, raw.info.time_source) == (None, "unknown")
        assert any("announced" in text for text in raw.info.warnings) is False


@pytest.mark.parametrize(("version", "names"), [("0.1", None), ("0.2", None), ("0.3", [*"tczyx"])])
def test_versions_before_the_axes_had_types(tmp_path: Path, version: str, names: Any) -> None:
    with fovflow.open_raw(write(tmp_path / "a.zarr", names, None, version)) as raw:
        assert (raw.info.n_frames, len(raw.info.channels), raw.info.n_z) == (3, 2, 1)
        assert raw.info.pixel_um is None
        assert int(raw.read(0, 2, 1)[0, 0]) == 5


@pytest.mark.parametrize("version", ["0.6", "0.6-dev1", "1.0"])
def test_later_versions_are_named(tmp_path: Path, version: str) -> None:
    with pytest.raises(FovflowError, match=f"version {version}"):
        fovflow.open_raw(write(tmp_path / "a.zarr", axes("t", "c", "y", "x"), None, version))


@pytest.mark.parametrize("ask", ["*.ome.zarr", "", "pos[12]*"])
def test_several_folders_are_positions(tmp_path: Path, ask: str) -> None:
    for p in (1, 2, 10):
        folder = tmp_path / "many" / f"pos{p}.ome.zarr"
        write(folder, axes("t", "c", "y", "x"), [5, 1, 0.65, 0.65], base=10 * p)
    with fovflow.open_raw(tmp_path / "many" / ask) as raw:
        assert [each.name for each in raw.info.positions] == ["pos1", "pos2", "pos10"]
        assert [int(raw.read(p, 0, 0)[0, 0]) for p in range(3)] == [10, 20, 100]
    from fovflow.readers.fingerprint import raw_files

    assert {
        path.parts[-3 if path.parent.name == "0" else -2] for path in raw_files(tmp_path / "many")
    }


def test_several_folders_that_differ_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", axes("t", "c", "y", "x"))
    write(tmp_path / "b.zarr", None, None, "0.1")
    with fovflow.open_raw(tmp_path / "*.zarr") as raw:
        assert len(raw.info.positions) == 2
    group = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=2)
    image = {"version": "0.4", "axes": axes("t", "c", "y", "x"), "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [image]})
    short = group.create_array("0", shape=(2, 2, 24, 32), chunks=(1, 1, 24, 32), dtype="u2")
    short[:] = 1
    with fovflow.open_raw(tmp_path / "*.zarr") as raw:
        assert (raw.info.n_frames, raw.info.missing) == (3, ((1, 2),))
    del group["0"]
    group.create_array("0", shape=(3, 3, 24, 32), chunks=(1, 1, 24, 32), dtype="u2")[:] = 1
    with pytest.raises(FovflowError, match="differ in channels"):
        fovflow.open_raw(tmp_path / "*.zarr")


@pytest.mark.parametrize("separator", ["/", "."])
def test_a_channel_that_was_recorded_in_some_frames_only(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    keys = {"name": "v2", "separator": separator}
    array = group.create_array(
        "0", shape=(4, 2, 8, 9), chunks=(1, 1, 8, 9), dtype="u2", chunk_key_encoding=keys
    )
    for t in range(4):
        array[t, 0] = t + 1
    array[0, 1] = 9
    image = {"version": "0.4", "axes": axes("t", "c", "y", "x"), "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [image]})
    with fovflow.open_raw(path) as raw:
        assert raw.info.missing == ()
        assert [t for _, t, c, _ in raw.info.missing_planes if c == 1] == [1, 2, 3]
        assert [int(raw.read(0, t, 0)[0, 0]) for t in range(4)] == [1, 2, 3, 4]


def test_channels_of_a_folder_in_another_order_are_told_by_their_names(tmp_path: Path) -> None:
    for p in range(3):
        frames = np.arange(1, 5, dtype=np.uint16).reshape(2, 1, 2, 1, 1) * np.ones(
            (8, 8), np.uint16
        )
        names = ["GFP", "Phase"] if p == 1 else ["Phase", "GFP"]
        write_ome_zarr(tmp_path / f"{p}.zarr", frames, channels=names, pixel_um=0.65)
    shutil.rmtree(tmp_path / "1.zarr" / "0" / "c" / "0" / "0")
    with fovflow.open_raw(tmp_path) as raw:
        assert [each.name for each in raw.info.channels] == ["Phase", "GFP"]
        assert raw.info.missing_planes == ((1, 0, 1, 0),)
        found = [[int(raw.read(p, 1, c)[0, 0]) for c in (0, 1)] for p in range(3)]
    assert found == [[3, 4], [4, 3], [3, 4]]
