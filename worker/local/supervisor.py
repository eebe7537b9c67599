"""Runs one command, and ends it and its children when the process that asked for it ends.

This file is run as a script, by path and without site packages (`python -I -S supervisor.py`), so it imports
nothing but the standard library. It ends its command when the command's owner says so (SIGTERM), when the owner is
gone (its end of the standard input closes, or its process ends), and cleans up when the command ends by itself.
On Linux it is the reaper of all descendants, so even children that the command has lost are found and killed.

Its standard output says one line, the command's process id; its exit status is the command's (128 + n for signal n).
Should the supervisor itself be killed, the kernel kills the command.
"""

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (Triton puts its regions there)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_supervisor() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _orphans() -> list[int]:
    """Children of this process, those among them that the command left behind."""
    listing = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    with contextlib.suppress(OSError):
        return [int(pid) for pid in listing.read_text().split()]
    return []


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _kill_rest(group: int) -> None:
    """Kill what is left of the group, then what other groups inherited by this process."""
    _signal_group(group, signal.SIGKILL)
    while orphans := _orphans():
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _wait(child: "subprocess.Popen[bytes]", owner: int, wakeup: int) -> bool:
    """Wait until the command ends or is to end; say whether its owner is gone."""
    poller = select.poll()
    watched = {fd for fd in (_pidfd(owner), sys.stdin.fileno()) if fd is not None}
    for fd in (*watched, wakeup):
        poller.register(fd, select.POLLIN | select.POLLHUP)
    while child.poll() is None and os.getppid() == owner:
        for fd, _ in poller.poll(1000):
            if fd in watched:
                return True
            if signal.SIGTERM in os.read(fd, 64):
                return False
    return os.getppid() != owner


def _end(child: "subprocess.Popen[bytes]", grace_seconds: float) -> int:
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    _signal_group(child.pid, signal.SIGKILL)
    status = child.wait()
    _kill_rest(child.pid)
    return status


def _remove_shared_memory(prefix: str) -> None:
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)


def main() -> int:
    """Run the command of the command line; see the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grace-seconds", type=float, required=True)
    parser.add_argument("--shared-memory-prefix", default="")
    parser.add_argument("--scratch", type=Path, help="folder to remove if the owner is gone")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    owner = os.getppid()
    wakeup, wakeup_writer = os.pipe()
    os.set_blocking(wakeup_writer, False)
    signal.set_wakeup_fd(wakeup_writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(  # noqa: S603  (the owner's own command)
        options.command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        process_group=0,
        preexec_fn=_die_with_supervisor,  # noqa: PLW1509  (there is one thread)
    )
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.close()
    owner_gone = _wait(child, owner, wakeup)
    status = _end(child, options.grace_seconds)
    if options.shared_memory_prefix:
        _remove_shared_memory(options.shared_memory_prefix)
    if owner_gone and options.scratch:
        shutil.rmtree(options.scratch, ignore_errors=True)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
