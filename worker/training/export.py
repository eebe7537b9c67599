"""From records to the files of an export.

Invariant: consent is asked of a record before anything of it is fetched, and once more of the job that holds the
picture, before anything is written. No picture is decoded that crashed a worker.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from worker.dlq.inspect.files import put, unwritable
from worker.dlq.letter import DeadLetter
from worker.dlq.payload import PayloadMissingError, original_job
from worker.domain.errors import ErrorCode, JobError
from worker.domain.records import Coordinate, Record
from worker.domain.redaction import is_redacted
from worker.domain.result import LabelText, Line, Page
from worker.pipeline.options import ImageLimits
from worker.reporting.progress import Advance
from worker.training.consent import Consent
from worker.training.counts import Skip, TrainingCounts
from worker.training.crops import line_crop, points_of
from worker.training.manifest import (
    PRIVATE,
    SavedOptions,
    TrainingKind,
    TrainingLine,
    TrainingManifest,
    TrainingPage,
    TrainingRecord,
)
from worker.training.pages import UprightPage, encoded_png, upright_pages
from worker.training.places import crop_file, picture_file
from worker.training.records import TrainingRecords, sha256_of
from worker.training.sample import CandidatePool, ExportCandidate, spread
from worker.training.split import Splitter
from worker.training.trust import line_trust

_OF_RESULTS: Final = (TrainingKind.RESULTS, TrainingKind.LINES)
_MISSING: Final = frozenset({ErrorCode.URI_FORBIDDEN, ErrorCode.URI_NOT_FOUND, ErrorCode.URI_UNAVAILABLE})

# Shows how far counted work is; `worker.reporting.progress.counted` is one.
Counted = Callable[[str, int], AbstractContextManager[Advance]]


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What is to be exported.

    Of each of the `kinds` at most `limit` records. A line is a label from `min_confidence` on, 0 to 1.
    """

    kinds: Collection[TrainingKind]
    consent: Consent
    splitter: Splitter
    min_confidence: float
    limit: int
    limits: ImageLimits

    @property
    def saved(self) -> SavedOptions:
        """The options that an export is resumed with."""
        return SavedOptions(
            seed=self.splitter.seed,
            split=self.splitter.percentages,
            split_by=self.splitter.by,
            min_confidence=self.min_confidence,
        )


@dataclass(frozen=True, slots=True)
class _Subject:
    """A record whose picture is there: all that is the same for its pages."""

    kind: TrainingKind
    record: Record
    job: Coordinate
    picture: bytes
    content_sha256: str


