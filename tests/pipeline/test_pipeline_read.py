"""Chunks that a server takes, and which way up lines are read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.domain.errors import ErrorCode, JobError
from worker.domain.image import LineCrop, Pixels, TextRegion
from worker.domain.manifest import ModelRole
from worker.pipeline.inference import PageRequests
from worker.pipeline.models import CONFIDENCE, UPSIDE_DOWN, load_models
from worker.pipeline.options import PipelineOptions
from worker.pipeline.recognize.read import LineReader, ReadLine, cut_to_chunks
from worker.ports import InferenceRequest, Tensor
from worker.testing.backend import FakeBackend
from worker.testing.block_font import BlockLine, draw_blocks
from worker.testing.clock import ManualClock


@given(count=st.integers(0, 500), largest=st.integers(1, 70))
def test_chunks_are_never_empty_nor_too_large(count: int, largest: int) -> None:
    members = list(range(count))
    chunks = list(cut_to_chunks(members, largest))
    assert [index for chunk in chunks for index in chunk] == members
    assert all(1 <= len(chunk) <= largest for chunk in chunks)
    assert len(chunks) == -(-count // largest)


def crop_of(text: str, *, upside_down: bool = False, runs_down: bool = False, top: float = 0.0) -> LineCrop:
    """A line in the block font as the crop stage would cut it."""
    content = 48 * len(text)
    bucket = next(width for width in (96, 192, 320, 640, 1280) if width >= content)
    line: Pixels = draw_blocks([BlockLine(text, 0, 0, 48)], width=content, height=48)
    pixels = np.full((48, bucket, 3), 255, dtype=np.uint8)
    pixels[:, :content] = line[::-1, ::-1] if upside_down else line
    quad: NDArray[np.float64] = np.array([[0, top], [content, top], [content, top + 48], [0, top + 48]], dtype=float)
    return LineCrop(TextRegion(quad[:, ::-1] if runs_down else quad, 0.9), pixels, content)


async def read(
    backend: FakeBackend, crops: Sequence[LineCrop], options: PipelineOptions | None = None
) -> list[ReadLine]:
    models = await load_models(backend)
    requests = PageRequests(backend, ManualClock(), timeout_seconds=10, request_id="r")
    return await LineReader(models, requests, options or PipelineOptions()).read(crops)


def classified(backend: FakeBackend) -> int:
    return sum(backend.lines_sent(ModelRole.ORIENTATION))


def recognized(backend: FakeBackend) -> int:
    return sum(backend.lines_sent(ModelRole.RECOGNIZER))


async def test_no_crops_make_no_request() -> None:
    backend = FakeBackend()
    assert await read(backend, []) == []
    assert backend.calls == []


@pytest.mark.parametrize("upside_down", [False, True])
async def test_where_the_classified_lines_agree_the_rest_follows(*, upside_down: bool) -> None:
    backend = FakeBackend()
    texts = ["A", "LONGER LINE 1", "LONGER LINE 2", "B", "CC", "LONGER LINE 3"] * 8
    crops = [crop_of(text, upside_down=upside_down, top=60.0 * row) for row, text in enumerate(texts)]
    lines = await read(backend, crops)
    assert [line.text for line in lines] == texts
    assert {line.upside_down for line in lines} == {upside_down}
    assert (classified(backend), recognized(backend)) == (8, len(texts))


async def test_both_axes_share_the_eight_and_vote_apart() -> None:
    backend = FakeBackend()
    crops = [
        *(crop_of(f"LINE {row}", top=60.0 * row) for row in range(10)),
        *(crop_of(f"SIDE {row}", upside_down=True, runs_down=True, top=2000 + 60.0 * row) for row in range(10)),
    ]
    lines = await read(backend, crops)
    assert [line.text for line in lines] == [f"{word} {row}" for word in ("LINE", "SIDE") for row in range(10)]
    assert [line.upside_down for line in lines] == [False] * 10 + [True] * 10
    assert (classified(backend), recognized(backend)) == (8, 20)


def mixed_page(upside_down: Sequence[bool]) -> list[LineCrop]:
    """Blocks of ten lines, a short one among them, each block as told."""
    return [
        crop_of("7" if row == 4 else f"BLOCK {block} {row}", upside_down=side, top=1000.0 * block + 60.0 * row)
        for block, side in enumerate(upside_down)
        for row in range(10)
    ]


@pytest.mark.parametrize("sides", [(True, False), (False, False, True, True), (True, False, True, False, True)])
async def test_blocks_of_a_mixed_page_are_read_as_each_stands(sides: tuple[bool, ...]) -> None:
    backend = FakeBackend()
    lines = await read(backend, mixed_page(sides))
    assert [line.text for line in lines] == [
        "7" if row == 4 else f"BLOCK {block} {row}" for block in range(len(sides)) for row in range(10)
    ]
    assert [line.upside_down for line in lines] == [side for side in sides for _ in range(10)]


async def test_a_block_that_no_classified_line_stands_for_is_found_by_how_it_reads() -> None:
    backend = FakeBackend()
    sides = [False] * 9 + [True] + [False] * 3
    lines = await read(backend, mixed_page(sides), PipelineOptions(vote_lines=2))
    assert [line.text for line in lines if not line.text.startswith("BLOCK")] == ["7"] * 13
    assert [line.upside_down for line in lines] == [side for side in sides for _ in range(10)]
    assert classified(backend) == 2
    assert recognized(backend) == 130 + 10


async def test_a_lone_line_may_stand_as_no_other_does() -> None:
    backend = FakeBackend()
    crops = [crop_of(f"LINE {row}", upside_down=row == 3, top=60.0 * row) for row in range(12)]
    lines = await read(backend, crops)
    assert [line.text for line in lines] == [f"LINE {row}" for row in range(12)]
    assert [line.upside_down for line in lines] == [row == 3 for row in range(12)]


class _Rounds(FakeBackend):
    """Remembers how many requests were answered before each one was sent."""

    def __init__(self) -> None:
        super().__init__(reads_by_ensemble=True)
        self.answered_before: list[int] = []
        self._answered = 0

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        self.answered_before.append(self._answered)
        await asyncio.sleep(0.001)
        answer = await super().infer(request, timeout_seconds=timeout_seconds)
        self._answered += 1
        return answer


async def test_an_upright_page_is_read_by_readers_in_one_round_trip() -> None:
    backend = _Rounds()
    texts = ["A", "LONGER LINE 1", "LONGER LINE 2", "B", "CC", "LONGER LINE 3"] * 8
    lines = await read(backend, [crop_of(text, top=60.0 * row) for row, text in enumerate(texts)])
    assert [line.text for line in lines] == texts
    assert set(backend.answered_before) == {0}
    assert (sum(backend.lines_sent(ModelRole.READER)), recognized(backend)) == (8, len(texts) - 8)
    assert classified(backend) == 0


@pytest.mark.parametrize(
    "sides",
    [(False,), (True,), (True, False), (False, False, True, True), (True, False, True, False, True)],
    ids=lambda sides: "".join("v" if side else "^" for side in sides),
)
async def test_readers_give_what_classifier_and_recognizer_give(sides: tuple[bool, ...]) -> None:
    crops = mixed_page(sides)
    apart, together = FakeBackend(), FakeBackend(reads_by_ensemble=True)
    assert await read(together, crops) == await read(apart, crops)
    again = recognized(together) + sum(together.lines_sent(ModelRole.READER)) - recognized(apart)
    assert again == 10 * sum(sides), "only what stands upside down is read again"
    crops[3] = crop_of("STRAY", upside_down=not sides[0], top=60.0 * 3)
    assert await read(together, crops) == await read(apart, crops)


class _Recording(FakeBackend):
    """Remembers what the recognizer was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Mapping[str, Tensor]] = []

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        if request.model.startswith(ModelRole.RECOGNIZER):
            self.sent.append(request.inputs)
        return await super().infer(request, timeout_seconds=timeout_seconds)


