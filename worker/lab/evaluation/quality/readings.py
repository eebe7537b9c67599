"""What was measured and what was read of the samples of a calibration, kept so that a fit needs no second reading.

Invariant: a sample that stands in the file is never read again, so a calibration that was stopped goes on.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from worker.domain.errors import Disposition, JobError
from worker.lab.evaluation.fields import Findings, Value, count_fields, covered_types
from worker.lab.evaluation.quality.degradation import Factor
from worker.lab.evaluation.quality.samples import CalibrationSample, picture
from worker.lab.evaluation.scores import normalized, words
from worker.lab.evaluation.transcript import Transcript, line
from worker.lab.synth.camera import Degradation
from worker.lab.synth.truth import FieldType, SyntheticLabel
from worker.pipeline.pipeline import PictureReading
from worker.runtime.model_client import ModelClient

_TIMEOUT_SECONDS: Final = 300.0
_AT_ONCE: Final = 2
_PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True, slots=True)
class SampleReading:
    """One sample: its quality as measured, and how much of its words and of its fields was read right."""

    sample: CalibrationSample
    measures: Mapping[str, float]
    score: float
    words_true: int
    words_right: int
    fields_true: int
    fields_exact: int

    @property
    def word_recall(self) -> float:
        """The share of the words that was read right."""
        return self.words_right / self.words_true


async def read_samples(
    samples: Iterable[CalibrationSample], reader: ModelClient, path: Path, advance: Callable[[], None]
) -> list[SampleReading]:
    """Read the samples that the file lacks, and return all of them. Raises JobError."""
    known = {reading.sample: reading for reading in load_readings(path)}
    slots = asyncio.Semaphore(_AT_ONCE)
    await reader.refresh()

    async def read(sample: CalibrationSample) -> SampleReading:
        async with slots:
            found = known.get(sample) or await _read(sample, reader)
        if sample not in known:
            keep(found, path)
        advance()
        return found

    return list(await asyncio.gather(*(read(sample) for sample in samples)))


def load_readings(path: Path) -> list[SampleReading]:
    """Return the readings that a file holds; none if there is no file."""
    if not path.exists():
        return []
    return [_of_row(json.loads(row)) for row in path.read_text(encoding="utf-8").splitlines() if row.strip()]


async def _read(sample: CalibrationSample, reader: ModelClient) -> SampleReading:
    image, label = await asyncio.to_thread(picture, sample)
    return _judged(sample, label, await _read_with_retries(image, reader))


async def _read_with_retries(image: bytes, reader: ModelClient) -> PictureReading:
    """Read a picture, and wait where the server has too much to do."""
    header = reader.header(image)
    for pause_seconds in _PAUSES_SECONDS:
        try:
            return await reader.process(image, header, timeout_seconds=_TIMEOUT_SECONDS, request_id="calibration")
        except JobError as error:
            if error.disposition is not Disposition.SYSTEMIC:
                raise
            await asyncio.sleep(pause_seconds)
    return await reader.process(image, header, timeout_seconds=_TIMEOUT_SECONDS, request_id="calibration")


def _judged(sample: CalibrationSample, label: SyntheticLabel, read: PictureReading) -> SampleReading:
    page = read.pages[0]
    if page.quality is None:
        raise ValueError("the pages have no quality: read them in the mode `flag`")
    truth = words(Transcript(tuple(line(one.text, one.polygon) for one in label.lines)))
    seen = words(Transcript(tuple(line(one.text, one.polygon.tolist()) for one in page.lines)))
    said = Findings(tuple(Value(field.type, field.value) for field in page.fields))
    true = Findings(
        tuple(Value(field.type.value, field.value) for field in label.fields if not _is_address(field.type))
    )
    counts = count_fields(true, said, covered_types([true]), normalized).values()
    return SampleReading(
        sample,
        dict(page.quality.measures),
        page.quality.score,
        words_true=truth.total(),
        words_right=(truth & seen).total(),
        fields_true=sum(one.fields_true for one in counts),
        fields_exact=sum(one.fields_exact for one in counts),
    )


def _is_address(kind: FieldType) -> bool:
    return kind.value.startswith("address")


def keep(reading: SampleReading, path: Path) -> None:
    """Add a reading to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = asdict(reading)
    row["sample"]["degradation"] = reading.sample.degradation.value
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _of_row(row: dict[str, Any]) -> SampleReading:
    sample = row.pop("sample")
    factor = Factor(sample["factor"]) if sample["factor"] else None
    return SampleReading(
        CalibrationSample(
            sample["seed"], sample["index"], Degradation(sample["degradation"]), factor, sample["amount"]
        ),
        **row,
    )
