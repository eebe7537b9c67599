"""Chunks that a server takes, best-path decoding, and the page's vote."""

import asyncio
from collections.abc import Sequence
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
from worker.pipeline.models import load_models
from worker.pipeline.options import PipelineOptions
from worker.pipeline.read import LineReader, ReadLine, cut_to_chunks, decode_ctc
from worker.testing.backend import FakeBackend
from worker.testing.block_script import BlockLine, draw_blocks
from worker.testing.clock import ManualClock

LETTERS = ["", "a", "b", "c", " "]


@given(count=st.integers(0, 500), largest=st.integers(1, 70))
def test_chunks_are_never_empty_nor_too_large(count: int, largest: int) -> None:
    members = list(range(count))
    chunks = list(cut_to_chunks(members, largest))
    assert [index for chunk in chunks for index in chunk] == members
    assert all(1 <= len(chunk) <= largest for chunk in chunks)
    assert len(chunks) == -(-count // largest)


def naive_ctc(tokens: Sequence[int], confidences: Sequence[float]) -> tuple[str, float]:
    text, kept, last = "", [], 0
    for token, confidence in zip(tokens, confidences, strict=True):
        if token not in (0, last):
            text += LETTERS[token]
            kept.append(confidence)
        last = token
    return text, sum(kept) / len(kept) if kept else 0.0


@given(
    st.integers(1, 12).flatmap(
        lambda steps: st.lists(st.lists(st.integers(0, 4), min_size=steps, max_size=steps), min_size=1, max_size=5)
    ),
    st.integers(0, 99),
)
def test_ctc_decodes_as_the_naive_way(rows: list[list[int]], seed: int) -> None:
    tokens = np.array(rows, dtype=np.int32)
    confidences = np.random.default_rng(seed).random(tokens.shape).astype(np.float32)
    decoded = decode_ctc(tokens, confidences, LETTERS)
    for row, levels, (text, confidence) in zip(rows, confidences.tolist(), decoded, strict=True):
        expected_text, expected_confidence = naive_ctc(row, levels)
        assert text == expected_text
        assert confidence == pytest.approx(expected_confidence, abs=1e-5)


def crop_of(text: str, *, upside_down: bool = False, runs_down: bool = False, top: float = 0.0) -> LineCrop:
    """A line of block script as the crop stage would cut it."""
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
    return sum(backend.lines_sent(ModelRole.READER))


def recognized(backend: FakeBackend) -> int:
    return sum(backend.lines_sent(ModelRole.RECOGNIZER))


async def test_no_crops_make_no_request() -> None:
    backend = FakeBackend()
    assert await read(backend, []) == []
    assert backend.calls == []


@pytest.mark.parametrize("upside_down", [False, True])
async def test_the_longest_lines_vote_and_the_rest_follows(*, upside_down: bool) -> None:
    backend = FakeBackend()
    texts = ["A", "LONGER LINE 1", "LONGER LINE 2", "B", "CC", "LONGER LINE 3"]
    crops = [crop_of(text, upside_down=upside_down) for text in texts]
    lines = await read(backend, crops, PipelineOptions(vote_lines=3))
    assert [line.text for line in lines] == texts
    assert {line.upside_down > 0.5 for line in lines} == {upside_down}
    assert (classified(backend), recognized(backend)) == (3, 3)
    widths = [call.shapes["line"][2] for call in backend.calls if call.model.startswith("text_reader")]
    assert widths == [640]


async def test_a_sample_line_that_the_vote_contradicts_is_read_again() -> None:
    backend = FakeBackend()
    crops = [crop_of("FIRST LINE"), crop_of("SECOND ONE"), crop_of("LIAR LIAR", upside_down=True), crop_of("XY")]
    lines = await read(backend, crops, PipelineOptions(vote_lines=3))
    assert [line.upside_down for line in lines] == [0, 0, 0, 0]
    assert (classified(backend), recognized(backend)) == (3, 2)
    # Alone it would have been turned and read with confidence; the page knows better.
    assert lines[2].text != "LIAR LIAR"
    assert lines[2].confidence == pytest.approx(0.6)


async def test_lines_that_run_down_vote_by_themselves() -> None:
    backend = FakeBackend()
    crops = [
        *(crop_of(f"LINE {index}") for index in range(8)),
        *(crop_of(f"SIDE {index}", upside_down=True, runs_down=True) for index in range(2)),
    ]
    lines = await read(backend, crops)
    assert [line.text for line in lines] == [*(f"LINE {index}" for index in range(8)), "SIDE 0", "SIDE 1"]
    assert [line.upside_down for line in lines] == [0.0] * 8 + [1.0] * 2


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


async def test_each_request_gets_the_time_that_is_left() -> None:
    clock = ManualClock()
    backend = FakeBackend(clock=clock, latency_seconds=4.0)
    models = await load_models(backend)
    requests = PageRequests(backend, clock, timeout_seconds=10, request_id="job-7")
    crops = [crop_of("LONG LINE"), crop_of("B")]
    await LineReader(models, requests, PipelineOptions(vote_lines=1)).read(crops)
    assert [call.timeout_seconds for call in backend.calls] == [10, 6]
    assert {call.request_id for call in backend.calls} == {"job-7"}
    clock.advance(2)
    with pytest.raises(JobError, match="time was over") as caught:
        await LineReader(models, requests, PipelineOptions()).read(crops)
    assert caught.value.code is ErrorCode.INFERENCE_FAILED