async def test_the_server_turns_no_line_and_all_are_padded_on_the_right() -> None:
    backend = _Recording()
    await read(backend, [crop_of("ABCDE", upside_down=True), crop_of("VWXYZ", upside_down=True, top=60)])
    (inputs,) = backend.sent
    assert not inputs["upside_down"].any()
    assert (inputs["line"][:, :, 240:] == 127).all() or (inputs["line"][:, :, 240:] == 255).all()
    assert (inputs["line"][:, :, 0] < 255).any()


async def test_requests_hold_one_bucket_and_no_more_lines_than_allowed() -> None:
    backend = FakeBackend(max_batch_size=5)
    crops = [crop_of("W" * (1 + index % 9)) for index in range(60)]
    lines = await read(backend, crops, PipelineOptions(max_lines_per_request=7))
    assert [line.text for line in lines] == ["W" * (1 + index % 9) for index in range(60)]
    assert max(backend.lines_sent(ModelRole.RECOGNIZER)) == 5
    assert min(backend.lines_sent(ModelRole.RECOGNIZER)) >= 1
    small = FakeBackend(max_batch_size=5)
    await read(small, crops, PipelineOptions(max_lines_per_request=2))
    assert max(small.lines_sent(ModelRole.RECOGNIZER)) == 2


async def test_chunks_are_under_way_together() -> None:
    clock = ManualClock(sleeps_pass=False)
    backend = FakeBackend(clock=clock, latency_seconds=1.0, max_batch_size=1)
    models = await load_models(backend)
    reader = LineReader(models, PageRequests(backend, clock, timeout_seconds=10, request_id=""), PipelineOptions())
    reading = asyncio.create_task(reader.read([crop_of("ABC")] * 8))
    for _ in range(2):  # classified, then read
        for _ in range(100):
            await asyncio.sleep(0)
        assert clock.sleeping == 8
        clock.advance(1.0)
    assert [line.text for line in await reading] == ["ABC"] * 8


