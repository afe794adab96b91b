"""Tell people that an alert fired: by a line in a file, a command, an e-mail, or apprise.

Commands and messages are processes that nobody waits for, so that they hold nothing up. Of one
alert at most one per `QUIET_S` seconds goes out; the others are counted in the next one. Passwords
and addresses with keys come from environment variables that the settings name; they are in no
record. ``python -m fovflow.runs.notify`` sends the message on its standard input.
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
from typing import TYPE_CHECKING, Any

from fovflow.errors import complain

if TYPE_CHECKING:
    from fovflow.config.alerts import Alert, SmtpConfig

QUIET_S = 60.0
"""Shortest time in seconds between two messages of one alert."""

PATIENCE_S = 60.0
"""Time in seconds after which a command or message is ended."""

MAIL_TIMEOUT_S = 20.0

_NAMES = re.compile(r"\{(name|message|value|job|run)\}")


@dataclass(frozen=True, slots=True)
class Firing:
    """That an alert of a name and source fired, and what happened in words."""

    name: str
    source: str
    action: str
    """``notify``, ``stop_job`` or ``stop_run``."""
    job: str
    """In which job; empty for the run itself."""
    time: str
    """When that was evaluated, in UTC, ISO 8601."""
    value: float | None
    """The value, or the window's average; None for events."""
    message: str


class Notifier:
    """Send notifications of one run.

    `run`: the run's id, for the messages. `smtp`: mail server. `apprise_env`: name of the
    environment variable with the addresses for apprise.
    """

    def __init__(self, run: str, smtp: SmtpConfig | None, apprise_env: str | None):
        self.run = run
        self._ways: dict[str, dict[str, Any]] = {}
        if smtp is not None:
            self._ways["email"] = {"smtp": smtp.model_dump()}
        if apprise_env is not None:
            self._ways["apprise"] = {"apprise_env": apprise_env}
        self._processes: list[tuple[subprocess.Popen[bytes], float]] = []
        self._last: dict[str, float] = {}
        self._waiting: dict[str, tuple[Alert, Firing, int]] = {}

    def send(self, alert: Alert, firing: Firing) -> None:
        """Notify as the alert says; a failure is said on the error stream and goes no further."""
        if "file" in alert.notification and alert.file:
            try:
                path = Path(alert.file)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": self.run, **asdict(firing)}) + "\n")
            except OSError as error:
                complain(f"fovflow: cannot write {alert.file}: {error.strerror}")
        if not {"command", "email", "apprise"} & set(alert.notification):
            return
        if time.monotonic() - self._last.get(alert.name, -QUIET_S) < QUIET_S:
            before = self._waiting.get(alert.name)
            self._waiting[alert.name] = (alert, firing, before[2] + 1 if before else 0)
        else:
            self._launch(alert, firing, 0)

    def tend(self) -> None:
        """Send what has waited long enough, and look after processes; call it now and then."""
        now = time.monotonic()
        for name in [name for name in self._waiting if now - self._last[name] >= QUIET_S]:
            self._launch(*self._waiting.pop(name))
        going = []
        for process, started in self._processes:
            if process.poll() is None:
                if now - started > PATIENCE_S:
                    process.kill()
                    complain(
                        f"fovflow: ended a notification that took longer than {PATIENCE_S:g} s"
                    )
                going.append((process, started))
        self._processes = going

    def finish(self, timeout_s: float = 15.0) -> None:
        """Send what waits, and wait for what is under way."""
        while self._waiting:
            self._launch(*self._waiting.pop(next(iter(self._waiting))))
        deadline = time.monotonic() + timeout_s
        for process, _ in self._processes:
            try:
                process.wait(max(deadline - time.monotonic(), 0.01))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                complain("fovflow: ended a notification that took too long")
        self._processes = []

    def _launch(self, alert: Alert, firing: Firing, others: int) -> None:
        self._last[alert.name] = time.monotonic()
        more = f" (and {others} more)" if others else ""
        where = f" in {firing.job}" if firing.job else ""
        if "command" in alert.notification and alert.command:
            fill = {
                "name": alert.name,
                "message": firing.message + more,
                "value": "" if firing.value is None else f"{firing.value:g}",
                "job": firing.job,
                "run": self.run,
            }
            parts = (_NAMES.sub(lambda found: fill[found[1]], part) for part in alert.command)
            self._start([part.replace("\0", "") for part in parts], b"")
        for way in (self._ways[name] for name in alert.notification if name in self._ways):
            content = {
                **way,
                "subject": f"fovflow: {alert.name}{more}",
                "text": f"{alert.name}{where}: {firing.message}{more}\n\nrun: {self.run}\n"
                f"time: {firing.time}\naction: {firing.action}\n",
            }
            self._start([sys.executable, "-m", __name__], json.dumps(content).encode())

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
            complain(f"fovflow: cannot start {command[0]}: {error.strerror}")
            return
        assert process.stdin is not None
        with suppress(OSError), process.stdin:
            process.stdin.write(given)
        self._processes.append((process, time.monotonic()))


