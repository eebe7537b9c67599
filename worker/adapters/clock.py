"""The machine's own clock."""

import asyncio
import time


class SystemClock:
    """The `Clock` of production."""

    def epoch_ms(self) -> int:
        """Return the time of day in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never run back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop."""
        await asyncio.sleep(seconds)
