"""A real four-node SLURM cluster on this machine, from Debian packages, for tests and trials.

    python tests/cluster/slurm_cluster.py up      (or: make cluster)
    python tests/cluster/slurm_cluster.py down    (or: make cluster-down)

Each node is a `slurmd` with two CPUs; they share the machine. The configuration is in SLURM's
default place, everything else (keys, database, logs) in one folder owned by root. If the machine
has another SLURM, nothing is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import typer

__all__ = ["NODES", "Cluster", "ClusterError", "UnavailableError"]

NODES = ("n1", "n2", "n3", "n4")
# Programs, their packages, and the services that the packages start.
PACKAGES = {
    "slurmctld": ("slurm-wlm", ["slurmctld", "slurmd"]),
    "slurmdbd": ("slurmdbd", ["slurmdbd"]),
    "munged": ("munge", ["munge"]),
    "mariadbd": ("mariadb-server", ["mariadb"]),
}
MARKER = "# Written by scoresweep's test cluster; `make cluster-down` takes it away."
ACCOUNT = "scoresweep"
OTHER_SLURM = "this machine already has SLURM; nothing was changed"
LOG_LINES = 30
SECONDS_TO_START = 60

CONFIGURATION = ("slurm.conf", "slurmdbd.conf", "gres.conf")

SLURM_CONF = """\
{marker}
ClusterName=scoresweep
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=17000
SlurmctldPidFile={state}/slurmctld.own.pid
SlurmdPidFile={state}/slurmd.%n.own.pid
StateSaveLocation={state}/slurmctld
SlurmdSpoolDir={state}/slurmd.%n
SlurmctldParameters=enable_configless
SlurmdParameters=config_overrides
AuthType=auth/munge
# A requeued job waits until its credential expires.
AuthInfo=socket={state}/munged/socket,cred_expire=10
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
# Notice dead nodes and lost jobs within seconds, but allow for a busy machine.
SlurmdTimeout=10
TCPTimeout=10
BatchStartTimeout=20
KillWait=5
# A busy machine may take longer than the default minute to end killed processes.
UnkillableStepTimeout=600
MinJobAge=300
JobRequeue=1
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
PreemptType=preempt/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=17005
AccountingStoragePass={state}/munged/socket
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
GresTypes=gpu
NodeName=DEFAULT CPUs=2 RealMemory=6000 Gres=gpu:2
NodeName=n[1-4] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17001-17004]
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=n[1-2] MaxTime=1-00:00:00 State=UP
"""

SLURMDBD_CONF = """\
{marker}
AuthType=auth/munge
AuthInfo=socket={state}/munged/socket
DbdHost=localhost
DbdPort=17005
SlurmUser=root
PidFile={state}/slurmdbd.own.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""


# Two fake GPUs on each node, to test requests for GPUs.
GRES_CONF = """\
{marker}
Name=gpu File=/dev/null
Name=gpu File=/dev/zero
"""


class ClusterError(Exception):
    """The cluster did not behave as expected."""


class UnavailableError(ClusterError):
    """The cluster cannot run on this machine; nothing was changed."""


