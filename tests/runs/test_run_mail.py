"""E-mail through the user's own server: a small one on the loopback interface takes it."""

from __future__ import annotations

import socketserver
import threading

import pytest

from fovflow.events import EventFile
from fovflow.runs.alerts import AlertWatcher
from fovflow.runs.mail import send_mail
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
    assert "dim: m is below: -3" in server.lines
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
