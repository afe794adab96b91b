"""What SLURM says of a job, in plain words. Only asks; changes nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 10.0
"""Longest time, in seconds, that SLURM may take to answer."""

WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "SUSPENDED"})
WORKING = frozenset({"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING"})

_OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]kill|out of memory|exceeded (?:job |step |its )?memory limit", re.IGNORECASE
)
_LOG_TAIL = 20_000


@dataclass(frozen=True, slots=True)
class SlurmState:
    """What SLURM knows of a job.

    Attributes
    ----------
    state : str
        SLURM's word, such as ``RUNNING``, ``TIMEOUT``; empty where it does not know the job any
        more.
    reason, node, limit, memory : str
        Why it waits, where it runs, and what it may take, as SLURM writes them; may be empty.
    """

    state: str = ""
    reason: str = ""
    node: str = ""
    limit: str = ""
    memory: str = ""

    @property
    def over(self) -> bool:
        """Whether the job has ended, or is not known any more."""
        return self.state not in WAITING | WORKING


def job_state(ident: str) -> SlurmState | None:
    """Return what SLURM knows of a job; None where it cannot be asked.

    Parameters
    ----------
    ident : str
        SLURM's number of the job.
    """
    if not ident.isdecimal():
        return None
    done = _ask(["scontrol", "--oneliner", "show", "job", ident])
    if done is None:
        return None
    if done.returncode == 0:
        return _parsed(done.stdout)
    if "invalid job id" not in done.stderr.lower():
        return None
    accounted = _ask(["sacct", "-X", "-n", "-P", "-j", ident, "-o", "State,NodeList"])
    if accounted is not None and accounted.returncode == 0 and accounted.stdout.strip():
        state, _, node = accounted.stdout.splitlines()[-1].partition("|")
        return SlurmState(state.split()[0], node=node)
    return SlurmState()


def jobs_of(name: str) -> list[str] | None:
    """Return the numbers of the jobs of a name that wait or run; None where nobody can be asked."""
    done = _ask(["squeue", "-h", "--name", name, "-o", "%i"])
    if done is None or done.returncode != 0:
        return None
    return done.stdout.split()


def why_it_ended(ident: str, state: SlurmState | None, log: str = "") -> str:
    """Return in one sentence how a job ended that did not tell itself.

    Parameters
    ----------
    ident : str
    state : SlurmState or None
    log : str
        SLURM's log of the job: it names memory where the state does not.

    Examples
    --------
    >>> why_it_ended("12", SlurmState("TIMEOUT", limit="00:02:00"))
    'SLURM job 12 ran over its time limit (00:02:00)'
    """
    job = f"SLURM job {ident}"
    word = "" if state is None else state.state
    if word == "OUT_OF_MEMORY" or _tells_of_memory(log):
        return (
            f"{job} took more memory than it asked for{_in_brackets(state.memory if state else '')}"
        )
    if state is None or not word:
        return f"{job} ended without a word, and SLURM does not tell why"
    known = {
        "TIMEOUT": f"ran over its time limit{_in_brackets(state.limit)}",
        "NODE_FAIL": f"lost its node{_in_brackets(state.node)}",
        "BOOT_FAIL": f"lost its node{_in_brackets(state.node)}",
        "CANCELLED": "was cancelled",
        "PREEMPTED": "had to give way to a job of higher priority",
    }
    return f"{job} {known.get(word, f'ended without a word; SLURM says {word}')}"


def _tells_of_memory(log: str) -> bool:
    with suppress(OSError), Path(log).open("rb") as file:
        file.seek(max(0, Path(log).stat().st_size - _LOG_TAIL))
        return bool(_OUT_OF_MEMORY.search(file.read().decode("utf-8", "replace")))
    return False


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _parsed(line: str) -> SlurmState:
    """Return the state in a line of ``scontrol --oneliner show job``."""
    found = dict(re.findall(r"(?:^|\s)(\w+)=(\S*)", line))
    reason = found.get("Reason", "")
    return SlurmState(
        state=found.get("JobState", ""),
        reason="" if reason == "None" else reason,
        node="" if found.get("NodeList") == "(null)" else found.get("NodeList", ""),
        limit=found.get("TimeLimit", ""),
        memory=found.get("MinMemoryNode", ""),
    )


def _ask(words: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    if shutil.which(words[0]) is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    return None
