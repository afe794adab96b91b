"""A SLURM cluster of its own on this machine, from Debian's packages.

Several `slurmd` share the machine, each as a node of a few fictitious cores. Everything lies in one
short temporary folder and listens on the loopback interface; there is no accounting database.
Nothing outside the folder is changed: commands find the cluster by ``SLURM_CONF``, and the `srun`
inside jobs, from which the executor plugin takes that variable, by a small wrapper on ``PATH``.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/state/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
MpiDefault=none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=10000,bf_interval=1,sched_interval=2
SlurmctldTimeout=30
SlurmdTimeout=20
MessageTimeout=5
KillWait=2
CompleteWait=0
InactiveLimit=0
MinJobAge=300
ReturnToService=2
EnforcePartLimits=ALL
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
"""


def missing_programs() -> list[str]:
    """Return which of the programs that a cluster needs are not installed."""
    return [name for name in PROGRAMS if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Cluster:
    """A cluster in a folder, of nodes ``n1``, ``n2``, ….

    Parameters
    ----------
    folder : pathlib.Path
        Empty, and of a short name: sockets lie in it.
    nodes, cpus, memory_mb : int
        Number of nodes, and the size that each announces.
    """

    def __init__(self, folder: Path, *, nodes: int = 4, cpus: int = 2, memory_mb: int = 4000):
        self.folder, self.conf = folder, folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self._size = f"CPUs={cpus} RealMemory={memory_mb}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which commands talk to this cluster."""
        return {
            **os.environ,
            "SLURM_CONF": str(self.conf),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }

    # ---- start and end

    def start(self) -> None:
        """Start all daemons; return when every node is idle."""
        for name in ("bin", "log", "munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        self._write_conf()
        self._start_munge()
        self.start_controller("-i")
        for node in self.nodes:
            self.start_node(node)
        self.wait_for(lambda: self.idle() == self.nodes, "idle nodes")

    def stop(self) -> None:
        """End everything that belongs to the cluster, jobs included."""
        self.command("scancel", "--user", _user(), check=False)
        end_all(self.conf)
        for process in self._processes.values():
            process.wait(20)
        self._processes.clear()

    def start_controller(self, *options: str) -> None:
        """Start the controller; return when it answers."""
        self._start("slurmctld", "slurmctld", "-D", *options)
        self.wait_for(lambda: "is UP" in self.command("scontrol", "ping", check=False), "slurmctld")

    def start_node(self, node: str) -> None:
        """Start a node, perhaps again."""
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        self._start(node, "slurmd", "-D", "-N", node)

    def crash_node(self, node: str) -> None:
        """Take a node's power away: its daemon, its jobs and all that they started are gone."""
        process = self._processes.pop(node)
        steps = [pid for pid in _own_processes(self.conf) if self._is_step_of(pid, node)]
        below = [child for step in steps for child in _descendants(step)]
        for pid in [process.pid, *steps, *below]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(20)

    def _is_step_of(self, pid: int, node: str) -> bool:
        """Tell whether a process is SLURM's own for a job on a node."""
        place = f"{self.folder}/"
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() != "slurmstepd":
                return False
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith((f"{place}spool/{node}/", f"{place}log/slurmd.{node}.")):
                        return True
        return False

    # ---- what it does

    def command(self, *words: str, check: bool = True) -> str:
        """Run one of SLURM's commands; return what it prints."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert not check or done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def idle(self) -> list[str]:
        """Return the names of nodes that could take a job, and have none."""
        text = self.command("sinfo", "-h", "-N", "-t", "idle", "-o", "%N", check=False)
        return sorted(set(text.split()), key=self.nodes.index)

    def jobs(self) -> dict[str, dict[str, str]]:
        """Return all jobs that the controller still knows, by id: state, node, name, comment."""
        text = self.command("squeue", "-h", "--states=all", "-o", "%i\t%T\t%N\t%j\t%k\t%m\t%l\t%C")
        keys = ("state", "node", "name", "comment", "memory", "limit", "cpus")
        rows = [line.split("\t") for line in text.splitlines()]
        return {row[0]: dict(zip(keys, row[1:], strict=True)) for row in rows}

    def wait_for(self, holds: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Wait until something holds."""
        for _ in range(round(seconds / 0.1)):
            if holds():
                return
            time.sleep(0.1)
        logs = [
            f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}"
            for path in sorted((self.folder / "log").glob("*"))
        ]
        raise AssertionError(f"no {what} within {seconds} s\n" + "\n".join(logs))

    # ---- daemons

    def _write_conf(self) -> None:
        host = socket.gethostname().split(".")[0]
        port, *ports = free_ports(1 + len(self.nodes))
        text = CONF.format(host=host, user=_user(), port=port, folder=self.folder)
        for node, own in zip(self.nodes, ports, strict=True):
            text += f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={own} "
            text += f"{self._size} State=UNKNOWN\n"
        text += "PartitionName=main Nodes=ALL Default=YES MaxTime=600 DefaultTime=5 State=UP\n"
        self.conf.write_text(text)
        wrapper = self.folder / "bin" / "srun"
        wrapper.write_text(
            f'#!/bin/sh\nSLURM_CONF={self.conf}\nexport SLURM_CONF\nexec {_program("srun")} "$@"\n'
        )
        wrapper.chmod(0o755)

    def _start_munge(self) -> None:
        place = self.folder / "munge"
        key = place / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        files = [f"--{name}-file={place / name}" for name in ("key", "pid", "log", "seed")]
        self._start(
            "munged", "munged", "--foreground", "--force", f"--socket={place}/socket", *files
        )
        self.wait_for(
            lambda: self.command("munge", "-S", f"{place}/socket", "-n", check=False), "munged", 10
        )

    def _start(self, name: str, program: str, *arguments: str) -> None:
        path = _program(program)
        assert path is not None
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [path, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment, start_new_session=True,
            )  # fmt: skip


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback interface that nothing uses."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end_all(conf: Path) -> None:
    """End every process that was started for the cluster of this configuration, by its id."""
    for _ in range(20):
        pids = _own_processes(conf)
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _own_processes(conf: Path) -> list[int]:
    """Return the processes that have this cluster in their environment, but for this one."""
    mark = b"SLURM_CONF=" + os.fsencode(conf)
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            known = mark in (place / "environ").read_bytes().split(b"\0")
            if known and int(place.name) != os.getpid():
                found.append(int(place.name))
    return found


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


if __name__ == "__main__":  # cluster.py FOLDER: end what is left of the clusters in the folder
    for left in Path(sys.argv[1]).rglob("slurm.conf"):
        end_all(left)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
