"""The bench on a GPU: the same pictures in each precision, in interleaved rounds, within a budget of time.

Invariants: each precision that was asked for is in the result, measured or with the sentence why it is not. All that
are measured are served the same way, at the same time, so that a slow minute hits all alike.
"""

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from worker.adapters.triton.statistics import ModelStatistics
from worker.domain.errors import LabelwireError
from worker.lab.bench.bare import CONCURRENCY, RecordedRequest, record, repeated, replay
from worker.lab.bench.gpu.budget import BudgetError, TimeBudget
from worker.lab.bench.gpu.load import PICTURE_SECONDS, LabelReader, StageSeconds, full_load, one_at_a_time, open_loop
from worker.lab.bench.gpu.probe import GpuProbe, GpuWatch
from worker.lab.bench.gpu.ways import OpenServer, ServingWay
from worker.lab.bench.open_loop import poisson_times
from worker.lab.bench.resources import cpu_seconds
from worker.lab.bench.rounds import rotated
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.offline import deliver_offline
from worker.lab.evaluation.run import reading
from worker.local.progress import progress
from worker.pipeline.options import PipelineOptions
from worker.ports import InferenceBackend
from worker.reporting.progress import counted
from worker.runtime.model_client import ModelClient

PRECISIONS: Final = ("fp32", "fp16", "int8")
# Repositories are built and servers started only while more of the time than this is left. While FP32 is built, each
# further way has a share too, so that there is time for it where the better one takes too long.
_MEASURING_SHARE: Final = 0.4
_WAY_SHARE: Final = 0.2

OpenClient = Callable[[InferenceBackend], AbstractAsyncContextManager[ModelClient]]
Texts = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Floor:
    """What a GPU has to reach: so many labels a second, with the 95th percentile of their latency under a limit."""

    labels_per_second: float = 50.0
    p95_ms: float = 50.0


@dataclass(frozen=True, slots=True)
class GpuBenchPlan:
    """What to run: in each of `rounds`, each precision reads the set one by one, at full load, and in an open loop.

    At full load `at_once` labels are under way, for about `load_seconds`, and so long the models alone are asked again
    what the pipeline, with `options`, asked them; the open loop takes `open_seconds` at the floor's rate.
    """

    dataset: Dataset
    at_once: int
    options: PipelineOptions = field(default_factory=PipelineOptions)
    precisions: tuple[str, ...] = PRECISIONS
    floor: Floor = Floor()
    rounds: int = 3
    load_seconds: float = 5.0
    open_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class GpuTurn:
    """What one precision did in one round.

    `alone_ms` are labels read one at a time, `open_ms` labels in the open loop, from when they were due; there is no
    open loop if full load was under the floor's rate. `stage_ms` are medians of labels alone. `labels`, `seconds`,
    `busy_percent` of the GPU, `cores` that this process and its server used, and `batches` are those of full load.
    `models_per_second` are the labels that the models alone would do, and `models_busy_percent` the GPU's use then.
    """

    round: int
    alone_ms: tuple[float, ...]
    stage_ms: Mapping[str, float]
    labels: int
    seconds: float
    busy_percent: float | None
    cores: float
    batches: Mapping[str, ModelStatistics]
    models_per_second: float
    models_busy_percent: float | None
    open_ms: tuple[float, ...]

    @property
    def labels_per_second(self) -> float:
        """The throughput at full load."""
        return self.labels / self.seconds


@dataclass(slots=True)
class PrecisionResult:
    """One precision; `absent` is the sentence why it was not measured, empty if it was.

    `served` are the precisions that the models themselves name. `texts` are the lines of each picture. `memory_mib` is
    what the GPU's memory grew by from before its server started.
    """

    precision: str
    absent: str = ""
    served: Mapping[str, str] = field(default_factory=dict)
    word_f1: float | None = None
    texts: Texts = ()
    memory_mib: float | None = None
    turns: list[GpuTurn] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GpuBenchRun:
    """All that a bench measured. `notes` are sentences on what was left out and why."""

    floor: Floor
    way: str
    results: Sequence[PrecisionResult]
    notes: Sequence[str]
    configuration: Mapping[str, Any]


@dataclass(slots=True)
class _Contender:
    """A precision that is served.

    A turn has `labels` at full load, and `requests` to the models alone; `turn_seconds` is what the next one may take.
    """

    result: PrecisionResult
    server: OpenServer
    client: ModelClient
    labels: int
    requests: Sequence[RecordedRequest]
    turn_seconds: float


