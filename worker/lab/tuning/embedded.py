"""A candidate on the embedded Triton, and the sweep over such candidates."""

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Final

from worker import __version__
from worker.domain.errors import JobError
from worker.domain.manifest import ModelRole
from worker.lab.bench.bare import RecordedRequest, ReplayTimes, repeated, replay_to
from worker.lab.bench.resources import cpu_seconds, peak_bytes
from worker.lab.evaluation.dataset import Dataset
from worker.lab.evaluation.errors import MeasurementError
from worker.lab.evaluation.machine import describe_machine
from worker.lab.tuning.candidates import Change, changes
from worker.lab.tuning.errors import SweepError
from worker.lab.tuning.evidence import candidate_evidence, cpu_of, rate_spread
from worker.lab.tuning.judgment import BYTES_PER_MEGABYTE, SweepLimits, SweepReading, SweepTurn
from worker.lab.tuning.reading import RecordedReading
from worker.lab.tuning.sweep import Sweep, SweepMeans, SweepTrial
from worker.lab.tuning.traffic import Traffic, count_traffic
from worker.local.provision import python_environment
from worker.local.triton import TritonServer
from worker.models.alphabet import alphabet_name
from worker.models.build import build_repository
from worker.models.configs import read_manifest
from worker.models.model_card import LineFormat
from worker.models.profiles import Profile
from worker.models.source import find_sources
from worker.models.tuning import CandidateEvidence, ServingSettings, Tuning, TuningEvidence, settings_of
from worker.runtime.cores import usable_cores

ReadAndRecord = Callable[[str], RecordedReading]
"""Reads all pictures through the worker's pipeline, by the Triton at a gRPC address, and keeps the requests."""

# Of a turn: fewer would count the first and the last too much, which have the machine to themselves.
_TURN_PICTURES: Final = 16
_ROLES: Final = (ModelRole.DETECTOR, ModelRole.ORIENTATION, ModelRole.RECOGNIZER)


@dataclass(frozen=True, slots=True)
class TuneOrder:
    """What is to be tuned: a profile with the cores that will serve, its models, and the pictures; a folder to work in.

    A turn of a comparison has `turn_pictures` at least. `choose` makes what is tried of the traffic, of the widths that
    lines are padded to and of the cores.
    """

    profile: Profile
    alphabet: str
    sources: Mapping[ModelRole, Path]
    dataset: Dataset
    limits: SweepLimits
    folder: Path
    turn_pictures: int = _TURN_PICTURES
    choose: Callable[[Traffic, Sequence[int], int], Sequence[Change]] = changes


class EmbeddedServer:
    """A built candidate on a Triton of its own, which is ready when this is made."""

    def __init__(self, repository: Path, run_dir: Path, read: ReadAndRecord, turn_pictures: int) -> None:
        self.repository = repository
        self._read = read
        self._turn_pictures = turn_pictures
        self._server = TritonServer(repository, run_dir=run_dir)
        self._opened = ExitStack()
        self.requests: Sequence[RecordedRequest] = ()

    def start(self) -> None:
        """Start the server and wait until its models are warm."""
        self._opened.callback(self._server.stop)
        self._server.launch()
        self._server.wait_until_ready()

    def read(self) -> SweepReading:
        """Read all pictures through the worker's pipeline, and keep the requests."""
        recorded = self._read(self._server.grpc_url)
        self.requests = recorded.requests
        return recorded.read

    def replay(self) -> SweepTurn:
        """Send the kept requests at full load."""
        pictures = len({request.picture for request in self.requests})
        times = math.ceil(self._turn_pictures / pictures)
        before = cpu_seconds([self._server.pid])
        replayed = replay_all(self._server.grpc_url, repeated(self.requests, times))
        used, sent = cpu_seconds([self._server.pid]) - before, len(replayed.milliseconds)
        return SweepTurn(sent / replayed.seconds, used / sent)

    def peak_rss_mb(self) -> float:
        """Return the server's memory at its highest since it was started, in 10⁶ bytes."""
        return peak_bytes([self._server.pid]) / BYTES_PER_MEGABYTE

    def close(self) -> None:
        """End the server and remove its repository; again it does nothing."""
        self._opened.close()
        if self.repository.exists():
            shutil.rmtree(self.repository)


@dataclass(frozen=True, slots=True)
class _MeasuredDefault:
    """What the default reads, what it is asked for, how long its rounds took, and its models in words."""

    read: SweepReading
    traffic: Traffic
    replay_seconds: float
    models: Mapping[str, str]


