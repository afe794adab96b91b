"""Files of events: nothing that was written is lost, whatever else goes wrong."""

from __future__ import annotations

import socket

import pytest

from fovflow.events import EventFile, EventTail, read_events
from fovflow.runs.store import RunFolder


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path):
    path = tmp_path / "events.jsonl"
    first = EventFile(path)
    first.write("message", message="one")
    first.close()
    with path.open("ab") as file:
        file.write(b'{"v":1,"time":"2026-01-')
    tail = EventTail(path)
    assert [event["message"] for event in tail.read()] == ["one"]
    again = EventFile(path)
    again.write("message", message="two")
    again.write("message", message="three")
    again.close()
    assert [event["message"] for event in read_events(path)] == ["one", "two", "three"]
    assert [event["message"] for event in tail.read()] == ["two", "three"]


def test_texts_may_hold_any_character(tmp_path):
    events, text = EventFile(tmp_path / "events.jsonl"), "a\x85b\u2028c\x0bd\x1ee\r\nf"
    events.write("message", message=text)
    events.close()
    assert [event["message"] for event in read_events(events.path)] == [text]
    assert [event["message"] for event in EventTail(events.path).read()] == [text]


class Raw:
    """A file that takes a few bytes, then is full, then has room again."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if self.room == 0:
            self.room = 10_000
            raise OSError(28, "No space left on device")
        taken = self.file.write(data[: self.room])
        self.room -= taken
        return taken

    def close(self):
        self.file.close()


def test_a_full_disk_is_an_error_and_spoils_no_later_line(tmp_path):
    events = EventFile(tmp_path / "events.jsonl")
    events._file = Raw(events._file, 20)
    with pytest.raises(OSError, match="No space left"):
        events.write("message", message="lost")
    events.write("message", message="kept")
    events.close()
    assert [event["message"] for event in read_events(events.path)] == ["kept"]


def test_long_lines_are_written_in_one_piece(tmp_path):
    events = EventFile(tmp_path / "events.jsonl")
    other = EventFile(tmp_path / "events.jsonl")
    for number in range(20):
        (events if number % 2 else other).write("message", message="ü" * 50_000)
    assert [len(event["message"]) for event in read_events(events.path)] == [50_000] * 20
    events.close()
    other.close()
    events.close()


def test_a_run_that_waits_is_not_lost(tmp_path):
    folder = RunFolder.create(tmp_path, host="elsewhere", pid=1)
    folder.update(waiting=True, pid=999_999_999)
    assert folder.status() == "created"
    folder.update(waiting=False, host=socket.gethostname(), pid=2**22 + 1)
    assert folder.status() == "lost"