async def test_the_first_failure_is_raised_itself() -> None:
    backend = FakeBackend(max_batch_size=1)
    error = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
    backend.fail(None, error)
    with pytest.raises(JobError) as caught:
        await read(backend, [crop_of("ABC")] * 4)
    assert caught.value is error


async def test_a_token_outside_the_dictionary_is_an_error_not_a_crash() -> None:
    backend = FakeBackend()
    models = await load_models(backend)
    requests = PageRequests(backend, ManualClock(), timeout_seconds=10, request_id="")
    reader = LineReader(replace(models, dictionary=models.dictionary[:3]), requests, PipelineOptions())
    with pytest.raises(JobError, match="outside its dictionary") as caught:
        await reader.read([crop_of("XYZ")])
    assert caught.value.code is ErrorCode.INFERENCE_FAILED


class _Distorted(FakeBackend):
    """Changes the numbers of one output."""

    def __init__(self, output: str, factor: float, *, reads_by_ensemble: bool = False) -> None:
        super().__init__(reads_by_ensemble=reads_by_ensemble)
        self._output, self._factor = output, np.float32(factor)

    async def infer(self, request: InferenceRequest, *, timeout_seconds: float) -> Mapping[str, Tensor]:
        answer = await super().infer(request, timeout_seconds=timeout_seconds)
        return {name: value * self._factor if name == self._output else value for name, value in answer.items()}


@pytest.mark.parametrize("reads_by_ensemble", [False, True], ids=["in turn", "ensemble"])
@pytest.mark.parametrize("output", [CONFIDENCE, UPSIDE_DOWN])
@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1.5, -1.0])
async def test_what_is_no_probability_is_an_error_and_no_blank_page(
    output: str, factor: float, *, reads_by_ensemble: bool
) -> None:
    backend = _Distorted(output, factor, reads_by_ensemble=reads_by_ensemble)
    crops = [crop_of(f"LINE {row}", upside_down=True, top=60.0 * row) for row in range(12)]

    with pytest.raises(JobError, match="where probabilities belong: if it computes in FP16 or INT8") as caught:
        await read(backend, crops)

    assert caught.value.code is ErrorCode.INFERENCE_FAILED


async def test_a_confidence_that_rounding_put_above_one_is_one() -> None:
    lines = await read(_Distorted(CONFIDENCE, 1.013), [crop_of("ABC"), crop_of("XYZ", top=60.0)])

    assert [(line.text, line.confidence) for line in lines] == [("ABC", 1.0), ("XYZ", 1.0)]


async def test_each_request_gets_the_time_that_is_left() -> None:
    clock = ManualClock()
    backend = FakeBackend(clock=clock, latency_seconds=4.0)
    models = await load_models(backend)
    requests = PageRequests(backend, clock, timeout_seconds=10, request_id="job-7")
    crops = [crop_of("LONG LINE"), crop_of("LONG LINK")]
    await LineReader(models, requests, PipelineOptions(vote_lines=1)).read(crops)
    assert [call.timeout_seconds for call in backend.calls] == [10, 6]
    assert {call.request_id for call in backend.calls} == {"job-7"}
    clock.advance(2)
    with pytest.raises(JobError, match="time was over") as caught:
        await LineReader(models, requests, PipelineOptions()).read(crops)
    assert caught.value.code is ErrorCode.INFERENCE_FAILED