class EmbeddedSweep:
    """A sweep on this machine; `on_candidate` hears what became of each candidate, `report` of each step."""

    def __init__(
        self,
        order: TuneOrder,
        read: ReadAndRecord,
        on_candidate: Callable[[CandidateEvidence], None],
        report: Callable[[str], None],
    ) -> None:
        self._order = order
        self._read = read
        self._on_candidate = on_candidate
        self._report = report
        self._candidates: list[CandidateEvidence] = []
        self._served = 0

    def choose(self) -> Tuning:
        """Return the best tuning, with its evidence. Raises LabelwireError if there is none."""
        order, began = self._order, time.monotonic()
        _check_cores(order.profile.cores)
        profile = order.profile.of_lines(find_sources(order.sources)[ModelRole.RECOGNIZER].card.line or LineFormat())
        settings = settings_of(profile)
        self._report("default: building and starting")
        with closing(self._serve(settings)) as server:
            default = self._measure_default(settings, server)
            # A candidate takes as long, and its comparison has as many turns again.
            expected_seconds = time.monotonic() - began + default.replay_seconds
            means = SweepMeans(self._serve, time.monotonic, self._note_trial, self._report)
            sweep = Sweep(means, order.limits, began + order.limits.seconds)
            tried = order.choose(default.traffic, profile.buckets, profile.cores)
            best = sweep.descend((settings, server), default.read, tried, expected_seconds)
        return Tuning(**best.model_dump(), evidence=self._evidence(default))

    def _measure_default(self, settings: ServingSettings, server: EmbeddedServer) -> _MeasuredDefault:
        order = self._order
        self._report("default: reading")
        read = server.read()
        traffic = count_traffic(recorded.request for recorded in server.requests)
        if not traffic.columns:
            raise SweepError(f"nothing was read on {order.dataset.name}: give --data pictures like those of your topic")
        self._report("default: replaying")
        began = time.monotonic()
        turns = [server.replay() for _ in range(order.limits.rounds)]
        replay_seconds = time.monotonic() - began
        self._note(
            CandidateEvidence(
                change="default",
                settings=settings,
                outcome="default",
                reason="what the others are measured against",
                pictures_per_second=rate_spread(turns),
                cpu_seconds=cpu_of(turns),
                peak_rss_mb=round(server.peak_rss_mb(), 1),
                word_f1=None if read.word_f1 is None else round(read.word_f1, 4),
            )
        )
        models = {str(role): _model_words(server.repository, role) for role in _ROLES}
        return _MeasuredDefault(read, traffic, replay_seconds, models)

    def _serve(self, settings: ServingSettings) -> EmbeddedServer:
        order = self._order
        self._served += 1
        name = f"candidate-{self._served}"
        repository = build_repository(
            order.profile, order.folder / name, alphabet=order.alphabet, sources=order.sources, tuning=settings
        )
        server = EmbeddedServer(repository, order.folder / f"{name}-run", self._read, order.turn_pictures)
        try:
            server.start()
        except BaseException:
            server.close()
            raise
        return server

    def _note(self, candidate: CandidateEvidence) -> None:
        self._candidates.append(candidate)
        self._on_candidate(candidate)

    def _note_trial(self, trial: SweepTrial) -> None:
        self._note(candidate_evidence(trial))

    def _evidence(self, default: _MeasuredDefault) -> TuningEvidence:
        order, limits = self._order, self._order.limits
        has_truth = default.read.word_f1 is not None
        return TuningEvidence(
            machine={name: fact for name, fact in describe_machine().items() if name != "packages"},
            openvino=_openvino_version(),
            labelwire=__version__,
            alphabet=alphabet_name(order.alphabet),
            models=dict(default.models),
            dataset=order.dataset.name,
            pictures=len(order.dataset.samples),
            cores=order.profile.cores,
            rounds=limits.rounds,
            memory_mb=limits.memory_mb,
            max_word_f1_loss=limits.max_word_f1_loss if has_truth else None,
            min_equal_lines=None if has_truth else limits.min_equal_lines,
            candidates=tuple(self._candidates),
        )


def replay_all(url: str, requests: Sequence[RecordedRequest]) -> ReplayTimes:
    """Send requests to the Triton at `url` at full load. Raises MeasurementError if one of them is not answered."""
    try:
        return replay_to(url, requests)
    except ExceptionGroup as group:
        failed, others = group.split(JobError)
        if failed is None or others is not None:
            raise
        raise MeasurementError(f"a request that was replayed was not answered: {_first(failed)}") from group


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _check_cores(cores: int) -> None:
    usable = usable_cores()
    if cores > usable:
        raise SweepError(
            f"{cores} cores cannot be tuned for on {usable}: run this on a machine like the server's, or give --cores"
        )


def _model_words(repository: Path, role: ModelRole) -> str:
    manifest = read_manifest(repository, role)
    return f"{manifest.source}, {manifest.precision}, {manifest.source_sha256[:12]}"


def _openvino_version() -> str:
    """Return the version of the OpenVINO that the embedded Triton loads, which is not in this environment."""
    folder = python_environment("triton").site_packages
    return next(found.version for found in distributions(name="openvino", path=[str(folder)]))
