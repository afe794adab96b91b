"""Commands that show what a run did and made: status, watch, report, overlay."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.cli.common import (
    CONFIGFILE,
    JSON,
    OUTDIR,
    argument,
    chosen_run,
    command,
    flag,
    is_given,
    print_result,
)
from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.events import FINAL
from fovflow.layout import OVERLAYS, REPORT_NAME, RESULTS_NAME
from fovflow.layout import overlay as overlay_name
from fovflow.units import first_middle_last, format_fovs, parse_ranges

if TYPE_CHECKING:
    from fovflow.jobrecord import JobRecord
    from fovflow.results import Results
    from fovflow.runs.state import RunState
    from fovflow.runs.store import RunFolder


@command("fovflow status results", OUTDIR, CONFIGFILE, JSON)
def status(outdir: str | None, configfile: str, json: bool) -> int:
    """Print the status; return 1 if anything is not complete."""
    found = _statuses(outdir, configfile)
    print_result(json, found, lambda: format_status(found))
    parts = [dataset.get(part, {}) for dataset in found for part in ("fovs", "samples")]
    fine = all(state["status"] == "complete" for part in parts for state in part.values())
    return 0 if fine and not any(dataset["problems"] for dataset in found) else 1


def _statuses(outdir: str | None, configfile: str) -> list[dict[str, Any]]:
    """Return one entry per dataset, from the configuration if it is there and of this folder."""
    from fovflow.config.load import read_config
    from fovflow.planning.pipeline import Pipeline
    from fovflow.planning.summary import stale_verdicts

    if is_given(configfile):
        pipeline = Pipeline(read_config(configfile))
        if outdir is None or Path(outdir).resolve() == Path(pipeline.config.outdir).resolve():
            return [
                {
                    "dataset": name,
                    "fovs": {str(k): v for k, v in pipeline.statuses(name).items()},
                    "problems": list(plan.problems),
                    **_some("stale_verdicts", stale_verdicts(pipeline, name)),
                    **_some("samples", pipeline.analysis.statuses(name, pipeline.to_measure(name))),
                }
                for name, plan in pipeline.datasets.items()
            ]
    return _statuses_of_results(Path(outdir or "results"))


def _statuses_of_results(outdir: Path) -> list[dict[str, Any]]:
    from fovflow.results import load_results

    folders = sorted(path.parent for path in outdir.glob(f"*/{RESULTS_NAME}"))
    if (outdir / RESULTS_NAME).exists():
        folders.append(outdir)
    if not folders:
        raise FovflowError(
            f"{outdir} holds no results",
            found="no processing_results.yaml",
            remedy="give the output folder of a run, or run the pipeline first",
        )
    found = []
    for results in map(load_results, folders):
        fovs: dict[str, dict[str, str]] = {}
        with_missing_files = {path.parent for path in results.missing}
        for fov in results.fovs.values():
            entry = {"status": fov.status, "step": fov.step, "error": fov.error}
            if fov.status == "complete" and fov.path in with_missing_files:
                error = "files that the results name are missing"
                entry = {"status": "incomplete", "error": error}
            fovs[str(fov.index)] = {key: value for key, value in entry.items() if value}
        problems = list(results.content.get("problems") or [])
        stale = {k: v.stale_verdicts for k, v in results.fovs.items() if v.stale_verdicts}
        found.append(
            {
                "dataset": results.dataset,
                "fovs": fovs,
                "problems": problems,
                **_some("stale_verdicts", stale),
            }
        )
    return found


def _some(key: str, found: Mapping[Any, Any]) -> dict[str, Any]:
    """Return an entry of a dataset; none where there is nothing of that kind."""
    return {key: {str(name): value for name, value in found.items()}} if found else {}


def _state(state: Mapping[str, Any]) -> str:
    step = f" at {state['step']}" if state.get("step") else ""
    error = f": {state['error']}" if state.get("error") else ""
    return "complete" if state["status"] == "complete" else f"{state['status']}{step}{error}"


def format_status(found: list[dict[str, Any]]) -> str:
    """Return the status as a table for people."""
    lines = []
    for dataset in found:
        fovs = dataset["fovs"]
        groups: dict[str, list[int]] = {}
        for index, fov in fovs.items():
            text = _state(fov)
            groups.setdefault(text, []).append(int(index))
        complete = len(groups.pop("complete", []))
        lines.append(f"{dataset['dataset']}: {complete} of {len(fovs)} FOVs complete")
        lines += [f"  {format_fovs(indices)}: {text}" for text, indices in groups.items()]
        lines += [
            f"  {format_fovs([int(index)])}: a person's verdicts are not used: {reason}"
            for index, reason in dataset.get("stale_verdicts", {}).items()
        ]
        lines += [f"  {problem}" for problem in dataset["problems"]]
        states = {name: _state(state) for name, state in dataset.get("samples", {}).items()}
        if states:
            whole = [*states.values()].count("complete")
            lines.append(f"  {whole} of {len(states)} samples complete")
        lines += [f"  sample {n}: {state}" for n, state in states.items() if state != "complete"]
    return "\n".join(lines)


LIVE_EVERY_S = 0.5
PLAIN_EVERY_S = 10.0


@command(
    "fovflow watch results",
    OUTDIR,
    argument("--run", help="id or name of a run (default: the one at work, else last)"),
    flag("--once", help="show it as it is now, and end"),
)
def watch(outdir: str | None, run: str | None, once: bool) -> int:
    """Show the run until it ends; return 0 unless it ended badly."""
    from fovflow.runs.screen import Screen, render
    from fovflow.runs.state import read_run

    recorded = chosen_run(outdir, run)
    if once:
        state, screen = read_run(recorded), Screen(sys.stdout)
        lines = render(state, screen.size[0], plain=screen.plain)
        lines += [_failure(job) for job in state.failed]
        print("\n".join([*lines, *_how_it_ended(state)]))
    else:
        state = _follow(recorded)
    return 1 if state.record["status"] in FINAL - {"completed"} else 0


def _follow(recorded: RunFolder) -> RunState:
    """Show a run until it ends: live on a terminal, as a line now and then elsewhere.

    Each failure and each alert is told once.
    """
    from fovflow.runs.screen import Screen, live_possible, render, summary
    from fovflow.runs.state import RunReader

    reader = RunReader(recorded)
    screen = Screen(sys.stdout) if live_possible(sys.stdout) else None
    say = screen.say if screen else partial(print, flush=True)
    failures: set[tuple[str, int]] = set()
    alerts = 0
    due = 0.0
    try:
        while True:
            state = reader.poll()
            for job in state.failed:
                if (job.job, job.attempt) not in failures:
                    failures.add((job.job, job.attempt))
                    say(_failure(job))
            for event in state.alerts[alerts:]:
                say(f"alert {event['name']}: {event.get('message', '')}")
            alerts = len(state.alerts)
            if screen:
                columns, rows = screen.size
                lines = render(state, columns, rows=rows, plain=screen.plain)
            else:
                lines = [summary(state)]
            if state.record["status"] in FINAL:
                break
            if screen:
                screen.draw(lines)
            elif time.monotonic() >= due:
                say("\n".join(lines))
                due = time.monotonic() + PLAIN_EVERY_S
            time.sleep(LIVE_EVERY_S)
    finally:
        if screen:
            screen.close()
    say("\n".join([*lines, *_how_it_ended(state)]))
    return state


def _failure(job: JobRecord) -> str:
    at = "" if job.frame is None else f" at frame {job.frame}"
    log = f"\n  log: {job.log}" if job.log else ""
    return f"{job.where}: {job.rule} failed{at}: {job.error}{log}"


def _how_it_ended(state: RunState) -> list[str]:
    history = state.record.get("history") or [{}]
    message = history[-1].get("message")
    ended = state.record["status"] in FINAL
    lines = [f"{state.record['status']}: {message}"] if ended and message else []
    if state.record["status"] == "lost":
        lines.append("lost: the process was killed, or its machine went down; run it again")
    return lines


@command(
    "fovflow report results",
    argument(
        "outdir",
        nargs="?",
        help="output folder, or one dataset's folder in it (default: the configuration's, else "
        "results)",
    ),
    CONFIGFILE,
    argument("--out", help="file to write (default: OUTDIR/report.html)"),
    flag(
        "--single",
        help="one file to hand on, with the cells to look at, of 20 MB at most "
        "(default: report_single.html in this folder)",
    ),
)
def report(outdir: str | None, configfile: str, out: str | None, single: bool) -> int:
    """Write the page and print where it is."""
    from fovflow.config import load_config
    from fovflow.report import write_report

    if not outdir and is_given(configfile):
        outdir = load_config(configfile).outdir
    folder = Path(outdir or "results")
    page = Path(out or ("report_single.html" if single else folder / REPORT_NAME))
    if (folder / RESULTS_NAME).is_file():
        place = folder.resolve()
        write_report(page, place.parent, [place.name], single=single)
    else:
        write_report(page, folder, single=single)
    print(page)
    return 0


@command(
    "fovflow overlay results/plate1 --fovs 0,3 --frames all --channel GFP --movie mp4",
    argument("folder", help="result folder of a dataset"),
    argument("--fovs", default="0", help='FOVs, such as "0-3", or all (default: 0)'),
    argument(
        "--frames",
        help='frames, such as "0,10", or all (default: first, middle, last; of a movie all)',
    ),
    argument("--channel", help="channel to draw on, by name or index (default: phase contrast)"),
    argument("--out", help="folder for the pictures (default: FOLDER/overlays)"),
    argument("--movie", choices=("mp4", "gif"), help="write a movie in place of pictures"),
    argument("--fps", type=float, default=8.0, help="frames of a movie per second (default: 8)"),
)
def overlay(
    folder: str,
    *,
    fovs: str,
    frames: str | None,
    channel: str | None,
    out: str | None,
    movie: str | None,
    fps: float,
) -> int:
    """Write one PNG per FOV and frame, or one movie per FOV."""
    from fovflow.overlay import MOVIES, Overlays, note_drawn, write_movie, write_png
    from fovflow.results import load_results

    if not 0.1 <= fps <= 120:
        raise ConfigError(f"--fps {fps:g}: a movie has 0.1 to 120 frames per second")
    results = load_results(folder)
    place = Path(out) if out else results.folder / OVERLAYS
    index, made = None if channel is None else _channel(results, channel), dict[Path, list[Path]]()
    chosen = [*results.fovs] if fovs == "all" else parse_ranges(fovs, "--fovs")
    if unknown := [fov for fov in chosen if fov not in results.fovs]:
        raise ConfigError(
            f"--fovs: there is no {format_fovs(unknown)}", found=", ".join(map(str, results.fovs))
        )
    failed: list[str] = []
    for fov in chosen:
        try:
            drawn = Overlays(results.fovs[fov], index)
            some = _frames(frames, len(drawn.labels), all_of_them=movie is not None)
            name = partial(overlay_name, results.dataset, fov, index)
            if movie:
                path = place / name(movie)
                write_movie(path, (drawn.draw(t, MOVIES[movie]) for t in some), fps)
                print(path)
                made[path] = drawn.files
                continue
            for t in some:
                write_png(path := place / name("png", t), drawn.draw(t))
                print(path)
                made[path] = drawn.files
        except ConfigError:
            raise
        except FovflowError as error:  # it costs this FOV alone
            if (text := f"fovflow: {error}") not in failed:
                complain(text)
            failed.append(text)
    if out is None and made:
        note_drawn(results.folder, made)
    return 1 if failed else 0


def _frames(given: str | None, count: int, *, all_of_them: bool) -> Sequence[int]:
    """Return the frames to draw: those given, else first, middle and last, or all."""
    every = range(count)
    if not given:
        return every if all_of_them else first_middle_last(every)
    some = every if given == "all" else parse_ranges(given, "--frames")
    if wrong := next((t for t in some if t >= count), None):
        raise ConfigError(f"--frames: no frame {wrong}", found=f"{count} frames")
    return some


def _channel(results: Results, given: str) -> int:
    """Return the index of a channel that is named, or given by its index."""
    indices = [results.channels.get("pc"), *(results.channels.get("fl") or ())]
    names = {str(c): int(c) for c in indices if c is not None}
    told = results.content.get("channel_names") or {}
    known = {str(name): int(c) for c, name in told.items()} | names
    if given not in known:
        listed = ", ".join(f"{c} {told.get(int(c), told.get(c, ''))}".strip() for c in names)
        raise ConfigError(f"--channel: there is no channel {given!r}", found=listed)
    return known[given]
