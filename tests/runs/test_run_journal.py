"""A disk that is full for a while: events are kept, or counted, and never lost in silence."""

from __future__ import annotations

import threading

import pytest

from fovflow import events as module
from fovflow.events import Journal, read_events


class Disk:
    """Lets writes through only while there is room."""

    def __init__(self, journal):
        self.file, self.full = journal._file, True
        self.path = self.file.path
        journal._file = self

    def append(self, line):
        if self.full:
            raise OSError(28, "No space left on device")
        self.file.append(line)

    def close(self):
        self.file.close()


def messages(journal):
    return [event.get("message", event.get("count")) for event in read_events(journal.path)]


def test_events_are_kept_in_order_and_written_later(tmp_path, capfd):
    journal = Journal(tmp_path / "events.jsonl")
    disk = Disk(journal)
    for text in "abc":
        journal.write("message", message=text)
    assert messages(journal) == []
    disk.full = False
    journal.write("message", message="d")
    assert messages(journal) == ["a", "b", "c", "d"]
    assert journal.close() == 0
    assert journal.close() == 0
    assert capfd.readouterr().err.count("No space left") == 1
    with pytest.raises(ValueError, match="closed"):
        journal.write("message", message="e")


def test_what_a_full_queue_drops_is_counted_and_recorded(tmp_path):
    journal = Journal(tmp_path / "events.jsonl", size=2)
    disk = Disk(journal)
    for text in "abcde":
        journal.write("message", message=text)
    assert journal.dropped == 3
    disk.full = False
    journal.write("message", message="f")
    assert messages(journal) == ["a", "b", 3, "f"]
    assert journal.close() == 0


def test_what_could_never_be_written_is_told(tmp_path):
    journal = Journal(tmp_path / "events.jsonl", size=2)
    Disk(journal)
    for text in "abcde":
        journal.write("message", message=text)
    assert journal.close() == 5


def test_a_full_queue_may_block_until_there_is_room(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    journal = Journal(tmp_path / "events.jsonl", size=1, blocking=True)
    disk = Disk(journal)
    journal.write("message", message="a")
    writer = threading.Thread(target=journal.write, args=("message",), kwargs={"message": "b"})
    writer.start()
    writer.join(0.05)
    assert writer.is_alive()
    disk.full = False
    writer.join(10)
    assert not writer.is_alive()
    assert messages(journal) == ["a", "b"]
    assert journal.close() == 0
