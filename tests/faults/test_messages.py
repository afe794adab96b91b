"""Each message of docs/troubleshooting.md comes true."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from faults.hostile_files import BOMB, described, grey, ome, tiff, zarr_image
from faults.hostile_series import image
from faults.odd_inputs import UNITS, movie
from faults.test_hostile_text import MERGES

from fovflow.adapter.entry import check_interpreter
from fovflow.config import load_config, parse_config
from fovflow.errors import FovflowError
from fovflow.planning.pipeline import Pipeline
from fovflow.readers import open_raw
from fovflow.readers.fingerprint import check_unchanged, fingerprint, stamp, stamp_digest
from fovflow.runs.claim import Claim, join, left_locked
from fovflow.runs.store import CURRENT, RunFolder
from fovflow.simulation import MovieParams, simulate, write_movie
from fovflow.stacks import StackReader, read_image
from paths import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"

OTHER_TESTS = {
    "Config file is not valid JSON or YAML": "faults/test_many_fovs.py",
    "cannot write into the output folder …": "faults/test_places.py",
    "No space left on device …": "faults/test_places.py",
    "there is a folder of that name …": "faults/test_obstacles.py",
    "File exists …": "faults/test_obstacles.py",
    "the file is write-protected …": "faults/test_obstacles.py",
    "nothing makes …": "workflow/test_there_and_back.py",
    "a step alone is no target …": "workflow/test_there_and_back.py",
}
"""Messages that need a file system or an environment of their own, and who makes them."""


def messages() -> list[str]:
    """Return the messages of the page's first table."""
    part = PAGE.read_text(encoding="utf-8").split("## Messages")[1].split("## ")[0]
    return re.findall(r"^\| `(.+?)` \|", part, re.MULTILINE)


