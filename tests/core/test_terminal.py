"""What comes from names and messages cannot steer the terminal."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovflow.cli import main
from fovflow.errors import complain
from fovflow.progress import Progress
from fovflow.runs.screen import Screen, ScreenStream
from fovflow.terminal import printable, safe

NASTY = "a\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.exe\x7f\r\udc80\u2028z"
SHOWN = r"a\u001b[2J\u001b]0;title\u0007\u009b31m\u202egnp.exe\u007f\u000d\udc80\u2028z"


def raw(text: str) -> list[str]:
    """Return the characters of a text that could steer a terminal."""
    return [c for c in text if not c.isprintable() and c not in "\t\n"]


def test_control_characters_are_written_as_json_writes_them():
    assert printable(NASTY) == SHOWN
    assert json.loads(f'"{SHOWN}"') == NASTY
    assert printable("µm, Å\n\tкадр 3 細胞 🧫") == "µm, Å\n\tкадр 3 細胞 🧫"
    assert printable("a\n\tb", one_line=True) == r"a\n\tb"
    assert printable("\U000e0041") == r"\U000e0041"


@given(st.text())
def test_no_text_comes_through_raw(text: str):
    shown = printable(text, one_line=True)
    assert not [c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000]
    assert printable(shown) == shown
    shown.encode()


def test_only_colours_pass_where_the_engine_sets_them():
    text = "\x1b[32mdone\x1b[0m \x1b[1;31mbad\x1b[0m"
    assert printable(text, colours=True) == text
    assert printable("\x1b[8m\x1b[2J", colours=True) == r"\u001b[8m\u001b[2J"
    assert raw(printable(text)) == []


def test_a_safe_stream_is_not_wrapped_twice():
    under = io.StringIO()
    stream = safe(safe(under))
    print(NASTY, file=stream)
    assert under.getvalue() == SHOWN + "\n"


def test_sentences_and_progress_are_safe(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr("fovflow.progress.LINE_EVERY_S", 0)
    complain(NASTY)
    complain("x", before="\r\x1b[J")
    with Progress(2, NASTY) as progress:
        progress.count()
    said = capsys.readouterr().err
    assert said.startswith(f"{SHOWN}\n\r\x1b[Jx\n{SHOWN}: 1 of 2 FOVs")
    assert raw(said) == ["\r", "\x1b"]


def test_a_screen_keeps_its_own_sequences_only():
    under = io.StringIO()
    screen = Screen(safe(under))  # type: ignore[arg-type]
    screen.draw([NASTY, "two\nlines"])
    assert under.getvalue() == f"\r\x1b[J{SHOWN}\ntwo\\nlines\n\x1b[2A"
    screen.close()
    under.truncate(0)
    screen.say("\x1b[31mred")
    handler = logging.StreamHandler(ScreenStream(screen))
    handler.emit(logging.LogRecord("x", 40, "", 1, "\x1b[31mred\x1b[0m\x1b[2J", None, None))
    assert under.getvalue().lstrip("\0") == "\\u001b[31mred\n\x1b[31mred\x1b[0m\\u001b[2J\n"


NAME = NASTY.replace("\udc80", "").replace("/", "")


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", NAME], ["status", NAME], ["verify", NAME], ["watch", NAME], [NAME],
        ["runs", "show", NAME], ["runs", "list", NAME], ["runs", NAME], ["report", NAME],
        ["overlay", NAME], ["publish", NAME, "there"], ["restore", NAME], ["run", "-n", NAME],
        ["why", NAME], ["why", "--configfile", NAME], ["checksums", "raw", "--configfile", NAME],
    ],
)  # fmt: skip
def test_no_command_prints_its_arguments_raw(words, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(words)
    except SystemExit as error:
        status = error.code
    said = "".join(capfd.readouterr())
    assert status or words[:2] == ["runs", "list"]
    assert raw(said) == []


def test_names_of_channels_and_files_are_printed_safely(tmp_path, monkeypatch, capsys):
    import numpy as np
    import tifffile

    monkeypatch.chdir(tmp_path)
    names = {"axes": "TCYX", "Channel": {"Name": ["pc\u202e", "gfp\x85"]}}
    tifffile.imwrite(f"{NAME}.ome.tif", np.ones((2, 2, 8, 8), np.uint16), metadata=names)
    assert main(["inspect", "--json", f"{NAME}.ome.tif"]) == 0
    said = capsys.readouterr().out
    assert raw(said) == []
    assert json.loads(said)["channels"][0]["name"] == "pc\u202e"
    assert main(["init", ".", "--raw", f"{NAME}.ome.tif"]) == 0
    assert main(["status"]) == 2
    told = "".join(capsys.readouterr())
    assert "pixel_um: 'FILL_IN' is not allowed" in told  # what init wrote can be read
    assert raw(told) == []


@pytest.mark.workflow
def test_snakemake_prints_a_name_safely_on_a_terminal(tmp_path: Path):
    config = tmp_path / "config" / "config.yaml"
    config.parent.mkdir()
    config.write_text(json.dumps({"datasets": {"a": {"path": NAME}}, "outdir": "out"}))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fovflow", "run", "-n"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:
            pass  # the other end is closed
        assert process.wait() == 0
    os.close(ours)
    text = said.decode()
    assert r"\u001b[2J" in text
    for bad in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"):
        assert bad not in text
