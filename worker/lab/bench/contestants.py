"""Who takes part in a bench, and what one turn of each measures.

A turn is closed-loop: all pictures are written at once (or, for the bare models, all requests are ready at its start),
and it lasts from the first one that the broker acknowledges to the last answer. Contestants run throughout the bench,
idle while it is not their turn; `others_cpu_seconds` shows what the idle ones took. The bench reads and scores answers
after the clock has stopped; `harness_cpu_seconds` shows what it took itself while the clock ran.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from worker.adapters.triton.statistics import ModelStatistics, read_statistics
from worker.lab.bench.bare import RecordedRequest, repeated, replay_to
from worker.lab.bench.resources import ProcessMeter, ProcessUse, cpu_seconds
from worker.lab.evaluation.configuration import Endpoints
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.run import reading
from worker.lab.evaluation.systems import Job, RunningSystem, complete

BROKER: Final = "kafka"
TRITON: Final = "triton"


@dataclass(frozen=True, slots=True)
class ContestantTurn:
    """What one contestant did in one round.

    `milliseconds` are the times of single pictures as the system itself measured them. `cpu_seconds` are the system's
    own process, without its servers; `processes` are all processes by name, the broker among them. `peak_rss_bytes` are
    the system's processes with its servers, without the broker. `batches` are Triton's counts during the turn.
    """

    contestant: str
    round: int
    images: int
    seconds: float
    milliseconds: tuple[float, ...]
    peak_rss_bytes: int
    cpu_seconds: float
    others_cpu_seconds: float
    harness_cpu_seconds: float = 0.0
    word_f1: float | None = None
    barcode_recall: float | None = None
    processes: Mapping[str, ProcessUse] = field(default_factory=dict)
    batches: Mapping[str, ModelStatistics] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """The throughput of the turn."""
        return self.images / self.seconds


class Contestant(Protocol):
    """A system in the bench."""

    @property
    def name(self) -> str:
        """Its key in the report."""

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def images(self) -> int:
        """How many pictures it reads in a turn."""

    @property
    def pids(self) -> Sequence[int]:
        """All processes that work for it."""

    def warm_up(self, on_picture: Callable[[], None]) -> None:
        """Read each picture once, untimed."""

    def turn(self, number: int, others: Sequence[int], on_picture: Callable[[], None]) -> ContestantTurn:
        """Read all pictures once; `others` are the processes that should be idle meanwhile."""


@dataclass(frozen=True, slots=True)
class Servers:
    """What serves a contestant: the process ids of the broker and of Triton, and Triton's address; None without."""

    broker_pid: int | None = None
    triton_pid: int | None = None
    triton_url: str | None = None

    def roots(self) -> dict[str, int]:
        """Return the process ids by name."""
        pids = {BROKER: self.broker_pid, TRITON: self.triton_pid}
        return {name: pid for name, pid in pids.items() if pid is not None}


