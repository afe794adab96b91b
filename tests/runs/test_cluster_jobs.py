"""Jobs of a cluster without a cluster: groups, causes, silence, cost, what is not tried again."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fovflow.adapter.engine.cluster import (
    AT_ONCE,
    Submissions,
    pass_to_nodes,
    refusal,
    run_name,
)
from fovflow.adapter.given import ATTEMPT, attempt_of_engine
from fovflow.adapter.job import RetryRefusedError, check_retry, is_transient
from fovflow.events import make_event
from fovflow.runs import slurm as clusterjobs
from fovflow.runs.recorder import EngineJobs
from fovflow.runs.slurm import ClusterJob, ClusterJobs, SlurmState, why_it_ended
from fovflow.runs.state import RunState, cluster_costs

AT = "2026-01-01T00:00:{:02d}.000000+00:00"
RULES = ("copy", "segment", "track")


class Scene:
    """An engine's jobs of one field of view, handed in as one."""

    def __init__(self) -> None:
        self.state = RunState({"jobs": dict.fromkeys(RULES, 1)})
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, int, str]] = []
        self.said: list[str] = []
        self.cluster = ClusterJobs(60.0, self.said.append)
        self.jobs = EngineJobs(
            self.state,
            lambda kind, **keys: self.written.append((kind, keys)),
            lambda job, _: self.told.append((job.rule, job.attempt, job.error)),
            lambda: False,
            self.cluster,
        )

    def hand_in(self, number: str) -> None:
        wildcards = {"dataset": "a", "fov": "003"}
        for ident, rule in enumerate(RULES):
            self.jobs.started(ident, rule, wildcards, "", AT.format(0))
        self.jobs.handed_in(
            ClusterJob((0, 1, 2), "slurm", number, "", {"mem_mb": 500}), AT.format(1)
        )

    def hear(self, kind: str, rule: str, second: int, attempt: int = 1, **keys: Any) -> None:
        about = {"job": f"{rule}.a.fov_003", "rule": rule, "attempt": attempt}
        if kind == "job_finished":
            keys["status"] = "completed"
        elif kind == "job_failed":
            keys.setdefault("status", "failed")
        event = make_event(
            kind, time=AT.format(second), wildcards={"dataset": "a", "fov": "003"}, **about, **keys
        )
        self.state.feed(event, (about["job"], attempt))

    def statuses(self, attempt: int = 1) -> dict[str, str]:
        found = {key: job for key, job in self.state.jobs.items() if key[1] == attempt}
        return {name.split(".")[0]: job.status for (name, _), job in found.items()}


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Callable[[SlurmState | None], None]:
    """Have SLURM say the same of every job."""

    def say(state: SlurmState | None) -> None:
        monkeypatch.setattr(clusterjobs, "job_state", lambda _: state)

    return say


def test_of_a_group_the_step_that_failed_is_told_from_those_that_are_lost_with_it(slurm):
    slurm(SlurmState("FAILED"))
    scene = Scene()
    scene.hand_in("7")
    scene.hear("job_started", "copy", 2)
    scene.hear("job_finished", "copy", 3, seconds=1.0)
    scene.hear("job_started", "segment", 3)
    scene.hear("job_failed", "segment", 4, error="bad frame", exit=1)
    scene.jobs.group_failed((0, 1, 2), AT.format(9))
    for ident in range(3):  # the engine says the same of every member
        scene.jobs.ended(ident, True, AT.format(9))
    assert scene.statuses() == {"copy": "terminated", "segment": "failed"}
    assert scene.told == [("segment", 1, "bad frame")]
    error = scene.state.jobs["copy.a.fov_003", 1].error
    assert error == "removed with what failed in the same job: segment"
    assert scene.state.count("submitted") == 0
    assert scene.jobs.open() == []


@pytest.mark.parametrize("ending", ["killed", "stopped"])
def test_a_step_that_a_cluster_ends_has_the_clusters_reason(slurm, ending: str):
    slurm(SlurmState("TIMEOUT", limit="00:01:00"))
    scene = Scene()
    scene.hand_in("7")
    scene.hear("job_started", "copy", 2)
    scene.hear("job_finished", "copy", 3)
    scene.hear("job_started", "segment", 3)
    if ending == "stopped":  # the cluster's signal came first, and the step said so
        scene.hear("job_failed", "segment", 8, error="stopped", exit=130, status="terminated")
    scene.jobs.group_failed((0, 1, 2), AT.format(9))
    scene.jobs.settle(None)
    reason = "SLURM job 7 ran over its time limit (00:01:00)"
    assert scene.told == [("segment", 1, reason)]
    assert scene.statuses() == {"copy": "terminated", "segment": "failed"}


def test_a_job_that_never_began_is_told_of_at_its_first_step(slurm):
    slurm(SlurmState("NODE_FAIL", node="n2"))
    scene = Scene()
    scene.hand_in("7")
    scene.jobs.group_failed((0, 1, 2), AT.format(9))
    scene.jobs.settle(None)
    assert scene.told == [("copy", 1, "SLURM job 7 lost its node (n2)")]


