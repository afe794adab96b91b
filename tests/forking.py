"""The engine and its jobs in forks of a process that has everything imported already.

A run costs a tenth of the time. What happens on files is the same: the engine is a process of its
own, and so is each job. All are forks of this file as a program, which has no threads and holds no
locks (those of the tests have), and jobs are forks of a server that was forked before the engine
began: they inherit nothing that they would not have as programs of their own.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import logging
import os
import pkgutil
import re
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paths import ROOT

HANGS_S = 900
"""Time after which a run is killed with all its jobs (s)."""


@dataclass(frozen=True)
class Finished:
    """A Snakemake process that has ended."""

    status: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs by rule, from Snakemake's own table; empty where there were none."""
        table = re.search(r"^job +count\n-[- ]+\n((?:\S+ +\d+\n)+)", self.text, re.MULTILINE)
        if not table:
            assert "Nothing to be done" in self.text, self.text
            return {}
        counts = dict(line.split() for line in table[1].splitlines())
        return {rule: int(n) for rule, n in counts.items() if rule not in ("total", "all")}


def _in_fork(work: Callable[[], object]) -> int:
    """Start work in a fork; return its process id. Its exit status is that of a program."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _status(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _status_of_run(pid: int) -> int:
    """Return the exit status of an engine, which leads a session with its jobs; end what hangs."""
    end = os.pidfd_open(pid)
    if not select.select([end], [], [], HANGS_S)[0]:
        os.killpg(pid, signal.SIGKILL)
    os.close(end)
    return _status(pid)


def _adopt(environment: Mapping[str, str]) -> None:
    """Take over environment variables, as a program of its own has them from its start."""
    os.environ.clear()
    os.environ.update(environment)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in paths if path and path not in sys.path]


def _script(path: str, environment: Mapping[str, str]) -> None:
    _adopt(environment)
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")


def _serve(requests: socket.socket) -> None:
    """Run scripts in forks until nobody can ask for one any more."""
    ears = selectors.DefaultSelector()
    ears.register(requests, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    while ears.get_map():
        for key, _ in ears.select():
            if key.fd != requests.fileno():
                ears.unregister(key.fd)
                os.close(key.fd)
                pid, asked = running.pop(key.fd)
                with asked:
                    asked.sendall(f"{_status(pid)}\n".encode())
                continue
            words, descriptors, *_ = socket.recv_fds(requests, 1, 1)
            if not words:
                ears.unregister(requests)
                continue
            asked = socket.socket(fileno=descriptors[0])
            with asked.makefile(encoding="utf-8") as file:
                path, environment = json.loads(file.readline())
            pid = _in_fork(lambda: _script(path, environment))  # noqa: B023
            end = os.pidfd_open(pid)
            running[end] = pid, asked
            ears.register(end, selectors.EVENT_READ)


def _ask_for_scripts(requests: socket.socket) -> None:
    """Let the engine of this process ask the server for scripts."""
    from snakemake.script import PythonScript

    one_at_a_time = threading.Lock()

    def execute(script: Any, command: str, **keys: Any) -> None:
        ours, theirs = socket.socketpair()
        with one_at_a_time, theirs:
            socket.send_fds(requests, [b"x"], [theirs.fileno()])
        with ours, ours.makefile("rw", encoding="utf-8") as file:
            file.write(json.dumps([str(keys["fname"]), dict(os.environ)]) + "\n")
            file.flush()
            status = int(file.readline())
        if script.bench_record is not None:
            script.bench_record.running_time = 0.1
        if status:
            raise subprocess.CalledProcessError(status, command)

    PythonScript._execute_cmd = execute


@contextmanager
def scripts_in_forks() -> Iterator[None]:
    """Let the engine, which runs in this process from now on, run scripts in forks of a server.

    The server is forked at once: what the engine opens and begins is nothing to its scripts.
    """
    ours, theirs = socket.socketpair()

    def serve() -> None:
        ours.close()
        _serve(theirs)

    server = _in_fork(serve)
    theirs.close()
    _ask_for_scripts(ours)
    try:
        yield
    finally:
        ours.close()
        _status(server)


def _engine(folder: Path, screen: int, arguments: Sequence[str]) -> None:
    from snakemake.cli import main

    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(screen, 1)
    os.dup2(screen, 2)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    logging.root.handlers.clear()
    with scripts_in_forks():
        main(list(arguments))


def _run(
    folder: str, screen: str, words: list[str], environment: dict[str, str], before: str
) -> None:
    _adopt(environment)
    exec(before, {})
    _engine(Path(folder), os.open(screen, os.O_WRONLY), words)


def _environment() -> dict[str, str]:
    """Return the environment without what measures coverage: forks end without saving it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


@functools.cache
def _program() -> subprocess.Popen[str]:
    """Start this file as a program; it ends when nobody can ask it any more."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    program = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**_environment(), "PYTHONPATH": path},
    )
    atexit.register(program.communicate)
    return program


def snakemake(folder: Path, *arguments: str, before: str = "") -> Finished:
    """Run ``snakemake`` on the package's workflow in a folder.

    `before`: Python that is run first, to change what the engine and all its jobs do.
    """
    words = ["--snakefile", str(ROOT / "Snakefile"), "--nocolor", *arguments]
    program = _program()
    assert program.stdin is not None
    assert program.stdout is not None
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as screen:
        asked = json.dumps([str(folder), screen.name, words, _environment(), before])
        program.stdin.write(asked + "\n")
        program.stdin.flush()
        return Finished(int(program.stdout.readline()), screen.read())


def import_all() -> None:
    """Import what the engine and jobs import, so that forks need not."""
    import cv2
    import nbformat  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.cli
    import snakemake.script

    import fovflow

    for module in pkgutil.walk_packages(fovflow.__path__, "fovflow."):
        with suppress(ImportError):  # of what is not installed
            importlib.import_module(module.name)
    cv2.setNumThreads(0)
    snakemake.cli.get_argument_parser([])  # looks for plug-ins


if __name__ == "__main__":
    import_all()
    for line in sys.stdin:
        asked = json.loads(line)
        print(_status_of_run(_in_fork(lambda: _run(*asked))), flush=True)  # noqa: B023
