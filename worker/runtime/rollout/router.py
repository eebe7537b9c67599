"""Which models read a picture: those in use, or a rollout's candidate.

Invariants: a candidate costs no job. Whatever it fails at, the models in use read the same picture at once, within the
same attempt, and only their error is the job's. A failure counts against the candidate only if the models in use
answered all their requests meanwhile; otherwise the server may be at fault. That the time was over counts only if they
needed much less. Comparisons run beside the jobs, one at a time, and no job waits for one.
"""

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from worker.domain.dead_letter import raised_at
from worker.domain.errors import ErrorCode, JobError
from worker.domain.events import CandidateRead, ReadingFinished
from worker.domain.image import ImageHeader
from worker.domain.result import ModelUsed
from worker.domain.rollout.candidate import Arm, CandidateResult
from worker.domain.rollout.comparison import PairComparison, compare
from worker.domain.rollout.evidence import Evidence, part_bin, time_bin
from worker.domain.rollout.routing import is_in_share
from worker.domain.rollout.state import Mode, Rollout
from worker.pipeline.pipeline import PictureReading
from worker.ports import Clock, EventSink
from worker.runtime.admission import CURRENT_LANE, Lane
from worker.runtime.model_client import ModelClient, PictureRequest, ReadingSource, RoutedReading
from worker.runtime.rollout.follower import RolloutFollower
from worker.runtime.triton_guard import TritonGuard

# A candidate has this part of the time of an attempt and of the time to the job's deadline, so that the models in use
# have the rest.
_CANDIDATES_PART: Final = 0.25
# An error that comes so late is that of a request which had next to no time left, whatever its code.
_LATE_PART: Final = 0.9
# A candidate that ran out of time failed only if the models in use need less than this part of what it had.
_SHORT_PART: Final = 0.5
# A picture is held for its comparison after its job is done: no larger one is.
_MAX_COMPARED_BYTES: Final = 16 * 1024 * 1024
# Shadows take at most a tenth of a worker's time: so few jobs meet one that the 95th percentile of all hardly moves.
_REST_AFTER_SHADOW: Final = 9.0
# What a shadow meets where the server or the worker has other work: it is left out then.
_NO_ROOM: Final = frozenset({ErrorCode.INFERENCE_OVERLOADED, ErrorCode.ATTEMPT_TIMED_OUT})
# A comparison that takes longer than this waits for a server that is busy or away.
_COMPARISON_SECONDS: Final = 30.0


class MakeClient(Protocol):
    """Makes clients for the models of a set."""

    def __call__(self, model_set: str, *, optional: bool = False, background: bool = False) -> ModelClient:
        """Return a client. Failures of optional models hold up nothing; in the background the CPU goes to others."""


@dataclass(frozen=True, slots=True)
class _ActiveRollout:
    """A rollout that runs: what reads jobs with its candidate, and what reads pictures again for a comparison."""

    rollout: Rollout
    client: ModelClient
    comparing: ModelClient

    def takes(self, key: bytes) -> bool:
        """Whether the candidate reads jobs of this key, or reads them too."""
        return is_in_share(self.rollout.id, key, self.rollout.share)