def test_attempts_of_a_group_count_together_and_a_refusal_keeps_the_first_error(slurm):
    slurm(SlurmState("FAILED"))
    scene = Scene()
    scene.hand_in("7")
    scene.hear("job_started", "copy", 2)
    scene.hear("job_failed", "copy", 3, error="no space", exit=1)
    scene.jobs.group_failed((0, 1, 2), AT.format(4))
    scene.hand_in("8")
    assert scene.statuses(2) == dict.fromkeys(RULES, "submitted")
    scene.jobs.group_failed((0, 1, 2), AT.format(5), "SLURM did not take the job: too large")
    assert scene.told[-1] == ("copy", 2, "SLURM did not take the job: too large")
    assert {key for key in scene.state.jobs if key[1] == 2} == {("copy.a.fov_003", 2)}


def test_what_the_engine_says_last_stands_also_when_files_are_read_later():
    state = RunState()
    about = {"job": "a", "rule": "a", "wildcards": {}, "attempt": 1}
    state.feed(
        make_event("job_failed", time=AT.format(9), **about, status="failed", error="lost its node")
    )
    state.feed(make_event("job_started", time=AT.format(1), **about), ("a", 1))
    state.feed(
        make_event("job_finished", time=AT.format(2), **about, status="completed", cpu_s=1.5),
        ("a", 1),
    )
    job = state.jobs["a", 1]
    assert (job.status, job.error, job.usage) == ("failed", "lost its node", {"cpu_s": 1.5})


def silent(state: SlurmState | None, monkeypatch: pytest.MonkeyPatch, **more: Any) -> list[str]:
    monkeypatch.setattr(clusterjobs, "job_state", lambda _: state)
    said: list[str] = []
    jobs = ClusterJobs(60.0, said.append, **more)
    jobs.submitted(
        ClusterJob((0,), "slurm", "7", "7.log", {}, ("a",), "plate, FOV 3", alive=1000.0)
    )
    for at in (1059.0, 1060.0, 1061.0, 1119.0, 1120.0, 1239.0, 1240.0):
        jobs.look(at)
    return said


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (SlurmState("RUNNING", node="n1"), ["SLURM says RUNNING on n1", "scancel 7"]),
        (
            SlurmState("PENDING", reason="Priority"),
            ["has waited for 1 min (Priority)", "squeue -j 7"],
        ),
        (SlurmState("FAILED"), ["SLURM says FAILED, but Snakemake still waits", "Ctrl-C"]),
        (SlurmState(), ["SLURM does not know it any more, but Snakemake still waits"]),
        (None, ["SLURM does not answer", "squeue -j 7"]),
    ],
)
def test_a_silent_job_is_told_of_after_the_time_twice_it_four_times(monkeypatch, state, words):
    said = silent(state, monkeypatch)
    assert len(said) == 3
    assert said[0].startswith("SLURM job 7 (plate, FOV 3) has ")
    assert all(word in said[0] for word in words)


def test_a_run_ends_only_where_slurm_itself_says_that_the_job_is_over(monkeypatch):
    stopped: list[str] = []
    assert len(silent(SlurmState("RUNNING"), monkeypatch, stop=stopped.append)) == 3
    assert silent(None, monkeypatch, stop=stopped.append)
    assert stopped == []
    assert silent(SlurmState("CANCELLED"), monkeypatch, stop=stopped.append) == []
    assert "SLURM says CANCELLED" in stopped[0]


def test_signs_of_life_and_the_end_keep_a_job_from_being_told_of(slurm):
    slurm(SlurmState("RUNNING"))
    said: list[str] = []
    jobs = ClusterJobs(60.0, said.append)
    jobs.submitted(ClusterJob((0, 1), "slurm", "7", "", {}, ("a", "b"), "x", alive=1000.0))
    jobs.show_life("b", 1050.0)
    jobs.look(1100.0)
    assert said == []
    jobs.ended(["a"])
    jobs.look(9999.0)
    assert said == []
    off = ClusterJobs(0.0, said.append)
    off.submitted(ClusterJob((0,), "slurm", "7", "", {}, ("a",), "x", alive=0.0))
    off.look(9999.0)
    assert said == []


MORE_MEMORY = "took more memory than it asked for"


@pytest.mark.parametrize(
    ("state", "log", "words"),
    [
        (SlurmState("OUT_OF_MEMORY", memory="700M"), "", f"{MORE_MEMORY} (700M)"),
        (SlurmState("FAILED"), "slurmstepd: error: Exceeded job memory limit", MORE_MEMORY),
        (SlurmState("FAILED"), "Traceback", "ended without a word; SLURM says FAILED"),
        (SlurmState("CANCELLED"), "", "was cancelled"),
        (SlurmState("PREEMPTED"), "", "had to give way to a job of higher priority"),
        (SlurmState(), "", "ended without a word, and SLURM does not tell why"),
        (None, "", "ended without a word, and SLURM does not tell why"),
    ],
)
def test_how_a_job_ended_is_said_in_words(tmp_path: Path, state, log: str, words: str):
    file = tmp_path / "7.log"
    file.write_text(log)
    assert why_it_ended("7", state, str(file)) == f"SLURM job 7 {words}"


