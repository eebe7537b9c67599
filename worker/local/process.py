"""Child processes that never outlive their parent.

Each command runs under a supervisor (supervisor.py) that holds the reading end of a pipe. When this process ends,
however it ends, the pipe closes and the supervisor stops the command, its children and the shared memory they left.
The command is in a session of its own, so Ctrl-C on the terminal reaches only this process, which then stops it in
an orderly way. (PR_SET_PDEATHSIG alone would not do: it follows the thread that started the child and reaches no
grandchildren.)
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.domain.errors import LocalStackError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_KILL_MARGIN_SECONDS = 10.0
# Below the range from which Linux takes ports for outgoing connections (32768 and up): a client that knocks at a
# stopped server's port would otherwise occupy it some day, or connect to itself.
_PORT_RANGE = range(15000, 32000)


@dataclass(frozen=True, slots=True)
class Command:
    """What to run and how to end it.

    `log_path` takes both output streams, appended. `grace_seconds` is the time between SIGTERM and SIGKILL.
    `shared_memory_prefix` names regions in /dev/shm to be removed at the end, `scratch` a folder to be removed if
    this process dies without stopping the command.
    """

    argv: Sequence[str]
    log_path: Path
    environment: Mapping[str, str] | None = None
    working_folder: Path | None = None
    grace_seconds: float = 10.0
    shared_memory_prefix: str = ""
    scratch: Path | None = None


class SupervisedProcess:
    """A running command; `start` makes one."""

    def __init__(self, command: Command, supervisor: "subprocess.Popen[bytes]", pid: int) -> None:
        self._command = command
        self._supervisor = supervisor
        self.pid = pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs, else its exit status (128 + n for signal n)."""
        return self._supervisor.poll()

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for the end and return the exit status; raises subprocess.TimeoutExpired."""
        status = self._supervisor.wait(timeout_seconds)
        self._close()
        return status

    def stop(self) -> int:
        """End the command and all its children, politely first; return the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._supervisor.send_signal(signal.SIGTERM)
        try:
            return self.wait(self._command.grace_seconds + _KILL_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            return self.wait()

    def kill(self) -> int:
        """Kill the command at once, as a crash would; the supervisor clears up after it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait(_KILL_MARGIN_SECONDS)

    def _close(self) -> None:
        for stream in (self._supervisor.stdin, self._supervisor.stdout):
            if stream is not None:
                stream.close()


def start(command: Command) -> SupervisedProcess:
    """Start a command under a supervisor.

    Raises LocalStackError if it cannot be run.
    """
    argv = [sys.executable, "-I", "-S", str(_SUPERVISOR), "--grace-seconds", str(command.grace_seconds)]
    if command.shared_memory_prefix:
        argv += ["--shared-memory-prefix", command.shared_memory_prefix]
    if command.scratch:
        argv += ["--scratch", str(command.scratch)]
    with command.log_path.open("ab") as log:
        supervisor = subprocess.Popen(  # noqa: S603  (our own script)
            [*argv, "--", *command.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=command.environment,
            cwd=command.working_folder,
            start_new_session=True,
        )
    process = SupervisedProcess(command, supervisor, 0)
    if supervisor.stdout is None or not (line := supervisor.stdout.readline()):
        process.wait()
        raise LocalStackError(
            f"{command.argv[0]} could not be started: {last_lines(command.log_path, 1) or 'no reason given'}"
        )
    process.pid = int(line)
    return process


def last_lines(path: Path, count: int) -> str:
    """Return the last lines of a log, for an error message; empty if there is none."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").rstrip().splitlines()[-count:])
    return ""


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that are free now. Raises LocalStackError if there are too few."""
    ports: list[int] = []
    for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)):
        if len(ports) == count:
            return ports
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    raise LocalStackError(
        f"fewer than {count} ports are free between {_PORT_RANGE.start} and {_PORT_RANGE.stop}; free some"
    )


def start_time_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone.

    Together with the pid this names one process for good: pids are used again, pairs are not.
    """
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else int(fields[18])
    return None
