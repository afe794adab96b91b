"""E-mail through the user's own server, and apprise: small servers on the loopback interface."""

from __future__ import annotations

import importlib.util
import json
import os
import socketserver
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fovflow.events import EventFile
from fovflow.runs.alerts import AlertWatcher
from fovflow.runs.notify import send_mail
from fovflow.runs.store import RunFolder


class Handler(socketserver.StreamRequestHandler):
    """Just enough of SMTP."""

    def handle(self):
        self.server.open.wait(300)
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            self.server.lines.append(line.decode().rstrip())
            word = line.split()[0].upper()
            if word == b"EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (text := self.rfile.readline()) != b".\r\n":
                    self.server.lines.append(text.decode().rstrip())
                self.wfile.write(b"250 taken\r\n")
                self.server.taken.set()
            elif word == b"AUTH":
                self.wfile.write(b"235 welcome\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def server():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as here:
        here.lines, here.taken, here.open = [], threading.Event(), threading.Event()
        here.open.set()
        thread = threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield here
        here.shutdown()
        thread.join()


def settings(server, **more):
    return {
        "host": "127.0.0.1",
        "port": server.server_address[1],
        "security": "none",
        "sender": "run@example.org",
        "to": ("a@example.org", "b@example.org"),
        **more,
    }


def test_an_alert_is_sent(server, tmp_path):
    folder = RunFolder.create(tmp_path, name="mailed")
    alert = {
        "name": "dim",
        "metric": "m",
        "rule": "is below",
        "threshold": 0,
        "notification": ["email"],
    }
    watcher = AlertWatcher(folder, [alert], smtp=settings(server))
    events = EventFile(folder.path / "events.jsonl")
    events.write("metrics", metrics={"m": -3}, step=0)
    events.close()
    server.open.clear()
    watcher.poll()  # returns although the server does not answer yet
    assert not server.lines
    server.open.set()
    assert server.taken.wait(300)
    watcher.finish()
    assert "Subject: fovflow: dim" in server.lines
    assert "From: run@example.org" in server.lines
    assert "To: a@example.org, b@example.org" in server.lines
    assert "dim: m = -3 is below 0" in server.lines
    assert f"run: {folder.id}" in server.lines


def test_login_takes_the_password_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("MY_MAIL", "hush")
    smtp = settings(server, user="joe", password_env="MY_MAIL")
    send_mail(smtp, "one\nBcc: evil@example.org", "text\n.\nend")
    assert any(line.startswith("AUTH PLAIN") for line in server.lines)
    assert "Subject: one Bcc: evil@example.org" in server.lines
    assert not any(line.startswith("RCPT TO:<evil") for line in server.lines)
    assert server.lines[-3:] == ["..", "end", "QUIT"]
    with pytest.raises(KeyError):
        send_mail({**smtp, "password_env": "NOT_SET"}, "x", "y")


def test_a_server_that_is_away_is_said_and_no_more(tmp_path, capfd):
    folder = RunFolder.create(tmp_path)
    smtp = {"host": "127.0.0.1", "port": 9, "security": "none", "sender": "a@b", "to": ["c@d"]}
    alert = {"name": "x", "metric": "m", "rule": "is above", "threshold": 0}
    watcher = AlertWatcher(folder, [{**alert, "notification": ["email"]}], smtp=smtp)
    events = EventFile(folder.path / "events.jsonl")
    events.write("metrics", metrics={"m": 1}, step=0)
    events.close()
    assert len(watcher.poll()) == 1
    watcher.finish()
    assert "no e-mail through 127.0.0.1" in capfd.readouterr().err


class Hook(BaseHTTPRequestHandler):
    """Takes a message of apprise's plainest kind."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, json.loads(body)))
        self.send_response(200 if self.path.startswith("/ok") else 500)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hook():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as here:
        here.taken = []
        thread = threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield here
        here.shutdown()
        thread.join()


def fire(folder, **options):
    """Let an alert fire that goes through apprise, and wait until it has."""
    alert = {"name": "dim", "metric": "m", "rule": "is below", "threshold": 0}
    watcher = AlertWatcher(folder, [{**alert, "notification": ["apprise"]}], **options)
    with closing(EventFile(folder.path / "events.jsonl")) as events:
        events.write("metrics", metrics={"m": -3}, step=0)
    assert len(watcher.poll()) == 1
    watcher._notifier.finish(timeout_s=300)
    watcher.finish()


needs_apprise = pytest.mark.skipif(
    importlib.util.find_spec("apprise") is None, reason="apprise is not installed"
)


@needs_apprise
def test_an_alert_goes_to_the_services_that_apprise_knows(hook, tmp_path, monkeypatch, capfd):
    folder = RunFolder.create(tmp_path, name="told")
    address = f"json://joe:hush@127.0.0.1:{hook.server_address[1]}"
    monkeypatch.setenv("MY_SERVICES", f"{address}/ok/1 {address}/ok/2")
    fire(folder, apprise_env="MY_SERVICES")
    assert sorted(path for path, _ in hook.taken) == ["/ok/1", "/ok/2"]
    assert {message["title"] for _, message in hook.taken} == {"fovflow: dim"}
    assert "dim: m = -3 is below 0" in hook.taken[0][1]["message"]
    assert f"run: {folder.id}" in hook.taken[0][1]["message"]
    assert capfd.readouterr().err == ""
    recorded = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"dim" in recorded
    assert b"hush" not in recorded


@needs_apprise
@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ("json://joe:hush@127.0.0.1:9/key", "no notification through apprise: JSON failed"),
        ("{hook}/no/key", "no notification through apprise: JSON failed"),
        ("hush://key", "no notification through apprise: no address that apprise knows in MY_SERV"),
        ("", "no notification through apprise: no address that apprise knows in MY_SERVICES"),
        (None, "no notification through apprise: the variable 'MY_SERVICES' is not set"),
    ],
)
def test_what_apprise_cannot_do_is_said_without_keys(
    hook, tmp_path, monkeypatch, capfd, addresses, message
):
    monkeypatch.delenv("MY_SERVICES", raising=False)
    if addresses is not None:
        place = f"json://joe:hush@127.0.0.1:{hook.server_address[1]}"
        monkeypatch.setenv("MY_SERVICES", addresses.replace("{hook}", place))
    fire(RunFolder.create(tmp_path), apprise_env="MY_SERVICES")
    told = capfd.readouterr().err
    assert told.startswith(f"fovflow: {message}")
    assert told.count("\n") == 1
    assert "hush" not in told
    assert "key" not in told


def test_without_apprise_it_is_said_what_to_install(tmp_path, monkeypatch, capfd):
    (tmp_path / "apprise.py").write_text("raise ImportError\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("MY_SERVICES", "json://127.0.0.1:9")
    fire(RunFolder.create(tmp_path), apprise_env="MY_SERVICES")
    assert "not installed; to do: pip install 'fovflow[notify]'" in capfd.readouterr().err