def send_mail(smtp: Mapping[str, Any], subject: str, text: str) -> None:
    """Send an e-mail through the user's own server.

    `smtp`: the keys of `fovflow.config.alerts.SmtpConfig`. Raises SMTPException if the server
    cannot be reached or refuses. Raises KeyError if the environment variable of the password is
    absent.
    """
    import smtplib
    import ssl
    from email.message import EmailMessage

    message = EmailMessage()
    message["Subject"] = " ".join(subject.split())
    message["From"] = smtp["sender"]
    message["To"] = ", ".join(smtp["to"])
    message.set_content(text)
    security = smtp.get("security", "starttls")
    secure = ssl.create_default_context() if security != "none" else None
    host, port = smtp["host"], int(smtp.get("port", 587))
    server: smtplib.SMTP
    if security == "ssl":
        server = smtplib.SMTP_SSL(host, port, timeout=MAIL_TIMEOUT_S, context=secure)
    else:
        server = smtplib.SMTP(host, port, timeout=MAIL_TIMEOUT_S)
    with server:
        if security == "starttls":
            server.starttls(context=secure)
        if smtp.get("user"):
            variable = smtp.get("password_env") or ""
            server.login(smtp["user"], os.environ[variable] if variable else "")
        server.send_message(message)


def send_apprise(addresses: str, subject: str, text: str) -> list[str]:
    """Send a message to services that apprise knows; return the names of those that failed.

    `addresses`: as apprise takes them, separated by spaces, such as ``slack://… mailto://…``.
    Raises ImportError if apprise is not installed. Raises ValueError if one of the addresses is
    none.
    """
    import logging

    import apprise

    logging.getLogger("apprise").disabled = True  # it would show addresses, which hold keys
    services = apprise.Apprise()
    if not services.add(addresses) or not services:
        raise ValueError("no address that apprise knows")
    return [
        str(service.service_name)
        for service in services
        if not service.notify(title=" ".join(subject.split()), body=text)
    ]


def main() -> int:
    """Send what stands on the standard input; say in one line why that failed."""
    content = json.load(sys.stdin)
    smtp, variable = content.get("smtp"), content.get("apprise_env")
    way = "e-mail" if smtp else "notification through apprise"
    try:
        if smtp:
            send_mail(smtp, content["subject"], content["text"])
            return 0
        failed = send_apprise(os.environ[variable], content["subject"], content["text"])
        problem = f": {', '.join(failed)} failed" if failed else ""
    except KeyError as error:
        problem = f": the variable {error} is not set"
    except ImportError:
        problem = ", which is not installed; to do: pip install 'fovflow[notify]'"
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        problem = f" through {smtp['host']}: {error}" if smtp else f": {error} in {variable}"
    if problem:
        complain(f"fovflow: no {way}{problem}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
