"""Every operation on files fails once, and is once the last one: nothing is wrong, all is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.injecting import BROKEN, FORBIDDEN, FULL, KILL, SHORT, WORDS

from workflow_project import make_project

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

HERE = Path(__file__).resolve().parent
WORKERS = 2

UNIMPORTANT = ("runs/*/heartbeat", "runs/.lock", "runs/.jobs", "runs/.current")
"""What is lost in these is lost to nobody: the next heartbeat comes, and locks are held by the
system."""


OF_THE_DEAD = r"^results/(runs|sim/provenance|sim/\.ro-crate-metadata\.json)\S+\.part$"
"""What may stay of a killed run: half written records that nobody writes again."""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes operations fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        assert not os.environ.get("CI"), "a C compiler on Linux is needed"
        pytest.skip("a C compiler on Linux is needed")
    made = tmp_path_factory.mktemp("library") / "injecting.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(HERE / "injecting.c")]
    subprocess.run([*command, "-ldl"], check=True)
    return made


def accounts(folder: Path, library: Path, every: int, only: str = "") -> Iterator[dict[str, Any]]:
    """Yield the number of operations and trials, then an account of one in n trials.

    `only`: a regular expression for the trials that are meant, such as ``mkdir sim/``.
    """
    project = make_project(folder / "base", positions=2, frames=3, height=48, width=48, cells=2)
    project.write_config()
    command = [
        sys.executable,
        str(HERE / "injecting.py"),
        str(folder),
        str(every),
        str(WORKERS),
        only,
    ]
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(HERE.parent)}
    for name in [name for name in environment if name.startswith(("COV_", "COVERAGE"))]:
        del environment[name]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0


def faults(account: dict[str, Any]) -> Iterator[str]:
    """Yield what is not as it should be."""
    trial, text, status = account["trial"], account["text"], account["status"]
    what, place = trial["what"], trial["pattern"]
    told = what > 0 and os.strerror(what) in text
    killed = status < 0
    if not account["done"] or killed != (what == KILL):
        yield f"status {status}"
    if account["wrong"]:
        yield f"wrong bytes: {account['wrong']}"
    if "Traceback" in text + account["again_text"]:
        yield "traceback"
    if status > 0 and not told:
        yield "no sentence"
    if status > 0 and place.startswith("sim/fov_") and "sim: 1 of 2 FOVs complete" not in text:
        yield "another FOV did not go on"
    harmless = place in UNIMPORTANT
    harmless |= trial["operation"] in ("unlink", "mkdir") and not status  # done in another try
    harmless |= trial["operation"] == "close" and "_traces.csv." in place  # rows, read already
    if what in (FULL, BROKEN, FORBIDDEN) and not (told or harmless):
        yield "nothing was said"
    if what == SHORT and status:
        yield "the rest was not written"
    if account["left"] and not killed and trial["operation"] != "unlink":
        yield f"left: {account['left']}"
    if account["again"] or account["differs"]:
        yield f"not repaired: {account['again']}, {account['differs']}"
    left = [x for x in account["findings"] if not (killed and re.search(OF_THE_DEAD, x))]
    if left:
        yield f"after the repair: {left}"


def check(tmp_path: Path, library: Path, every: int, only: str = "") -> Counter[str]:
    """Check one in n trials; return the numbers."""
    found = accounts(tmp_path, library, every, only)
    numbers = Counter(next(found))
    bad = []
    for account in found:
        status, trial = account["status"], account["trial"]
        end = "killed" if status < 0 else "one FOV or file failed" if status else "all was made"
        numbers.update([end, f"{trial['operation']}, {WORDS[trial['what']]}: {end}"])
        told = list(faults(account))
        if told:
            trial["what"] = WORDS[trial["what"]]
            bad.append(f"{trial}: {'; '.join(told)}\n{account['text'][-1500:]}\n")
            print(bad[-1], flush=True)
    print("\n".join(f"{number:6} {name}" for name, number in numbers.items()))
    assert not bad, f"{len(bad)} of them"
    return numbers


def test_a_sample_of_failing_operations_costs_nothing_and_is_told(tmp_path, library):
    numbers = check(tmp_path, library, every=113)
    assert numbers["operations"] > 400
    assert numbers["all was made"] > 3
    assert numbers["killed"] > 3
    assert numbers["one FOV or file failed"] > 3


def test_a_run_that_cannot_note_its_raw_files_says_so(tmp_path, library):
    numbers = check(tmp_path, library, every=1, only=r"open runs/\*/\.plans\.json")
    assert numbers["all was made"] == 2
    assert numbers["killed"] == 1


@pytest.mark.slow_injection
def test_every_failing_operation_costs_nothing_and_is_told(tmp_path, library):
    check(tmp_path, library, every=1)