class SystemContestant:
    """A system that reads jobs off a topic.

    In a turn each picture is in the backlog `repeat` times: a system that reads many at once needs a backlog much
    longer than what it has in flight, or its first and last pictures, which have the machine to themselves, count too
    much.
    """

    def __init__(self, running: RunningSystem, dataset: Dataset, servers: Servers, *, repeat: int = 1) -> None:
        self._running = running
        self._dataset = dataset
        self._servers = servers
        self._repeat = repeat
        self.images = repeat * len(dataset.samples)
        self.name = running.system.name
        self.title = running.system.title

    @property
    def pids(self) -> Sequence[int]:
        """The system's process and its servers."""
        return (self._running.pid, *self._running.system.server_pids)

    def warm_up(self, on_picture: Callable[[], None]) -> None:
        """Read each picture once: a server that meets a size of input for the first time prepares itself for it."""
        jobs = [Job.of(sample, "warm-up/") for sample in self._dataset.samples]
        complete(self._running.answer_all(jobs, on_picture), self.title)

    def turn(self, number: int, others: Sequence[int], on_picture: Callable[[], None]) -> ContestantTurn:
        """Submit all pictures at once and wait for the last answer. Raises MeasurementError if one is missing."""
        prefixes = [f"round-{number}/{copy}/" for copy in range(self._repeat)]
        jobs = [Job.of(sample, prefix) for prefix in prefixes for sample in self._dataset.samples]
        own = self._running.system.process_name
        others_before, counts_before = cpu_seconds(others), self._statistics()
        with ProcessMeter({own: self._running.pid} | self._servers.roots()) as meter:
            delivery = complete(self._running.answer_all(jobs, on_picture), self.title)
        others_after = cpu_seconds(others)
        scores = reading(self.name, self.title, self._dataset, delivery, prefixes[0]).scores
        return ContestantTurn(
            contestant=self.name,
            round=number,
            images=len(jobs),
            seconds=delivery.seconds,
            milliseconds=tuple(answer.milliseconds for answer in delivery.answers.values()),
            peak_rss_bytes=_peak_bytes(meter.uses),
            cpu_seconds=meter.uses[own].cpu_seconds,
            others_cpu_seconds=others_after - others_before,
            harness_cpu_seconds=delivery.harness_cpu_seconds,
            word_f1=scores.word_f1,
            barcode_recall=scores.barcode_recall,
            processes=meter.uses,
            batches=_since(self._statistics(), counts_before),
        )

    def _statistics(self) -> dict[str, ModelStatistics]:
        url = self._servers.triton_url
        return read_statistics(url) if url else {}


class BareContestant:
    """The bare models on a server, with the requests that the pipeline would send them, `repeat` times in a turn."""

    def __init__(
        self,
        name: str,
        title: str,
        endpoints: Endpoints,
        requests: Sequence[RecordedRequest],
        *,
        repeat: int = 1,
    ) -> None:
        self.name = name
        self.title = title
        self.images = repeat * len({request.picture for request in requests})
        self._triton_url = endpoints.triton_url
        self._triton_pid = endpoints.triton_pid
        self._requests = requests
        self._repeat = repeat

    @property
    def pids(self) -> Sequence[int]:
        """The server."""
        return (self._triton_pid,)

    def warm_up(self, on_picture: Callable[[], None]) -> None:
        """Replay the requests of each picture once."""
        for _ in replay_to(self._triton_url, self._requests).milliseconds:
            on_picture()

    def turn(self, number: int, others: Sequence[int], on_picture: Callable[[], None]) -> ContestantTurn:
        """Replay all requests at full load."""
        others_before, counts_before = cpu_seconds(others), read_statistics(self._triton_url)
        requests = repeated(self._requests, self._repeat)
        with ProcessMeter({TRITON: self._triton_pid}) as meter:
            replayed = replay_to(self._triton_url, requests)
        for _ in replayed.milliseconds:
            on_picture()
        return ContestantTurn(
            contestant=self.name,
            round=number,
            images=len(replayed.milliseconds),
            seconds=replayed.seconds,
            milliseconds=replayed.milliseconds,
            peak_rss_bytes=_peak_bytes(meter.uses),
            cpu_seconds=0.0,
            others_cpu_seconds=cpu_seconds(others) - others_before,
            harness_cpu_seconds=replayed.client_cpu_seconds,
            processes=meter.uses,
            batches=_since(read_statistics(self._triton_url), counts_before),
        )


def _peak_bytes(uses: Mapping[str, ProcessUse]) -> int:
    return sum(use.peak_rss_bytes for name, use in uses.items() if name != BROKER)


def _since(after: Mapping[str, ModelStatistics], before: Mapping[str, ModelStatistics]) -> dict[str, ModelStatistics]:
    counted = {name: now.since(before.get(name, ModelStatistics())) for name, now in after.items()}
    return {name: count for name, count in counted.items() if count.executions}
