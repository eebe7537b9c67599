import asyncio
import random
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest

from tests.adapters.triton.triton_servicer import DICTIONARY, MODEL, Answers, Fails, Hangs, ScriptedTriton, answer_of
from worker.adapters.clock import SystemClock
from worker.adapters.triton import TritonBackend
from worker.domain.errors import ErrorCode, JobError, SettingsError
from worker.domain.events import Event, InferenceFinished, InferenceRetried
from worker.ports import Clock, InferenceBackend, InferenceRequest, TensorSpec
from worker.runtime.triton_guard import TritonGuard
from worker.settings import TritonSettings
from worker.testing.clock import ManualClock

Status = grpc.StatusCode
LINE = np.arange(2 * 8 * 5 * 3, dtype=np.uint8).reshape(2, 8, 5, 3)


class Heard:
    """An EventSink that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def codes(self) -> list[str]:
        return [event.grpc_code for event in self.events if isinstance(event, InferenceFinished)]

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, InferenceRetried)]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedTriton]:
    async with ScriptedTriton() as running:
        yield running


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def backend(server: ScriptedTriton, heard: Heard) -> AsyncIterator[TritonBackend]:
    made = make(server.address, heard)
    yield made
    await made.close()


def make(url: str, heard: Heard, clock: Clock | None = None, **settings: int) -> TritonBackend:
    chance = random.Random(1)  # noqa: S311
    return TritonBackend(TritonSettings(url=url, **settings), heard, clock or ManualClock(), chance=chance)


async def read(
    backend: InferenceBackend, timeout_seconds: float = 20.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    answer = await backend.infer(
        InferenceRequest(MODEL, {"image": LINE}, ["probability"]), timeout_seconds=timeout_seconds
    )
    return answer["probability"].astype(np.uint8)


async def test_pixels_go_there_and_come_back(server: ScriptedTriton, backend: TritonBackend, heard: Heard) -> None:
    answer = await backend.infer(
        InferenceRequest(MODEL, {"image": LINE}, ["probability"], request_id="job-1"), timeout_seconds=9
    )
    assert np.array_equal(answer["probability"], LINE[..., 0])
    assert server.requests[0].id == "job-1"
    # Two thirds of the time are the first attempt's, and Triton's queue gets no more.
    assert server.requests[0].parameters["timeout"].int64_param == 3_000_000, "half of the 6 s that the first try has"
    assert heard.events == [InferenceFinished(MODEL, "10", "OK", 0.0)]


@pytest.mark.parametrize(
    ("fault", "failures"),
    [
        (Fails(Status.UNAVAILABLE, "Socket closed"), 2),
        (Fails(Status.UNAVAILABLE, "Server is stopping"), 3),
        (Fails(Status.NOT_FOUND, "unknown model: 'm' has no available versions"), 3),
        (Fails(Status.INTERNAL, "stub died"), 1),
        (Fails(Status.CANCELLED, "by the server"), 1),
        (Fails(Status.DEADLINE_EXCEEDED, "in the server"), 1),
    ],
)
async def test_what_passes_at_once_is_borne(
    server: ScriptedTriton, backend: TritonBackend, heard: Heard, fault: Fails, failures: int
) -> None:
    server.script.extend([fault] * failures)
    assert np.array_equal(await read(backend), LINE[..., 0])
    assert heard.codes() == [fault.status.name] * failures + ["OK"]
    assert len(heard.reasons()) == failures


@pytest.mark.parametrize(
    ("fault", "requests", "code"),
    [
        (Fails(Status.INTERNAL, "stub died"), 2, ErrorCode.INFERENCE_FAILED),
        (Fails(Status.CANCELLED, "by the server"), 2, ErrorCode.INFERENCE_FAILED),
        (Fails(Status.DEADLINE_EXCEEDED, "in the server"), 2, ErrorCode.INFERENCE_FAILED),
        (Fails(Status.INVALID_ARGUMENT, "shape"), 1, ErrorCode.INFERENCE_REJECTED),
        (Fails(Status.NOT_FOUND, "Request for unknown model: 'm' is not found"), 1, ErrorCode.INFERENCE_UNAVAILABLE),
        (Fails(Status.UNIMPLEMENTED, ""), 1, ErrorCode.INFERENCE_UNAVAILABLE),
        (Fails(Status.UNAVAILABLE, "Socket closed"), 3, ErrorCode.INFERENCE_UNAVAILABLE),
        (Fails(Status.UNAVAILABLE, "Server is stopping"), 4, ErrorCode.INFERENCE_UNAVAILABLE),
        (Fails(Status.UNAVAILABLE, "Exceeds maximum queue size"), 1, ErrorCode.INFERENCE_OVERLOADED),
    ],
)
async def test_what_stays_becomes_the_jobs_error(
    server: ScriptedTriton, backend: TritonBackend, fault: Fails, requests: int, code: ErrorCode
) -> None:
    server.always = fault
    with pytest.raises(JobError, match=fault.status.name) as raised:
        await read(backend)
    assert raised.value.code is code
    assert isinstance(raised.value.__cause__, grpc.aio.AioRpcError)
    assert len(server.requests) == requests


async def test_a_models_own_failure_is_shown_where_it_may_not_be_hidden(
    server: ScriptedTriton, backend: TritonBackend, heard: Heard
) -> None:
    request = InferenceRequest(MODEL, {"image": LINE}, ["probability"], hides_failures=False)
    server.script.append(Fails(Status.INTERNAL, "stub died"))
    with pytest.raises(JobError, match="stub died"):
        await backend.infer(request, timeout_seconds=9)

    server.script.append(Fails(Status.UNAVAILABLE, "Socket closed"))  # the way's, and not the model's
    answer = await backend.infer(request, timeout_seconds=9)

    assert np.array_equal(answer["probability"], LINE[..., 0])
    assert heard.codes() == ["INTERNAL", "UNAVAILABLE", "OK"]


async def test_an_answer_by_another_version_is_not_taken(server: ScriptedTriton, backend: TritonBackend) -> None:
    """A server between, or one that ignores what it is asked, must not get its text published."""
    server.always = Answers(answer_of(LINE[..., 0]))
    with pytest.raises(JobError, match="version 10 of text_detector instead of version 7") as raised:
        await backend.infer(InferenceRequest(MODEL, {"image": LINE}, ["probability"], version="7"), timeout_seconds=9)
    assert raised.value.code is ErrorCode.MODELS_CHANGED


async def test_what_stays_is_said_within_a_second(server: ScriptedTriton, heard: Heard) -> None:
    clock = ManualClock()
    backend = make(server.address, heard, clock, request_timeout_seconds=60)
    server.always = Fails(Status.UNAVAILABLE, "Server is stopping")
    with pytest.raises(JobError):
        await read(backend, timeout_seconds=60)
    await backend.close()
    assert 0 < clock.monotonic() < 1


async def test_nothing_is_sent_again_after_the_callers_time(server: ScriptedTriton, heard: Heard) -> None:
    backend = make(server.address, heard)
    server.always = Fails(Status.UNAVAILABLE, "Socket closed")
    with pytest.raises(JobError):
        await read(backend, timeout_seconds=0.001)
    await backend.close()
    assert len(server.requests) <= 1


async def test_different_faults_are_counted_apart(server: ScriptedTriton, backend: TritonBackend, heard: Heard) -> None:
    server.script.extend([Fails(Status.UNAVAILABLE, "Socket closed"), Fails(Status.INTERNAL, "stub died")])
    await read(backend)
    assert heard.reasons() == ["unreachable", "internal"]


async def test_a_server_that_hangs_leaves_time_for_another(server: ScriptedTriton, heard: Heard) -> None:
    backend = make(server.address, heard, SystemClock())
    server.script.append(Hangs())
    assert np.array_equal(await read(backend, timeout_seconds=1.5), LINE[..., 0])
    await backend.close()
    assert heard.codes() == ["DEADLINE_EXCEEDED", "OK"]


async def test_a_server_that_always_hangs_ends_in_time(server: ScriptedTriton, heard: Heard) -> None:
    backend = make(server.address, heard, SystemClock())
    server.always = Hangs()
    async with asyncio.timeout(5):
        with pytest.raises(JobError) as raised:
            await read(backend, timeout_seconds=0.6)
    await backend.close()
    assert raised.value.code is ErrorCode.INFERENCE_FAILED
    assert heard.codes() == ["DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]


async def test_our_cancellation_reaches_caller_and_server(
    server: ScriptedTriton, backend: TritonBackend, heard: Heard
) -> None:
    server.always = Hangs()
    task = asyncio.create_task(read(backend))
    await server.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await server.cancelled.wait()
    assert heard.codes() == ["CANCELLED"]
    server.always = None
    assert np.array_equal(await read(backend), LINE[..., 0])


async def test_closing_ends_requests_as_errors_not_as_cancellations(
    server: ScriptedTriton, backend: TritonBackend
) -> None:
    server.always = Hangs()
    task = asyncio.create_task(read(backend))
    await server.arrived.wait()
    await backend.close()
    with pytest.raises(JobError, match="closed") as raised:
        await task
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    assert not await backend.ready()
    with pytest.raises(JobError, match="closed"):
        await read(backend)


async def test_messages_over_grpcs_own_limit_pass(server: ScriptedTriton, backend: TritonBackend) -> None:
    page = np.random.default_rng(3).integers(0, 256, (1, 2000, 3000, 3), dtype=np.uint8)
    answer = await backend.infer(InferenceRequest(MODEL, {"image": page}, ["probability"]), timeout_seconds=60)
    assert np.array_equal(answer["probability"], page[..., 0])
    assert len(server.requests) == 1


async def test_a_message_over_the_setting_is_permanent(server: ScriptedTriton, heard: Heard) -> None:
    backend = make(server.address, heard, max_message_bytes=1 << 20)
    page = np.zeros((1, 1000, 1000, 3), np.uint8)
    with pytest.raises(JobError, match="MAX_MESSAGE_BYTES") as raised:
        await backend.infer(InferenceRequest(MODEL, {"image": page}, ["probability"]), timeout_seconds=5)
    await backend.close()
    assert raised.value.code is ErrorCode.INFERENCE_REJECTED


async def test_requests_go_round_over_all_servers(server: ScriptedTriton, heard: Heard) -> None:
    async with ScriptedTriton() as second:
        backend = make(f"ipv4:{server.address},{second.address}", heard)
        await read(backend)
        await asyncio.sleep(0.2)
        for _ in range(40):
            await read(backend)
        await backend.close()
        counts = len(server.requests), len(second.requests)
    assert min(counts) >= 15


async def test_one_of_two_servers_dies_and_nothing_fails(server: ScriptedTriton, heard: Heard) -> None:
    second = ScriptedTriton()
    await second.start()
    settings = TritonSettings(url=f"ipv4:{server.address},{second.address}")
    guard = TritonGuard(TritonBackend(settings, heard, SystemClock()), settings, SystemClock(), heard)
    server.pause_seconds = second.pause_seconds = 0.005
    readings = [asyncio.create_task(read(guard)) for _ in range(100)]
    await second.arrived.wait()
    await second.stop()
    answers = await asyncio.gather(*readings)
    await guard.close()
    assert all(np.array_equal(answer, LINE[..., 0]) for answer in answers)


async def test_a_server_that_comes_back_is_found(server: ScriptedTriton, heard: Heard) -> None:
    backend = make(server.address, heard, SystemClock())
    await read(backend)
    await server.stop()
    assert not await backend.ready()
    with pytest.raises(JobError) as raised:
        await read(backend)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    await asyncio.sleep(2)  # the connection backs off
    await server.start()
    async with asyncio.timeout(2):
        while not await backend.ready():  # noqa: ASYNC110 - the server says nothing of itself
            await asyncio.sleep(0.05)
    assert np.array_equal(await read(backend), LINE[..., 0])
    await backend.close()
    assert "unreachable" in heard.reasons()


async def test_an_answer_that_does_not_fit_is_an_error_of_the_server(
    server: ScriptedTriton, backend: TritonBackend
) -> None:
    server.always = Answers(answer_of(np.zeros((1, 2), np.uint8), name="other"))
    with pytest.raises(JobError, match="lacks the output probability") as raised:
        await read(backend)
    assert raised.value.code is ErrorCode.INFERENCE_FAILED


async def test_ready_follows_the_server_and_never_raises(server: ScriptedTriton, backend: TritonBackend) -> None:
    assert await backend.ready()
    server.is_ready = False
    assert not await backend.ready()
    await server.stop()
    assert not await backend.ready()


async def test_a_model_is_described(backend: TritonBackend) -> None:
    described = await backend.describe(MODEL)
    assert described is not None
    assert (described.name, described.version, described.max_batch_size) == (MODEL, "10", 4)
    assert described.inputs == (TensorSpec("image", "UINT8", (-1, -1, 3)),)
    assert described.outputs == (TensorSpec("probability", "UINT8", (-1, -1)),)
    assert described.parameters == {"dictionary": str(DICTIONARY).replace("'", '"')}


@pytest.mark.parametrize("turns", ["12", "112", "1112", "122212"])
async def test_a_description_is_of_one_model_whichever_servers_answer_in_turn(
    server: ScriptedTriton, backend: TritonBackend, turns: str
) -> None:
    server.in_turn.extend(turns)
    for _ in range(len(turns)):
        described = await backend.describe(MODEL)
        assert described is not None
        assert described.parameters["version"] == described.version
        server.in_turn.rotate(1)


async def test_a_model_that_no_two_answers_describe_is_systemic(server: ScriptedTriton, backend: TritonBackend) -> None:
    server.in_turn.extend(map(str, range(1, 100)))
    with pytest.raises(JobError, match="version ") as raised:
        await backend.describe(MODEL)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE


async def test_an_unknown_model_is_none(backend: TritonBackend) -> None:
    assert await backend.describe("no_such_model") is None


@pytest.mark.parametrize(
    "fault", [Fails(Status.NOT_FOUND, "'m' has no available versions"), Fails(Status.INTERNAL, "broken")]
)
async def test_a_model_that_cannot_be_described_now_is_systemic(
    server: ScriptedTriton, backend: TritonBackend, fault: Fails
) -> None:
    server.described_as = fault
    with pytest.raises(JobError) as raised:
        await backend.describe(MODEL)
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE


def test_a_certificate_that_cannot_be_read_names_the_setting(heard: Heard) -> None:
    settings = TritonSettings(tls=True, tls_root_certificates="/nowhere/ca.pem")
    with pytest.raises(SettingsError, match=r"LABELWIRE_TRITON__TLS_ROOT_CERTIFICATES='/nowhere/ca\.pem'"):
        TritonBackend(settings, heard, ManualClock())