class TrainingExport:
    """One export: `run` chooses records and writes their files; the lists are made of the manifest afterwards."""

    def __init__(self, order: ExportOrder, records: TrainingRecords, manifest: TrainingManifest) -> None:
        self._order = order
        self._records = records
        self._manifest = manifest
        self.counts = TrainingCounts()

    def run(self, progress: Counted) -> TrainingCounts:
        """Write the files of all chosen records and return how many. Raises LabelwireError."""
        kinds = [kind for kind in _OF_RESULTS if kind in self._order.kinds]
        pools = {kind: CandidatePool(self._order.splitter.seed) for kind in TrainingKind}
        if kinds:
            for record in self._records.results:
                self._offer_result(record, kinds, pools)
        if TrainingKind.DEAD_LETTERS in self._order.kinds:
            for record in self._records.letters:
                self._offer_letter(record, pools[TrainingKind.DEAD_LETTERS])
        for kind in TrainingKind:
            chosen = self._chosen(kind, pools[kind])
            if chosen:
                with progress(f"Exporting {kind.value}", len(chosen)) as advance:
                    for candidate in chosen:
                        self._export(kind, candidate)
                        advance()
        return self.counts

    def _offer_result(
        self, record: Record, kinds: Collection[TrainingKind], pools: dict[TrainingKind, CandidatePool]
    ) -> None:
        result = _result(record) if self._order.consent.allows(record) else None
        reason = Skip.NOT_A_RESULT if self._order.consent.allows(record) else Skip.NO_CONSENT
        for kind in kinds:
            if result is None:
                self.counts.skip(kind, reason)
            elif self._manifest.holds(kind, result.image.sha256):
                self.counts.present[kind] += 1
            elif is_redacted(result):
                self.counts.skip(kind, Skip.REDACTED)
            elif not any(self._wanted(kind, page) for page in result.pages):
                self.counts.skip(kind, Skip.NO_SUCH_LINES)
            else:
                pools[kind].offer(_candidate(record, result))

    def _offer_letter(self, record: Record, pool: CandidatePool) -> None:
        kind, letter = TrainingKind.DEAD_LETTERS, DeadLetter.of(record)
        # The producer's headers may have stayed at the source; then they are asked once the job is here.
        if not letter.is_reference and not self._order.consent.allows(record):
            self.counts.skip(kind, Skip.NO_CONSENT)
        elif self._manifest.holds_record(kind, record):
            self.counts.present[kind] += 1
        elif letter.code == str(ErrorCode.POISON):
            self.counts.skip(kind, Skip.POISON)
        else:
            content = letter.payload_sha256 or str(record.coordinate)
            pool.offer(ExportCandidate(content, record.coordinate, record.key, letter.failed_at_ms, 0.0))

    def _chosen(self, kind: TrainingKind, pool: CandidatePool) -> list[ExportCandidate]:
        candidates = pool.ranked()
        chosen = spread(candidates, max(0, self._order.limit - self._manifest.count(kind)))
        self.counts.skip(kind, Skip.REPEATED, count=pool.repeated)
        self.counts.skip(kind, Skip.OVER_LIMIT, count=len(candidates) - len(chosen) + pool.dropped)
        return chosen

    def _export(self, kind: TrainingKind, candidate: ExportCandidate) -> None:
        record = self._records.fetch(candidate.coordinate)
        if record is None:
            self.counts.skip(kind, Skip.PICTURE_MISSING, f"The record {candidate.coordinate} is no longer there.")
        elif kind is TrainingKind.DEAD_LETTERS:
            self._export_letter(record)
        else:
            self._export_result(kind, record)

    def _export_result(self, kind: TrainingKind, record: Record) -> None:
        result = _result(record)
        if result is None or not self._order.consent.allows(record):
            # Another record than the one that was chosen: the topic was deleted and created again.
            self.counts.skip(kind, Skip.NOT_A_RESULT)
            return
        job = self._records.job_of(result)
        if job is None:
            sentence = f"The job of the result {record.coordinate} is no longer on its topic {result.source.topic}."
            self.counts.skip(kind, Skip.PICTURE_MISSING, sentence)
            return
        subject = self._subject(kind, record, job, Coordinate(*result.source.model_dump().values()))
        if subject is None:
            return
        if subject.content_sha256 != result.image.sha256:
            self.counts.skip(kind, Skip.PICTURE_CHANGED)
            return
        models = {role: f"{model.version} {model.precision}" for role, model in result.models.items()}
        self._write(subject, result.pages, models=models)

    def _export_letter(self, record: Record) -> None:
        kind, letter = TrainingKind.DEAD_LETTERS, DeadLetter.of(record)
        try:
            original = original_job(letter, self._records.fetch)
        except PayloadMissingError as error:
            self.counts.skip(kind, Skip.PICTURE_MISSING, str(error))
            return
        job = Record(record.coordinate, original.key, original.value, original.headers, record.timestamp_ms)
        subject = self._subject(kind, record, job, letter.derived.origin)
        if subject is None:
            return
        if self._manifest.holds(kind, subject.content_sha256):
            self.counts.skip(kind, Skip.REPEATED)
            return
        self._write(subject, None, code=letter.code)

    def _subject(self, kind: TrainingKind, record: Record, job: Record, origin: Coordinate) -> _Subject | None:
        """Return a record with its picture, or count why that cannot be had."""
        if not self._order.consent.allows(job):
            self.counts.skip(kind, Skip.NO_CONSENT)
            return None
        try:
            picture = self._records.picture_of(job)
        except JobError as error:
            reason = Skip.PICTURE_MISSING if error.code in _MISSING else Skip.PICTURE_UNREADABLE
            self.counts.skip(kind, reason, f"{record.coordinate}: {error}")
            return None
        return _Subject(kind, record, origin, picture, sha256_of(picture))

    def _write(
        self, subject: _Subject, read: tuple[Page, ...] | None, *, models: dict[str, str] | None = None, code: str = ""
    ) -> None:
        """Write the files of a record and name it in the manifest. Without `read`, its pages have no lines."""
        record, kind = subject.record, subject.kind
        split = self._manifest.split_of(subject.content_sha256) or self._order.splitter.of(
            subject.content_sha256, record.key
        )
        try:
            pages = tuple(self._pages(subject, read, split.value))
        except JobError as error:
            self.counts.skip(kind, Skip.PICTURE_UNREADABLE, f"{record.coordinate}: {error}")
            return
        except _ChangedError:
            self.counts.skip(kind, Skip.PICTURE_CHANGED)
            return
        self._manifest.add(
            TrainingRecord(
                kind=kind,
                coordinate=str(record.coordinate),
                job=str(subject.job),
                content_sha256=subject.content_sha256,
                key_sha256=None if record.key is None else sha256_of(record.key),
                split=split,
                timestamp_ms=record.timestamp_ms,
                consent=self._order.consent.basis,
                models=models or {},
                code=code,
                pages=pages,
            )
        )
        self.counts.written[kind] += 1

    def _pages(self, subject: _Subject, read: tuple[Page, ...] | None, split: str) -> Iterator[TrainingPage]:
        folder = self._manifest.begin()
        count = 0
        for page in upright_pages(subject.picture, self._order.limits):
            count += 1
            if read is None:
                yield self._written(subject, page, (), split, folder)
                continue
            if page.number >= len(read) or (page.width, page.height) != (
                read[page.number].width,
                read[page.number].height,
            ):
                raise _ChangedError
            lines = self._lines(subject, page, read[page.number], split, folder)
            if lines:
                yield self._written(subject, page, lines, split, folder)
        if read is not None and count != len(read):
            raise _ChangedError

    def _written(
        self, subject: _Subject, page: UprightPage, lines: tuple[TrainingLine, ...], split: str, folder: Path
    ) -> TrainingPage:
        plain = TrainingPage(number=page.number, width=page.width, height=page.height, lines=lines)
        if subject.kind is TrainingKind.LINES:
            return plain
        file = picture_file(subject.kind, split, subject.content_sha256, page.number, page.suffix)
        _put(folder / file, page.content)
        return plain.model_copy(update={"file": file, "sha256": sha256_of(page.content)})

    def _lines(
        self, subject: _Subject, page: UprightPage, read: Page, split: str, folder: Path
    ) -> tuple[TrainingLine, ...]:
        """Return the lines of a page that belong to a kind, the wanted ones with a crop; none if none is wanted."""
        trust, wanted = line_trust(read, self._order.min_confidence), self._wanted(subject.kind, read)
        if not wanted:
            return ()
        lines: list[TrainingLine] = []
        for line in read.lines:
            crop = None
            if line.id in wanted:
                crop = self._crop(subject, page, line, split, folder)
            elif subject.kind is TrainingKind.LINES:
                continue
            lines.append(
                TrainingLine(
                    id=line.id,
                    text=line.text,
                    confidence=line.confidence,
                    trust=trust[line.id],
                    polygon=line.polygon,
                    crop=crop,
                )
            )
        return tuple(lines)

    def _crop(self, subject: _Subject, page: UprightPage, line: Line, split: str, folder: Path) -> str | None:
        pixels = line_crop(page.square, page.on_square(points_of(line.polygon)), line.text)
        # A list of crops has one line for each text, and a tab before it.
        if pixels is None or line.text.splitlines() != [line.text] or "\t" in line.text:
            return None
        file = crop_file(subject.kind, split, subject.content_sha256, page.number, line.id)
        _put(folder / file, encoded_png(pixels))
        return file

    def _wanted(self, kind: TrainingKind, page: Page) -> frozenset[int]:
        """Return the ids of the lines of a page for which a record is exported as this kind."""
        trust = line_trust(page, self._order.min_confidence)
        return frozenset(number for number, each in trust.items() if each.is_label is (kind is TrainingKind.RESULTS))


class _ChangedError(Exception):
    """A picture has other pages than its result."""


def _candidate(record: Record, result: LabelText) -> ExportCandidate:
    worst = min((line.confidence for page in result.pages for line in page.lines), default=0.0)
    return ExportCandidate(result.image.sha256, record.coordinate, record.key, record.timestamp_ms, worst)


def _result(record: Record) -> LabelText | None:
    try:
        return LabelText.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def _put(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    put(path, content)
