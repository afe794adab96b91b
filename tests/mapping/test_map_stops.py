"""Ctrl-C, scripts without a guard, prompts, terminals, and memory."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mapping.callbacks import make_results

from paths import ROOT

SCRIPT = """
import sys
from fovflow import map_fovs
from mapping.callbacks import wait_long

if __name__ == "__main__":
    try:
        map_fovs(wait_long, "plate", workers=2, parallelism=sys.argv[1], folder="pids")
    except KeyboardInterrupt:
        print("interrupted")
        raise
"""


def environment() -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT / "tests")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def python(folder: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a dataset ``plate`` of six FOVs."""
    make_results(tmp_path, "plate", 6)
    (tmp_path / "pids").mkdir()
    return tmp_path


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "one process"])
@pytest.mark.parametrize("parallelism", ["thread", "process"])
def test_ctrl_c_ends_it_without_stray_processes(folder, parallelism, whole_group):
    (folder / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", parallelism],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 30
    while len(found := list((folder / "pids").glob("*.pid"))) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    pids = {int(path.read_text()) for path in found}
    assert len(pids) == (1 if parallelism == "thread" else 2)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert out == "interrupted\n"
    assert process.returncode == -signal.SIGINT
    assert error.count("Traceback") == 1, "workers say nothing of their own"
    assert not [pid for pid in pids if alive(pid)]
    assert len(list((folder / "pids").iterdir())) == 2, "no further FOV was begun"


def test_a_script_without_a_guard_is_told_so(folder):
    (folder / "script.py").write_text(
        "from fovflow import map_fovs\nfrom mapping.callbacks import count_rows\n"
        "map_fovs(count_rows, 'plate', workers=1, parallelism='process')\n"
    )
    done = python(folder, "script.py")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "worker processes end before they are ready" in last
    assert 'below `if __name__ == "__main__":`' in last


def test_a_function_of_a_script_works_and_one_of_a_prompt_is_refused(folder):
    text = (
        "import fovflow\ndef count(fov):\n    return len(fov.traces())\n\n"
        "if __name__ == '__main__':\n"
        "    found = fovflow.map_fovs(count, 'plate', workers=2, parallelism='process')\n"
        "    print(sum(found.raise_first().values_only().values()))\n"
    )
    (folder / "script.py").write_text(text)
    done = python(folder, "script.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "15\n", "")
    prompt = python(folder, "-c", text)
    assert prompt.returncode == 1
    assert "callback: count was defined in a notebook or at the prompt" in prompt.stderr
    assert 'put it into a .py file and import it, or use parallelism="thread"' in prompt.stderr


def test_a_terminal_gets_a_bar_that_counts_failures(folder):
    ours, theirs = pty.openpty()
    code = (
        "from fovflow import map_fovs; from mapping.callbacks import odd_fails; "
        "map_fovs(odd_fails, 'plate', task_desc='looking')"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment(), stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # the terminal's other end is closed
        pass
    os.close(ours)
    assert done.wait(30) == 0
    text = shown.decode()
    assert "looking: 100%" in text
    assert "6/6" in text
    assert "FOV/s" in text
    assert "failed=3" in text
    assert "looking: plate/fov_001 failed\r\nTraceback" in text


def test_tasks_do_not_pile_up_in_processes(folder):
    """What a worker gets beforehand is one task: large arguments do not fill pipes or memory."""
    code = (
        "import resource, sys\n"
        "from fovflow import map_fovs\n"
        "from mapping.callbacks import big\n"
        "if __name__ == '__main__':\n"
        "    block = bytes(20_000_000)\n"
        "    def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "    before = peak()\n"
        "    args = [{'block': block}] * 6\n"
        "    sizes = map_fovs(big, 'plate', workers=1, parallelism='process', fov_args=args)\n"
        "    assert list(sizes.values_only().values()) == [20_000_000] * 6\n"
        "    print(peak() - before)\n"
    )
    (folder / "script.py").write_text(code)
    done = python(folder, "script.py")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 80, "MiB; six tasks at once would be 120"
