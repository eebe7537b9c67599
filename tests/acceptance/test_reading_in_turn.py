"""Model sets take turns on each picture; what one refuses is named, and what is no picture's fault raises."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from worker.adapters.clock import SystemClock
from worker.domain.errors import ErrorCode, JobError
from worker.lab.acceptance.candidate import AcceptanceCandidate, Engine
from worker.lab.acceptance.reading import SetReader, SetReading, read_in_turn
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.evaluation.errors import MeasurementError
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.runtime.model_client import ModelClient
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png

LIMITS = ImageLimits()
TEXTS = ("PARCEL 1", "PARCEL 2", "PARCEL 3")


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three labels; the second one is larger."""
    rows = []
    for number, text in enumerate(TEXTS):
        width, height = (640, 200) if number != 1 else (640, 400)
        picture = encode_png(draw_blocks([BlockLine(text, 40, 40)], width=width, height=height))
        (tmp_path / f"{number}.png").write_bytes(picture)
        truth = [{"polygon": [[40, 40], [90, 40], [90, 70], [40, 70]], "text": text}]
        rows.append({"image": f"{number}.png", "sha256": hashlib.sha256(picture).hexdigest(), "lines": truth})
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(tmp_path)


class Readers:
    """A and B, and who read when."""

    def __init__(self, executor: Executor, b_limits: ImageLimits = LIMITS) -> None:
        self.backends = FakeBackend(clock=SystemClock()), FakeBackend(clock=SystemClock())
        self.order = ""
        self._limits = LIMITS, b_limits
        self._executor = executor
        self._calls = [0, 0]

    def note_turn(self) -> None:
        calls = [len(backend.calls) for backend in self.backends]
        self.order += "".join(letter for letter, now, was in zip("AB", calls, self._calls, strict=True) if now > was)
        self._calls = calls

    async def read(self, dataset: Dataset) -> tuple[SetReading, ...]:
        readers = [self._reader(letter, number) for number, letter in enumerate("AB")]
        for reader in readers:
            await reader.client.refresh()
        return await read_in_turn(dataset, readers, self.note_turn, 20.0)

    def _reader(self, letter: str, number: int) -> SetReader:
        backend = self.backends[number]

        def make(models: ModelSet) -> Pipeline:
            return Pipeline(backend, models, self._executor, SystemClock())

        client = ModelClient(backend, make, partial(read_header, limits=self._limits[number]))
        return SetReader(AcceptanceCandidate(letter, Path("models"), Engine.IN_PROCESS), {}, client)


async def test_who_begins_alternates_from_picture_to_picture(dataset: Dataset, executor: Executor) -> None:
    readers = Readers(executor)

    a, b = await readers.read(dataset)

    # The first turn tells of the reading that does not count, too, which both do before it.
    assert readers.order == "AB" + "B" + "BA" + "AB"
    assert a.counts == b.counts
    assert a.read.scores.word_f1 == 1.0
    assert all({"detect", "read"} <= set(stages) for one in (a, b) for stages in one.stages_ms)
    assert a.refused == b.refused == ()


async def test_a_picture_that_one_refuses_is_named_and_counts_as_nothing_read(
    dataset: Dataset, executor: Executor
) -> None:
    a, b = await Readers(executor, b_limits=ImageLimits(max_pixels=640 * 300)).read(dataset)

    assert a.refused == ()
    (refusal,) = b.refused
    assert (refusal.job_id, refusal.code) == ("1.png", "IMAGE_TOO_LARGE")
    assert b.stages_ms[1] == {}
    assert [counts.words_read for counts in b.counts] == [2, 0, 2]
    assert b.read.scores.word_recall == pytest.approx(4 / 6)


async def test_a_server_that_is_busy_is_asked_again(dataset: Dataset, executor: Executor) -> None:
    readers = Readers(executor)
    readers.backends[1].fail(*(JobError(ErrorCode.INFERENCE_OVERLOADED, "The queue is full.") for _ in range(3)))

    _, b = await readers.read(dataset)

    assert b.read.scores.word_f1 == 1.0


async def test_a_server_that_is_away_is_no_fault_of_the_pictures(dataset: Dataset, executor: Executor) -> None:
    readers = Readers(executor)
    readers.backends[1].fail(*(JobError(ErrorCode.INFERENCE_OVERLOADED, "The queue is full.") for _ in range(6)))

    with pytest.raises(MeasurementError, match=r"^B did not read 0\.png \(INFERENCE_OVERLOADED\): .*The queue is full"):
        await readers.read(dataset)


async def test_a_picture_that_is_gone_ends_the_measure(dataset: Dataset, executor: Executor) -> None:
    dataset.samples[2].path.unlink()

    with pytest.raises(MeasurementError, match=r"^A did not read 2\.png \(UNKNOWN\): .*2\.png: No such file"):
        await Readers(executor).read(dataset)
