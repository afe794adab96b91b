"""A cluster for all tests of this folder, and projects that run on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from paths import ROOT
from slurm.cluster import Cluster, end_all, missing_programs
from workflow_project import Project, make_project

SWITCH = "FOVFLOW_TEST_SLURM"
FOLDER = "FOVFLOW_TEST_SLURM_FOLDER"

STEP = '''
"""A step that gets into trouble where a file in the folder `trouble` says so."""

import time
from pathlib import Path


def act(fov, outputs):
    mark = Path("trouble") / str(fov.index)
    kind = mark.read_text() if mark.exists() else ""
    if kind == "data":
        raise ValueError("the data are bad")
    if kind.startswith("slow"):
        time.sleep(float(kind.split()[1]))
    elif kind:
        mark.unlink()  # the next attempt goes well
        held = bytearray(10**9 if kind == "memory" else 1)
        time.sleep(600)
        del held
    Path(outputs["act.txt"]).write_text(f"FOV {fov.index}\\n")
'''


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for and can be run."""
    reason = ""
    if os.environ.get(SWITCH) != "1":
        reason = "tests on a SLURM cluster: make test-slurm"
    elif missing_programs():
        reason = f"SLURM is not installed: {', '.join(missing_programs())}"
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Seven nodes of one core; each process that runs tests has its own cluster."""
    given = os.environ.get(FOLDER)
    folder = Path(given or tempfile.mkdtemp(prefix="fovflow-slurm-"))
    folder /= os.environ.get("PYTEST_XDIST_WORKER", "")
    folder.mkdir(exist_ok=True)
    own = Cluster(folder, nodes=7, cpus=1, memory_mb=3000)
    try:
        own.start()
        yield own
    finally:
        own.stop()
        end_all(own.conf)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def idle(cluster: Cluster) -> Cluster:
    """The cluster without jobs, all nodes up."""
    cluster.command("scancel", "--user", "root", check=False)
    cluster.wait_for(lambda: cluster.idle() == cluster.nodes, "idle nodes")
    return cluster


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of five fields of view with a step of its own, and what a local run makes of it."""
    project = make_project(tmp_path_factory.mktemp("movie"), positions=5, frames=4)
    (project.folder / "act.py").write_text(STEP)
    (project.folder / "trouble").mkdir()
    project.config["steps"] = [
        {"name": "act", "script": "act.py", "function": "act", "outputs": ["act.txt"],
         "mem_mb": 300}
    ]  # fmt: skip
    project.config["run"] = {"progress_every": 1, "resources_interval_s": 2}
    return project


@pytest.fixture(scope="session")
def local(movie: Project, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a local run makes of the five fields of view."""
    project = movie.copy_to(tmp_path_factory.mktemp("local") / "project")
    done = project.run_program()
    assert done.status == 0, done.text
    return project.outputs()


class ClusterRun:
    """Snakemake at work on a cluster, ended by its own id.

    Parameters
    ----------
    cluster : Cluster
    project : Project
    *options : str
        Further options of Snakemake.
    """

    def __init__(self, cluster: Cluster, project: Project, *options: str):
        self.cluster, self.project = cluster, project
        project.write_config()
        self.log = project.folder / f"snakemake-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
                 "--workflow-profile", str(ROOT / "profiles" / "slurm"), "--nocolor",
                 "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1",
                 "--max-status-checks-per-second", "10", "--latency-wait", "10", *options],
                cwd=project.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=cluster.environment, start_new_session=True,
            )  # fmt: skip

    @property
    def text(self) -> str:
        """What Snakemake has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float = 400) -> int:
        """Return the exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {seconds} s\n{self.text[-5000:]}") from None

    def wait_until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds, while Snakemake works."""

        def either() -> object:
            assert self.process.poll() is None, self.text[-5000:]
            return holds()

        self.cluster.wait_for(either, what)

    def slurm_job(self, fov: int) -> str:
        """Return the number of the newest SLURM job of a field of view; empty without one."""
        found = [
            ident
            for ident, job in self.cluster.jobs().items()
            if f"fov_{fov:03d}_" in job["comment"]
        ]
        return max(found, key=int, default="")

    def at_step(self, fov: int, attempt: int = 1) -> bool:
        """Tell whether a field of view has come to its own step."""
        runs = self.project.folder / "results" / "runs"
        return any(runs.glob(f"*/jobs/act.sim.fov_{fov:03d}/attempt-{attempt}.jsonl"))

    def in_trouble(self, fov: int) -> bool:
        """Tell whether the first attempt of a field of view waits in its step, its mark removed."""
        return self.at_step(fov) and not (self.project.folder / "trouble" / str(fov)).exists()

    def kill(self) -> None:
        """End Snakemake at once, as a power cut does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)


@pytest.fixture
def start(idle: Cluster) -> Iterator[Callable[..., ClusterRun]]:
    """Start Snakemake on the cluster; what is left is ended."""
    started: list[ClusterRun] = []

    def make(project: Project, *options: str) -> ClusterRun:
        started.append(ClusterRun(idle, project, *options))
        return started[-1]

    yield make
    for run in started:
        run.kill()
