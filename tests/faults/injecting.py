"""Runs of a tiny project in each of which one operation on its files fails, or is the last one.

This is a script: it is started with the library of ``injecting.c`` preloaded. It forks for each
run, and each job of a run is a fork of what knows nothing of the engine: what is imported once
serves all. It prints an account of each trial as a line of JSON.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import gc
import json
import os
import re
import shutil
import signal
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forking import import_all, scripts_in_forks

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / "Snakefile"

SHORT, KILL = -1, -2
FULL, BROKEN, INTERRUPTED, FORBIDDEN = errno.ENOSPC, errno.EIO, errno.EINTR, errno.EACCES
KINDS: dict[str, tuple[int, ...]] = {
    "write": (FULL, BROKEN, INTERRUPTED, SHORT, KILL),
    "fsync": (FULL, BROKEN, INTERRUPTED, KILL),
    "close": (FULL, BROKEN, INTERRUPTED, KILL),
    "rename": (FULL, BROKEN, INTERRUPTED, KILL),
    "link": (FULL, BROKEN, INTERRUPTED, KILL),
    "truncate": (BROKEN, KILL),
    "open": (FULL, FORBIDDEN, KILL),
    "mkdir": (FULL, FORBIDDEN, KILL),
    "unlink": (BROKEN, KILL),
}
"""What can happen to each operation."""

WORDS = {FULL: "ENOSPC", BROKEN: "EIO", INTERRUPTED: "EINTR", FORBIDDEN: "EACCES"}
WORDS |= {SHORT: "short", KILL: "SIGKILL"}

ENGINES = re.compile(r"\.tsv$")
"""Files in the output folder that the engine writes, and not this package: benchmarks."""


@dataclass(frozen=True)
class Trial:
    """The `at`-th operation of a kind on files that match the pattern; `what` happens to it."""

    operation: str
    pattern: str
    at: int
    what: int


@dataclass
class Account:
    """What came of a trial."""

    trial: Trial
    done: bool = False
    """Whether it happened."""
    status: int = 0
    text: str = ""
    """The screen of the disturbed run."""
    wrong: list[str] = field(default_factory=list)
    """Outputs that were there after it with other bytes."""
    left: list[str] = field(default_factory=list)
    """Temporary files that were there after it."""
    again: int = 0
    again_text: str = ""
    differs: list[str] = field(default_factory=list)
    """Outputs that differ after the same command."""
    findings: list[str] = field(default_factory=list)
    """What verification finds then."""


def _end_with(work: Callable[[], object]) -> None:
    """Do something and end this process, as Python does at the end of a script."""
    status = 0
    try:
        work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def run(folder: Path, trial: Trial | None = None, log: Path | None = None) -> tuple[int, str, bool]:
    """Run the pipeline in a folder; return exit status, screen, and whether the trial happened."""
    screen = folder / "screen.txt"
    pid = os.fork()
    if pid == 0:
        _end_with(lambda: _run(folder, screen, trial, log))
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    text = screen.read_text(encoding="utf-8", errors="replace")
    return code, text, (folder / "injected").exists() or code == -signal.SIGKILL


def _run(folder: Path, screen: Path, trial: Trial | None, log: Path | None) -> None:
    os.setsid()
    os.chdir(folder)
    to = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(to, number)
    library = ctypes.CDLL(None)
    os.environ.pop("LD_PRELOAD", None)
    if trial is not None or log is not None:
        chosen = trial or Trial("", "", 0, 0)
        to_log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else -1
        library.inject_arm(
            os.fsencode(os.path.realpath("results")), chosen.operation.encode(),
            chosen.pattern.encode(), chosen.at, chosen.what, to_log,
        )  # fmt: skip
    from snakemake.cli import main

    try:
        with scripts_in_forks():
            main(["--snakefile", str(WORKFLOW), "--cores", "1", "--nocolor"])
    finally:
        atexit._run_exitfuncs()
        if trial is not None and library.inject_done():
            (folder / "injected").touch()


_NAMES = (
    (re.compile(r"\d{8}T\d{6}Z-[^/]+"), "*"),
    (re.compile(r"\.[0-9a-f]{8}-\d+-\d*-[0-9a-f]{8}\.part"), ".*.part"),
)


def pattern_of(path: str) -> str:
    """Return a pattern for the names that a file has in all runs."""
    for form, general in _NAMES:
        path = form.sub(general, path)
    return path


def operations(log: Path) -> Counter[tuple[str, str]]:
    """Return how many operations of each kind there were on each file of ours."""
    lines = [line.split("\t") for line in log.read_text(encoding="utf-8").splitlines()]
    return Counter((kind, pattern_of(path)) for kind, path in lines if not ENGINES.search(path))


def trials(found: Counter[tuple[str, str]]) -> Iterator[Trial]:
    """Yield every operation with everything that can happen to it."""
    for (operation, pattern), count in sorted(found.items()):
        for at in range(1, count + 1):
            for what in KINDS[operation]:
                yield Trial(operation, pattern, at, what)


def outputs(folder: Path) -> dict[str, bytes]:
    """Return every output's bytes; records and temporary files are left out."""
    results = folder / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file()
        and not {"logs", "provenance", "runs"} & set(path.relative_to(results).parts)
        and path.name not in (".raw_stamp.json", "ro-crate-metadata.json")
        and not path.name.endswith(".part")
    }