@dataclass(frozen=True)
class Cluster:
    """The four-node cluster and the places of its files."""

    etc: Path = Path("/etc/slurm")
    hosts: Path = Path("/etc/hosts")
    state: Path = Path("/var/lib/scoresweep-cluster")

    # -- the cluster as a whole

    def up(self) -> bool:
        """Start a cluster without jobs; return False if one was up already.

        What a killed cluster has left is deleted: its jobs would run again.
        """
        self.refuse_foreign()
        install_packages()
        if self.is_up():
            self._resume_drained()
            return False
        self._delete()
        self._write_files()
        for name in self._commands():
            self._start(name)
            self._wait_for(name)
            if name == "slurmdbd":
                add_to_accounting()
        self.wait_idle()
        return True

    def down(self) -> bool:
        """Stop the cluster and delete its files; return False if there was none."""
        self.refuse_foreign()
        if not self.state.exists():
            return False
        if self.is_answering():
            self.cancel_jobs()
        self._delete()
        for name in CONFIGURATION:
            (self.etc / name).unlink(missing_ok=True)
        self._write_hosts(add=False)
        return True

    def refuse_foreign(self) -> None:
        """Raise `UnavailableError` if the machine has SLURM that this file did not set up."""
        conf = self.etc / "slurm.conf"
        elsewhere = os.environ.get("SLURM_CONF", str(conf))
        if elsewhere != str(conf):
            raise UnavailableError(f"SLURM_CONF is {elsewhere}: {OTHER_SLURM}")
        for folder in (self.etc, self.etc.with_name("slurm-llnl")):
            for path in (folder / name for name in CONFIGURATION):
                if path.exists() and not path.read_text().startswith(MARKER):
                    raise UnavailableError(f"{path}: {OTHER_SLURM}")
        ours = {self._pid(name) for name in self._commands()}
        for process in psutil.process_iter(["name", "pid", "status"]):
            if process.info["name"] not in ("slurmctld", "slurmdbd"):
                continue
            if process.info["status"] == psutil.STATUS_ZOMBIE:
                continue
            if not {process.info["pid"], process.ppid()} & ours:
                raise UnavailableError(
                    f"{process.info['name']} is running, pid {process.info['pid']}: {OTHER_SLURM}"
                )

    def is_up(self) -> bool:
        """Return whether every daemon runs and the controller answers."""
        return all(self._pid(name) for name in self._commands()) and self.is_answering()

    def is_answering(self) -> bool:
        """Return whether the controller answers."""
        try:
            return "UP" in run("scontrol", "ping", timeout=15).stdout
        except (ClusterError, subprocess.TimeoutExpired):
            return False

    def node_states(self) -> dict[str, str]:
        """Return the state of each node: idle, mixed, allocated, down*, ..."""
        table = run("sinfo", "--Node", "--noheader", "--partition=main", "--format=%N %T")
        return dict(line.split() for line in table.stdout.splitlines())

    def _resume_drained(self) -> None:
        """Resume nodes that SLURM has drained."""
        for node, state in self.node_states().items():
            if state.startswith("drain"):
                run("scontrol", "update", f"nodename={node}", "state=resume")

    def cancel_jobs(self) -> None:
        """Cancel every job and wait until none is left."""
        if jobs := run("squeue", "--noheader", "--format=%A").stdout.split():
            run("scancel", *jobs)
        wait_until(lambda: not run("squeue", "--noheader").stdout, "an empty queue")

    def wait_idle(self, seconds: float = SECONDS_TO_START) -> None:
        """Wait until all four nodes are idle."""

        def idle() -> bool:
            return self.node_states() == dict.fromkeys(NODES, "idle")

        wait_until(idle, "four idle nodes", seconds, self._log("slurmctld"))

    # -- faults

    def kill(self) -> None:
        """Kill all daemons and jobs, as in a power cut of the machine."""
        for name in self._commands():
            self._signal(name, signal.SIGKILL)
        self._kill_processes_of(*NODES)

    def kill_node(self, node: str) -> None:
        """Kill a node as in a power cut: its slurmd and every process of its jobs."""
        wait_until(lambda: not self._kill_processes_of(node), f"the end of {node}")

    def start_node(self, node: str) -> None:
        """Start a killed node, and wait until it is usable."""
        self._start(f"slurmd.{node}")
        usable = ("idle", "mixed", "allocated", "completing")
        wait_until(
            lambda: self.node_states()[node] in usable,
            f"{node} back in service",
            log=self._log(f"slurmd.{node}"),
        )

    def pause(self, daemon: str) -> None:
        """Let a daemon (slurmctld, slurmdbd, ...) hang until `resume`."""
        self._signal(daemon, signal.SIGSTOP)

    def resume(self, daemon: str) -> None:
        """Let a paused daemon continue."""
        self._signal(daemon, signal.SIGCONT)

    def stop(self, daemon: str) -> None:
        """Stop one daemon and wait until it has ended."""
        pid = self._pid(daemon)
        if pid is None:
            return
        process = psutil.Process(pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        try:
            wait_until(lambda: self._pid(daemon) is None, f"the end of {daemon}", 20)
        except ClusterError:
            process.kill()
            wait_until(lambda: self._pid(daemon) is None, f"the end of {daemon}")

    def start(self, daemon: str) -> None:
        """Start a stopped daemon and wait until it answers."""
        self._start(daemon)
        self._wait_for(daemon)

    # -- files

    def _write_files(self) -> None:
        for name in self._commands():
            (self.state / name).mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o755)
        key = self.state / "munged/key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(128))
        self.etc.mkdir(exist_ok=True)
        values = {"marker": MARKER, "state": self.state, "host": socket.gethostname().split(".")[0]}
        (self.etc / "slurm.conf").write_text(SLURM_CONF.format(**values))
        (self.etc / "gres.conf").write_text(GRES_CONF.format(**values))
        secret = self.etc / "slurmdbd.conf"
        secret.touch(mode=0o600)
        secret.write_text(SLURMDBD_CONF.format(**values))
        self._write_hosts(add=True)

    def _write_hosts(self, *, add: bool) -> None:
        """Make the node names resolve, which torch.distributed needs."""
        before = self.hosts.read_text()
        lines = [line for line in before.splitlines() if not line.endswith(MARKER)]
        if add:
            lines.append(f"127.0.0.1 {' '.join(NODES)} {MARKER}")
        after = "\n".join(lines) + "\n"
        if after != before:
            self.hosts.write_text(after)

    # -- daemons

    def _commands(self) -> dict[str, list[str]]:
        """Return the daemons' commands, in the order in which they start."""
        munge, data = self.state / "munged", self.state / "mariadbd"
        return {
            "munged": [
                "munged",
                "--foreground",
                f"--key-file={munge}/key",
                f"--socket={munge}/socket",
                f"--pid-file={munge}/pid",
                f"--seed-file={munge}/seed",
                f"--log-file={munge}/log",
            ],
            "mariadbd": [
                "mariadbd",
                "--no-defaults",
                "--user=root",
                "--skip-networking",
                f"--datadir={data}",
                f"--socket={data}/socket",
                f"--pid-file={data}/pid",
                "--innodb-lock-wait-timeout=900",
                "--innodb-flush-log-at-trx-commit=0",
            ],
            "slurmdbd": ["slurmdbd", "-D"],
            "slurmctld": ["slurmctld", "-D"],
            **{f"slurmd.{node}": ["slurmd", "-D", "-N", node] for node in NODES},
        }

    def _start(self, name: str) -> None:
        """Start a daemon that outlives this process; write its pid and log to the state folder."""
        data = self.state / "mariadbd"
        if name == "mariadbd" and not (data / "mysql").exists():
            command = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}"]
            run(*command, "--skip-test-db")
        shell = 'echo $$ > "$0"; exec "$@"'
        pid_file = self.state / f"{name}.pid"
        pid_file.unlink(missing_ok=True)
        with self._log(name).open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", shell, pid_file, *self._commands()[name]],
                env=clean_environment() | {"MYSQL_UNIX_PORT": f"{data}/socket"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.state / name,
                check=True,
            )
        wait_until(lambda: self._pid(name) is not None, f"{name}", 10, self._log(name))

    def _wait_for(self, name: str) -> None:
        """Wait until a daemon answers."""
        checks: dict[str, Callable[[], bool]] = {
            "munged": lambda: (self.state / "munged/socket").exists(),
            "mariadbd": lambda: (self.state / "mariadbd/socket").exists(),
            "slurmdbd": lambda: bool(run("sacctmgr", "show", "cluster")),
            "slurmctld": self.is_answering,
        }

        def answers_or_has_ended() -> bool:
            return self._pid(name) is None or checks.get(name, lambda: True)()

        wait_until(answers_or_has_ended, f"an answer of {name}", log=self._log(name))
        if self._pid(name) is None:
            raise ClusterError(f"{name} has ended; {end_of(self._log(name))}")

    def _delete(self) -> None:
        """End all daemons and jobs, and delete the state folder."""
        for name in reversed(self._commands()):
            self.stop(name)
        self._kill_processes_of(*NODES)
        if self.state.exists():
            shutil.rmtree(self.state)

    def _kill_processes_of(self, *nodes: str) -> int:
        """Kill all processes of these nodes; return their number."""
        processes = [p for p in psutil.process_iter() if self._node_of(p) in nodes]
        for process in sorted(processes, key=lambda process: process.pid):  # slurmd is the oldest
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return len(processes)

    def _node_of(self, process: psutil.Process) -> str | None:
        """Return the node of a process, from a task's environment or a daemon's folder."""
        try:
            folder = Path(process.cwd())
            if folder.parent == self.state and folder.suffix[1:] in NODES:
                return folder.suffix[1:]
            return process.environ().get("SLURMD_NODENAME")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None

    def _pid(self, name: str) -> int | None:
        """Return the process id of a daemon, None if it does not run."""
        try:
            pid = int((self.state / f"{name}.pid").read_text())
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return pid if process.cmdline() == self._commands()[name] else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def _signal(self, name: str, number: signal.Signals) -> None:
        pid = self._pid(name)
        if pid is not None:
            os.kill(pid, number)

    def _log(self, name: str) -> Path:
        return self.state / f"{name}.log"


