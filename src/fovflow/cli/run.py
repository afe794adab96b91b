"""Commands that start Snakemake, or measure it: run, why, restore, bench."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fovflow.cli.common import (
    CONFIG,
    JSON,
    OUTDIR_OPTION,
    RUN,
    argument,
    chosen_run,
    command,
    flag,
    print_result,
)
from fovflow.errors import ConfigError, complain, explained
from fovflow.events import SECRET
from fovflow.units import format_fovs

if TYPE_CHECKING:
    from fovflow.runs.restore import Restoration
    from fovflow.runs.store import RunFolder


@command(
    "fovflow run --cores 4 --configfile config/config.yaml",
    flag("--estimate", help="run nothing: tell the disk and CPU time for each choice of keep"),
    flag("--json", help="with --estimate: print JSON"),
    usage="fovflow run [SNAKEMAKE OPTIONS] [TARGETS]",
    description="Run the pipeline in this folder. All options and targets are Snakemake's: -n "
    "shows what would run, --configfile takes another configuration, --config key=value sets one "
    "key, --workflow-profile profiles/slurm runs on a cluster. All cores are used unless --cores "
    "says otherwise.",
    passes_on=True,
)
def run(estimate: bool, json: bool, rest: list[str]) -> int:
    """Run Snakemake; return 0, or 1 if anything failed."""
    from fovflow.adapter.engine import snakemake_command
    from fovflow.adapter.interrupts import interrupts_blocked

    _check_configuration(rest)
    if estimate:
        return _estimate(json, rest)
    environment = os.environ.copy()
    if not {word.split("=")[0] for word in rest} & _ASK_FOR_LINES:
        rest = ["--quiet=host", *rest]
        if not sys.stderr.isatty():
            environment.setdefault("FOVFLOW_DISPLAY", "brief")
    # Ctrl-C reaches Snakemake from the terminal itself. Blocking it does not spare this process: a
    # thread of a library may get it, and Python hears it all the same
    previous = {signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None)}
    try:
        with interrupts_blocked():  # until the workflow begins: `expect_interrupts`
            process = subprocess.Popen(snakemake_command(rest), env=environment)
        forward = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        previous[signal.SIGTERM] = forward
        return min(abs(process.wait()), 1)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _estimate(json: bool, rest: list[str]) -> int:
    """Print what a run needs; return 1 if it does not fit on the disk."""
    from fovflow.config.load import merged_config
    from fovflow.planning.pipeline import Pipeline
    from fovflow.planning.space import estimate_run, format_run
    from fovflow.planning.summary import summary

    given = _given(rest)
    cores = int(given.cores) if given.cores.isdecimal() else os.cpu_count() or 1
    pipeline = Pipeline(merged_config(given.configfile, given.config))
    for text in summary(pipeline).splitlines():
        complain(text)
    found = estimate_run(pipeline, max(1, cores))
    print_result(json, found, lambda: format_run(found))
    return 0 if all(each["fits"] for each in found["keep"] if each["configured"]) else 1


def _given(rest: list[str]) -> argparse.Namespace:
    """Return what arguments for Snakemake say of the configuration, and of cores."""
    parser = argparse.ArgumentParser(prog="fovflow run", allow_abbrev=False, add_help=False)
    parser.add_argument("--configfile", "--configfiles", nargs="+", default=[CONFIG])
    parser.add_argument("--config", "-C", nargs="+", default=[])
    parser.add_argument("--cores", "-c", default="all")
    return parser.parse_known_args(rest)[0]


_ELSEWHERE = frozenset(
    {"--directory", "-d", "--profile", "--workflow-profile", "--snakefile", "-s"}
    | {"--help", "-h", "--version", "-v"}
)
"""Options with which Snakemake may read other configurations, or none."""


def _check_configuration(rest: list[str]) -> None:
    """Raise ConfigError where the configuration is absent or wrong, before Snakemake starts."""
    from fovflow.config.load import merged_config, parse_config
    from fovflow.corrections import read_corrections

    if {word.split("=")[0] for word in rest} & _ELSEWHERE:
        return
    given = _given(rest)
    if given.configfile == [CONFIG] and not Path(CONFIG).is_file():
        raise ConfigError(
            "there is no configuration here",
            found=f"no {CONFIG} in {Path.cwd()}",
            remedy="go to the project's folder, name a file with --configfile, or make one with "
            "fovflow init",
        )
    config = parse_config(merged_config(given.configfile, given.config))
    if config.corrections is not None:
        read_corrections(config.corrections)


_ASK_FOR_LINES = frozenset(
    {"--quiet", "-q", "--verbose", "--printshellcmds", "-p", "--dry-run", "-n", "--debug-dag"}
)
_JOB = re.compile(r"^(?:Job \d+: (?P<message>.+)|(?:local)?(?:rule|checkpoint) (?P<rule>\S+):)$")
_REASON = re.compile(r"^\s*[Rr]eason: (?P<reason>.+)$")
_FOV = re.compile(r"^(?P<dataset>.+), FOV (?P<fov>\d+): (?P<step>.+)$")
_FOV_IN_NAME = re.compile(r"fov_\d+")
_FOLLOWS = "an earlier step runs again"
_REASONS = (
    (r"Missing output files: (?P<files>[^;]+)", "missing: {files}"),
    (r"Param(?:eter)?s have changed since last execution", "its parameters changed"),
    (r"Set of input files has changed since last execution", "its set of inputs changed"),
    (r"Code has changed since last execution", "its code changed"),
    (
        r"Software environment definition has changed since last execution",
        "its software environment changed",
    ),
    (r"Updated input files: (?P<files>[^;]+)", "newer than what was made from it: {files}"),
    (r"Input files updated by another job: ", _FOLLOWS),
    (
        r"Incomplete output files: (?P<files>[^;]+)",
        "an earlier run was stopped while making {files}",
    ),
    (r"Forced execution", "it was asked for by force"),
)
"""What Snakemake says of why a job runs, and the same in plain words."""


@command(
    "fovflow why",
    JSON,
    usage="fovflow why [--json] [SNAKEMAKE OPTIONS] [TARGETS]",
    passes_on=True,
)
def why(json: bool, rest: list[str]) -> int:
    """Print what would run; return 1 if that cannot be told."""
    from fovflow.adapter.engine import snakemake_command

    _check_configuration(rest)
    words = snakemake_command(["--dry-run", "--nocolor", "--quiet=host", *rest])
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        _, _, text = f"{done.stderr}\n{done.stdout}".rpartition("Building DAG of jobs...")
        lines = text.splitlines()
        told = (line for line in lines if line and not line.startswith(("Using ", "Assuming ")))
        print("\n".join(told), file=sys.stderr)
        return 1
    jobs = read_dry_run(f"{done.stdout}\n{done.stderr}".splitlines())
    content = [{"job": job, "reason": reason} for job, reason in jobs]
    print_result(json, content, lambda: format_jobs(jobs), ascii_only=True)
    return 0


def read_dry_run(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Return (job, reason in plain words) for each job of a dry run's output."""
    jobs: list[tuple[str, str]] = []
    current = None
    for line in lines:
        if job := _JOB.match(line.rstrip()):
            current = job["message"] or job["rule"]
        elif current and (reason := _REASON.match(line)):
            jobs.append((current, in_words(reason["reason"])))
            current = None
    return jobs


