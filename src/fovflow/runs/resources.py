"""What a process and its children use: CPU, memory, disk, and the GPU where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fovflow.errors import complain

GPU_TIMEOUT_S = 5.0
SHORTEST_S = 0.2
"""Shortest time, in seconds, over which the use of the CPU is told: the system counts in steps."""

_MIB = 1 << 20


class ResourceSampler:
    """Measure one process with all its descendants, as often as asked.

    `pid`: the process; this one where it is not given. CPU time and disk traffic of a child that
    ended counts for its parent once the parent has waited for it, as the system accounts it. Memory
    that processes share counts for each of them.
    """

    def __init__(self, pid: int | None = None):
        import psutil

        self.pid = os.getpid() if pid is None else pid
        self._root: psutil.Process | None
        try:
            self._root = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            self._root = None
        self._gpu: str | None = shutil.which("nvidia-smi")
        self._last = self._measure()
        self._since = time.perf_counter()

    def sample(self) -> dict[str, Any] | None:
        """Return the keys of an event ``resources``; None when the process is gone.

        ``cpu_percent`` is since the last call, or where that was just now since the process began;
        100 is one core; ``read_mib`` and ``written_mib``
        are since the process began, and absent where the system does not tell; ``gpu_percent`` is
        the mean of all GPUs, ``gpu_mib`` the memory that these processes use.
        """
        now = self._measure()
        if now is None:
            return None
        before, self._last = self._last or now, now
        for name in ("read", "written"):  # a child that nobody waited for takes its share with it
            now[name] = max(now[name], before[name])
        at = time.perf_counter()
        seconds, self._since = at - self._since, at
        used = max(now["cpu"] - before["cpu"], 0.0)
        if seconds < SHORTEST_S:
            used, seconds = now["cpu"], max(now["age"], SHORTEST_S)
        found = {
            "cpu_percent": round(100 * used / seconds, 1),
            "rss_mib": round(now["rss"] / _MIB, 1),
            "pid": self.pid,
        }
        if now["known_io"]:
            found["read_mib"] = round(now["read"] / _MIB, 2)
            found["written_mib"] = round(now["written"] / _MIB, 2)
        return {**found, **self._sample_gpu(now["pids"])}

    def _measure(self) -> dict[str, Any] | None:
        """Return sums over the process tree; None when its root is gone."""
        import psutil

        if self._root is None:
            return None
        total: dict[str, Any] = {
            "cpu": 0.0, "rss": 0, "read": 0, "written": 0, "known_io": False, "pids": set(),
            "age": time.time() - self._root.create_time(),
        }  # fmt: skip
        try:
            if self._root.status() == psutil.STATUS_ZOMBIE or not self._root.is_running():
                return None
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return None
        for process in processes:
            with suppress(psutil.Error), process.oneshot():
                total["cpu"] += sum(process.cpu_times()[:4])  # own and waited-for children's
                total["rss"] += process.memory_info().rss
                total["pids"].add(process.pid)
                if hasattr(process, "io_counters"):
                    counters = process.io_counters()
                    total["read"] += counters.read_bytes
                    total["written"] += counters.write_bytes
                    total["known_io"] = True
        return total

    def _sample_gpu(self, pids: set[int]) -> dict[str, float]:
        """Return what ``nvidia-smi`` says; after its first failure it is not asked again."""
        if self._gpu is None:
            return {}
        try:
            percent = [float(row[0]) for row in self._ask("--query-gpu=utilization.gpu")]
            apps = self._ask("--query-compute-apps=pid,used_memory")
            memory = sum(float(row[1]) for row in apps if int(row[0]) in pids)
        except (OSError, ValueError, IndexError, subprocess.SubprocessError):
            self._gpu = None
            return {}
        if not percent:
            return {}
        return {"gpu_percent": round(sum(percent) / len(percent), 1), "gpu_mib": memory}

    def _ask(self, query: str) -> list[list[str]]:
        assert self._gpu is not None
        done = subprocess.run(
            [self._gpu, query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=GPU_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return [[f.strip() for f in line.split(",")] for line in done.stdout.splitlines() if line]


class Background(threading.Thread):
    """A daemon thread beside the work, which it must not disturb.

    `work`: gets an event, which is set when it shall end. `failure`: what is said on the error
    stream, before the reason, where `work` fails.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], object], failure: str):
        super().__init__(name=name, daemon=True)
        self._work, self._failure = work, failure
        self._end = threading.Event()

    def run(self) -> None:
        """Do the work."""
        try:
            self._work(self._end)
        except Exception as error:
            complain(f"fovflow: {self._failure}: {error}")

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread after what it is doing; safe to call twice and from within it."""
        self._end.set()
        if self.is_alive() and self is not threading.current_thread():
            self.join(timeout_s)


class ResourceMonitor(Background):
    """A thread that records what a process uses, until it is stopped or the process ends.

    It measures once more when it is stopped.

    `write`: ``write("resources", **keys)``, such as `fovflow.events.EventFile.write`. `interval_s`:
    seconds between two measurements. `pid`: the process; this one where it is not given.
    """

    def __init__(self, write: Callable[..., object], *, interval_s: float, pid: int | None = None):
        def measure(end: threading.Event) -> None:
            sampler = ResourceSampler(pid)
            ended = False
            while not ended:
                ended = end.wait(interval_s)
                found = sampler.sample()
                if found is None:
                    return
                write("resources", **found)

        super().__init__("fovflow-resources", measure, "resources are not recorded further")
