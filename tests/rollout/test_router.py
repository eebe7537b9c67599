"""Which models read a picture, and that a candidate costs no job whatever it does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest

from tests.rollout.test_rollout_state import rollout
from tests.runtime.looping import until
from tests.runtime.parts import FOLDER, LIMITS, PICTURE, URI, by_uri
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import CandidateRead, CircuitChanged
from worker.domain.manifest import ModelRole
from worker.domain.rollout.evidence import Evidence
from worker.domain.rollout.state import ControlState, Mode, state_key, to_json
from worker.domain.uri import AllowedPrefixes
from worker.pipeline.header.reading import read_header
from worker.pipeline.models import ModelSet
from worker.pipeline.pipeline import Pipeline
from worker.ports import Tensor
from worker.runtime.budget import AttemptBudget
from worker.runtime.fetch_memory import FetchMemory
from worker.runtime.health import Health
from worker.runtime.job_processor import JobProcessor
from worker.runtime.model_client import ModelClient, PictureRequest, RoutedReading
from worker.runtime.rollout.follower import ROLLOUT, RolloutFollower
from worker.runtime.rollout.router import ModelRouter
from worker.runtime.triton_guard import TritonGuard
from worker.settings import TritonSettings
from worker.testing.backend import FakeBackend, fake_models
from worker.testing.blob import MemoryBlobStore
from worker.testing.broker import MemoryBroker
from worker.testing.clock import ManualClock
from worker.testing.control_log import MemoryControlLog
from worker.testing.events import RecordedEvents

ALL_JOBS = (10_000,)
UNAVAILABLE = JobError(ErrorCode.INFERENCE_UNAVAILABLE, "Triton is away.")
FAILED = JobError(ErrorCode.INFERENCE_FAILED, "The model failed.")


@dataclass
class Rig:
    """A router over a server with two model sets, and the state that a test gives it."""

    executor: Executor
    clock: ManualClock = field(default_factory=ManualClock)
    events: RecordedEvents = field(default_factory=RecordedEvents)
    has_room: bool = True

    def __post_init__(self) -> None:
        self.backend = FakeBackend(clock=self.clock)
        self.backend.models |= fake_models(model_set="v2")
        self.guard = TritonGuard(self.backend, TritonSettings(), self.clock, self.events)
        health = Health((ROLLOUT,), self.clock, self.events, pulse_seconds=60)
        log = MemoryControlLog(MemoryBroker(), "rollouts")
        self.follower = RolloutFollower(log, "me", self.clock, self.events, health)
        self.router = ModelRouter(
            self.client, self.follower, self.guard, self.clock, self.events, lambda: self.has_room
        )
        self.follower.reached_end()

    def client(self, model_set: str, *, optional: bool = False, background: bool = False) -> ModelClient:  # noqa: ARG002
        backend = self.guard.optional_models() if optional else self.guard

        def make(models: ModelSet) -> Pipeline:
            return Pipeline(backend, models, self.executor, self.guard.working_time)

        return ModelClient(backend, make, partial(read_header, limits=LIMITS), "options", model_set)

    def follow(self, state: ControlState) -> ControlState:
        self.follower.received(state_key(state, "person"), to_json(state))
        return state

    def begin(self, mode: Mode = Mode.CANARY) -> ControlState:
        return self.follow(self.follower.state.started(rollout(mode=mode, steps=ALL_JOBS)))

    async def read(self, key: bytes = b"key", timeout_seconds: float = 10.0) -> RoutedReading:
        header = self.router.header(PICTURE)
        return await self.router.read(PictureRequest(key, PICTURE, header, timeout_seconds, "job"))

    async def seen(self) -> Evidence:
        """Return the evidence, once no comparison is under way."""
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - tasks of any kind
            await asyncio.sleep(0.001)
        return self.follower.evidence().get(0, Evidence())

    def results(self) -> list[str]:
        return [event.result for event in self.events.of(CandidateRead)]


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
async def rig(executor: Executor) -> AsyncIterator[Rig]:
    made = Rig(executor)
    yield made
    await made.router.close()
    await made.guard.close()


@pytest.fixture
async def slow_rig(executor: Executor) -> AsyncIterator[Rig]:
    """Give a rig in which time passes only when the test lets it."""
    made = Rig(executor, ManualClock(sleeps_pass=False))
    yield made
    await made.router.close()
    await made.guard.close()


def texts(read: RoutedReading) -> list[str]:
    return [line.text for page in read.reading.pages for line in page.lines]


def hang(rig: Rig) -> None:
    """Let requests to the candidate's models never end."""
    plain, never = rig.clock.sleep, asyncio.Event()

    async def sleep(seconds: float) -> None:
        await (never.wait() if seconds == 999 else plain(seconds))

    rig.clock.sleep = sleep  # type: ignore[method-assign]
    rig.backend.set_latency_seconds["v2"] = 999


