"""What stands before Triton: nothing that is the server's fault reaches a job, and big pictures wait for small ones."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.looping import settle, until
from worker.domain.circuit import CircuitState
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import CircuitChanged, InflightLimitChanged
from worker.ports import InferenceBackend, InferenceRequest, ModelDescription, ServingCapacity, Tensor
from worker.runtime.admission import CURRENT_LANE, Lane
from worker.runtime.triton_guard import TritonGuard
from worker.runtime.work_ahead import CURRENT_JOB, AdmittedJob, WorkAhead
from worker.settings import TritonSettings
from worker.testing.backend import FakeBackend
from worker.testing.clock import ManualClock
from worker.testing.events import RecordedEvents

DETECTOR = "text_detector"
AWAY = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton does not answer.")
BROKEN = JobError(ErrorCode.INFERENCE_FAILED, "The stub died.")
OVERLOADED = JobError(ErrorCode.INFERENCE_OVERLOADED, "Exceeds maximum queue size.")
REFUSED = JobError(ErrorCode.INFERENCE_REJECTED, "A shape that is not taken.")


class Rig:
    """A guard over a fake server, on a clock that the test moves."""

    def __init__(self, **settings: int) -> None:
        self.clock = ManualClock(sleeps_pass=False)
        self.backend = FakeBackend(clock=self.clock, latency_seconds=0.01)
        self.events = RecordedEvents()
        chance = random.Random(3)  # noqa: S311
        self.guard = TritonGuard(self.backend, TritonSettings(**settings), self.clock, self.events, chance=chance)
        self.opened: list[bool] = []
        self.paused: list[bool] = []
        self.guard.on_open(self._note_open)
        self.guard.on_pause(self._note_pause)

    def _note_open(self, *, is_open: bool) -> None:
        self.opened.append(is_open)

    def _note_pause(self, *, paused: bool) -> None:
        self.paused.append(paused)

    def ask(
        self, rows: int = 1, *, lane: Lane = Lane.SMALL, timeout_seconds: float = 20.0, width: int = 32
    ) -> "asyncio.Task[Tensor]":
        return asyncio.create_task(self._ask(rows, lane, timeout_seconds, width))

    async def _ask(self, rows: int, lane: Lane, timeout_seconds: float, width: int) -> Tensor:
        CURRENT_LANE.set(lane)
        image = np.full((rows, 32, width, 3), 255, np.uint8)
        answer = await self.guard.infer(
            InferenceRequest(DETECTOR, {"image": image}, ["probability"]), timeout_seconds=timeout_seconds
        )
        return answer["probability"]

    async def run(self, seconds: float, step_seconds: float = 0.01) -> None:
        """Let time pass."""
        for _ in range(round(seconds / step_seconds)):
            await settle()
            self.clock.advance(step_seconds)
        await settle()

    def states(self) -> list[CircuitState]:
        return [event.state for event in self.events.of(CircuitChanged)]

    def limits(self) -> list[int]:
        return [event.limit for event in self.events.of(InflightLimitChanged)]

    def rows_sent(self) -> list[int]:
        return [call.shapes["image"][0] for call in self.backend.calls]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.guard.close()


async def _yes() -> bool:
    return True


async def ended(tasks: Sequence["asyncio.Task[Tensor]"]) -> int:
    return sum(task.done() for task in tasks)


# The circuit.


async def test_an_outage_reaches_no_job_and_takes_none_of_its_time(rig: Rig) -> None:
    rig.backend.broken = AWAY
    tasks = [rig.ask(timeout_seconds=5.0) for _ in range(10)]
    await rig.run(2.0)
    assert rig.guard.is_open
    sent = len(rig.backend.calls)
    await rig.run(600, step_seconds=0.5)
    assert await ended(tasks) == 0
    assert len(rig.backend.calls) == sent, "a server that is not ready is sent nothing"
    rig.backend.broken = None
    await rig.run(1.0)
    assert await ended(tasks) == 10
    assert all(task.result().shape == (1, 32, 32) for task in tasks)
    assert not rig.guard.is_open
    assert rig.opened == [True, False]
    assert rig.paused == [True, False]
    assert rig.states() == [CircuitState.OPEN, CircuitState.HALF_OPEN, CircuitState.CLOSED]


async def test_the_first_answer_comes_soon_after_the_server_is_back(rig: Rig) -> None:
    rig.backend.broken = AWAY
    task = rig.ask()
    await rig.run(60, step_seconds=0.1)
    rig.backend.broken = None
    back = rig.clock.monotonic()
    while not task.done():
        await rig.run(0.01)
    assert rig.clock.monotonic() - back < 0.4


async def test_a_restart_ends_the_long_cooldown_of_a_server_that_was_broken(rig: Rig) -> None:
    rig.backend.broken = BROKEN
    tasks = [rig.ask() for _ in range(6)]
    rig.backend.ready = _yes  # type: ignore[method-assign]
    await rig.run(20, step_seconds=0.05)
    del rig.backend.ready
    await rig.run(0.5)
    rig.backend.broken = None
    back = rig.clock.monotonic()
    while not all(task.done() for task in tasks):
        await rig.run(0.01)
    assert rig.clock.monotonic() - back < 0.4


async def test_the_limit_in_flight_is_told_when_it_changes(rig: Rig) -> None:
    ceiling = rig.guard.limit
    await rig.run(0.1)
    assert rig.limits() == []
    task = rig.ask()
    await rig.run(0.1)
    assert task.done()
    assert rig.limits() == [ceiling]
    rig.backend.fail(OVERLOADED)
    task = rig.ask()
    await rig.run(5.0)
    assert task.done()
    assert rig.limits() == [ceiling, ceiling // 2]


async def test_a_lone_failure_is_borne_without_opening(rig: Rig) -> None:
    rig.backend.fail(AWAY, AWAY)
    task = rig.ask()
    await rig.run(2.0)
    assert task.done()
    assert rig.opened == []


async def test_a_picture_that_fails_while_others_succeed_fails_alone(rig: Rig) -> None:
    rig.backend.fail(BROKEN)
    task = rig.ask()
    await rig.run(0.1)
    with pytest.raises(JobError) as raised:
        await task
    assert raised.value is BROKEN
    assert rig.opened == []


async def test_a_server_that_breaks_every_picture_fails_few_and_keeps_the_rest(rig: Rig) -> None:
    rig.backend.fail(*[BROKEN] * 50)
    tasks = [rig.ask(2) for _ in range(50)]
    await rig.run(20, step_seconds=0.02)
    assert await ended(tasks) == 4, "the fifth opens the circuit, and waits with the rest"
    assert rig.guard.is_open
    assert rig.rows_sent().count(2) == 32
    assert 10 < rig.rows_sent().count(1) < 20, "the cooldown of a server that answers doubles to its maximum"
    await rig.run(10, step_seconds=0.02)
    assert await ended(tasks) == 50
    assert [task.exception() for task in tasks].count(None) == 46


async def test_a_refusal_is_the_pictures_and_shows_that_the_server_works(rig: Rig) -> None:
    rig.backend.fail(*[BROKEN] * 4, REFUSED, BROKEN)
    for _ in range(6):
        task = rig.ask()
        await rig.run(0.05)
        with pytest.raises(JobError):
            await task
    assert rig.opened == []


async def test_a_model_that_is_gone_is_said_so_and_not_waited_for(rig: Rig) -> None:
    del rig.backend.models[DETECTOR]
    tasks = [rig.ask() for _ in range(3)]
    await rig.run(4)
    assert await ended(tasks) == 3
    for task in tasks:
        with pytest.raises(JobError, match="knows no model") as raised:
            await task
        assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE
    assert not rig.guard.is_open
    assert rig.states()[-1] is CircuitState.CLOSED


async def test_a_probe_is_one_blank_row_and_no_picture(rig: Rig) -> None:
    rig.backend.fail(*[BROKEN] * 5)
    tasks = [rig.ask(4) for _ in range(5)]
    await rig.run(0.02)
    assert rig.rows_sent() == [4] * 5
    await rig.run(1.0)
    assert rig.rows_sent() == [4] * 5 + [1, 1] + [4], "two probes close it, and the one that opened it is sent again"
    assert [task.exception() for task in tasks[:4]] == [BROKEN] * 4
    assert tasks[4].result().shape == (4, 32, 32)


async def test_probe_soon_ends_the_cooldown(rig: Rig) -> None:
    rig.backend.fail(*[BROKEN] * 12)
    tasks = [rig.ask() for _ in range(6)]
    await rig.run(6)
    calls = len(rig.backend.calls)
    rig.guard.probe_now()
    await rig.run(0.3)
    assert len(rig.backend.calls) > calls
    await rig.run(8)
    assert not rig.guard.is_open
    assert await ended(tasks) == 6


async def test_who_waits_at_an_open_circuit_can_be_cancelled_and_the_rest_goes_on(rig: Rig) -> None:
    rig.backend.broken = AWAY
    tasks = [rig.ask() for _ in range(8)]
    await rig.run(3)
    for task in tasks[:6]:
        task.cancel()
    await settle()
    assert all(task.cancelled() for task in tasks[:6])
    rig.backend.broken = None
    await rig.run(1)
    assert await ended(tasks) == 8
    assert tasks[7].result().shape == (1, 32, 32)


async def test_a_circuit_closes_also_where_nobody_waits(rig: Rig) -> None:
    rig.backend.broken = AWAY
    task = rig.ask()
    await rig.run(3)
    task.cancel()
    rig.backend.broken = None
    await rig.run(1)
    assert rig.opened == [True, False]


async def test_closing_ends_those_who_wait_in_an_error(rig: Rig) -> None:
    rig.backend.broken = AWAY
    task = rig.ask()
    await rig.run(3)
    await rig.guard.close()
    await rig.run(0.5)
    with pytest.raises(JobError) as raised:
        await task
    assert raised.value.code is ErrorCode.INFERENCE_UNAVAILABLE


async def test_a_request_whose_time_is_over_raises_what_it_met() -> None:
    rig = Rig(circuit_failures=1000)
    rig.backend.broken = AWAY
    task = rig.ask(timeout_seconds=3.0)
    await rig.run(3.5)
    with pytest.raises(JobError) as raised:
        await task
    assert raised.value is AWAY
    await rig.guard.close()


# The limit.


async def test_no_more_are_in_flight_than_the_setting_says() -> None:
    rig = Rig(max_inflight_requests=3)
    tasks = [rig.ask() for _ in range(7)]
    await settle()
    assert len(rig.backend.calls) == 3
    await rig.run(0.1)
    assert await ended(tasks) == 7


async def test_overload_halves_the_limit_once_a_round_pauses_and_opens_nothing() -> None:
    rig = Rig(max_inflight_requests=16)
    rig.backend.fail(*[OVERLOADED] * 16)
    tasks = [rig.ask() for _ in range(16)]
    await rig.run(0.02)
    assert rig.guard.limit == 8
    assert len(rig.backend.calls) == 16
    await rig.run(0.08)
    assert len(rig.backend.calls) == 16, "all wait for the pause"
    await rig.run(0.5)
    assert await ended(tasks) == 16
    assert all(task.exception() is None for task in tasks)
    assert rig.opened == []
    await rig.guard.close()


async def test_overload_opens_no_circuit_while_there_is_something_to_slow_down(rig: Rig) -> None:
    rig.backend.fail(*[OVERLOADED] * 5)
    task = rig.ask()
    await rig.run(20, step_seconds=0.02)
    assert task.done()
    assert rig.guard.limit == 2, "halved five times, and one success at the floor"
    assert rig.opened == []


async def test_time_stands_while_the_server_is_overloaded_and_goes_on_later(rig: Rig) -> None:
    rig.backend.fail(OVERLOADED)
    first = rig.ask()
    await rig.run(1)
    assert first.done()
    assert rig.paused == [True]
    begun = rig.guard.working_time.monotonic()
    await rig.run(6, step_seconds=0.1)
    assert rig.guard.working_time.monotonic() == begun
    rig.ask()
    await rig.run(0.1)
    assert rig.paused == [True, False]


async def test_an_overload_that_stays_at_the_lowest_limit_opens_the_circuit(rig: Rig) -> None:
    rig.backend.broken = OVERLOADED
    tasks = [rig.ask(timeout_seconds=5.0) for _ in range(8)]
    await rig.run(60, step_seconds=0.05)
    assert rig.guard.limit == 1
    assert rig.guard.is_open
    rig.backend.broken = None
    await rig.run(5)
    assert await ended(tasks) == 8
    assert all(task.exception() is None for task in tasks)


async def test_a_request_that_found_no_place_in_time_blames_the_load() -> None:
    rig = Rig(max_inflight_requests=1)
    rig.backend.latency_seconds = 5.0
    tasks = [rig.ask(timeout_seconds=2.0) for _ in range(2)]
    await rig.run(6)
    assert tasks[0].exception() is None
    with pytest.raises(
        JobError, match="No slot for a request to text_detector was free in time, of 1 in flight at once; "
    ) as raised:
        await tasks[1]
    assert raised.value.code is ErrorCode.INFERENCE_OVERLOADED
    assert len(rig.backend.calls) == 1
    await rig.guard.close()


async def test_a_request_that_is_cancelled_at_the_server_gives_its_place_back() -> None:
    rig = Rig(max_inflight_requests=2)
    rig.backend.latency_seconds = 100.0
    stuck = [rig.ask() for _ in range(2)]
    waiting = [rig.ask() for _ in range(3)]
    await settle()
    waiting[0].cancel()
    for task in stuck:
        task.cancel()
    await settle()
    assert len(rig.backend.calls) == 4
    await rig.run(101, step_seconds=1.0)
    assert [task.done() for task in waiting] == [True, True, True]
    await rig.guard.close()


# The lanes.


async def test_large_requests_are_cut_and_go_one_by_one_while_small_ones_are_about(rig: Rig) -> None:
    rig.ask()
    await rig.run(0.05)
    rig.backend.calls.clear()
    rows, width = 8, 3840  # a row of as many bytes as a piece may hold
    large = rig.ask(rows, lane=Lane.LARGE, width=width)
    await settle()
    assert rig.rows_sent() == [1]
    await rig.run(0.2)
    assert rig.rows_sent() == [1] * 8
    assert large.result().shape == (8, 32, width)


async def test_large_requests_are_whole_where_nothing_small_is_about(rig: Rig) -> None:
    large = [rig.ask(8, lane=Lane.LARGE, width=3840) for _ in range(3)]
    await settle()
    assert rig.rows_sent() == [8, 8, 8]
    await rig.run(0.1)
    assert all(task.done() for task in large)


async def test_a_request_outlives_the_clean_up_of_others(rig: Rig) -> None:
    tasks = [rig.ask() for _ in range(3)]
    await until(lambda: len(rig.backend.calls) == 3)
    await rig.run(0.05)
    assert await ended(tasks) == 3


async def test_requests_of_small_jobs_count_until_they_are_answered(rig: Rig) -> None:
    work = WorkAhead(threads=1)
    guard = TritonGuard(rig.backend, TritonSettings(), rig.clock, rig.events, work=work)
    rig.backend.models = {
        name: replace(model, capacity=ServingCapacity(8, 1)) for name, model in rig.backend.models.items()
    }
    await guard.describe(DETECTOR)
    assert work.enough_jobs == 16
    request = InferenceRequest(DETECTOR, {"image": np.full((1, 32, 32, 3), 255, np.uint8)}, ["probability"])
    for backend in (guard, guard.optional_models()):
        for answer in (None, REFUSED):
            rig.backend.fail(answer)
            assert work.is_enough(2), "both are on the thread, or wait for it"
            asking = asyncio.create_task(_in_small_job(backend, request))
            await settle()
            assert not work.is_enough(2), "one of them waits for its answer"
            await rig.run(0.02)
            assert asking.done()
            assert isinstance(asking.exception(), JobError) is (answer is REFUSED)


async def _in_small_job(backend: InferenceBackend, request: InferenceRequest) -> None:
    CURRENT_JOB.set(AdmittedJob())
    await backend.infer(request, timeout_seconds=20.0)


@pytest.mark.parametrize("optional", [False, True])
async def test_a_server_without_a_queue_is_given_more(rig: Rig, *, optional: bool) -> None:
    work = WorkAhead(threads=1)
    guard = TritonGuard(rig.backend, TritonSettings(), rig.clock, rig.events, work=work)
    work.described(DETECTOR, ModelDescription(DETECTOR, "1", 8, (), (), {}, ServingCapacity(2, 1)))
    assert work.enough_jobs == 4
    request = InferenceRequest(DETECTOR, {"image": np.full((1, 32, 32, 3), 255, np.uint8)}, ["probability"])
    backend = guard.optional_models() if optional else guard
    for _ in range(10):
        asking = asyncio.create_task(_in_small_job(backend, request))
        await rig.run(0.02)
        await asking
    assert work.enough_jobs is None
