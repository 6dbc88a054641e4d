"""A Slurm on this machine, without systemd: its own configuration, ports, keys and directories.

Debian's packages slurm-wlm and munge are enough. Other Slurms of the machine are not touched.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sweep.system.processes import exit_with_parent

_START_TIMEOUT = 60.0  # seconds
_END_TIMEOUT = 60.0  # seconds
_DAEMONS = ("munged", "slurmctld", "slurmd")
_CPUS = 8
"""The CPUs that the machine pretends to have: several jobs run at once."""
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={daemon_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
ReturnToService=2
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """Slurm does not start. The message says why."""


class Missing(CannotStart):
    """Slurm is not installed."""


class Slurm:
    """A running Slurm.

    Attributes:
        environment: the variables with which Slurm's commands find it.
    """

    def __init__(self, configuration: Path) -> None:
        self.environment = {"SLURM_CONF": str(configuration)}

    def run(self, *command: str) -> str:
        """What a command of Slurm prints."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self, *states: str) -> list[str]:
        """The numbers of the jobs that are listed, or of those in the given states."""
        lines = self.run("squeue", "--noheader", "--format=%i %T").splitlines()
        jobs = [line.split() for line in lines]
        return [number for number, state in jobs if not states or state in states]


@contextmanager
def running_slurm() -> Iterator[Slurm]:
    """Start a Slurm, and stop it with its jobs at the end of the block.

    Raises:
        CannotStart: a package is missing, or a daemon does not start.
    """
    os.environ["PATH"] += ":/usr/sbin"
    missing = [program for program in (*_DAEMONS, "sbatch") if shutil.which(program) is None]
    if missing:
        raise Missing(f"{', '.join(missing)} not found: apt-get install slurm-wlm munge")
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))
        slurm = Slurm(_write_configuration(folder))
        socket_option = f"--socket={folder}/munge.socket"
        key = f"--key-file={folder}/munge/key"
        files = [f"--{name}-file={folder}/munge/{name}" for name in ("log", "pid", "seed")]
        exits.enter_context(
            _daemon(["munged", "--foreground", "--force", socket_option, key, *files], folder)
        )
        _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        configuration = slurm.environment["SLURM_CONF"]
        exits.enter_context(_daemon(["slurmctld", "-D", "-f", configuration], folder))
        exits.enter_context(_daemon(["slurmd", "-D", "-f", configuration], folder))
        _wait_for(lambda: "idle" in slurm.run("sinfo", "--noheader", "--format=%T"), folder)
        exits.callback(_end_jobs, slurm)
        yield slurm


def _write_configuration(folder: Path) -> Path:
    folder.chmod(0o755)  # munge accepts no socket in a folder that others cannot enter
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    ports = []
    with ExitStack() as exits:
        for _ in range(2):
            free = exits.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            folder=folder,
            cpus=_CPUS,
            controller_port=ports[0],
            daemon_port=ports[1],
        )
    )
    return configuration


@contextmanager
def _daemon(command: list[str], folder: Path) -> Iterator[None]:
    with open(folder / f"{command[0]}.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=exit_with_parent)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait_for(condition: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < end:
        with suppress(RuntimeError, subprocess.TimeoutExpired):  # the controller does not answer yet
            if condition():
                return
        time.sleep(0.1)
    ends = {log.name: log.read_text().splitlines()[-5:] for log in folder.glob("*.log")}
    lines = [f"{name}: {line}" for name, end_of_log in ends.items() for line in end_of_log]
    raise CannotStart("Slurm has not started after a minute\n" + "\n".join(lines))


def _end_jobs(slurm: Slurm) -> None:
    """Cancel all jobs and wait until Slurm has killed their processes."""
    end = time.monotonic() + _END_TIMEOUT
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        while (jobs := slurm.jobs()) and time.monotonic() < end:
            slurm.run("scancel", "--quiet", *jobs)
            time.sleep(0.5)