def nothing(role: ModelRole, answer: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: np.zeros_like(tensor) for name, tensor in answer.items()} if role is ModelRole.DETECTOR else answer


def other_letters(role: ModelRole, answer: dict[str, Tensor]) -> dict[str, Tensor]:
    if role is not ModelRole.RECOGNIZER:
        return answer
    tokens = np.asarray(answer["token"], dtype=np.int32)
    return {**answer, "token": np.where(tokens > 0, tokens % 20 + 1, 0).astype(np.int32)}


def garbage(role: ModelRole, answer: dict[str, Tensor]) -> dict[str, Tensor]:
    if role is not ModelRole.RECOGNIZER:
        return answer
    return {**answer, "token": np.full_like(answer["token"], 10**6)}


def failing(_role: ModelRole, _answer: dict[str, Tensor]) -> dict[str, Tensor]:
    raise FAILED


def overloaded(_role: ModelRole, _answer: dict[str, Tensor]) -> dict[str, Tensor]:
    raise JobError(ErrorCode.INFERENCE_OVERLOADED, "The queue is full.")


async def test_without_a_rollout_the_models_in_use_read(rig: Rig) -> None:
    read = await rig.read()

    assert (texts(read), read.source.model_set, read.source.rollout) == (["HELLO"], "", None)
    assert await rig.seen() == Evidence()


async def test_a_canary_reads_its_share_and_the_result_names_who_read_it(rig: Rig) -> None:
    rig.begin()

    read = await rig.read()

    assert (texts(read), read.source.model_set, read.source.rollout) == (["HELLO"], "v2", "0123456789ab")
    assert read.source.models_used["text_detector"].version == fake_models(model_set="v2")["text_detector.v2"].version
    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.pairs, seen.text, seen.blanks) == (1, 0, 1, {0: 1}, 0)
    assert sum(seen.candidate_times.values()) == 1
    assert rig.results() == ["read", "agreed"]


async def test_keys_outside_of_the_share_are_read_by_the_models_in_use(rig: Rig) -> None:
    rig.follow(rig.follower.state.started(rollout(steps=(2500, 10_000))))

    sets = [(await rig.read(f"key-{number}".encode())).source.model_set for number in range(40)]
    again = [(await rig.read(f"key-{number}".encode())).source.model_set for number in range(40)]

    assert sets == again
    assert 3 <= sets.count("v2") <= 20
    assert sum((await rig.seen()).in_use_times.values()) == 2 * sets.count("")


@pytest.mark.parametrize("distortion", [failing, garbage])
async def test_a_candidate_that_fails_costs_no_job(rig: Rig, distortion: object) -> None:
    rig.begin()
    rig.backend.distort["v2"] = distortion  # type: ignore[assignment]

    read = await rig.read()

    assert (texts(read), read.source.model_set) == (["HELLO"], "")
    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.undecided) == (1, 1, 0)
    assert rig.results() == ["failed"]


async def test_a_candidate_that_is_not_served_costs_no_job(rig: Rig) -> None:
    rig.begin()
    for name in fake_models(model_set="v2"):
        del rig.backend.models[name]

    assert texts(await rig.read()) == ["HELLO"]
    assert (await rig.seen()).errors == 1


async def test_a_candidate_that_hangs_costs_a_part_of_the_attempt(rig: Rig) -> None:
    rig.begin()
    hang(rig)

    read = await rig.read(timeout_seconds=0.4)

    assert (texts(read), read.source.model_set) == (["HELLO"], "")
    assert (await rig.seen()).errors == 1


async def test_a_candidate_that_hangs_leaves_time_before_the_jobs_deadline(rig: Rig) -> None:
    rig.begin()
    hang(rig)
    blobs = MemoryBlobStore(AllowedPrefixes.of([FOLDER]))
    blobs.put(URI, PICTURE)
    memory, budget = FetchMemory(1_000_000, 4), AttemptBudget(30)
    processor = JobProcessor(rig.router, rig.executor, rig.clock, budget, blobs, memory)
    deadline = datetime.fromtimestamp(rig.clock.epoch_ms() / 1000 + 2, UTC)

    result = await processor.read(by_uri(deadline=deadline.isoformat()), 1)

    assert (result.model_set, result.pages[0].lines[0].text) == ("", "HELLO")
    assert (await rig.seen()).errors == 1