def pattern(message: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part.strip()) for part in message.split("…")), re.DOTALL)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with raw files, good and bad."""
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "raw"
    (raw / "folder").mkdir(parents=True)
    made = simulate(MovieParams(seed=1, positions=2, frames=2, height=24, width=24, cells=0))
    write_movie(made, raw / "a.nd2")
    whole = (raw / "a.nd2").read_bytes()
    (raw / "cut.nd2").write_bytes(whole[: len(whole) // 2])
    (raw / "garbage.nd2").write_bytes(bytes(range(200)))
    (raw / "empty.tif").write_bytes(b"")
    pixels = movie(2, 64, 72)
    for name in ("cut.ome.tif", "bare.tif"):
        tifffile.imwrite(raw / name, pixels[:, 0], photometric="minisblack", metadata=None)
    whole = (raw / "cut.ome.tif").read_bytes()
    (raw / "cut.ome.tif").write_bytes(whole[: len(whole) // 2])
    tiff(raw / "huge.tif", grey(2**21, 2**21, 64))
    tifffile.imwrite(raw / "colour.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(raw / "signed.tif", np.zeros((8, 8), np.int16))
    block = '<TiffData><UUID FileName="../x.tif">u</UUID></TiffData><TiffData FirstT="1"/>'
    described(raw / "set.ome.tif", ome(block, 'SizeT="2" SizeC="1" SizeZ="1"'))
    np.save(tmp_path / "dark.npy", np.zeros((3, 3), np.float32))
    return tmp_path


def plan(path: str = "raw/a.nd2", *, units: bool = True, **config: Any) -> str:
    """Return what the pipeline says of a dataset before anything runs."""
    dataset = {"path": path, **(UNITS if units else {})}
    return "\n".join(Pipeline({"datasets": {"a": dataset}, **config}).datasets["a"].problems)


def parse(**config: Any) -> None:
    parse_config({"datasets": {"a": {"path": "x"}}, **config})


def tagged() -> None:
    Path("tags.yaml").write_text("outdir: !!python/object/apply:os.system ['touch pwned']\n")
    load_config("tags.yaml")


def merging() -> None:
    Path("bomb.yaml").write_text(MERGES)
    load_config("bomb.yaml")


def series(kind: str) -> str:
    image(Path("raw/series/a_t0.tif"))
    other = Path("raw/series/a_t1.tif")
    if kind == "link":
        other.symlink_to(other.name)
    else:
        image(other, (7, 7))
    return plan("raw/series")


def bomb() -> None:
    array = zarr_image(Path("raw/bomb.zarr"), compressor={"id": "lz4"})
    (array / "0.0.0").write_bytes(struct.pack("<i", BOMB) + bytes(20))
    with open_raw("raw/bomb.zarr") as raw:
        raw.read(0, 0, 0)


def short() -> None:
    array = zarr_image(Path("raw/short.zarr"), compressor={"id": "blosc"})
    (array / "0.0.0").write_bytes(struct.pack("<BBBBIII", 2, 1, 1, 2, 128, 128, 1000) + bytes(4))
    with open_raw("raw/short.zarr") as raw:
        raw.read(0, 0, 0)


def linked(path: str) -> str:
    Path(path).symlink_to("/nowhere/a.nd2")
    return plan(path)


def piped(path: str) -> str:
    os.mkfifo(path)
    return plan(path)


def twice() -> None:
    Path("datasets.tsv").write_text("dataset\tpath\tpath\na\tb\tc\n")
    parse_config({"datasets": "datasets.tsv"})


def entities() -> str:
    entity = '<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    described(Path("raw/entity.ome.tif"), ome("<TiffData/>", head=entity))
    return plan("raw/entity.ome.tif")


def pickling() -> None:
    zarr_image(Path("raw/code.zarr"), filters=[{"id": "pickle"}])
    open_raw("raw/code.zarr")


def blocked() -> None:
    Path("results").write_text("a file")
    Pipeline({"datasets": {"a": {"path": "raw/a.nd2"}}}).begin()


def gone() -> str:
    config = {"datasets": {"a": {"path": "raw/gone.nd2"}}}
    Path("raw/gone.nd2").write_bytes(Path("raw/a.nd2").read_bytes())
    Pipeline({**config, "outdir": "offline"}).begin()
    Path("raw/gone.nd2").unlink()
    return "\n".join(Pipeline({**config, "outdir": "offline"}).datasets["a"].problems)


def changed() -> None:
    digest = stamp_digest(stamp("raw/a.nd2"))
    pin = {"path": "raw/a.nd2", "pattern": None, "stamp": digest}
    before = fingerprint("raw/a.nd2")
    Path("raw/a.nd2").write_bytes(Path("raw/a.nd2").read_bytes() + b"more")
    check_unchanged(pin, before, "")


def damaged_stack() -> None:
    np.save("stack.npy", np.zeros((2, 8, 8), np.uint16))
    whole = Path("stack.npy").read_bytes()
    Path("stack.npy").write_bytes(whole[:-10])
    StackReader("stack.npy")


def a_run(**keys: Any) -> RunFolder:
    run = RunFolder.create("results", name="calm-otter")
    (run.path.parent / CURRENT).write_text(run.id)
    run.update(status="running", **keys)
    return run


def locked() -> str:
    a_run(pid=2**22 + 1)
    return left_locked("results")


def two_at_once() -> None:
    first, second = Claim("results"), Claim("results")
    first.take()
    a_run()
    try:
        second.take()
    finally:
        first.release()


def orphans() -> None:
    a_run(pid=2**22 + 1)
    (Path("results") / "runs" / ".jobs").touch()
    assert join("results/runs") is not None
    Claim("results").take()


PRODUCERS: tuple[Callable[[], object], ...] = (
    lambda: parse(segmnt={}),
    lambda: parse(**{"segment.n_sigma": 3}),
    lambda: parse(channels={"pc": -1}),
    lambda: parse_config({"datasets": {"a": {}}}),
    lambda: load_config("absent.yaml"),
    tagged,
    merging,
    lambda: plan(fovs="3-5"),
    lambda: plan(frames="0-99"),
    lambda: plan(channels={"pc": 0, "fl": ["mCherry"]}),
    lambda: plan(copy={"z": 7}),
    lambda: plan(copy={"crop": {"y0": 0, "y1": 5000, "x0": 0, "x1": 5000}}),
    lambda: plan("raw/bare.tif", units=False),
    lambda: plan("raw/bare.tif", units=False),
    lambda: plan("raw/absent.nd2"),
    lambda: linked("raw/link.nd2"),
    lambda: piped("raw/pipe.nd2"),
    lambda: plan("raw/*.tiff"),
    lambda: plan("raw/folder"),
    lambda: plan("raw/empty.tif"),
    lambda: plan("raw/garbage.nd2"),
    lambda: plan("raw/cut.nd2"),
    lambda: plan("raw/cut.ome.tif"),
    lambda: plan("raw/huge.tif"),
    lambda: plan("raw/colour.tif"),
    lambda: plan("raw/signed.tif"),
    lambda: plan("raw/set.ome.tif"),
    entities,
    lambda: series("shape"),
    lambda: series("link"),
    bomb,
    short,
    pickling,
    gone,
    changed,
    damaged_stack,
    lambda: read_image("dark.npy", (24, 24)),
    lambda: parse_config({"datasets": {"a": {"path": "x"}}, "outdir": "a{b}c"}),
    lambda: parse_config({"datasets": {"a": {"path": "x"}}, "outdir": "default"}),
    lambda: parse_config({"datasets": {"Logs": {"path": "x"}}}),
    twice,
    blocked,
    locked,
    two_at_once,
    orphans,
    lambda: check_interpreter("/a folder/bin/python"),
)
"""What makes each message, in the order of the page."""


def test_every_message_of_the_page_has_a_maker():
    assert len([each for each in messages() if each not in OTHER_TESTS]) == len(PRODUCERS)
    for message, name in OTHER_TESTS.items():
        assert message in messages()
        assert message.strip("… ") in (ROOT / "tests" / name).read_text(encoding="utf-8")


MADE_HERE = [message for message in messages() if message not in OTHER_TESTS]


@pytest.mark.parametrize("number", range(len(MADE_HERE)), ids=lambda i: MADE_HERE[i][:40])
def test_each_message_is_as_the_page_says(number: int, here: Path):
    try:
        told = str(PRODUCERS[number]())
    except FovflowError as error:
        told = str(error)
    assert pattern(MADE_HERE[number]).search(told), told
    assert not (here / "pwned").exists()
