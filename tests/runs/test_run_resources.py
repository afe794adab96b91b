"""What a process and its children use."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
import time

import pytest

from fovflow.events import make_event
from fovflow.runs.resources import ResourceMonitor, ResourceSampler


def python(code, **options):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], text=True, **options)


def test_this_process():
    sampler = ResourceSampler()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    found = sampler.sample()
    make_event("resources", **found)
    assert found["cpu_percent"] > 5
    assert 5 < found["rss_mib"] < 20_000
    assert {"read_mib", "written_mib"} <= set(found)


def test_children_count_also_after_they_ended(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    # a child that holds 60 MiB, uses 0.3 s of CPU and then waits
    code = """
        import time
        held = bytearray(60 << 20)
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        print("ready", flush=True)
        input()
    """
    sampler = ResourceSampler()
    alone = sampler._last
    child = python(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "ready\n"
    both = sampler._measure()
    child.communicate("\n")
    after = sampler._measure()
    assert both["rss"] - alone["rss"] > 60 << 20
    assert child.pid in both["pids"]
    assert both["cpu"] - alone["cpu"] >= 0.28
    assert after["cpu"] >= both["cpu"] - 0.05
    assert after["rss"] < both["rss"] - (50 << 20)


def test_it_ends_with_the_process():
    child = python("input()", stdin=subprocess.PIPE)
    events = []
    monitor = ResourceMonitor(
        lambda kind, **keys: events.append(keys), interval_s=0.01, pid=child.pid
    )
    monitor.start()
    deadline = time.monotonic() + 300
    while not events and time.monotonic() < deadline:
        time.sleep(0.01)
    child.communicate("\n")
    while monitor.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not monitor.is_alive()
    assert events[0]["pid"] == child.pid
    assert ResourceSampler(child.pid).sample() is None
    monitor.stop()


def test_a_process_without_a_parent_that_waits_is_gone_too():
    child = python("pass")
    deadline = time.monotonic() + 300
    sampler = ResourceSampler(child.pid)
    while sampler.sample() is not None and time.monotonic() < deadline:
        time.sleep(0.02)  # a zombie until it is waited for
    assert sampler.sample() is None
    child.wait()


def smi(folder, text):
    path = folder / "nvidia-smi"
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_gpu_where_there_is_one(monkeypatch, tmp_path):
    smi(
        tmp_path,
        """
        import os, sys
        if "utilization" in sys.argv[1]:
            print("40\\n60")
        else:
            print(f"{os.getppid()}, 300\\n1, 5000")
        """,
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    found = ResourceSampler().sample()
    assert found["gpu_percent"] == 50
    assert found["gpu_mib"] == 300


@pytest.mark.parametrize("text", ["raise SystemExit(1)", "print('[N/A]')", "print('')"])
def test_a_driver_that_does_not_answer_is_asked_once(monkeypatch, tmp_path, text):
    smi(tmp_path, text)
    monkeypatch.setenv("PATH", str(tmp_path))
    sampler = ResourceSampler()
    assert "gpu_percent" not in sampler.sample()
    assert sampler.sample()["rss_mib"] > 0


def test_a_failure_of_measuring_is_said_once_and_disturbs_nothing(capfd):
    def write(kind, **keys):
        raise OSError(28, "No space left on device")

    monitor = ResourceMonitor(write, interval_s=0.001)
    monitor.start()
    monitor.join(10)
    monitor.stop()
    assert capfd.readouterr().err.count("No space left") == 1