async def test_time_that_is_short_for_everybody_decides_nothing(rig: Rig) -> None:
    rig.begin()
    hang(rig)
    rig.backend.set_latency_seconds[""] = 0.1

    assert texts(await rig.read(timeout_seconds=0.8)) == ["HELLO"]

    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.undecided) == (0, 0, 1)


async def test_a_candidate_that_is_back_later_than_the_models_in_use_did_not_fail(rig: Rig) -> None:
    await rig.read()
    rig.begin()
    rig.backend.fail(*[UNAVAILABLE] * 6)  # the candidate's request, and five of the models in use
    assert texts(await rig.read()) == ["HELLO"]
    assert "text_detector" in [event.model for event in rig.events.of(CircuitChanged) if event.state == "open"]
    rig.backend.distort["v2"] = failing

    await rig.read()
    seen = await rig.seen()
    assert (seen.errors, seen.undecided) == (0, 2)
    rig.clock.advance(20)
    await rig.read()
    assert (await rig.seen()).errors == 1


async def test_requests_of_a_candidate_that_is_over_change_no_circuit(rig: Rig) -> None:
    state = rig.begin()
    await rig.read()
    await rig.seen()
    late = [asyncio.create_task(rig.read()) for _ in range(6)]
    rig.backend.distort["v2"] = failing
    await asyncio.sleep(0)
    rig.follow(state.rolled_back("It fails.", 2))

    assert [texts(await task) for task in late] == [["HELLO"]] * 6
    assert rig.events.of(CircuitChanged) == []


async def test_a_probe_under_way_when_its_model_is_forgotten_opens_nothing(slow_rig: Rig) -> None:
    rig = slow_rig
    state = rig.begin()
    rig.backend.distort["v2"] = failing
    for _ in range(5):
        await rig.read()
    rig.backend.set_latency_seconds["v2"] = 1.0
    while len([call for call in rig.backend.calls if call.request_id == "probe"]) < 1:
        rig.clock.advance(0.3)
        await asyncio.sleep(0.001)
    for name in fake_models(model_set="v2"):
        del rig.backend.models[name]
    rig.follow(state.rolled_back("It fails.", 2))
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
    for _ in range(20):
        rig.clock.advance(0.3)
        await asyncio.sleep(0.001)

    last = {event.model: event.state for event in rig.events.of(CircuitChanged)}
    assert last == {"text_detector.v2": "closed"}
    assert failures == []


async def test_models_that_fail_hold_up_nobody_once_a_promoted_candidate_is_in_use(slow_rig: Rig) -> None:
    rig = slow_rig
    rig = slow_rig
    state = rig.follow(rig.follower.state.started(rollout(steps=(1, 10_000))))
    opened: list[bool] = []
    rig.guard.on_open(lambda *, is_open: opened.append(is_open))
    await rig.read()
    rig.backend.distort[""] = failing
    tasks = [asyncio.create_task(rig.read(f"key-{number}".encode())) for number in range(8)]
    await until(lambda: rig.guard.is_open)
    await asyncio.sleep(0.01)
    waiting = [task for task in tasks if not task.done()]
    assert waiting
    rig.follow(state.promoted(now_ms=2))

    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert {error.code for error in outcomes if isinstance(error, JobError)} <= {
        ErrorCode.MODELS_CHANGED,
        ErrorCode.INFERENCE_FAILED,
    }
    assert (await rig.read()).source.model_set == "v2"
    assert not rig.guard.is_open
    assert opened == [True, False]


async def test_its_open_circuit_holds_up_nothing_and_closes_with_the_rollout(rig: Rig) -> None:
    state = rig.begin()
    rig.backend.distort["v2"] = failing

    for _ in range(8):
        assert texts(await rig.read(timeout_seconds=1e6)) == ["HELLO"]  # the probes' sleeps move the clock on

    opened = [event.model for event in rig.events.of(CircuitChanged) if event.state == "open"]
    assert "text_detector.v2" in opened
    assert not rig.guard.is_open
    rig.follow(state.rolled_back("It fails.", 2))
    read = await rig.read()
    assert (read.source.model_set, read.source.rollout) == ("", None)


async def test_a_failure_while_the_server_fails_everybody_decides_nothing(rig: Rig) -> None:
    await rig.read()
    rig.begin()
    await rig.read()
    await rig.seen()
    before = rig.follower.evidence()[0]
    rig.backend.fail(UNAVAILABLE, UNAVAILABLE)  # the candidate's first request, and that of the models in use

    read = await rig.read()

    assert texts(read) == ["HELLO"]
    seen = await rig.seen()
    assert (seen.errors, seen.undecided) == (0, 1)
    assert seen.jobs == before.jobs


