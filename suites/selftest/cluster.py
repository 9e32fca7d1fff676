"""A Slurm cluster on this machine: a controller and daemons of several nodes, with files and ports of their own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol")

_CONFIGURATION = """\
ClusterName=suite
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=6
KillWait=2
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Which of Slurm's programs this machine lacks, in a sentence; empty where it lacks none."""
    absent = [name for name in PROGRAMS if not _found(name)]
    return f"needs Slurm and munge on PATH (Debian: slurm-wlm), this machine has no {', '.join(absent)}" if absent else ""


def _found(name: str) -> str | None:
    """Daemons lie where the PATH of users does not look."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Cluster:
    """Nodes of one core each, on ports of their own. ``environment`` is what Slurm's commands need."""

    def __init__(self, folder: Path, nodes: tuple[str, ...]) -> None:
        self.folder, self.nodes = folder, nodes
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Every daemon, until each node waits for work."""
        (self.folder / "munge").mkdir(mode=0o700, parents=True)
        (self.folder / "state").mkdir()
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        (self.folder / "slurm.conf").write_text(self._configuration())
        munge = {name: f"--{name}={self.folder}/munge/{name.split('-')[0]}"
                 for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")}  # fmt: skip
        self._start("munged", "munged", "--foreground", "--force", *munge.values())
        self._wait("munge's socket", lambda: (self.folder / "munge" / "socket").exists())
        self._start("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])
        for node in self.nodes:
            self._start(node, "slurmd", "-D", "-N", node, "-f", self.environment["SLURM_CONF"])
        self._wait("every node to be idle", lambda: self._said("sinfo", "-h", "-o", "%T %D") == f"idle {len(self.nodes)}")

    def _configuration(self) -> str:
        ports = _free_ports(len(self.nodes) + 1)
        host, user = socket.gethostname(), getpass.getuser()
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1"
            for name, port in zip(self.nodes, ports[1:], strict=True)
        )
        return _CONFIGURATION.format(folder=self.folder, host=host, user=user, ports=ports, nodes=nodes)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as out:
            command = [str(_found(program)), *arguments]
            self._daemons[name] = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _said(self, *command: str) -> str:
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60).stdout.strip()

    def _wait(self, what: str, until: Callable[[], bool], seconds: int = 60) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds} s for {what}: see {self.folder}")
            time.sleep(0.5)

    def running(self, node: str) -> str:
        """What runs on a node, ``NAME INDEX`` of an array's task; empty where nothing does."""
        return self._said("squeue", "-h", "-t", "R", "-w", node, "-o", "%j %K")

    def restarts(self, job: str) -> dict[str, int]:
        """How often each task of an array was put back into the queue, by its index."""
        shown = (dict(part.split("=", 1) for part in line.split() if "=" in part)
                 for line in self._said("scontrol", "-o", "show", "job").splitlines())  # fmt: skip
        return {task["ArrayTaskId"]: int(task["Restarts"]) for task in shown if task.get("JobName") == job}

    def kill(self, node: str) -> None:
        """As when its power fails: the daemon and every process of its jobs are gone at once."""
        daemon, jobs = self._daemons.pop(node), list(_processes_of(node))
        for number in {daemon.pid, *jobs, *map(_parent, jobs)} - {0, 1, os.getpid()}:
            _end(number, signal.SIGKILL)
        daemon.wait(20)

    def stop(self) -> None:
        """End what is left, jobs first."""
        for node in self.nodes:
            for number in _processes_of(node):
                _end(number, signal.SIGKILL)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()


@contextmanager
def cluster(folder: Path, *nodes: str) -> Iterator[Cluster]:
    """A cluster that has started, and is gone afterwards."""
    made = Cluster(folder, nodes)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def _processes_of(node: str) -> Iterator[int]:
    """Processes of a node's jobs: Slurm tells them its name."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURMD_NODENAME={node}".encode() in environment:
            yield int(path.name)


def _parent(number: int) -> int:
    """The process that started another: of a job's first process the step's daemon."""
    try:
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _end(number: int, how: signal.Signals) -> None:
    try:
        os.kill(number, how)
    except ProcessLookupError:
        return
