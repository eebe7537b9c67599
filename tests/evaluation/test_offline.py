"""Reading a set without Kafka: each picture ends answered or refused, and a busy server is asked again."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from worker.adapters.clock import SystemClock
from worker.domain.errors import ErrorCode, JobError
from worker.lab.evaluation.answers import Refusal
from worker.lab.evaluation.dataset import Dataset, load
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.offline import deliver_offline
from worker.lab.evaluation.run import GATE_REFUSALS, mosaic_reading, reading
from worker.lab.evaluation.systems import SystemRun, complete
from worker.lab.evaluation.transcript import Transcript
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.options import ImageLimits
from worker.pipeline.pipeline import Pipeline
from worker.runtime.model_client import ModelClient
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks, encode_png

LIMITS = ImageLimits()
TEXTS = ("PARCEL 1", "PARCEL 2")


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(clock=SystemClock())


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two labels, and a mosaic that tells of both."""
    rows = []
    for name, texts in (("a.png", TEXTS[:1]), ("b.png", TEXTS[1:]), ("mosaic.png", TEXTS)):
        height = 200 * len(texts)
        lines = [BlockLine(text, 40, 40 + 200 * number) for number, text in enumerate(texts)]
        picture = encode_png(draw_blocks(lines, width=640, height=height))
        (tmp_path / name).write_bytes(picture)
        truth = [{"polygon": [[40, 40], [90, 40], [90, 70], [40, 70]], "text": text} for text in texts]
        pieces = [{"image": "a.png"}, {"image": "b.png"}] if len(texts) > 1 else []
        digest = hashlib.sha256(picture).hexdigest()
        rows.append({"image": name, "sha256": digest, "width": 640, "height": height, "lines": truth, "pieces": pieces})
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load(tmp_path)


async def delivered(
    dataset: Dataset, backend: FakeBackend, executor: Executor, limits: ImageLimits = LIMITS
) -> tuple[SystemRun, int]:
    def make(models: ModelSet) -> Pipeline:
        return Pipeline(backend, models, executor, SystemClock())

    steps: list[None] = []
    reader = ModelClient(backend, make, partial(read_header, limits=limits))
    return await deliver_offline(dataset, reader, lambda: steps.append(None), 20.0), len(steps)


async def test_a_mosaic_is_held_against_its_pictures(
    dataset: Dataset, backend: FakeBackend, executor: Executor
) -> None:
    delivery, steps = await delivered(dataset, backend, executor)
    singles, mosaic = dataset.first(2), dataset.samples[2]
    own = reading("labelwire", "Labelwire", singles, delivery)

    huge = mosaic_reading(mosaic, singles, own, delivery)

    assert steps == 3
    assert own.scores.word_f1 == 1.0
    assert [own.passed_gate(number) for number in range(2)] == [True, True]
    assert (huge.pieces, huge.width, huge.height) == ((0, 1), 640, 400)
    assert (huge.word_recall, huge.singles_word_recall) == (1.0, 1.0)
    assert huge.counts.words_true == huge.singles.words_true == 4


async def test_a_server_that_is_busy_is_asked_again(dataset: Dataset, backend: FakeBackend, executor: Executor) -> None:
    backend.fail(*(JobError(ErrorCode.INFERENCE_OVERLOADED, "The queue is full.") for _ in range(3)))

    delivery, steps = await delivered(dataset, backend, executor)

    assert steps == 3
    assert not delivery.refusals
    assert len(delivery.answers) == 3


async def test_a_picture_that_is_refused_ends_the_measure(
    dataset: Dataset, backend: FakeBackend, executor: Executor
) -> None:
    with pytest.raises(MeasurementError, match=r"Labelwire refused mosaic\.png as IMAGE_TOO_LARGE"):
        await delivered(dataset, backend, executor, ImageLimits(max_pixels=640 * 300))


def test_a_picture_that_the_gate_refuses_counts_as_not_read(dataset: Dataset) -> None:
    singles = dataset.first(1)
    delivery = SystemRun(("a.png",), refusals={"a.png": Refusal("a.png", "IMAGE_QUALITY_POOR", "It is dark.")})

    with pytest.raises(MeasurementError, match="IMAGE_QUALITY_POOR"):
        complete(delivery, "Labelwire")
    own = reading("labelwire", "Labelwire", singles, complete(delivery, "Labelwire", GATE_REFUSALS))

    assert own.problems == (("IMAGE_QUALITY_POOR",),)
    assert not own.passed_gate(0)
    assert (own.scores.word_recall, own.transcripts) == (0.0, (Transcript(),))