async def test_the_error_of_a_bad_picture_is_the_jobs(rig: Rig) -> None:
    rig.begin()
    rig.backend.distort |= {"v2": failing, "": failing}

    with pytest.raises(JobError) as raised:
        await rig.read()

    assert raised.value.code is ErrorCode.INFERENCE_FAILED
    assert (await rig.seen()).jobs == 0


async def test_a_blank_page_and_another_text_are_seen_as_such(rig: Rig) -> None:
    rig.begin()
    rig.backend.distort["v2"] = nothing
    assert texts(await rig.read()) == []
    assert ((await rig.seen()).blanks, rig.results()) == (1, ["read", "blank"])

    rig.backend.distort["v2"] = other_letters
    assert texts(await rig.read()) != ["HELLO"]
    seen = await rig.seen()
    assert (seen.pairs, seen.blanks) == (2, 1)
    assert rig.results()[2:] == ["read", "differed"]


async def test_a_shadow_reads_beside_the_job_and_never_for_it(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    rig.backend.distort["v2"] = other_letters

    read = await rig.read()

    assert (texts(read), read.source.model_set) == (["HELLO"], "")
    seen = await rig.seen()
    assert (seen.jobs, seen.pairs, seen.candidate_times) == (1, 1, {})
    assert rig.results() == ["differed"]


async def test_a_shadow_is_dropped_where_the_worker_has_no_room(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    rig.has_room = False

    await rig.read()

    assert ((await rig.seen()).dropped, rig.results()) == (1, ["dropped"])


async def test_a_shadow_that_gets_no_slot_is_left_out_and_speaks_against_nobody(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    rig.backend.distort["v2"] = overloaded

    assert texts(await rig.read()) == ["HELLO"]
    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.dropped) == (0, 0, 1)


async def test_a_shadow_whose_time_is_over_is_left_out_whatever_the_error_says(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    rig.backend.set_latency_seconds["v2"] = 3  # of 2.5 that it has, so no time is left for the second request

    assert texts(await rig.read(timeout_seconds=10)) == ["HELLO"]
    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.dropped) == (0, 0, 1)


@pytest.mark.parametrize("distortion", [failing, garbage])
async def test_a_comparison_that_fails_is_left_out(rig: Rig, distortion: object) -> None:
    rig.begin()
    rig.backend.distort[""] = distortion  # type: ignore[assignment]

    assert texts(await rig.read()) == ["HELLO"]
    seen = await rig.seen()
    assert (seen.jobs, seen.errors, seen.pairs, seen.dropped) == (1, 0, 0, 1)


async def test_shadows_rest_nine_times_as_long_as_they_took(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    rig.backend.set_latency_seconds["v2"] = 0.1
    await rig.read()
    await rig.seen()
    took = rig.clock.monotonic()
    assert took > 0

    rig.clock.advance(8.5 * took)
    await rig.read()
    assert (await rig.seen()).dropped == 1
    rig.clock.advance(took)
    await rig.read()

    seen = await rig.seen()
    assert (seen.pairs, seen.dropped) == (2, 1)


async def test_one_shadow_runs_at_a_time_and_no_job_waits_for_it(rig: Rig) -> None:
    rig.begin(Mode.SHADOW)
    gate = asyncio.Event()
    plain = rig.clock.sleep

    async def wait(seconds: float) -> None:
        await (gate.wait() if seconds == 999 else plain(seconds))

    rig.clock.sleep = wait  # type: ignore[method-assign]
    rig.backend.set_latency_seconds["v2"] = 999

    for _ in range(5):
        assert texts(await rig.read()) == ["HELLO"]
    assert rig.results() == ["dropped"] * 4
    gate.set()
    seen = await rig.seen()
    assert (seen.jobs, seen.dropped) == (1, 4)


async def test_a_promoted_candidate_is_in_use_and_its_failures_are_the_servers(rig: Rig) -> None:
    state = rig.begin()
    await rig.read()
    rig.follow(state.promoted(now_ms=2))

    read = await rig.read()
    assert (texts(read), read.source.model_set, read.source.rollout) == (["HELLO"], "v2", None)
    assert rig.router.models_used == read.source.models_used
    for _ in range(5):
        rig.backend.fail(UNAVAILABLE)
        await rig.read()
    assert rig.guard.troubles == 5


async def test_readings_in_flight_end_with_the_models_that_they_began_with(rig: Rig) -> None:
    await rig.read()
    reading = asyncio.create_task(rig.read())
    await asyncio.sleep(0)
    rig.follow(rig.begin().promoted(now_ms=2))

    first, second = await reading, await rig.read()

    assert (first.source.model_set, second.source.model_set) == ("", "v2")
    assert first.source.models_used != second.source.models_used
