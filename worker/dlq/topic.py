"""A dead-letter topic: reading all of it, fetching single records, finding one letter.

Invariant: reading changes nothing, because readers and fetchers are members of no group.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from worker.adapters.kafka.offline.bounded_reader import BoundedReader
from worker.adapters.kafka.offline.record_fetcher import RecordFetcher
from worker.dlq import lookup
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import OriginalJob, PayloadMissingError, original_job
from worker.domain.records import Record
from worker.reporting.progress import Reach
from worker.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class LookupResult:
    """A letter, and its job or the sentence that says why its payload is missing. Neither where nobody asked for it."""

    letter: DeadLetter
    job: OriginalJob | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class DeadLetterTopic:
    """The topic `name` of a cluster."""

    kafka: KafkaSettings
    name: str

    def reader(self) -> BoundedReader:
        """Return a reader of all records that the topic holds now. Raises BrokerError."""
        return BoundedReader(self.kafka.bootstrap_servers, [self.name], self.kafka.client_options())

    def fetcher(self) -> RecordFetcher:
        """Return a fetcher of single records, on this topic or any other. Raises BrokerError."""
        return RecordFetcher(self.kafka.bootstrap_servers, self.kafka.client_options())

    def find(
        self, name: str, *, with_job: bool, progress: Callable[[int], AbstractContextManager[Reach]]
    ) -> LookupResult:
        """Return the letter of this coordinate, id, job id, or coordinate of its job.

        Where the topic must be read, `progress(total)` shows how far the reading is. The job of a letter in `reference`
        mode is fetched in any case. Raises LabelwireError.
        """
        coordinate = lookup.parse_coordinate(name, self.name)
        with self.fetcher() as fetcher:
            if coordinate is not None and coordinate.topic == self.name:
                letter = lookup.letter_at(coordinate, fetcher.fetch)
            else:
                letter = self._named(name, progress)
            if not (with_job or letter.is_reference):
                return LookupResult(letter, None, None)
            try:
                return LookupResult(letter, original_job(letter, fetcher.fetch), None)
            except PayloadMissingError as error:
                return LookupResult(letter, None, str(error))

    def _named(self, name: str, progress: Callable[[int], AbstractContextManager[Reach]]) -> DeadLetter:
        with self.reader() as reader, progress(reader.total) as reached:
            return lookup.newest_named(name, self.name, _with_progress(reader, reached))


def _with_progress(reader: BoundedReader, reached: Reach) -> Iterator[Record]:
    for record in reader:
        reached(reader.passed)
        yield record
