"""How far work is: lines where there is no terminal. Bars are seen in tests of what has them."""

from __future__ import annotations

from fovflow import progress


def test_quick_maps_are_silent_elsewhere_and_slow_ones_tell_lines(capsys, monkeypatch):
    with progress.Progress(3, "looking") as quick:
        quick.count(ok=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.Progress(3, "looking") as slow:
        slow.count(ok=False)
    assert capsys.readouterr().err.startswith("looking: 1 of 3 FOVs, 1 failed, ")
    with progress.Progress(3, "looking", shown=False) as hidden:
        hidden.count(ok=True)
    assert capsys.readouterr().err == ""


def test_bytes_are_told_in_megabytes(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.Progress(0, "verify", unit="B", leave=False) as shown:
        shown.advance(1_500_000, 4_000_000)
        shown.advance(2_500_000, 4_000_000)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("verify: 2 of 4 MB, ")
    assert last.startswith("verify: 4 of 4 MB, ")
    assert last.endswith(" MB/s")
