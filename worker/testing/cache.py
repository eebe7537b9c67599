"""A cache of readings in memory.

Invariant: it keeps what was put until a test takes it away, and fails only when a test wants it to.
"""

from worker.domain.errors import LabelwireError


class ScriptedCache:
    """A `ResultCache` over a dictionary.

    `entries` is what it holds, and may be changed. `fail` lets the next requests end in an error; while `broken` holds
    an error every request does. `requests` lists all as (operation, key).
    """

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.broken: LabelwireError | None = None
        self.closed = False
        self._failures: list[LabelwireError] = []

    def fail(self, *errors: LabelwireError) -> None:
        """Let the next requests raise these errors, in this order."""
        self._failures.extend(errors)

    async def get(self, key: str) -> bytes | None:
        """Return what is under a key."""
        self._request("get", key)
        return self.entries.get(key)

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        self._request("put", key)
        self.entries[key] = value

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _request(self, operation: str, key: str) -> None:
        self.requests.append((operation, key))
        error = self.broken or (self._failures.pop(0) if self._failures else None)
        if error is not None:
            raise error
