"""Functions for worker processes, and small results folders."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from fovflow.atomic import write_text
from fovflow.resultsform import write_results


def make_results(folder: Path, dataset: str, fovs: int) -> Path:
    """Write a dataset whose FOV i has i rows of traces."""
    paths = {}
    for i in range(fovs):
        name = f"fov_{i:03d}/{dataset}_fov_{i:03d}_traces.csv"
        (folder / dataset / f"fov_{i:03d}").mkdir(parents=True)
        rows = "".join(f"{i},{cell},0\n" for cell in range(1, i + 1))
        (folder / dataset / name).write_text("fov,cell,frame\n" + rows)
        paths[str(i)] = {"fl": [], "fl_corrected": [], "traces_csv": [[1, name]]}
    content = {
        "dataset": dataset,
        "channels": {"pc": 0, "fl": [1]},
        "time_units": "min",
        "pixel_um": 0.65,
        "results_paths": paths,
        "fovs": {str(i): {"status": "complete"} for i in range(fovs)},
    }
    write_results(folder / dataset / "processing_results.yaml", content)
    return folder / dataset


def count_rows(fov, factor=1):
    return factor * (len(fov.traces_path.read_text().splitlines()) - 1)


def slow_first(fov):
    time.sleep(0.3 if fov.index == 0 else 0)
    return fov.index


def killed_while_sending(fov):
    """Return 64 MB, of which a part can be on its way when the process is killed."""
    if fov.index == 1:
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return [bytes(64_000_000), time.sleep(0.009)]
    return fov.index


def large_or_die(fov):
    """Keep the parent busy with large values while other workers die."""
    if fov.index % 3 == 2:
        os._exit(3)
    return bytes(30_000_000)


def odd_fails(fov):
    if fov.index % 2:
        raise ValueError(f"odd {fov.index}")


def die(fov, how):
    if how == "exit":
        os._exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "quit":
        raise SystemExit(7)
    return os.getpid()


class StubbornError(Exception):
    """Can be written, but not read back."""

    def __init__(self, one, two):
        super().__init__(one)


def awkward(fov):
    if fov.index == 0:
        return threading.Lock()
    if fov.index == 1:
        raise StubbornError("first", "second")
    return fov.metadata["pixel_um"], fov.path.name, fov.dataset


def wait_long(fov, folder):
    write_text(Path(folder) / f"{fov.index}.pid", str(os.getpid()))
    time.sleep(60)


def begin_slowly(fov, folder):
    (Path(folder) / str(fov.index)).touch()
    if fov.index == 0:
        raise KeyError("first")
    time.sleep(0.05)


def big(fov, block):
    return len(block)
