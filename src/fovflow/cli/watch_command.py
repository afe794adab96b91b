"""``fovflow watch``: a running or finished run, seen from another terminal."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from fovflow.cli.outdir import add_outdir, chosen_outdir
from fovflow.events import FINAL
from fovflow.runs.screen import Screen, live_possible, render, summary
from fovflow.runs.store import RunReader, find_run
from fovflow.runs.view import RunView

EXAMPLE = "fovflow watch results"
LIVE_EVERY_S = 0.5
PLAIN_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments."""
    add_outdir(parser)
    parser.add_argument("--run", help="id or name of a run (default: the one at work, else last)")
    parser.add_argument("--once", action="store_true", help="show it as it is now, and end")


def main(arguments: argparse.Namespace) -> int:
    """Show the run until it ends; return 0 unless it ended badly."""
    run = find_run(chosen_outdir(arguments.outdir), arguments.run)
    reader = RunReader(run)
    if arguments.once:
        view = reader.poll()
        print("\n".join(_screenful(view)))
    elif live_possible(sys.stdout):
        view = _follow_live(reader)
    else:
        view = _follow_plain(reader, lambda text: print(text, flush=True))
    bad = str(view.record["status"]) in FINAL - {"completed"}
    return 1 if bad else 0


def _follow_live(reader: RunReader) -> RunView:
    screen = Screen(sys.stdout)
    told = Told(screen.say)
    try:
        while True:
            view = reader.poll()
            told.tell(view)
            columns, rows = screen.size
            lines = render(view, columns, rows=rows, plain=screen.plain)
            if view.record["status"] in FINAL:
                break
            screen.draw(lines)
            time.sleep(LIVE_EVERY_S)
    finally:
        screen.close()
    screen.say("\n".join([*lines, *_ending(view)]))
    return view


def _follow_plain(reader: RunReader, say: Callable[[str], None]) -> RunView:
    told = Told(say)
    due = 0.0
    while True:
        view = reader.poll()
        told.tell(view)
        if view.record["status"] in FINAL:
            break
        if time.monotonic() >= due:
            say(summary(view))
            due = time.monotonic() + PLAIN_EVERY_S
        time.sleep(LIVE_EVERY_S)
    say("\n".join([summary(view), *_ending(view)]))
    return view


class Told:
    """Tells each failure and each alert once."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._failures: set[tuple[str, int]] = set()
        self._alerts = 0

    def tell(self, view: RunView) -> None:
        """Tell what is new."""
        for job in view.failed:
            if (job.job, job.attempt) not in self._failures:
                self._failures.add((job.job, job.attempt))
                self._say(_failure(view, job.job))
        for event in view.alerts[self._alerts :]:
            self._say(f"alert {event['name']}: {event.get('message', '')}")
        self._alerts = len(view.alerts)


def _failure(view: RunView, name: str) -> str:
    job = view.last_of(name)
    assert job is not None
    at = "" if job.frame is None else f" at frame {job.frame}"
    log = f"\n  log: {job.log}" if job.log else ""
    return f"{job.where}: {job.rule} failed{at}: {job.error}{log}"


def _screenful(view: RunView) -> list[str]:
    plain = not (sys.stdout.encoding or "ascii").lower().startswith("utf")
    lines = render(view, Screen(sys.stdout).size[0], plain=plain)
    return [*lines, *(_failure(view, job.job) for job in view.failed), *_ending(view)]


def _ending(view: RunView) -> list[str]:
    history = view.record.get("history") or [{}]
    message = history[-1].get("message")
    ended = view.record["status"] in FINAL
    lines = [f"{view.record['status']}: {message}"] if ended and message else []
    if view.record["status"] == "lost":
        lines.append("lost: the process was killed, or its machine went down; run it again")
    return lines