class ModelRouter:
    """Reads pictures with the models in use, or with a candidate where its rollout says so.

    `has_room` says whether the worker has room for work that may as well be left out.
    """

    def __init__(
        self,
        make_client: MakeClient,
        rollouts: RolloutFollower,
        guard: TritonGuard,
        clock: Clock,
        event_sink: EventSink,
        has_room: Callable[[], bool],
    ) -> None:
        self._make_client = make_client
        self._rollouts = rollouts
        self._guard = guard
        self._clock = clock
        self._events = event_sink
        self._has_room = has_room
        self._in_use = make_client(rollouts.in_use)
        self._candidate: _ActiveRollout | None = None
        self._comparison: asyncio.Task[None] | None = None
        self._shadows_rest_until = float("-inf")
        rollouts.on_change(self._follow)

    # What the worker asks of its models: those in use.

    @property
    def models_used(self) -> Mapping[str, ModelUsed]:
        """The models in use, for a dead letter; empty before the server was asked."""
        return self._in_use.models_used

    @property
    def model_set(self) -> str:
        """The set of the models in use."""
        return self._in_use.model_set

    def invalidate(self) -> None:
        """Note that the models may have changed."""
        self._in_use.invalidate()
        if self._candidate is not None:
            self._candidate.client.invalidate()

    def header(self, picture: bytes) -> ImageHeader:
        """Read the picture's header. Raises JobError."""
        return self._in_use.header(picture)

    async def refresh(self) -> None:
        """Ask the server for the models in use. Raises ServerMismatchError and JobError INFERENCE_UNAVAILABLE."""
        await self._in_use.refresh()

    async def close(self) -> None:
        """Give up the comparison under way."""
        self._cancel_comparison()
        if self._comparison is not None:
            await asyncio.wait([self._comparison])

    def _cancel_comparison(self) -> None:
        if self._comparison is not None:
            self._comparison.cancel()

    # The way of a picture.

    def source(self, key: bytes) -> ReadingSource:
        """Return who would read a picture of this key now."""
        candidate = self._candidate
        is_canary = candidate is not None and candidate.rollout.mode is Mode.CANARY and candidate.takes(key)
        return _source(candidate.client if candidate and is_canary else self._in_use, candidate, key)

    async def read(self, request: PictureRequest) -> RoutedReading:
        """Read a picture. Raises JobError."""
        candidate = self._candidate
        if candidate is not None and candidate.takes(request.key):
            if candidate.rollout.mode is Mode.CANARY:
                return await self._read_by_candidate(candidate, request)
            read = await self._read_in_use(request)
            self._compare_later(
                candidate, request, partial(self._shadow, candidate, request, read.reading), Lane.BACKGROUND
            )
            return read
        return await self._read_in_use(request)

    async def _read_in_use(self, request: PictureRequest) -> RoutedReading:
        client, begun = self._in_use, self._clock.monotonic()
        reading = await _process(client, request, request.timeout_seconds)
        candidate = self._candidate
        if candidate is not None and candidate.rollout.mode is Mode.CANARY and not self._is_large():
            seconds = self._clock.monotonic() - begun
            self._observe(candidate.rollout, Evidence(in_use_times={time_bin(seconds): 1}))
            self._events.emit(ReadingFinished(Arm.IN_USE, seconds))
        return RoutedReading(reading, _source(client, candidate, request.key))

    async def _read_by_candidate(self, candidate: _ActiveRollout, request: PictureRequest) -> RoutedReading:
        begun, troubles, was_recovering = self._clock.monotonic(), self._guard.troubles, self._guard.is_recovering
        given_seconds = _candidate_seconds(request)
        try:
            reading = await self._read_optional(candidate.client, request, given_seconds)
        except JobError as error:
            failed_at = self._clock.monotonic()
            read = await self._read_in_use(request)
            in_use_seconds = self._clock.monotonic() - failed_at
            # Little time was given, or everything takes long now.
            is_short = error.code is ErrorCode.ATTEMPT_TIMED_OUT and in_use_seconds >= _SHORT_PART * given_seconds
            is_servers = is_short or was_recovering or self._guard.troubles != troubles
            self._failed(candidate, error, is_servers=is_servers)
            return read
        seconds = self._clock.monotonic() - begun
        times = {} if self._is_large() else {time_bin(seconds): 1}
        self._observe(candidate.rollout, Evidence(jobs=1, candidate_times=times))
        self._events.emit(ReadingFinished(Arm.CANDIDATE, seconds))
        self._events.emit(CandidateRead(CandidateResult.READ, candidate.client.model_set))
        if self._rollouts.needs_pairs:
            self._compare_later(candidate, request, partial(self._check, candidate, request, reading), Lane.LARGE)
        return RoutedReading(reading, _source(candidate.client, candidate, request.key))

    def _failed(self, candidate: _ActiveRollout, error: JobError, *, is_servers: bool) -> None:
        """Note that the candidate failed a picture that the models in use then read."""
        seen = Evidence(undecided=1) if is_servers else Evidence(jobs=1, errors=1)
        self._observe(candidate.rollout, seen)
        result = CandidateResult.UNDECIDED if is_servers else CandidateResult.FAILED
        self._events.emit(CandidateRead(result, candidate.client.model_set, f"{error.code}: {error.message}"))

    async def _read_optional(self, client: ModelClient, request: PictureRequest, seconds: float) -> PictureReading:
        """Read in `seconds` with models that can be done without.

        Raises JobError for whatever goes wrong with them, ATTEMPT_TIMED_OUT where it is the time that was over.
        """
        begun = self._clock.monotonic()
        late = JobError(ErrorCode.ATTEMPT_TIMED_OUT, f"The candidate took longer than {seconds:.3g} seconds.")
        try:
            async with asyncio.timeout(seconds):
                return await _process(client, request, seconds)
        except MemoryError:
            raise
        except JobError as error:
            if self._clock.monotonic() - begun >= _LATE_PART * seconds:
                raise late from error
            raise
        except TimeoutError as error:
            raise late from error
        except Exception as error:  # models that answer nonsense must not harm the job, which others read
            message = f"The candidate's answer led to {type(error).__name__} in {raised_at(error)}."
            raise JobError(ErrorCode.INFERENCE_FAILED, message) from error

    # Comparisons.

    def _compare_later(
        self, candidate: _ActiveRollout, request: PictureRequest, work: Callable[[], Awaitable[None]], lane: Lane
    ) -> None:
        """Compare beside the jobs, or leave it out: one comparison is under way at a time."""
        is_busy = self._comparison is not None and not self._comparison.done()
        is_resting = self._clock.monotonic() < self._shadows_rest_until
        is_crowded = lane is Lane.BACKGROUND and (is_resting or not self._has_room())
        if is_busy or is_crowded or self._is_large() or len(request.picture) > _MAX_COMPARED_BYTES:
            self._dropped(candidate, "no room")
            return
        context = contextvars.Context()
        context.run(CURRENT_LANE.set, lane)
        comparison = self._bounded(candidate, work, lane)
        self._comparison = asyncio.get_running_loop().create_task(comparison, context=context)

    async def _bounded(self, candidate: _ActiveRollout, work: Callable[[], Awaitable[None]], lane: Lane) -> None:
        """Run a comparison; one that fails or takes too long shows nothing and harms nothing."""
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(_COMPARISON_SECONDS):
                await work()
        except Exception as error:  # noqa: BLE001  whatever it is, the job has its result
            self._dropped(candidate, type(error).__name__)
        finally:
            if lane is Lane.BACKGROUND:
                now = self._clock.monotonic()
                self._shadows_rest_until = now + _REST_AFTER_SHADOW * (now - begun)

    def _dropped(self, candidate: _ActiveRollout, why: str) -> None:
        self._observe(candidate.rollout, Evidence(dropped=1))
        self._events.emit(CandidateRead(CandidateResult.DROPPED, candidate.client.model_set, why))

    async def _check(self, candidate: _ActiveRollout, request: PictureRequest, own: PictureReading) -> None:
        """Read a picture again with the models in use, after the candidate."""
        in_use = await _process(candidate.comparing, request, _COMPARISON_SECONDS)
        await self._compare(candidate, in_use, own)

    async def _shadow(self, candidate: _ActiveRollout, request: PictureRequest, in_use: PictureReading) -> None:
        """Read a picture with the candidate, after the models in use."""
        troubles, was_recovering = self._guard.troubles, self._guard.is_recovering
        try:
            own = await self._read_optional(candidate.comparing, request, _CANDIDATES_PART * request.timeout_seconds)
        except JobError as error:
            if error.code in _NO_ROOM:
                raise
            self._failed(candidate, error, is_servers=was_recovering or self._guard.troubles != troubles)
            return
        self._observe(candidate.rollout, Evidence(jobs=1))
        await self._compare(candidate, in_use, own)

    async def _compare(self, candidate: _ActiveRollout, in_use: PictureReading, own: PictureReading) -> None:
        found = await asyncio.to_thread(compare, in_use.pages, own.pages)
        self._observe(candidate.rollout, _as_evidence(found))
        self._events.emit(CandidateRead(_result(found), candidate.client.model_set))

    def _observe(self, rollout: Rollout, seen: Evidence) -> None:
        self._rollouts.observe(rollout, seen)

    @staticmethod
    def _is_large() -> bool:
        """Whether this job's picture is large: a lane of its own, in which times and memory are others."""
        return CURRENT_LANE.get() is Lane.LARGE

    def _follow(self) -> None:
        """Take the models that the rollout says."""
        in_use = self._rollouts.in_use
        if self._in_use.model_set != in_use:
            former, self._in_use = self._in_use, self._make_client(in_use)
            if self._guard.is_open:  # no job may wait for models that nobody needs any more
                former.cancel_readings()
                self._cancel_comparison()
                self._guard.forget_models()
        rollout = self._rollouts.running
        if self._candidate is not None and (rollout is None or rollout.id != self._candidate.rollout.id):
            self._candidate = None
            self._guard.forget_optional_models()
        if rollout is None:
            return
        if self._candidate is not None:
            self._candidate = replace(self._candidate, rollout=rollout)
        else:
            client = self._make_client(rollout.candidate, optional=True)
            is_shadow = rollout.mode is Mode.SHADOW
            compared = rollout.candidate if is_shadow else in_use
            comparing = self._make_client(compared, optional=is_shadow, background=True)
            self._candidate = _ActiveRollout(rollout, client, comparing)


def _source(client: ModelClient, rollout: _ActiveRollout | None, key: bytes) -> ReadingSource:
    return replace(client.source(key), rollout=None if rollout is None else rollout.rollout.id)


async def _process(client: ModelClient, request: PictureRequest, timeout_seconds: float) -> PictureReading:
    return await client.process(
        request.picture, request.header, timeout_seconds=timeout_seconds, request_id=request.request_id
    )


def _candidate_seconds(request: PictureRequest) -> float:
    """Return the time that a candidate has for a job's picture."""
    left_seconds = math.inf if request.deadline_seconds is None else request.deadline_seconds
    return _CANDIDATES_PART * min(request.timeout_seconds, left_seconds)


def _as_evidence(found: PairComparison) -> Evidence:
    return Evidence(
        pairs=1,
        blanks=int(found.is_blank),
        text={part_bin(found.text): 1},
        fields={} if found.fields is None else {part_bin(found.fields): 1},
        code_lost=found.codes_lost,
        code_won=found.codes_won,
    )


def _result(found: PairComparison) -> CandidateResult:
    if found.is_blank:
        return CandidateResult.BLANK
    return CandidateResult.DIFFERED if found.text or found.fields else CandidateResult.AGREED
