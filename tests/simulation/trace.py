"""What happened, event by event, in virtual time."""

import hashlib
from collections.abc import Callable, Iterator


class Trace:
    """Keeps what happened; text is made of it only when somebody asks."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._closed = False
        self._notes: list[tuple[float, str, str, tuple[object, ...]]] = []

    def note(self, who: str, what: str, *details: object) -> None:
        """Keep that `who` did `what`."""
        if not self._closed:
            self._notes.append((self._now(), who, what, details))

    def close(self) -> None:
        """Keep nothing any more."""
        self._closed = True

    def lines(self) -> Iterator[str]:
        """Return one line for each event."""
        for seconds, who, what, details in self._notes:
            yield f"{seconds:10.4f}  {who:<12} {what:<18} {' '.join(str(detail) for detail in details)}".rstrip()

    def digest(self) -> str:
        """Return a hash that is the same for the same run alone."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()