def install_packages() -> None:
    """Install missing packages with apt-get, or raise `UnavailableError`."""
    path = clean_environment()["PATH"]
    missing = [PACKAGES[name] for name in PACKAGES if shutil.which(name, path=path) is None]
    if os.geteuid() != 0:
        raise UnavailableError("only root can start the cluster's daemons; nothing was changed")
    if not missing:
        return
    names = [package for package, _ in missing]
    if shutil.which("apt-get") is None:
        raise UnavailableError(f"missing: {', '.join(names)}, and this machine has no apt-get")
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *names]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with (Path(tempfile.gettempdir()) / "scoresweep-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests' browser is also installed with apt-get
        for command in (["apt-get", "update", "--quiet"], install):
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=environment
            )
    if done.returncode != 0:
        raise UnavailableError(f"apt-get could not install {', '.join(names)}:\n{done.stderr}")
    if Path("/run/systemd/system").exists():
        services = [service for _, started in missing for service in started]
        run("systemctl", "disable", "--now", *services)


def add_to_accounting() -> None:
    """Give the users of this machine an account, so that `sacct` lists their jobs."""
    listed = run("sacctmgr", "--noheader", "--parsable2", "show", "cluster").stdout
    if "scoresweep" in listed:
        return
    run("sacctmgr", "--immediate", "add", "cluster", "scoresweep")
    run("sacctmgr", "--immediate", "add", "account", ACCOUNT, "Cluster=scoresweep")
    for user in {"root", os.environ.get("SUDO_USER", "root")}:
        run("sacctmgr", "--immediate", "add", "user", user, f"Account={ACCOUNT}")
        run("sacctmgr", "--immediate", "modify", "user", user, "set", f"DefaultAccount={ACCOUNT}")


