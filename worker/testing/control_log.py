"""A `ControlLog` on a topic of the broker in memory."""

import asyncio

from worker.domain.errors import BrokerError
from worker.domain.records import TopicPartition
from worker.ports import ControlListener
from worker.testing.broker import MemoryBroker

_ALL = 1_000_000


class MemoryControlLog:
    """Reads and writes a topic with one partition; a topic that does not exist is an empty log.

    `held` may be set to True: then nothing that is written reaches this reader until it is False again. A `misfit` is
    what a reader that starts is told instead of records.
    """

    def __init__(self, broker: MemoryBroker, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._partition = TopicPartition(topic, 0)
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.misfit = ""
        self._held = False

    @property
    def held(self) -> bool:
        """Whether records are held back."""
        return self._held

    @held.setter
    def held(self, held: bool) -> None:
        self._held = held
        self._changed.set()

    async def start(self, listener: ControlListener) -> None:
        """Begin to read, and return at once."""
        self._broker.watch(self._changed.set)
        self._reading = asyncio.create_task(self._read(listener))

    async def append(self, key: str, value: bytes) -> None:
        """Write a record. Raises BrokerError while the broker is not reachable."""
        if not self._broker.reachable:
            raise BrokerError("The broker does not answer.")
        self._broker.append(self._topic, value, key=key.encode())
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def _read(self, listener: ControlListener) -> None:
        topic_id, offset, told = "", 0, False
        while True:
            self._changed.clear()
            if self.misfit:
                listener.failed(self.misfit)
            elif not self._held and self._broker.reachable:
                if topic_id and topic_id != self._broker.topic_id(self._topic):
                    listener.reset()
                    offset, told = 0, False
                topic_id = self._broker.topic_id(self._topic)
                for record in self._broker.read(self._partition, offset, _ALL) if topic_id else []:
                    offset = record.coordinate.offset + 1
                    if record.key is not None and record.value is not None:
                        listener.received(record.key.decode("utf-8", "replace"), record.value)
                if not told:
                    told = True
                    listener.reached_end()
            await self._changed.wait()
