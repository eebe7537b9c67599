"""When a record that crashes its reader is given up: pure.

Invariant: only crashes of a process that read this record alone count, and `MAX_CRASHES` of them make a record POISON.
One is not enough: a process that is killed from outside looks like one that ran out of memory (both are SIGKILL). For
the same reason there is a wait between such crashes.
"""

from dataclasses import dataclass, field
from typing import Final

from worker.domain.errors import ErrorCode, JobError

MAX_CRASHES: Final = 3


@dataclass(slots=True)
class CrashHistory:
    """The crashes of one record's reader; `crashes` says how each of them ended, as `signal SIGSEGV`."""

    crashes: list[str] = field(default_factory=list)

    def crashed(self, how: str) -> None:
        """Count a crash. Raises JobError POISON at the last one."""
        self.crashes.append(how)
        if len(self.crashes) >= MAX_CRASHES:
            ways = " or ".join(dict.fromkeys(self.crashes))
            raise JobError(
                ErrorCode.POISON,
                f"The picture crashed the process that read it three times ({ways}), alone in a child process;"
                " save it again with another program, and report it.",
            )
