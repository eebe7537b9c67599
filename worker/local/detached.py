"""A local stack that outlives its terminal: `labelwire local up`, `down` and `status`.

One background process owns the stack (background.py). The state file names it by pid and start time, so a later process
with the same pid is never mistaken for it. When that process ends, the whole stack ends.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.adapters.kafka.admin import is_reachable
from worker.domain.errors import LocalStackError
from worker.local.process import last_lines, start_time_ticks
from worker.local.progress import progress
from worker.local.stack import LocalStack, choose_broker, provision_triton
from worker.local.triton import answers_ready

STATE_FOLDER = Path("build/local")
_POLL_SECONDS = 0.2
_STOP_SECONDS = 40.0
_SHOWN_LINES = 8


class Addresses(BaseModel):
    """The addresses of a running stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka_kind: str
    bootstrap_servers: str
    triton_grpc_url: str
    triton_http_url: str
    triton_metrics_url: str

    @classmethod
    def of(cls, stack: LocalStack) -> Self:
        """Return the addresses of a stack that was started."""
        return cls(
            kafka_kind=stack.kafka_kind,
            bootstrap_servers=stack.bootstrap_servers,
            triton_grpc_url=stack.triton_grpc_url,
            triton_http_url=stack.triton_http_url,
            triton_metrics_url=stack.triton_metrics_url,
        )

    def exports(self) -> list[str]:
        """Return the shell lines that make a worker use the stack."""
        return [
            f"export LABELWIRE_KAFKA__BOOTSTRAP_SERVERS={self.bootstrap_servers}",
            f"export LABELWIRE_TRITON__URL={self.triton_grpc_url}",
        ]


class StackState(BaseModel):
    """What the state file says; `pid` and `start_time_ticks` name the background process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Literal["starting", "up", "failed"]
    pid: int
    start_time_ticks: int
    addresses: Addresses | None = None
    error: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the background process is there."""
        return start_time_ticks(self.pid) == self.start_time_ticks


class Status(BaseModel):
    """What `labelwire local status` reports; `down` if nothing runs."""

    model_config = ConfigDict(frozen=True)

    phase: Literal["down", "starting", "up"]
    pid: int | None = None
    addresses: Addresses | None = None
    kafka_answers: bool | None = None
    triton_ready: bool | None = None


def bring_up(folder: Path, repositories: Callable[[], Sequence[Path]]) -> tuple[Addresses, bool]:
    """Start the stack in the background; return its addresses and whether it was up before.

    `repositories` gives the built model repositories, building one if need be. Raises LocalStackError.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        state = read_state(folder)
        if state is not None and state.is_alive:
            return _wait_until_up(folder), True
        model_repositories = repositories()
        provision_triton()
        choose_broker()
        _spawn(folder, model_repositories)
        try:
            with progress("Starting Kafka and Triton in the background"):
                return _wait_until_up(folder), False
        except BaseException:
            _end(folder)
            raise


def take_down(folder: Path) -> bool:
    """Stop the stack; return whether there was one."""
    folder = folder.absolute()
    if not folder.is_dir():
        return False
    return _end(folder)


def read_status(folder: Path) -> Status:
    """Look at the stack as it is now, asking the broker and Triton themselves."""
    state = read_state(folder)
    if state is None or not state.is_alive or state.phase == "failed":
        return Status(phase="down")
    if state.addresses is None:
        return Status(phase="starting", pid=state.pid)
    return Status(
        phase="up",
        pid=state.pid,
        addresses=state.addresses,
        kafka_answers=is_reachable(state.addresses.bootstrap_servers),
        triton_ready=answers_ready(state.addresses.triton_http_url),
    )


def read_state(folder: Path) -> StackState | None:
    """Read the state file; None if there is none that can be read."""
    with contextlib.suppress(FileNotFoundError, ValidationError):
        return StackState.model_validate_json(_state_path(folder).read_bytes())
    return None


def write_state(folder: Path, state: StackState) -> None:
    """Write the state file in one step."""
    draft = folder / f".state.{os.getpid()}.json"
    draft.write_text(state.model_dump_json(indent=2) + "\n")
    draft.replace(_state_path(folder))


def _state_path(folder: Path) -> Path:
    return folder / "state.json"


def _log_path(folder: Path) -> Path:
    return folder / "background.log"


def _spawn(folder: Path, model_repositories: Sequence[Path]) -> None:
    served = [str(repository.absolute()) for repository in model_repositories]
    argv = [sys.executable, "-m", "worker.local.background", str(folder), *served]
    with _log_path(folder).open("wb") as log:
        # It forks and returns at once, when the state file names the process that goes on.
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)  # noqa: S603
    if ended.returncode != 0:
        raise LocalStackError(f"the background process failed: {last_lines(_log_path(folder), _SHOWN_LINES)}")


def _wait_until_up(folder: Path) -> Addresses:
    while True:
        state = read_state(folder)
        if state is not None and state.phase == "up" and state.addresses is not None:
            return state.addresses
        if state is not None and state.phase == "failed":
            raise LocalStackError(state.error)
        if state is None or not state.is_alive:
            raise LocalStackError(f"the background process ended: {last_lines(_log_path(folder), _SHOWN_LINES)}")
        time.sleep(_POLL_SECONDS)


def _end(folder: Path) -> bool:
    state = read_state(folder)
    ended = state is not None and state.is_alive and _terminate(state)
    _state_path(folder).unlink(missing_ok=True)
    return ended


def _terminate(state: StackState) -> bool:
    """Stop the background process, which stops the stack; kill it if it does not, which kills the stack."""
    deadline = time.monotonic() + _STOP_SECONDS
    _signal(state, signal.SIGTERM)
    while state.is_alive:
        if time.monotonic() > deadline:
            _signal(state, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    return True


def _signal(state: StackState, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(state.pid, number)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
