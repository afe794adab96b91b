"""``fovflow runs``: the records of runs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovflow.cli.common import (
    JSON,
    OUTDIR,
    OUTDIR_OPTION,
    argument,
    chosen_outdir,
    chosen_run,
    command,
    flag,
    print_result,
)
from fovflow.errors import ConfigError, FovflowError, complain
from fovflow.events import ENDED, FINAL, LEVELS, RUN_STATUSES, recorded_number, seconds_of
from fovflow.records import leads_out
from fovflow.runs.assets import is_of_script, last_of
from fovflow.runs.history import recorded_run
from fovflow.runs.history import runs as runs_of
from fovflow.runs.store import RunFolder
from fovflow.terminal import printable
from fovflow.units import megabytes

if TYPE_CHECKING:
    from fovflow.jobrecord import JobRecord
    from fovflow.runs.state import RunState

SLOWEST = 10
"""Number of slowest jobs that are shown."""

MOST_METRICS = 20
"""Number of curves of metrics that are shown."""

COSTLIEST = 20
"""Number of jobs of a cluster that are shown: those that took most."""


@command(
    "fovflow runs list results --tag demo --since 7d --metadata dose=2",
    OUTDIR,
    argument("--tag", action="append", help="with this tag; may be given several times"),
    argument("--status", choices=RUN_STATUSES, help="with this status"),
    argument("--type", help="of this workflow type, or pipeline, script, execution"),
    argument("--since", metavar="TIME", help="made since 2026-03-01, 2026-03-01T10:00, or 7d, 12h"),
    argument("--name", help="whose name or id begins so"),
    argument(
        "--metadata", action="append", metavar="KEY=VALUE", help="with this value; several times"
    ),
    JSON,
)
def list_runs(
    outdir: str | None,
    *,
    tag: list[str] | None,
    metadata: list[str] | None,
    json: bool,
    **wanted: str | None,
) -> int:
    """Print the runs of an output folder, oldest first."""
    pairs = [pair.partition("=") for pair in metadata or ()]
    if wrong := [key for key, equals, _ in pairs if not (key and equals)]:
        raise ConfigError(f"--metadata {wrong[0]} is no KEY=VALUE")
    values = {key: value for key, _, value in pairs}
    entries = []
    for run in runs_of(chosen_outdir(outdir), tags=tag or (), metadata=values, **wanted):
        try:
            entries.append(run_entry(RunFolder(run.path)))
        except FovflowError as error:
            complain(f"fovflow: {error}")
    asked = tag or metadata or any(wanted.values())
    none = "no run has all that is asked for" if asked else "no runs are recorded here"
    print_result(json, entries, lambda: format_runs(entries) if entries else none)
    return 0


def run_entry(run: RunFolder) -> dict[str, Any]:
    """Return what the list tells of a run; FovflowError where its record cannot be read."""
    from fovflow.runs.state import counts, read_run

    record, status = run.read_record(), run.status()
    started, ended = record.get("started"), record.get("ended")
    found = record.get("counts")
    if not {"total", "completed"} <= {*(found or ())}:  # the run has not written down how it ended
        state = read_run(run)
        found = counts(state) if state.total else None
    return {
        "id": record.get("id") or run.id,
        "name": record.get("name"),
        "status": status,
        **{key: record.get(key) for key in ("started", "ended", "created")},
        "seconds": round(seconds_of(ended) - seconds_of(started), 3) if started and ended else None,
        **{key: record.get(key) for key in ("kind", "workflow_type", "description")},
        "tags": record.get("tags") or [],
        "counts": found,
        "command": record.get("command"),
        "folder": str(run.path),
    }


def format_runs(entries: list[dict[str, Any]]) -> str:
    """Return the list as a table for people."""
    from fovflow.runs.screen import clock

    rows = [("name", "status", "started (UTC)", "time", "jobs", "id")]
    for entry in entries:
        found = entry["counts"]
        jobs = f"{found['completed']}/{found['total']}" if found else ""
        started = _date(entry["started"] or entry["created"] or "")
        spent = "" if entry["seconds"] is None else clock(entry["seconds"])
        name = printable(str(entry["name"]), one_line=True)
        rows.append((name, entry["status"], started, spent, jobs, entry["id"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _date(stamp: object) -> str:
    """Return a time stamp of the records without its fraction and zone."""
    return str(stamp)[:19].replace("T", " ")


@command(
    "fovflow runs show brave-otter",
    argument(
        "run",
        nargs="?",
        metavar="RUN",
        help="id or name, or the first letters of one, a run's folder, or an output folder "
        "(default: the run at work, else the last one)",
    ),
    OUTDIR_OPTION,
    JSON,
)
def show(run: str | None, outdir: str | None, json: bool) -> int:
    """Print everything that a person wants to know of one run."""
    from fovflow.runs.state import read_run

    recorded = chosen_run(outdir, run)
    content = describe(recorded, read_run(recorded))
    print_result(json, content, lambda: format_run(content))
    return 0


def describe(run: RunFolder, state: RunState) -> dict[str, Any]:
    """Return the record of a run, with its status as of now and what its events tell.

    ``rules`` holds jobs, seconds and peak memory by rule, ``attempts`` the jobs that needed
    several.
    """
    from fovflow.runs.state import cluster_costs

    jobs = state.last()
    ended = [job for job in jobs if job.status in ENDED]
    slowest = sorted(ended, key=lambda job: (-job.seconds(0.0), job.job))[:SLOWEST]
    again = {job.job for job in jobs if job.attempt > 1}
    of_scripts = _of_scripts(run, state)
    return {
        **{key: value for key, value in state.record.items() if key not in of_scripts},
        "folder": str(run.path),
        "counts": {
            "total": state.total,
            **{status: state.count(status) for status in (*ENDED, "running")},
        },
        "failures": [_job(job) for job in (*state.failed, *state.terminated)],
        "slowest": [_job(job) for job in slowest],
        "rules": _rules(ended, list(state.planned)),
        "attempts": [_job(job) for key, job in sorted(state.jobs.items()) if key[0] in again],
        "alerts": state.alerts,
        "messages": state.messages,
        **{key: value for key, value in of_scripts.items() if value},
        "cluster_jobs": cluster_costs(state),
    }


def _of_scripts(run: RunFolder, state: RunState) -> dict[str, Any]:
    """Return what scripts did in a run, their own or inside of jobs: files and numbers."""
    known, own = recorded_run(run), is_of_script(state.record)
    logged = own or any(job.logged for job in state.jobs.values())
    rows = [r for r in known.metric_rows() if r["elapsed_s"] is not None] if logged else []
    for row in rows:
        row["metrics"] = {name: recorded_number(n) for name, n in row["metrics"].items()}
    assets = [asset.to_json() for asset in last_of(state.assets)]
    there = (
        (name, run.path / name)
        for name in state.announced
        if state.record["status"] in FINAL and not leads_out(run.path, name)
    )
    return {
        "unrecorded": [name for name, path in there if path.exists()],
        "malformed": dict(state.malformed),
        "damages": state.damages(),
        "assets": assets,
        "metrics": rows,
        "units": known.units() if rows else {},
        "folder_details": known.folder,
    }


def _job(job: JobRecord) -> dict[str, Any]:
    def facts(*names: str) -> dict[str, Any]:
        return {name: getattr(job, name) for name in names}

    return {
        **facts("job", "attempt", "rule", "wildcards", "status"),
        "seconds": round(job.seconds(0.0), 3),
        **{key: job.usage.get(key) for key in ("cpu_s", "peak_mib")},
        **facts("host", "error", "frame", "log", "metrics"),
    }


def _rules(jobs: list[JobRecord], order: list[str]) -> dict[str, dict[str, Any]]:
    """Return what the jobs of each rule took, in the order of the plan."""
    found: dict[str, dict[str, Any]] = {}
    places = {rule: place for place, rule in enumerate(order)}
    for job in sorted(jobs, key=lambda job: places.get(job.rule, len(places))):
        entry = found.setdefault(job.rule, {"jobs": 0, "seconds": 0.0, "peak_mib": None})
        entry["jobs"] += 1
        entry["seconds"] = round(entry["seconds"] + job.seconds(0.0), 3)
        peak = job.usage.get("peak_mib")
        if peak is not None:
            entry["peak_mib"] = max(peak, entry["peak_mib"] or 0.0)
    return found


def format_run(content: dict[str, Any]) -> str:
    """Return a run as text for people."""
    lines = [f"{content.get('name')} ({content.get('id')}): {content.get('status')}"]
    vocabulary = content.get("vocabulary")
    meant = isinstance(vocabulary, dict) and vocabulary.get(content.get("workflow_type"))
    for key in ("description", "workflow_type", "command", "working_directory", "folder"):
        if content.get(key):
            more = f" ({meant})" if meant and key == "workflow_type" else ""
            lines.append(f"  {key.replace('_', ' ')}: {content[key]}{more}")
    if content.get("tags"):
        lines.append(f"  tags: {', '.join(content['tags'])}")
    lines += [f"  {key}: {value}" for key, value in (content.get("metadata") or {}).items()]
    group = content.get("folder_details") or {}
    told = [f"{key}: {value}" for key, value in group.items() if key != "name" and value]
    lines += ["  ".join(["  group:", group["name"], *told])] if group else []
    workflow = content.get("workflow") or {}
    known = [f"{name} {version}" for name, version in (content.get("versions") or {}).items()]
    if workflow.get("commit"):
        changes = " with changes" * bool(workflow.get("dirty"))
        known.append(f"commit {str(workflow['commit'])[:12]}{changes}")
    lines += [f"  made with: {', '.join(known)}"] if known else []
    lines += _section("status", _history(content), always=True)
    told = [f"{key}: {dumps(v, ensure_ascii=False)}" for key, v in _parameters(content).items()]
    lines += _section("parameters", told)
    lines += _section("inputs", _inputs(content))
    for title, outputs in (("outputs", True), ("other files", False)):
        files = [x for x in content.get("assets", ()) if (x["category"] == "output") == outputs]
        lines += _section(title, [_asset(file) for file in files])
    lines += _section(
        "outputs that no record tells, see fovflow runs abandon", content.get("unrecorded", [])
    )
    lines += _section("metrics", _metrics(content.get("metrics", []), content.get("units", {})))
    script = is_of_script(content) and not content["counts"]["total"]
    lines += [] if script else _section(*_jobs(content), always=True)
    lines += _section("errors", _failures(content))
    slowest = [f"{job['seconds']:9.2f} s  {_name(job)}" for job in content["slowest"]]
    lines += _section("slowest jobs", slowest)
    again = [
        f"{_name(job)}, attempt {job['attempt']}: {job['status']} {job['error']}".rstrip()
        for job in content["attempts"]
    ]
    lines += _section("jobs with several attempts", again)
    lines += _section(*_costs(content["cluster_jobs"]))
    alerts = [
        f"{_time(event)}  {event['name']}: {event.get('message', '')} ({event.get('action')})"
        for event in content["alerts"]
    ]
    lines += _section("alerts", alerts)
    messages = [
        f"{_time(event)}  {event['level'] + ': ' if event.get('level') in LEVELS else ''}"
        f"{event['message']}"
        for event in content["messages"]
    ]
    lines += _section("messages", messages)
    damaged = [
        f"{file}: {words}{', left out' * (words != 'missing')}"
        for file, words in content.get("damages", {}).items()
    ]
    lines += _section("damaged records", damaged)
    return "\n".join(line.replace("\n", "\n      ") for line in lines)  # no text forges a line


def _section(title: str, content: list[str], *, always: bool = False) -> list[str]:
    """Return a title and indented lines; nothing where there are no lines, unless `always`."""
    return ["", title, *(f"  {line}" for line in content)] if content or always else []


def _history(content: dict[str, Any]) -> list[str]:
    return [
        f"{_date(entry['time'])} UTC  {entry['status']}"
        f"{': ' * bool(entry.get('message'))}{entry.get('message') or ''}"
        for entry in content.get("history") or []
    ]


def _inputs(content: dict[str, Any]) -> list[str]:
    lines = []
    for entry in content.get("inputs") or []:
        if not isinstance(entry, Mapping):
            continue
        name = entry.get("dataset") or entry.get("name") or entry.get("role") or ""
        text = f"{name}: {entry.get('path')}"
        size = entry.get("bytes")
        text += f", {_size(size)}" if isinstance(size, int) else ""
        digest = entry.get("fingerprint") or entry.get("sha256") or entry.get("digest")
        lines.append(f"{text}, {digest}" if digest else text)
        problems = entry.get("problems")
        lines += [f"  {each}" for each in problems] if isinstance(problems, list) else []
    return lines


def _parameters(content: dict[str, Any]) -> dict[str, Any]:
    return content.get("parameters") or {}


def _asset(asset: dict[str, Any]) -> str:
    """Return a file of a script in a line: path, kind, size, digest."""
    kind = asset["types"] or [asset["category"]]
    size = "" if asset["bytes"] is None else f", {_size(asset['bytes'])}"
    how = "" if asset["mode"] == "copy" else f", {asset['mode']}"
    digest = f"{asset['sha256'][:24]}…" if asset["sha256"] else "no checksum"
    return f"{asset['path']}: {', '.join(kind)}{how}{size}, {digest}"


def _size(number: int) -> str:
    return f"{number} bytes" if number < 100_000 else megabytes(number)


def _metrics(rows: list[dict[str, Any]], units: dict[str, str]) -> list[str]:
    """Return a small curve of each metric of each job, with its last, least and largest value."""
    from fovflow.runs.history import small_line

    series: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for name, value in row["metrics"].items():
            shown = f"{name} ({units[name]})" if name in units else name
            series.setdefault((row["job"], shown), []).append(float(value))
    width = max((len(name) for _, name in series), default=0)
    lines = [
        f"{name:{width}}  {small_line(values)}  last {values[-1]:g}, least {min(values):g}, "
        f"largest {max(values):g}, {len(values)} values{f', {job}' if job else ''}"
        for (job, name), values in series.items()
    ]
    more = len(lines) - MOST_METRICS
    return [*lines[:MOST_METRICS], *([f"and {more} more, in --json"] if more > 0 else [])]


def _jobs(content: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the numbers of jobs, and a line on those of each rule."""
    from fovflow.runs.screen import clock

    numbers = content["counts"]
    under_way = "under way when it was lost" if content["status"] == "lost" else "running"
    ended = ", ".join(f"{numbers[key]} {key}" for key in ENDED)
    lines = []
    for rule, entry in content["rules"].items():
        seconds = entry["seconds"]
        spent = f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
        peak = f", at most {entry['peak_mib']:.0f} MiB" if entry["peak_mib"] else ""
        lines.append(f"{rule}: {entry['jobs']} in {spent} of work{peak}")
    return f"jobs: {numbers['total']} planned, {ended}, {numbers['running']} {under_way}", lines