def in_words(reason: str) -> str:
    """Translate a reason of Snakemake's.

    Examples
    --------
    >>> in_words("Params have changed since last execution: before: 1 now: 2")
    'its parameters changed'
    """
    found = []
    for pattern, words in _REASONS:
        if match := re.search(pattern, reason):
            names = (match.groupdict().get("files") or "").split(",")
            files = ", ".join(name.strip().rpartition("/")[2] for name in names[:3])
            files += f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(words.format(files=files))
    return "; ".join(found) or reason


def format_jobs(jobs: list[tuple[str, str]]) -> str:
    """Return the jobs as text: first those with causes of their own, then what follows.

    Jobs of one step and cause in several FOVs of a dataset are one line.
    """
    if not jobs:
        return "Nothing to be done: everything is complete and up to date."
    grouped = _grouped(jobs)
    lines = [f"{job}: {reason}" for job, reason in grouped if reason != _FOLLOWS]
    rest = [f"  {job}" for job, reason in grouped if reason == _FOLLOWS]
    return "\n".join([*lines, *(["", f"and, because {_FOLLOWS}:", *rest] if rest else [])])


def _grouped(jobs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Join jobs that differ only in their FOV."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for job, reason in jobs:
        if match := _FOV.match(job):
            key = (match["dataset"], match["step"], _FOV_IN_NAME.sub("fov_…", reason))
            groups.setdefault(key, []).append(int(match["fov"]))
        else:
            groups.setdefault(("", job, reason), [])
    return [
        (f"{dataset}, {format_fovs(fovs)}: {step}" if fovs else step, reason)
        for (dataset, step, reason), fovs in groups.items()
    ]


@command(
    "fovflow restore brave-otter",
    RUN,
    flag("--run", dest="execute", help="run the command"),
    flag("--config-only", help="only write the recorded configuration"),
    argument("--to", metavar="FILE", help="where it is written (default: it is printed)"),
    OUTDIR_OPTION,
    JSON,
)
def restore(
    *, run: str, execute: bool, config_only: bool, to: str | None, outdir: str | None, json: bool
) -> int:
    """Print what changed since a run and the command that does it again; run it where asked.

    Returns 1 with ``--run`` if the command failed or an output came out otherwise than recorded.
    """
    from fovflow.adapter.recording import describe_now
    from fovflow.jobrecord import MALFORMED
    from fovflow.runs.restore import relocated, restoration

    recorded = chosen_run(outdir, run)
    if config_only:
        return _give_config(recorded, to)
    about = f"the run {recorded.id} cannot be done again: its record is damaged"
    with explained(about, *MALFORMED, IndexError):
        found = restoration(recorded, describe_now(relocated(recorded)))
    lines = [
        f"changed: {change.section}: {change.key}: then {change.first}, today {change.second}"
        for change in found.drift
    ]
    lines += [f"note: {note}" for note in found.notes]
    if not found.drift:
        lines.append("unchanged: code, configuration, environment and inputs are as they were")
    print_result(json, found.to_json(), lambda: [*lines, found.line])
    return _run_again(recorded, found) if execute else 0


def _give_config(recorded: RunFolder, to: str | None) -> int:
    """Write or print the configuration of a run; a file that is there is not replaced."""
    from fovflow.records import write_yaml, yaml_text
    from fovflow.runs.restore import recorded_config

    config = recorded_config(recorded)
    if to is None:
        print(yaml_text(config), end="")
        return 0
    if Path(to).exists():
        raise ConfigError(f"{to} is there already", remedy="give another name, or move it away")
    write_yaml(to, config)
    print(f"written: {to}")
    if SECRET in yaml_text(config):
        complain(f"{to}: fill in what is {SECRET}: such values are in no record")
    return 0


def _run_again(recorded: RunFolder, found: Restoration) -> int:
    """Run the command; compare what it made with what the run recorded."""
    from fovflow.runs.restore import check_reproduction
    from fovflow.runs.state import outputs_of

    then = outputs_of(recorded)
    files = {name: output.file(recorded.outdir) for name, output in then.items()}
    times = {name: file.stat().st_mtime_ns for name, file in files.items() if file.exists()}
    try:
        done = subprocess.run(found.command, cwd=found.directory, check=False)
    except OSError as error:
        print(f"cannot run the command: {error.strerror or error}", file=sys.stderr)
        return 1
    if done.returncode:
        print(
            f"the command ended with status {done.returncode}: outputs may be those of before",
            file=sys.stderr,
        )
    made = check_reproduction(recorded, then=then)
    for path in made.different:
        print(f"{path}: differs from what the run recorded", file=sys.stderr)
    for path in made.missing:
        print(f"{path}: was not made again", file=sys.stderr)
    total = len(made.equal) + len(made.different) + len(made.missing)
    if not total:
        print(f"nothing is compared: no record tells what {recorded.id} made", file=sys.stderr)
        return 1
    intact = sum(files[name].stat().st_mtime_ns == times.get(name) for name in made.equal)
    print(
        f"{len(made.equal)} of {total} outputs are byte for byte those of {recorded.id}: "
        f"{len(made.equal) - intact} were made again, {intact} were found intact"
    )
    return 0 if done.returncode == 0 and made.ok else 1


@command(
    "fovflow bench --quick --json figures.json",
    flag("--quick", help="a selection, in about two minutes"),
    argument("--json", metavar="FILE", help="write the figures to this file"),
    argument("--folder", help="where movies and results are put meanwhile"),
    description="Measure time and memory of every step and of whole runs, and compare them with "
    "copying the same bytes; in a clone also with plain versions of the same algorithms. Other "
    "options are those of `python -m benchmarks`. `fovflow bench statistics` tells how often "
    "comparisons of conditions find differences, where there are none and where there are; "
    "`fovflow bench accuracy` how right segmentation and tracking are, with a folder on sequences "
    "in the form of the Cell Tracking Challenge.",
    passes_on=True,
)
def bench(quick: bool, json: str | None, folder: str | None, rest: list[str]) -> int:
    """Measure in a process of its own; return its exit status."""
    from fovflow.adapter.engine import workflow_folder

    module = "benchmarks"
    for name, where in (("statistics", "comparisons"), ("accuracy", "accuracy")):
        if rest[:1] == [name]:
            module, rest = f"benchmarks.{where}", rest[1:]
    words = [sys.executable, "-P", "-m", module, *rest, *["--quick"] * quick]
    for option, value in (("--json", json), ("--folder", folder)):
        words += [option, value] if value else []
    paths = [str(workflow_folder()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "FOVFLOW_BENCH_COMMAND": "fovflow bench"}
    return subprocess.run(words, env={**os.environ, **environment}, check=False).returncode