PARTIAL = ("processing_results.yaml", "report.html")
"""They tell of a run that failed what was made until then."""


def attempt(base: Path, whole: dict[str, bytes], trial: Trial, folder: Path) -> Account:
    """Disturb a run once, and repeat the command undisturbed."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    account = Account(trial)
    account.status, account.text, account.done = run(folder, trial)
    there = outputs(folder)
    account.wrong = [
        name
        for name, content in there.items()
        if content != whole.get(name)
        and not (account.status != 0 and name.rpartition("/")[2] in PARTIAL)
    ]
    if account.status == 0:
        account.wrong += sorted(set(whole) - set(there))
    account.left = temporaries(folder)
    for lock in (folder / ".snakemake" / "locks").glob("*.lock"):
        lock.unlink()  # what the message after a kill asks for
    if account.status != 0:
        account.again, account.again_text, _ = run(folder)
    last = outputs(folder)
    account.differs = sorted(name for name in {*whole, *last} if whole.get(name) != last.get(name))
    pid = os.fork()
    if pid == 0:
        _end_with(lambda: _verify(folder))
    os.waitpid(pid, 0)
    account.findings = json.loads((folder / "findings.json").read_text()) + temporaries(folder)
    return account


def _verify(folder: Path) -> None:
    from fovflow.runs.verify import verify

    findings: Sequence[Any] = verify(folder / "results").findings
    (folder / "findings.json").write_text(json.dumps([f"{f.file}: {f.problem}" for f in findings]))


def temporaries(folder: Path) -> list[str]:
    """Return the names of temporary files in the output folder."""
    return [str(path.relative_to(folder)) for path in sorted((folder / "results").rglob(".*.part"))]


SECOND = "fov_001"
"""The FOV whose trials come last: they are those of the first one again."""


def _chance(trial: Trial) -> int:
    return zlib.crc32(repr(trial).encode())


def main(place: Path, every: int, workers: int, only: str = "") -> None:
    """Print an account of one in n trials, by chance, in an order by chance.

    Chance is of each trial: it does not change with the heartbeats of a slow run.
    `place` has raw data and configuration in ``base``. `only`: a regular expression for the trials
    that are meant, such as ``mkdir sim/``.
    """
    import_all()
    gc.collect()
    gc.freeze()
    base, quiet, log = place / "base", place / "quiet", place / "operations.txt"
    shutil.copytree(base, quiet)
    status, text, _ = run(quiet, log=log)
    assert status == 0, text
    found, whole = operations(log), outputs(quiet)
    chosen = [t for t in trials(found) if re.match(only, f"{t.operation} {t.pattern}")]
    chosen.sort(key=lambda trial: (SECOND in trial.pattern, _chance(trial)))
    print(json.dumps({"operations": sum(found.values()), "trials": len(chosen)}), flush=True)
    free = list(range(workers))

    def try_one(trial: Trial) -> Account:
        number = free.pop()
        try:
            return attempt(base, whole, trial, place / f"trial_{number}")
        finally:
            free.append(number)

    with ThreadPoolExecutor(workers) as pool:
        for account in pool.map(try_one, [t for t in chosen if _chance(t) % every == 0]):
            print(json.dumps(asdict(account)), flush=True)


if __name__ == "__main__":
    begun = time.monotonic()
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    print(f"{time.monotonic() - begun:.1f} s", file=sys.stderr)