def _failures(content: dict[str, Any]) -> list[str]:
    lines = []
    for job in content["failures"]:
        frame = f" at frame {job['frame']}" if job["frame"] is not None else ""
        lines.append(f"{_name(job)}{frame}: {job['error']}")
        lines += [f"  log: {job['log']}"] if job["log"] else []
    return lines


def _costs(costs: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Return what the jobs of a cluster took together, and a line on each of the costliest."""
    hours = sum(cost["core_hours"] or 0.0 for cost in costs)
    shown = sorted(costs, key=lambda cost: -(cost["core_hours"] or 0.0))[:COSTLIEST]
    lines = [_cost(cost) for cost in shown]
    if len(costs) > len(shown):
        lines.append(f"and {len(costs) - len(shown)} more, in --json")
    return f"jobs of the cluster: {len(costs)}, {hours:.2f} core-hours of steps", lines


def _cost(cost: dict[str, Any]) -> str:
    from fovflow.runs.screen import clock

    parts = [f"{cost['id']}  {cost['what']}, attempt {cost['attempt']}: {cost['status']}"]
    if cost["waited_s"] is not None:
        parts.append(f"began after {clock(cost['waited_s'])}")
    if cost["seconds"] is not None:
        place = f" on {cost['node']}" if cost["node"] else ""
        parts.append(f"{clock(cost['seconds'])}{place}")
    if cost["cpu_s"] is not None:
        cores = cost["cpus"] and f" of {cost['cpus']} core{'s' if cost['cpus'] > 1 else ''}"
        parts.append(f"CPU {cost['cpu_s']:.1f} s{cores or ''}")
    if cost["peak_mib"] is not None:
        asked = cost["memory_mb"] and f" of {cost['memory_mb']} MB asked for"
        parts.append(f"at most {cost['peak_mib']:.0f} MiB{asked or ''}")
    return ", ".join(parts)


def _time(event: dict[str, Any]) -> str:
    return _date(event["time"])[11:]


def _name(job: dict[str, Any]) -> str:
    from fovflow.jobrecord import in_words

    return f"{job['rule']} {in_words(job['wildcards'])}".strip()


_WHICH = "a run: id, name, path of its folder, or an output folder (its last run)"


@command(
    "fovflow runs compare brave-otter results_of_a_colleague",
    argument("first", metavar="A", help=_WHICH),
    argument("second", metavar="B", help="another"),
    argument("--html", metavar="FILE", help="write a page too, with pictures of FOVs that differ"),
    OUTDIR_OPTION,
    JSON,
)
def compare(first: str, second: str, html: str | None, outdir: str | None, json: bool) -> int:
    """Print what two runs do not share, and what each found; return 1 if any of it matters."""
    from fovflow.runs.compare import compare_runs, format_comparison

    chosen = chosen_run(outdir, first), chosen_run(outdir, second)
    found = compare_runs(*chosen)
    if html is not None:
        from fovflow.atomic import write_text
        from fovflow.report.comparison import comparison_page

        write_text(html, comparison_page(chosen, found))
    print_result(json, found.to_json(), lambda: format_comparison(found))
    return 0 if found.same else 1


@command(
    "fovflow runs lineage results/plate1/fov_003/plate1_fov_003_traces.csv",
    argument(
        "file",
        metavar="FILE",
        help="an output of a job or of an execution; with its users also raw data, or a script",
    ),
    flag("--forward", help="only tell what was made from it"),
    OUTDIR_OPTION,
    JSON,
)
def lineage(*, file: str, forward: bool, outdir: str | None, json: bool) -> int:
    """Print where a file comes from, and what was made from it."""
    from fovflow.runs.lineage import format_lineage, trace

    found = trace(file, chosen_outdir(outdir))
    if forward:
        found.back.clear()
    print_result(json, found.to_json(), lambda: format_lineage(found))
    return 0


def _crate(folder: str, outdir: str | None) -> tuple[str, dict[str, Any]]:
    """Return name and content of the crate of a dataset's folder, or of a script's run."""
    from fovflow.records import read_json
    from fovflow.runs.crate import FILE_NAME
    from fovflow.runs.script_crate import script_crate

    place = Path(folder)
    manifest = place / FILE_NAME
    if (place / "run.json").exists() or not place.exists():
        run = recorded_run(chosen_run(outdir, folder))
        if is_of_script(run.record):
            return run.name, script_crate(run)
    if not manifest.exists():
        raise FovflowError(
            f"there is no {FILE_NAME} in {place}",
            remedy="give the folder of a dataset, such as results/plate1, or an execution",
        )
    content = read_json(manifest)
    if not isinstance(content, dict) or not isinstance(content.get("@graph"), list):
        raise FovflowError(f"{manifest} is no RO-Crate: it has no list @graph")
    return place.resolve().name, content


@command(
    "fovflow runs export results/plate1 --to plate1_prov.json",
    argument(
        "folder",
        metavar="FOLDER",
        help="a dataset's folder with its manifest; or a run of a script or an execution: its id, "
        "name or folder",
    ),
    argument(
        "--format", choices=["prov-json", "ro-crate"], default="prov-json",
        help="W3C PROV, or the RO-Crate itself (default: prov-json)",
    ),
    argument("--to", metavar="FILE", help="file to write (default: print it)"),
    OUTDIR_OPTION,
)  # fmt: skip
def export(folder: str, format: str, to: str | None, outdir: str | None) -> int:
    """Print or write what a dataset's manifest, or the record of a script's run, tells."""
    from fovflow.atomic import write_text
    from fovflow.runs.crate import to_text
    from fovflow.runs.prov import to_prov

    name, content = _crate(folder, outdir)
    text = to_text(content)
    if format == "prov-json":
        text = dumps(to_prov(content, name), indent=1, ensure_ascii=False) + "\n"
    if to is None:
        print(text, end="")
    else:
        write_text(to, text)
        print(f"written: {to}")
    return 0


@command(
    "fovflow runs abandon brave-otter",
    argument("run", metavar="RUN", help="id or name of an execution that was killed"),
    OUTDIR_OPTION,
)
def abandon(run: str, outdir: str | None) -> int:
    """End an execution that was killed, with what it left behind."""
    from fovflow.runs.execution import abandon as end

    ended = end(run, chosen_outdir(outdir))
    (found,) = runs_of(ended.folder.parents[1], name=ended.id)
    print(f"{found.name} ({found.id}): {found.status}, with {len(found.assets)} files recorded")
    return 0


PARTS = {
    "list": (list_runs, "list the runs of an output folder"),
    "show": (show, "show one run: status, errors, jobs, attempts, alerts"),
    "compare": (compare, "show what two runs do not share, and if it matters"),
    "lineage": (lineage, "show where a file comes from, back to the raw data"),
    "abandon": (abandon, "end an execution that was killed, with the outputs it left behind"),
    "export": (export, "write a dataset's manifest as W3C PROV"),
}
"""The subcommands, and what they do."""


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True, metavar="SUBCOMMAND")
    for name, (part, what) in PARTS.items():
        part.add_arguments(parts.add_parser(name, help=what, **part.texts(what)))


@command("fovflow runs list results", _add_parts)
def runs(part: str, **arguments: Any) -> int:
    """Run a subcommand."""
    return PARTS[part][0].run(**arguments)
