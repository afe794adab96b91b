"""Several writers of one file at once, and what dead ones leave behind."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fovflow.atomic import (
    LEFT_AFTER_DAYS,
    atomic_files,
    atomic_open,
    is_temporary,
    remove_leftovers,
    remove_leftovers_in,
    temporary_name,
    unnamed_file,
    was_left,
    write_text,
)
from fovflow.layout import parse
from fovflow.rowfile import RowFile
from fovflow.stacks import StackWriter

WRITERS, EACH = 6, 40
LENGTH = 20_000


def content(writer: int) -> str:
    return chr(ord("a") + writer) * LENGTH


def write_often(path: Path, writer: int) -> None:
    for _ in range(EACH):
        write_text(path, content(writer))


def check_while(path: Path, at_work: Callable[[], bool]) -> int:
    """Read the file as long as there are writers; return how often it was seen, always whole."""
    seen = 0
    while at_work():
        if path.exists():
            text = path.read_text()
            assert text in {content(writer) for writer in range(WRITERS)}
            seen += 1
    return seen


def test_threads_that_write_one_file_do_not_touch_each_others(tmp_path):
    path = tmp_path / "table.csv"
    with ThreadPoolExecutor(WRITERS) as pool:
        futures = [pool.submit(write_often, path, writer) for writer in range(WRITERS)]
        assert check_while(path, lambda: not all(f.done() for f in futures))
        for future in futures:
            future.result()
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_processes_that_write_one_file_do_not_touch_each_others(tmp_path):
    path = tmp_path / "table.csv"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=write_often, args=(path, n)) for n in range(WRITERS)]
    for process in processes:
        process.start()
    assert check_while(path, lambda: any(process.is_alive() for process in processes))
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * WRITERS
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_the_last_complete_write_stays(tmp_path):
    path = tmp_path / "x"
    with atomic_open(path) as slow:
        slow.write("began first, ended last")
        write_text(path, "second writer")
        assert path.read_text() == "second writer"
    assert path.read_text() == "began first, ended last"
    names = {"a": tmp_path / "a"}
    with atomic_files(names, "label") as slow_work:
        with atomic_files(names, "label") as work:
            work.paths["a"].write_text("second")
        assert names["a"].read_text() == "second"
        slow_work.paths["a"].write_text("first")
    assert names["a"].read_text() == "first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x"]


def killed_writer(path: Path) -> Path:
    """Return the temporary file of a process that was killed while it wrote."""
    code = (
        "import os, sys, signal\nfrom fovflow.atomic import atomic_open\n"
        "with atomic_open(sys.argv[1]) as file:\n"
        "    file.write('half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = path.parent.glob(f".{path.name}.*")
    return left


def test_what_a_killed_process_left_is_removed_by_the_next_writer(tmp_path):
    path = tmp_path / "a.csv"
    left = killed_writer(path)
    assert is_temporary(left.name)
    of_another_file = killed_writer(tmp_path / "b.csv")
    write_text(path, "new")
    assert not left.exists()
    assert of_another_file.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states are read from /proc")
def test_a_dead_process_that_nobody_asked_after_is_dead(tmp_path):
    path = tmp_path / "a.csv"
    pid = os.fork()
    if pid == 0:
        with atomic_open(path):
            os.kill(os.getpid(), signal.SIGKILL)
    while True:
        (left,) = tmp_path.iterdir() if any(tmp_path.iterdir()) else (None,)
        if left and "Z" in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.01)
    write_text(path, "new")
    os.waitpid(pid, 0)
    assert not left.exists()


def own_temporary(path: Path) -> str:
    """Return the name of a temporary file of this process."""
    with atomic_open(path):
        (entry,) = path.parent.glob(f".{path.name}.*")
        return entry.name


def test_only_what_is_dead_for_certain_is_removed(tmp_path):
    path = tmp_path / "a.csv"
    own = own_temporary(path)
    machine, pid, began, _ = own.removeprefix(".a.csv.").removesuffix(".part").split("-")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()

    def left(machine: str, pid: object, began: str, days: float = 0) -> Path:
        file = tmp_path / f".a.csv.{machine}-{pid}-{began}-00000000.part"
        file.write_text("half")
        os.utime(file, (time.time() - days * 86_400,) * 2)
        return file

    other = f"{(int(machine, 16) + 1) % 16**8:08x}"
    stays = [
        left(machine, pid, began, days=400),
        left(machine, 1, ""),
        left(other, dead.pid, began, days=LEFT_AFTER_DAYS - 0.1),
        tmp_path / ".a.csv.0123456789abcdef.part",
        tmp_path / ".a.csv.part.csv",
        tmp_path / "a.csv.part",
    ]
    for file in stays[3:]:
        file.write_text("someone else's")
    goes = [
        left(machine, dead.pid, began),
        left(machine, pid, str(int(began) - 1)),  # the number was taken by this process
        left(other, pid, began, days=LEFT_AFTER_DAYS + 0.1),
        left("older", "version", "x", days=LEFT_AFTER_DAYS + 0.1),
    ]
    folder = tmp_path / f".a.csv.{machine}-{dead.pid}-{began}-11111111.part"
    folder.mkdir()
    (folder / "x").touch()
    link = folder.with_name(folder.name.replace("11111111", "22222222"))
    link.symlink_to("nowhere")
    assert was_left(goes[0].name, time.time())
    assert not was_left(stays[0].name, 0)
    assert not was_left(stays[3].name, 0), "it may be anybody's"
    remove_leftovers(path)
    assert [file for file in [*goes, folder, link] if os.path.lexists(file)] == []
    assert [file for file in stays if not file.exists()] == []


def test_what_dead_writers_of_any_file_left_goes(tmp_path):
    with subprocess.Popen(["true"]) as dead:
        pass
    left = temporary_name("a.csv").replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    mine = temporary_name("a.csv")
    places = [tmp_path, tmp_path / "fov_000", tmp_path / "logs" / "fov_000", tmp_path / "runs"]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        for name in (left, mine, ".a.csv.part", "a.csv"):
            (place / name).touch()
    os.utime(tmp_path / ".a.csv.part", (0, 0))
    outside = tmp_path.with_name("outside")
    outside.mkdir()
    (outside / left).touch()
    (tmp_path / "link").symlink_to(outside)
    remove_leftovers_in(tmp_path, besides=("runs",))
    assert [place.name for place in places if (place / left).exists()] == ["runs"]
    assert (outside / left).exists(), "no link is followed"
    assert all((place / name).exists() for place in places for name in (mine, "a.csv"))
    assert (tmp_path / ".a.csv.part").exists(), "it names no writer of ours"
    remove_leftovers_in(tmp_path / "gone")


def test_a_temporary_file_is_no_output(tmp_path):
    for kind in ("traces", "times"):
        name = f"fov_003/plate_fov_003_{kind}.csv"
        assert parse(name) is not None
        temporary = own_temporary(tmp_path / name)
        assert is_temporary(temporary)
        assert parse(f"fov_003/{temporary}") is None
    assert not is_temporary("plate_fov_003_traces.csv")


def test_a_fork_has_temporary_files_of_its_own(tmp_path):
    with atomic_open(tmp_path / "x") as file:
        file.write("parent")
        process = multiprocessing.get_context("fork").Process(
            target=write_text, args=(tmp_path / "x", "child")
        )
        process.start()
        process.join()
        assert (process.exitcode, (tmp_path / "x").read_text()) == (0, "child")
    assert (tmp_path / "x").read_text() == "parent"


def test_names_of_temporary_files_are_not_much_longer_than_the_files(tmp_path):
    name = "x" * 200
    assert len(own_temporary(tmp_path / name)) < 250


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_names_the_file_and_what_it_needs(tmp_path, monkeypatch):
    path = tmp_path / "stack.npy"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=re.escape(str(path))) as caught:  # noqa: SIM117
        with StackWriter(path, (5, 100, 1000), np.uint16) as out:
            for _ in range(5):
                out.append(np.zeros((100, 1000), np.uint16))
    assert caught.value.filename == str(path)
    assert caught.value.__notes__ == ["stack.npy needs 1.0 MB"]
    with (
        pytest.raises(OSError, match=re.escape(str(tmp_path / "b"))),
        atomic_files({"b": tmp_path / "b"}, "label") as work,
    ):
        work.paths["b"].write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_rows_on_a_full_disk_name_their_table(tmp_path):
    with RowFile(tmp_path / "traces.csv", block=1) as rows:
        rows._file.close()
        rows._file = Path("/dev/full").open("r+b")  # noqa: SIM115
        part = {"cell": np.arange(3), "frame": np.zeros(3, int)}
        with pytest.raises(OSError, match=re.escape("traces.csv")):
            rows.append(part)


def test_errors_of_other_files_inside_a_block_keep_their_names(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_open(tmp_path / "a"):
        (tmp_path / "raw").read_text()
    assert caught.value.filename == str(tmp_path / "raw")


def test_a_file_without_a_name_leaves_nothing(tmp_path):
    with unnamed_file(tmp_path / "sub" / "x") as file:
        file.write(b"abc")
        assert list((tmp_path / "sub").iterdir()) == []


def test_a_folder_that_cannot_be_synced_is_no_error_but_a_broken_disk_is(tmp_path, monkeypatch):
    sync = os.fsync

    def failing(number: int) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
                raise OSError(number, os.strerror(number))
            sync(descriptor)

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    write_text(tmp_path / "a", "x")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_text(tmp_path / "a", "y")
