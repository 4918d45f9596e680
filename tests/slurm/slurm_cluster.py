"""A real SLURM of two nodes on this one machine, in a folder of its own.

Needs the daemons of Debian's ``slurm-wlm``, and neither root nor munge. The nodes have addresses
of the loopback network as names, since processes find each other by the names of their nodes.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
PROGRAMS = ("setpriv", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel")
MISSING = [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]
UNDER_WAY = ("PENDING", "RUNNING", "COMPLETING", "PREEMPTED", "REQUEUED")
CONFIG = """
ClusterName=trial
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/linear
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
KillWait=60
MailProg=/bin/true
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
NodeName=127.0.0.1 NodeHostname=localhost Port={ports[1]} CPUs=1
NodeName=127.0.0.2 NodeHostname=localhost Port={ports[2]} CPUs=1
PartitionName=low Nodes=ALL Default=YES PriorityTier=1
PartitionName=grace Nodes=ALL PriorityTier=1 GraceTime=60
PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF
"""


class Cluster:
    """The daemons, and what a user types."""

    def __init__(self, folder: Path) -> None:
        (folder / "state").mkdir()
        self.config = folder / "slurm.conf"
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        self.config.write_text(CONFIG.format(user=user, folder=folder, ports=_free_ports(3)))
        self.environment = {
            **os.environ,
            "PATH": SEARCH,
            "SLURM_CONF": str(self.config),
            "JAX_NUM_CPU_DEVICES": "1",
        }
        self._daemons: list[subprocess.Popen] = []
        commands = [["slurmctld"], *(["slurmd", "-N", f"127.0.0.{n}"] for n in (1, 2))]
        for command in commands:
            whole = ["setpriv", "--pdeathsig", "TERM", *command, "-D", "-f", self.config]
            with (folder / f"{'-'.join(command)}.log").open("w") as log:
                out = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
                self._daemons.append(subprocess.Popen(whole, env=self.environment, **out))
        self.wait_for(lambda: self.run("sinfo", "-h", "-o", "%D %t", "-p", "low") == "2 idle")

    def stop(self) -> None:
        """Ends all jobs, then the daemons."""
        self.run("scancel", "--state=PENDING", "--partition=low,grace,high", check=False)
        for job in self.run("squeue", "-h", "-o", "%i", check=False).split():
            self.run("scancel", "--signal=KILL", "--full", job, check=False)
            self.run("scancel", job, check=False)
        try:
            self.wait_for(lambda: self.run("squeue", "-h", check=False) == "")
        finally:
            for daemon in reversed(self._daemons):
                daemon.send_signal(signal.SIGTERM)
            for daemon in self._daemons:
                daemon.wait(30)

    def run(self, *command: str, check: bool = True) -> str:
        """What one of SLURM's programs prints."""
        done = subprocess.run(
            command, env=self.environment, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def launch(self, where: Path, *arguments: str) -> subprocess.CompletedProcess:
        """``launch.py`` in a directory."""
        command = [sys.executable, str(ROOT / "launch.py"), *arguments]
        return subprocess.run(
            command, cwd=where, env=self.environment, check=False, capture_output=True, text=True
        )

    def submit(self, where: Path, *arguments: str) -> str:
        """The number of the job that ``launch.py submit`` has put into the queue."""
        done = self.launch(where, "submit", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def field(self, job: str, name: str) -> str:
        """A field of a job: ``JobState`` and the like."""
        fields = self.run("scontrol", "show", "job", job).split()
        return next(field.split("=")[1] for field in fields if field.startswith(f"{name}="))

    def wait_for_state(self, job: str, state: str, seconds: float = 60.0) -> None:
        """Waits until a job is so; one that waits for its turn again gets it at once."""

        def reached() -> bool:
            found = self.field(job, "JobState")
            if found == "PENDING" and state != "PENDING":
                # SLURM holds it back for two minutes, while a node may refuse its credential as
                # that of the job before. Here the nodes need a moment.
                time.sleep(3)
                self.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            assert found in (state, *UNDER_WAY), f"the job is {found}"
            return found == state

        self.wait_for(reached, seconds)

    @staticmethod
    def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
