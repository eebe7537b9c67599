"""What a page reads as depends neither on where the tiles stand nor on which way up it lies.

Over all receipts word F1 stays within 0.01. On a few of them a word weighs several times as much, and the bound would
tell of chance. The suite takes one shift and one turn, the long forms 50 (GRID_SHIFTS=50) and three (QUARTER_TURNS=3).
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.image import Pixels
from worker.lab.evaluation.dataset import Sample, load
from worker.lab.evaluation.scores import Counts, Scores, count, total
from worker.lab.evaluation.transcript import Transcript, line
from worker.local.triton import TritonServer
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import load_models
from worker.pipeline.options import ImageLimits, PipelineOptions
from worker.pipeline.pipeline import Pipeline
from worker.runtime.triton_guard import TritonGuard
from worker.settings import TritonSettings
from worker.testing.events import RecordedEvents

pytestmark = pytest.mark.real

RECEIPTS = Path(__file__).parents[2].parent / "shared" / "eval" / "sroie-dev"
SHIFTS = int(os.environ.get("GRID_SHIFTS", "1"))
TURNS = int(os.environ.get("QUARTER_TURNS", "1"))
WITHIN = 0.01
LARGE = PipelineOptions(tiled_from_pixels=1_000_000)
LONG = 1800.0  # seconds, for the long forms


@pytest.fixture
def receipts() -> Sequence[Sample]:
    if not RECEIPTS.is_dir():
        pytest.skip("the folder shared/eval/sroie-dev of receipts is not beside this checkout")
    return load(RECEIPTS).samples


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels with what stands on them."""

    pixels: Pixels
    samples: Sequence[Sample]

    @property
    def words(self) -> Transcript:
        truths = [sample.truth for sample in self.samples if sample.truth]
        return Transcript(tuple(one for truth in truths for one in truth.lines))

    def encoded(self) -> bytes:
        return cv2.imencode(".png", self.pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def pixels_of(sample: Sample) -> Pixels:
    return cv2.imread(str(sample.path)).astype(np.uint8)  # type: ignore[union-attr]


def mosaic(samples: Sequence[Sample], left: int, top: int) -> Picture:
    """Return receipts in rows of three on white paper, moved right and down."""
    pictures = [pixels_of(sample) for sample in samples]
    width, height = (max(picture.shape[axis] for picture in pictures) + 40 for axis in (1, 0))
    rows = -(-len(pictures) // 3)
    page = np.full((top + rows * height, left + 3 * width, 3), 255, dtype=np.uint8)
    for number, picture in enumerate(pictures):
        y, x = top + number // 3 * height, left + number % 3 * width
        page[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return Picture(page, samples)


def turned(sample: Sample, quarters: int) -> Picture:
    return Picture(np.ascontiguousarray(np.rot90(pixels_of(sample), quarters)), [sample])


def read_f1(
    triton: TritonServer, groups: Sequence[Sequence[Callable[[], Picture]]], options: PipelineOptions
) -> list[float]:
    """Return the word F1 over each group of pictures, of which a few at a time are drawn and read."""

    async def run() -> list[float]:
        clock, events = SystemClock(), RecordedEvents()
        settings = TritonSettings(url=triton.grpc_url)
        backend = TritonBackend(settings, events, clock)
        guard = TritonGuard(backend, settings, clock, events)
        with ThreadPoolExecutor(2) as executor:
            pipeline = Pipeline(guard, await load_models(guard), executor, clock, options)
            free = asyncio.Semaphore(4)

            async def counted(draw: Callable[[], Picture]) -> Counts:
                async with free:
                    picture = await asyncio.to_thread(draw)
                    encoded = await asyncio.to_thread(picture.encoded)
                    reading = await pipeline.process(encoded, read_header(encoded, ImageLimits()), timeout_seconds=LONG)
                read = (line(one.text, one.polygon.tolist()) for one in reading.pages[0].lines)
                return count(picture.words, Transcript(tuple(read)))

            async def score(group: Sequence[Callable[[], Picture]]) -> float:
                f1 = Scores.of(total(await asyncio.gather(*map(counted, group)))).word_f1
                assert f1 is not None
                return f1

            scores = await asyncio.gather(*map(score, groups))
        await guard.close()
        await backend.close()
        return scores

    return asyncio.run(run())


def show(scores: Sequence[float]) -> None:
    """Say the figures, for who runs the long form with -s."""
    sys.stdout.write(f"word F1: {', '.join(f'{score:.4f}' for score in scores)}\n")


@pytest.mark.timeout(LONG)
def test_where_the_tiles_stand_does_not_matter(triton: TritonServer, receipts: Sequence[Sample]) -> None:
    random = np.random.default_rng(5)
    shifts = [(0, 0), *((int(x), int(y)) for x, y in random.integers(1, 960, (SHIFTS, 2)))]
    scores = read_f1(triton, [[partial(mosaic, receipts, *shift)] for shift in shifts], LARGE)
    show(scores)
    assert scores[0] > 0.95
    assert max(abs(score - scores[0]) for score in scores) <= WITHIN


@pytest.mark.timeout(LONG)
def test_which_way_up_a_page_lies_does_not_matter(triton: TritonServer, receipts: Sequence[Sample]) -> None:
    groups = [[partial(turned, sample, quarters) for sample in receipts] for quarters in range(TURNS + 1)]
    scores = read_f1(triton, groups, PipelineOptions())
    show(scores)
    assert scores[0] > 0.95
    assert max(abs(score - scores[0]) for score in scores) <= WITHIN
