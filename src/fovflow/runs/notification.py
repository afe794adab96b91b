"""Tell people that an alert fired: by a line in a file, a command, an e-mail.

Commands and e-mails run as processes that nobody waits for, so that they hold nothing up. Of one
alert at most one per `QUIET_S` seconds goes out; the others are counted in the next one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fovflow.config.alerts import Alert, SmtpConfig

if TYPE_CHECKING:
    from fovflow.runs.alerts import Firing


QUIET_S = 60.0
"""Shortest time in seconds between two commands or e-mails of one alert."""

_NAMES = re.compile(r"\{(name|message|value|job|run)\}")

PATIENCE_S = 60.0
"""Time in seconds after which a command or e-mail is ended."""


@dataclass(slots=True)
class _Held:
    """Firings that wait for the next message of their alert."""

    alert: Alert
    firing: Firing
    count: int


class Notifier:
    """Send notifications of one run.

    Parameters
    ----------
    run : str
        The run's id, for the messages.
    smtp : SmtpConfig, optional
        Mail server.
    """

    def __init__(self, run: str, smtp: SmtpConfig | None = None):
        self.run = run
        self.smtp = smtp
        self._processes: list[tuple[subprocess.Popen[bytes], float]] = []
        self._last: dict[str, float] = {}
        self._held: dict[str, _Held] = {}

    def send(self, alert: Alert, firing: Firing) -> None:
        """Notify as the alert says; a failure is said on the error stream and goes no further."""
        if "file" in alert.notification and alert.file:
            try:
                path = Path(alert.file)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": self.run, **asdict(firing)}) + "\n")
            except OSError as error:
                _say(f"cannot write {alert.file}: {error.strerror}")
        if not {"command", "email"} & set(alert.notification):
            return
        now = time.monotonic()
        if alert.name in self._last and now - self._last[alert.name] < QUIET_S:
            held = self._held.get(alert.name)
            self._held[alert.name] = _Held(alert, firing, (held.count if held else 0) + 1)
            return
        self._last[alert.name] = now
        self._launch(alert, firing, 0)

    def tend(self) -> None:
        """Send what was held back long enough, and look after processes; call it now and then."""
        now = time.monotonic()
        for name in [n for n in self._held if now - self._last[n] >= QUIET_S]:
            self._release(name, now)
        going = []
        for process, started in self._processes:
            if process.poll() is None:
                if now - started > PATIENCE_S:
                    process.kill()
                    _say(f"ended a notification that took longer than {PATIENCE_S:g} s")
                going.append((process, started))
        self._processes = going

    def finish(self, timeout_s: float = 15.0) -> None:
        """Send what is held back, and wait for what is under way."""
        for name in list(self._held):
            self._release(name, time.monotonic())
        deadline = time.monotonic() + timeout_s
        for process, _ in self._processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                _say("ended a notification that took too long")
        self._processes = []

    def _release(self, name: str, now: float) -> None:
        held = self._held.pop(name)
        self._last[name] = now
        self._launch(held.alert, held.firing, held.count - 1)

    def _launch(self, alert: Alert, firing: Firing, others: int) -> None:
        more = f" (and {others} more)" if others else ""
        where = f" in {firing.job}" if firing.job else ""
        text = f"{alert.name}{where}: {firing.message}{more}"
        if "command" in alert.notification and alert.command:
            fill = {
                "name": alert.name,
                "message": firing.message + more,
                "value": "" if firing.value is None else f"{firing.value:g}",
                "job": firing.job,
                "run": self.run,
            }
            self._start([_filled(part, fill) for part in alert.command], b"")
        if "email" in alert.notification and self.smtp:
            content = {
                "smtp": self.smtp.model_dump(),
                "subject": f"fovflow: {alert.name}{more}",
                "text": f"{text}\n\nrun: {self.run}\ntime: {firing.time}\n"
                f"action: {firing.action}\n",
            }
            program = [sys.executable, "-m", "fovflow.runs.mail"]
            self._start(program, json.dumps(content).encode())

    def _start(self, command: list[str], given: bytes) -> None:
        package = str(Path(__file__).resolve().parents[2])
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)} if given else None,
                start_new_session=True,
            )
        except OSError as error:
            _say(f"cannot start {command[0]}: {error.strerror}")
            return
        assert process.stdin is not None
        with suppress(OSError):
            process.stdin.write(given)
        with suppress(OSError):
            process.stdin.close()
        self._processes.append((process, time.monotonic()))


def _filled(part: str, fill: Mapping[str, str]) -> str:
    """Return a part of a command with its names in braces filled in."""
    text = _NAMES.sub(lambda match: fill[match[1]], part)
    return text.replace("\0", "")


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        print(f"fovflow: {text}", file=sys.stderr, flush=True)
