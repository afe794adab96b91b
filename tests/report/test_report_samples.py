"""What the browser is told of samples and fits."""

from __future__ import annotations

import hashlib
import json
import zlib
from base64 import b64decode
from pathlib import Path

import numpy as np

from fovflow.analysis.pictures import NOTHING, blank
from fovflow.layout import merge_record
from fovflow.report import gather
from fovflow.report.samples import POINTS, fits_in, samples_in
from fovflow.results import load_results


def test_samples_have_their_fovs_and_fits_their_curves(folder):
    folder.add(fovs=2, cells=4, frames=6)
    folder.analyse()
    samples = samples_in(folder.path)
    assert [(each["sample"], each["condition"], each["fovs"]) for each in samples] == [
        ("day 1", "control", [0]), ("<b>drug<∕b>", "drug", [1]),
    ]  # fmt: skip
    fits = {each["sample"]: each for each in fits_in(folder.path, samples)}
    told = fits["day 1"]
    assert told["parameters"] == [["G0", "a.u."], ["beta", "1/h"], ["offset", "a.u."]]
    assert (told["column"], told["span"]) == ("intensity_total_ch_1", (0.0, 5 / 6))
    data, at = zlib.decompress(b64decode(told["data"])), 0

    def take(kind: str, count: int = 3) -> np.ndarray:
        nonlocal at
        found = np.frombuffer(data, kind, count, at)
        at += found.nbytes
        return found

    assert take("<u2").tolist() == [0, 0, 0]
    assert take("<u4").tolist() == [1, 2, 3]
    assert take("u1").tolist() == [1, 1, 0]
    assert [told["verdicts"][code] for code in take("<u2")] == ["ok", "ok", "bound hit: beta <b>"]
    take("<f4")  # R²
    numbers = [take("<f4").tolist() for _ in range(9)]
    assert numbers[:3] == [[100, 200, 300], [90, 180, 270], [110, 220, 330]]
    low, high = take("<f4"), take("<f4")
    code = take("u1", 3 * POINTS) + 256 * take("u1", 3 * POINTS).astype(int)
    changes = np.where(code & 1, -(code + 1) // 2, code // 2).reshape(3, POINTS)
    part = (np.cumsum(changes, axis=1) - 1) / 254
    curves = low[:, None] + (high - low)[:, None] * part
    times = np.linspace(0, 5 / 6, POINTS)
    truth = np.array([[100], [200], [300]]) * np.exp(-0.5 * times) + 10
    assert np.abs(curves - truth).max() < 0.005 * 300
    assert at == len(data)


def test_a_table_of_fits_that_cannot_be_read_is_left_out(folder):
    folder.add(fovs=2, cells=4, frames=6)
    folder.analyse()
    broken = folder.path / "analysis" / "day 1_intensity_total_ch_1_fitted_decay.csv"
    broken.write_text("a,b\n1,2\n", "utf-8")
    assert [each["fovs"] for each in fits_in(folder.path, samples_in(folder.path))] == [[1]]
    assert "Look at the cells" not in folder.write()


def test_pictures_in_which_there_is_nothing_to_see_are_left_out(folder, monkeypatch):
    (place := folder.path / "analysis").mkdir()
    (place / "comparisons.csv").write_text("", "utf-8")
    drawn = {"empty": blank("empty"), "full": blank("full").replace(NOTHING, "x has " + NOTHING)}
    for name, svg in drawn.items():
        (place / f"{name}.svg").write_text(svg, "utf-8")
    told = [(name, place / f"{name}.svg") for name in ("none", *drawn, *drawn)]
    monkeypatch.setattr(gather, "comparisons_in", lambda _: told)
    assert list(gather.answer_in(folder.path).pictures) == ["full"]


def test_fits_to_traces_that_were_made_again_are_left_out(folder):
    folder.add(fovs=2, cells=4, frames=6)
    folder.analyse()
    file = Path(folder.layout.file("traces", "plate", 0))
    name = file.relative_to(folder.path).as_posix()
    record = folder.path / merge_record("day 1")
    record.parent.mkdir(parents=True)
    told = {"v": 2, "type": "job_finished", "status": "completed", "rule": "merge"}

    def merged_from(content: bytes) -> None:
        read = {name: hashlib.sha256(content).hexdigest()}
        record.write_text(json.dumps({**told, "made_from": read}), "utf-8")

    merged_from(file.read_bytes())
    assert len(gather.answer_in(folder.path).fits) == 2
    merged_from(b"other")
    answer = gather.answer_in(folder.path)
    assert [each["sample"] for each in answer.fits] == ["<b>drug<∕b>"]
    assert [each["fovs"] for each in answer.samples] == [[0], [1]]
    assert "and the fits of day 1: the traces are others now" in answer.comparisons[0]
    results = load_results(folder.path / "plate")
    assert set(results.fits["sample"]) == {"<b>drug<∕b>"}
    assert results.comparisons.empty


def test_an_output_folder_without_samples_has_none(folder):
    assert samples_in(folder.path) == []


def test_a_report_of_one_dataset_tells_nothing_of_samples_of_others(folder):
    folder.add(fovs=2, cells=4, frames=6)
    folder.add("other", fovs=1)
    folder.let_browse()
    folder.let_browse("other")
    folder.analyse()
    assert '"condition":"control"' in folder.write()
    assert "control" not in folder.write(names=["other"])
