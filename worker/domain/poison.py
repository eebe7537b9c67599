"""When a record has ended its reader often enough: pure.

Invariant: only ends of a process that read nothing but this record count, and nothing is convicted on fewer than
`CRASHES_TO_CONVICT` of them. An end from outside looks like one of memory (both are SIGKILL), which is why one is not
enough, and why a wait stands between such ends.
"""

from dataclasses import dataclass, field
from typing import Final

from worker.domain.errors import ErrorCode, JobError

CRASHES_TO_CONVICT: Final = 3


@dataclass(slots=True)
class Trial:
    """One record's reading in processes of its own; `crashes` says how each of them ended, as `signal SIGSEGV`."""

    crashes: list[str] = field(default_factory=list)

    def crashed(self, how: str) -> None:
        """Count one more end. Raises JobError POISON at the last that is needed."""
        self.crashes.append(how)
        if len(self.crashes) >= CRASHES_TO_CONVICT:
            ways = " or ".join(dict.fromkeys(self.crashes))
            raise JobError(
                ErrorCode.POISON,
                f"The picture ended the process that read it three times ({ways}), alone in a child process;"
                " save it anew with another program, and report it.",
            )