def run(*command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a program; raise `ClusterError` with its output if it fails."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=clean_environment(),
    )
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".strip())
    return done


def clean_environment() -> dict[str, str]:
    """Return the environment without SLURM's variables, and with /usr/sbin on the path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
    return environment | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def wait_until(
    condition: Callable[[], bool],
    what: str,
    seconds: float = SECONDS_TO_START,
    log: Path | None = None,
) -> None:
    """Wait for a condition; `ClusterError` counts as not true yet.

    After `seconds`, raises `ClusterError` with that error and the end of the log.
    """
    deadline = time.monotonic() + seconds
    problem = ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
            problem = ""
        except ClusterError as error:
            problem = f": {error}"
        time.sleep(0.2)
    shown = f"\n{end_of(log)}" if log else ""
    raise ClusterError(f"waited {seconds:.0f} s for {what}{problem}{shown}")


def end_of(log: Path) -> str:
    """Return the last lines of a log, under its name."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"{log} ends with:", *lines[-LOG_LINES:]])


app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def up() -> None:
    """Start the cluster."""
    with _errors_for_the_terminal():
        cluster = Cluster()
        typer.echo("the cluster is up" if cluster.up() else "the cluster is up already")
        typer.echo(run("sinfo").stdout.rstrip())


@app.command()
def down() -> None:
    """Stop the cluster and delete all files of `up`."""
    with _errors_for_the_terminal():
        typer.echo("the cluster is down" if Cluster().down() else "there is no cluster")


@contextlib.contextmanager
def _errors_for_the_terminal() -> Iterator[None]:
    try:
        yield
    except ClusterError as error:
        typer.echo(error, err=True)
        sys.exit(2 if isinstance(error, UnavailableError) else 1)


if __name__ == "__main__":
    app()
