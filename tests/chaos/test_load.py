import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator

import pytest

from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import ClusterDescription, OutgoingRecord
from worker.lab.chaos.load import Load
from worker.lab.chaos.pictures import Picture, PictureFate

GOOD = Picture("label", b"pixels", "image/jpeg", PictureFate.GOOD)
BAD = Picture("noise", b"noise", "image/jpeg", PictureFate.UNDECODABLE)


class Broker:
    """Takes records, but for the first `refused` ones; holds them while `away`."""

    def __init__(self, refused: int = 0) -> None:
        self.records: list[OutgoingRecord] = []
        self.refused = refused
        self.away = threading.Event()
        self.closed = False

    async def send(self, record: OutgoingRecord) -> None:
        while self.away.is_set():  # noqa: ASYNC110 - the event is another thread's
            await asyncio.sleep(0.01)
        if self.refused:
            self.refused -= 1
            raise JobError(ErrorCode.BROKER_UNAVAILABLE, "away")
        self.records.append(record)

    async def describe(self, topics: Collection[str]) -> ClusterDescription:
        return ClusterDescription("none", dict.fromkeys(topics))

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def loaded() -> Iterator[Callable[[Broker], Load]]:
    loads: list[Load] = []

    def make(broker: Broker) -> Load:
        loads.append(Load(broker, "images", "job", seed=1))
        loads[-1].start()
        return loads[-1]

    yield make
    for load in loads:
        load.stop()


def test_what_was_acknowledged_is_submitted(loaded: Callable[[Broker], Load]) -> None:
    broker = Broker()
    load = loaded(broker)
    load.submit([GOOD, BAD])
    load.pause()
    assert list(load.submitted.values()) == [GOOD, BAD]
    assert [record.value for record in broker.records] == [b"pixels", b"noise"]
    assert [record.key for record in broker.records] == [name.encode() for name in load.submitted]


def test_a_job_that_was_not_acknowledged_is_in_doubt_and_comes_again(loaded: Callable[[Broker], Load]) -> None:
    load = loaded(Broker(refused=1))
    load.submit([GOOD])
    load.pause()
    assert len(load.submitted) == 1
    assert len(load.doubtful) == 1
    assert not load.doubtful & load.submitted.keys()


def test_pause_waits_for_a_broker_that_is_away(loaded: Callable[[Broker], Load]) -> None:
    broker = Broker()
    load = loaded(broker)
    broker.away.set()
    load.submit([GOOD])
    threading.Timer(0.3, broker.away.clear).start()
    load.pause()
    assert len(load.submitted) == 1


def test_the_load_is_steady_and_ends_with_pause(loaded: Callable[[Broker], Load]) -> None:
    load = loaded(Broker())
    load.run_steadily([GOOD], [BAD], 200)
    time.sleep(0.5)
    load.pause()
    count = len(load.submitted)
    assert 20 < count <= 110
    assert PictureFate.GOOD in {picture.fate for picture in load.submitted.values()}
    time.sleep(0.1)
    assert len(load.submitted) == count


def test_stop_gives_up_what_waits_and_closes_the_sink() -> None:
    broker = Broker()
    broker.away.set()
    load = Load(broker, "images", "job", seed=1)
    load.start()
    load.submit([GOOD])
    load.stop()
    assert broker.closed
    assert load.submitted == {}
