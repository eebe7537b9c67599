"""Access checks without a broker."""

from collections.abc import Collection


class MemoryAccess:
    """A `ClusterAccess`: `obstacles` maps a topic to the sentence that says why the worker cannot use it."""

    def __init__(self) -> None:
        self.obstacles: dict[str, str] = {}

    async def obstacle(self, reads: Collection[str], writes: Collection[str]) -> str:
        """Return the first sentence of these topics; empty if there is none."""
        return next((self.obstacles[name] for name in (*reads, *writes) if name in self.obstacles), "")