def test_numbers_of_the_cluster_are_read_from_what_the_plugins_say():
    submissions = Submissions()
    resources = {"mem_mb": 500, "runtime": 12, "tmpdir": "/tmp"}
    group = SimpleNamespace(resources=resources)
    dag = SimpleNamespace(get_job_group=lambda _: group)
    jobs = [
        SimpleNamespace(jobid=n, uuid=lambda n=n: f"uuid-{n}", dag=dag)  # type: ignore[misc]
        for n in (4, 3)
    ]
    submissions.take_group(SimpleNamespace(jobs=jobs))
    sentence = "Job uuid-3 has been submitted with SLURM jobid 12 (log: /x/12.log)."
    asked = {"mem_mb": 500, "runtime": 12}
    assert submissions.handed_in(sentence) == ClusterJob((3, 4), "slurm", "12", "/x/12.log", asked)
    sentence = "Submitted group job uuid-4 with external jobid '99.host'."
    assert submissions.handed_in(sentence) == ClusterJob((3, 4), "generic", "99.host", "", asked)
    sentence = "Job 8 has been submitted with SLURM jobid 13 (log: /x/13.log)."
    assert submissions.handed_in(sentence) == ClusterJob((8,), "slurm", "13", "/x/13.log", {})
    assert submissions.handed_in("Select jobs to execute...") is None
    assert run_name("SLURM run ID: fovflow_1-2") == "fovflow_1-2"
    assert refusal("SLURM sbatch failed. The error message was 'sbatch: error: no'.\n  x") == (
        "SLURM did not take the job: sbatch: error: no"
    )
    assert refusal("None") == ""


def test_costs_are_those_of_the_steps():
    scene = Scene()
    scene.hand_in("7")
    place = {"id": "7", "node": "n1", "cpus": 2}
    scene.hear("job_started", "copy", 11, cluster=place)
    scene.hear("job_finished", "copy", 21, cpu_s=5.0, peak_mib=100.0)
    scene.hear("job_started", "segment", 21, cluster=place)
    scene.hear("job_finished", "segment", 47, cpu_s=20.0, peak_mib=300.0)
    (cost,) = cluster_costs(scene.state)
    assert cost["status"] == "running"
    assert (cost["waited_s"], cost["seconds"], cost["cpus"]) == (10.0, 36.0, 2)
    assert (cost["core_hours"], cost["cpu_s"]) == (0.02, 25.0)
    assert (cost["memory_mb"], cost["peak_mib"], cost["node"]) == (500, 300.0, "n1")
    assert cost["what"] == "a, FOV 3"


def write_record(folder: Path, **keys: Any) -> None:
    content = {"status": "failed", "run": "r1", "step": "segment", "error": "bad", **keys}
    (folder / "segment_ch_0.json").write_text(json.dumps(content))


def test_an_error_that_comes_again_is_not_tried_again_in_the_same_run(tmp_path: Path):
    own, other = tmp_path / "segment_ch_0.json", tmp_path / "copy.json"
    write_record(tmp_path, may_pass=False)
    for job in (own, other):
        with pytest.raises(RetryRefusedError, match=r"segment has failed .* again: bad") as caught:
            check_retry(job, "r1", 2)
        assert caught.value.own == (job == own)
    check_retry(own, "r1", 1)
    check_retry(own, "r2", 2)
    check_retry(own, "", 2)
    write_record(tmp_path, may_pass=True)
    check_retry(own, "r1", 2)
    write_record(tmp_path, status="complete")
    check_retry(own, "r1", 2)
    assert is_transient(MemoryError())
    assert is_transient(FileNotFoundError())
    assert is_transient(OSError(errno.ENOSPC, "full"))
    assert not is_transient(ValueError())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR])
def test_what_is_forbidden_or_in_the_way_is_not_tried_again(number):
    assert not is_transient(OSError(number, os.strerror(number), "a"))


def test_nodes_learn_the_attempt_and_how_many_steps_may_run_at_once(monkeypatch):
    monkeypatch.setenv(ATTEMPT, "9")
    monkeypatch.setenv(AT_ONCE, "")
    limits = {"fov_step": SimpleNamespace(value=2)}
    pass_to_nodes(SimpleNamespace(is_main_process=True, global_resources=limits))
    assert attempt_of_engine() == 1
    given: dict[str, int] = {}
    node = SimpleNamespace(
        is_main_process=False, remote_exec=True, register_resource=given.__setitem__
    )
    monkeypatch.setattr("sys.argv", ["snakemake", "--attempt", "3", "--force"])
    pass_to_nodes(node)
    assert attempt_of_engine() == 3
    assert given == {"fov_step": 2}
