"""The process behind `labelwire local up`: `python -m worker.local.background FOLDER MODEL_REPOSITORY…`.

It forks, leaves the terminal's session, owns the stack until SIGTERM, and keeps the folder's state file up to date.
"""

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from worker.domain.errors import LabelwireError
from worker.local.detached import Addresses, StackState, write_state
from worker.local.process import start_time_ticks
from worker.local.stack import LocalStack


def main() -> int:
    """Fork; in the child run the stack until SIGTERM."""
    folder, *model_repositories = map(Path, sys.argv[1:])
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        write_state(folder, _state(pid))
        os.write(writer, b"\n")
        return 0
    os.setsid()
    os.read(reader, 1)  # the state file names this process now
    for descriptor in (reader, writer):
        os.close(descriptor)
    return _run(folder, model_repositories)


def _run(folder: Path, model_repositories: Sequence[Path]) -> int:
    signal.signal(signal.SIGTERM, _leave)
    run_dir = folder / "run"
    shutil.rmtree(run_dir, ignore_errors=True)
    state = _state(os.getpid())
    try:
        with LocalStack(model_repositories, run_dir=run_dir) as stack:
            stack.ensure_topics()
            write_state(folder, state.model_copy(update={"phase": "up", "addresses": Addresses.of(stack)}))
            while True:
                signal.pause()
    except LabelwireError as error:
        write_state(folder, state.model_copy(update={"phase": "failed", "error": str(error)}))
        return 1


def _state(pid: int) -> StackState:
    return StackState(phase="starting", pid=pid, start_time_ticks=start_time_ticks(pid) or 0)


def _leave(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
