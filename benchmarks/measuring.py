"""Measure calls in turn, and processes with all their children."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

Arrays = list[dict[str, Any]]
"""One mapping of names to arrays per frame."""


@dataclass(frozen=True)
class Sample:
    """Least and median of what was measured in several rounds."""

    least: float
    median: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        return cls(min(values), median(values), len(values))

    def times(self, factor: float) -> dict[str, float]:
        """Return the sample in another unit, as it is written to JSON."""
        return asdict(Sample(self.least * factor, self.median * factor, self.rounds))


def in_turn(
    calls: Mapping[str, Callable[[Arrays], object]],
    frames: Arrays,
    rounds: int,
    *,
    once: Sequence[str] = (),
) -> dict[str, Sample]:
    """Return CPU seconds of each call; in every round each is called once.

    Each call gets frames that were copied just before, as if they had been read from a stack, so
    that the caches hold what they hold in a job. A first round warms up and is not counted.

    Parameters
    ----------
    calls : mapping of str to callable
    frames : list of dict of str to numpy.ndarray
    rounds : int
    once : sequence of str
        Slow calls: made only in the first and the last round that count, without warming up.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name, call in calls.items():
            if name in once and i not in (1, rounds):
                continue
            fresh = [{key: values.copy() for key, values in frame.items()} for frame in frames]
            start = time.process_time()
            call(fresh)
            if i:
                spent[name].append(time.process_time() - start)
    return {name: Sample.of(values) for name, values in spent.items()}


@dataclass(frozen=True)
class Cost:
    """What a process and its children took.

    Attributes
    ----------
    wall_s, cpu_s : float
    read_bytes, written_bytes : int or None
        Through system calls, from the page cache or the disk alike; None where the system does
        not tell.
    faults : int
        Pages of memory that the system handed out.
    said : str
        What it wrote to its standard output.
    """

    wall_s: float
    cpu_s: float
    read_bytes: int | None
    written_bytes: int | None
    faults: int = 0
    said: str = ""


COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Modules are compiled once, as where the package is installed, and not in every process."""


def run_measured(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    given: str = "",
) -> Cost:
    """Run a command to its end; its children count where it has waited for them.

    Parameters
    ----------
    command : sequence of str
    folder : pathlib.Path
        Where it runs.
    environment : mapping of str to str, optional
        What is added to this process's.
    given : str
        What it reads from its standard input.

    Raises
    ------
    SystemExit
        If the command fails, with the end of what it said.
    """
    faults = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    before, start = _children(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **COMPILED, **(environment or {})},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - start, _children()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    cpu = after[0] - before[0]
    faults = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - faults
    moved = (int(now - then) for now, then in zip(after[1:], before[1:], strict=True))
    read, written = [*moved] or (None, None)
    return Cost(wall, cpu, read, written, faults, done.stdout)


def _children() -> list[float]:
    """Return CPU seconds of ended children; bytes read and written by this process and them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return [cpu]
    counted = dict(line.split(": ") for line in lines)
    return [cpu, float(counted["rchar"]), float(counted["wchar"])]
