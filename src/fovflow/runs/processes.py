"""Commands that a run starts, and watches until they end."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from fovflow.errors import complain
from fovflow.runs.artifacts import content_of
from fovflow.runs.session import Session, stop_process

PATIENCE_S = 10.0
"""Seconds that a command has to end after it was told to."""


class WatchedProcess:
    """A command at work beside a run.

    What it prints goes to ``processes/{name}.out`` and ``.err`` in the run's records, which list
    these files, and how it ended, as soon as it has.

    Raises FileExistsError if the run has had a process of that name, OSError if the command cannot
    be started.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        command: Sequence[str],
        cwd: str | os.PathLike[str] | None,
        env: Mapping[str, str] | None,
    ):
        self.name, self._session, self._told = name, session, False
        folder = session.kept.folder / "processes"
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / f"{name}{suffix}" for suffix in (".out", ".err")]
        with self._files[0].open("xb") as out, self._files[1].open("xb") as err:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        for file in self._files:
            session.write("announced", path=file.relative_to(session.kept.base).as_posix())
        session.write("message", message=f"process {name} began: {shlex.join(command)}")
        self._thread = threading.Thread(target=self._watch, name=f"fovflow-{name}", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether it has ended badly, and not because it was stopped."""
        return not self._told and bool(self._process.poll())

    def words(self) -> str:
        """Return how it ended."""
        status = self._process.returncode
        return f"process {self.name} " + ("was stopped" if self._told else f"ended with {status}")

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Return its exit status once its end is recorded; None where it has not ended in time."""
        self._thread.join(timeout_s)
        return None if self._thread.is_alive() else self._process.returncode

    def stop(self) -> None:
        """End it and its children, by force where it does not obey."""
        if self._process.poll() is None:
            self._told = True
            stop_process(self._process.pid)
            if self.wait(PATIENCE_S) is None:
                self._process.kill()
        self.wait()

    def _watch(self) -> None:
        self._process.wait()
        level = {"level": "error"} if self.failed else {}
        try:
            for file in self._files:
                about = content_of(file, self._session.kept.base)
                self._session.write(
                    "artifact", category="output", name=file.name, filetype="text/plain", **about
                )
            self._session.write("message", message=self.words(), **level)
        except (OSError, ValueError) as error:
            complain(f"fovflow.Run: the end of the process {self.name} is not recorded: {error}")


def end_all(processes: Mapping[str, WatchedProcess], *, at_once: bool) -> str:
    """Wait for processes, or stop them; return in words which failed."""
    for process in processes.values():
        with suppress(OSError):
            process.stop() if at_once else process.wait()
    return "; ".join(process.words() for process in processes.values() if process.failed)