class GpuBench:
    """One run of the bench over the first of `ways` in which FP32 can be read."""

    def __init__(
        self, plan: GpuBenchPlan, open_client: OpenClient, budget: TimeBudget, probe: GpuProbe | None, folder: Path
    ) -> None:
        self._plan = plan
        self._open_client = open_client
        self._budget = budget
        self._probe = probe
        self._folder = folder
        self._pictures = [sample.read_bytes() for sample in plan.dataset.samples]
        self._gpu_before = probe.sample() if probe else None
        self._notes: list[str] = []

    async def run(self, ways: Sequence[ServingWay]) -> GpuBenchRun:
        """Measure. Raises MeasurementError, with all reasons, if nothing could be read in any way."""
        for further_ways, way in zip(range(len(ways) - 1, -1, -1), ways, strict=True):
            async with AsyncExitStack() as stack:
                results = [PrecisionResult(precision) for precision in self._plan.precisions]
                contenders = await self._open_all(way, further_ways, results, stack)
                if not contenders:
                    self._notes.append(f"{way.title}: passed over, because {results[0].absent}")
                    continue
                await self._run_rounds(contenders)
                configuration = self._configuration(contenders[0].server)
                return GpuBenchRun(self._plan.floor, way.title, results, self._notes, configuration)
        raise MeasurementError(" ".join(["Nothing was measured.", *self._notes]))

    async def _open_all(
        self, way: ServingWay, further_ways: int, results: Sequence[PrecisionResult], stack: AsyncExitStack
    ) -> list[_Contender]:
        """Build, serve and warm up each precision; without the first one, which the others are compared with, none."""
        contenders: list[_Contender] = []
        for result in results:
            share = _MEASURING_SHARE if contenders else _MEASURING_SHARE + _WAY_SHARE * further_ways
            try:
                async with AsyncExitStack() as own:
                    contenders.append(await self._open(way, result, share * self._budget.seconds, own))
                    stack.push_async_callback(own.pop_all().aclose)
            except LabelwireError as error:
                result.absent = str(error)
            if not contenders:
                break
        return contenders

    async def _open(
        self, way: ServingWay, result: PrecisionResult, reserve_seconds: float, stack: AsyncExitStack
    ) -> _Contender:
        """Build, serve and warm up a precision while more than the reserve is left. Raises LabelwireError."""
        precision = result.precision
        with progress(f"Building the models in {precision}") as report:

            def report_in_time(what: str, part: float) -> None:
                self._budget.require(reserve_seconds, f"what follows building the models in {precision}")
                report(f"{what} ({part:.0%})")

            repository = way.build(precision, report_in_time)
        self._budget.require(reserve_seconds, f"what follows starting {precision}")
        seconds = self._budget.left - reserve_seconds
        before = self._used_mib()
        with progress(f"Starting {way.title} in {precision}"):
            folder = self._folder / precision
            server = stack.enter_context(way.serve(repository, folder, seconds))
        client = await stack.enter_async_context(self._open_client(server.backend))
        async with self._budget.limit(self._budget.left - reserve_seconds, f"warming up {precision}"):
            contender = await self._warm_up(result, server, client)
        result.memory_mib = _difference(self._used_mib(), before)
        result.served = {name: used.precision for name, used in client.models_used.items()}
        return contender

    async def _warm_up(self, result: PrecisionResult, server: OpenServer, client: ModelClient) -> _Contender:
        """Read the set for its texts, for the requests to the models, and at full load for the throughput to expect."""
        plan, count = self._plan, len(self._pictures)
        with counted(f"Warming up {result.precision}", 3 * count) as advance:
            delivery = await deliver_offline(plan.dataset, client, advance, PICTURE_SECONDS)
            recording = await record(server.backend, plan.dataset, plan.options, advance)
            reader = LabelReader(client, self._pictures, advance)
            seconds = await full_load(reader.read, count, plan.at_once)
            models_seconds = (await replay(server.backend, recording.requests, CONCURRENCY)).seconds
        found = reading(result.precision, result.precision, plan.dataset, delivery)
        result.word_f1 = found.scores.word_f1
        result.texts = tuple(tuple(line.text for line in read.lines) for read in found.transcripts)
        # Whole sets, so that each picture counts as often as any other.
        sets, models_sets = (max(1, round(plan.load_seconds / one)) for one in (seconds, models_seconds))
        turn_seconds = sets * seconds + models_sets * models_seconds + sum(found.milliseconds) / 1000
        if count / seconds > plan.floor.labels_per_second / 2:  # else there will be no open loop
            turn_seconds += plan.open_seconds
        requests = repeated(recording.requests, models_sets)
        return _Contender(result, server, client, sets * count, requests, turn_seconds)

    async def _run_rounds(self, contenders: Sequence[_Contender]) -> None:
        """Run the rounds that the budget allows, and note if these are not all."""
        for number in range(self._plan.rounds):
            running = [contender for contender in contenders if not contender.result.absent]
            needed = sum(contender.turn_seconds for contender in running)
            if number and self._budget.left < needed:
                self._notes.append(
                    f"{number} of {self._plan.rounds} rounds were run, because another one takes {needed:.0f} s and "
                    f"{self._budget.left:.0f} s of {self._budget.seconds:.0f} s were left."
                )
                return
            for contender in rotated(running, number):
                await self._take_turn(contender, number)

    async def _take_turn(self, contender: _Contender, number: int) -> None:
        """Take a turn; one that fails takes the precision out, one that a later round has no time for is left out."""
        result, begun = contender.result, self._budget.spent
        what = f"a turn of {result.precision}"
        try:
            if number == 0:
                self._budget.require(contender.turn_seconds, what)
            used = self._used_mib()
            async with self._budget.limit(self._budget.left, what):
                turn = await self._turn(contender, number)
            grown = _difference(self._used_mib(), used)
        except LabelwireError as error:
            sentence = f"Round {number + 1}: {error}"
            if result.turns and isinstance(error, BudgetError):
                self._notes.append(sentence)
            else:
                result.absent = sentence
            return
        result.turns.append(turn)
        if result.memory_mib is not None and grown is not None:
            result.memory_mib += grown
        contender.turn_seconds = self._budget.spent - begun

    async def _turn(self, contender: _Contender, number: int) -> GpuTurn:
        plan, count, server = self._plan, len(self._pictures), contender.server
        due = poisson_times(
            random.Random(number),  # noqa: S311  arrivals are no secret, and are the same for all
            plan.floor.labels_per_second,
            plan.open_seconds,
        )
        pids = [os.getpid()]  # its children, a server among them, count too
        what = f"Round {number + 1} of {plan.rounds}, {contender.result.precision}"
        with counted(what, count + contender.labels) as advance:
            reader = LabelReader(contender.client, self._pictures, advance)
            alone_ms, stages = await one_at_a_time(reader.read, count)
            cpu_before, counts_before = cpu_seconds(pids), server.statistics()
            with GpuWatch(self._probe) as watch:
                seconds = await full_load(reader.read, contender.labels, plan.at_once)
            cores = (cpu_seconds(pids) - cpu_before) / seconds
            batches = _since(server.statistics(), counts_before)
        with GpuWatch(self._probe) as models_watch:
            models = await replay(server.backend, contender.requests, CONCURRENCY)
        open_ms: list[float] = []
        if contender.labels / seconds >= plan.floor.labels_per_second:
            with counted(f"{what}, open loop", len(due)) as advance:
                open_ms = await open_loop(LabelReader(contender.client, self._pictures, advance).read, due)
        return GpuTurn(
            round=number,
            alone_ms=tuple(alone_ms),
            stage_ms=_medians(stages),
            labels=contender.labels,
            seconds=seconds,
            busy_percent=watch.busy_percent,
            cores=cores,
            batches=batches,
            models_per_second=len(models.milliseconds) / models.seconds,
            models_busy_percent=models_watch.busy_percent,
            open_ms=tuple(open_ms),
        )

    def _used_mib(self) -> float | None:
        return self._probe.sample().used_mib if self._probe else None

    def _configuration(self, server: OpenServer) -> dict[str, Any]:
        plan = self._plan
        return {
            "dataset": plan.dataset.name,
            "pictures": len(self._pictures),
            "at_once": plan.at_once,
            "requests_at_once": CONCURRENCY,
            "load_seconds": plan.load_seconds,
            "open_seconds": plan.open_seconds,
            "budget_seconds": self._budget.seconds,
            "spent_seconds": math.ceil(self._budget.spent),
            "versions": dict(server.versions),
            "gpu_memory_mib": self._gpu_before.total_mib if self._gpu_before else None,
            "gpu_memory_used_before_mib": self._gpu_before.used_mib if self._gpu_before else None,
        }


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _medians(stages: Sequence[StageSeconds]) -> dict[str, float]:
    """Return the median milliseconds of each stage over the labels that have it."""
    names = {name: None for one in stages for name in one}
    return {name: 1000 * median(one[name] for one in stages if name in one) for name in names}


def _since(after: Mapping[str, ModelStatistics], before: Mapping[str, ModelStatistics]) -> dict[str, ModelStatistics]:
    counts = {name: now.since(before.get(name, ModelStatistics())) for name, now in after.items()}
    return {name: count for name, count in counts.items() if count.executions}
