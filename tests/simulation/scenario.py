"""From a seed to a scenario: partitions, workers, settings, jobs and a script of faults."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.jobs import KINDS, Sent, body, ends, id_of
from worker.domain.records import Headers

_SECONDS = 40.0
_MAX_JOBS = 26
_TEXTS = 200  # pictures are drawn once
_FOREIGN_HEADERS: tuple[Headers, ...] = (
    (),
    (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),),
    (("note", b"\xff\xfe"), ("note", b"second")),
    (("labelwire.dlq.error.code", b"INTERNAL"), ("shop", b"7")),
)

# What happens to a worker, and how likely each is.
FAULTS = {
    "kill": 6,
    "stop": 4,
    "stall": 9,
    "lose": 4,
    "rebalance": 5,
    "commits-refused": 4,
    "corrupt-metadata": 3,
    "topic-made-anew": 2,
    "broker-away": 3,
    "sends-refused": 4,
    "acks-lost": 4,
    "slow-acks": 3,
    "triton-down": 4,
    "triton-overloaded": 3,
    "triton-internal": 4,
    "slow-inference": 4,
    "new-models": 2,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong from a time on, for so long, for one worker or for the world."""

    kind: str
    at_seconds: float
    lasts_seconds: float
    worker: int
    share: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings that differ between scenarios."""

    max_jobs: int
    max_inflight_pixels: int
    partition_window: int
    commit_interval_seconds: float
    attempt_seconds: float
    retry_initial_seconds: float
    retry_max_seconds: float
    drain_seconds: float
    readiness_interval_seconds: float
    session_seconds: float
    inference_seconds: float
    work_seconds: float
    ack_seconds: float
    whole_pipeline: bool
    limits_told: bool
    key_order: bool
    exactly_once: bool
    retry_delays_seconds: tuple[float, float, float]
    dead_letters_per_minute: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole run, before it begins."""

    seed: int
    partitions: int
    workers: int
    tuning: Tuning
    jobs: tuple[Sent, ...]
    faults: tuple[Fault, ...]

    @property
    def calm_from_seconds(self) -> float:
        """When the last fault has ended and the last job been sent."""
        ends_seconds = [fault.at_seconds + fault.lasts_seconds for fault in self.faults]
        return max([*ends_seconds, *(job.at_seconds for job in self.jobs)])


def scenario(seed: int) -> Scenario:
    """Return the scenario of a seed: the same for the same seed, anywhere."""
    chance = random.Random(f"scenario {seed}")  # noqa: S311 - dice
    partitions, workers = chance.randint(1, 4), chance.randint(1, 3)
    return Scenario(
        seed=seed,
        partitions=partitions,
        workers=workers,
        tuning=_tuning(chance),
        jobs=tuple(sorted(_jobs(chance, partitions), key=lambda job: job.at_seconds)),
        faults=tuple(sorted(_faults(chance, workers), key=lambda fault: fault.at_seconds)),
    )


def _tuning(chance: random.Random) -> Tuning:
    return Tuning(
        max_jobs=chance.choice([1, 2, 4, 8]),
        max_inflight_pixels=chance.choice([5000, 20_000, 1_000_000]),
        partition_window=chance.choice([1, 2, 4, 8, 64]),
        commit_interval_seconds=chance.choice([0.3, 1.0, 4.0]),
        attempt_seconds=chance.choice([2.0, 5.0, 20.0]),
        retry_initial_seconds=chance.choice([0.1, 0.5]),
        retry_max_seconds=chance.choice([1.0, 4.0]),
        drain_seconds=chance.choice([0.3, 2.0, 8.0]),
        readiness_interval_seconds=chance.choice([1.5, 4.0]),
        session_seconds=chance.choice([3.0, 8.0]),
        inference_seconds=chance.choice([0.002, 0.05, 0.3]),
        work_seconds=chance.choice([0.001, 0.02]),
        ack_seconds=chance.choice([0.001, 0.02, 0.2]),
        whole_pipeline=chance.random() < 0.03,
        limits_told=chance.random() < 0.8,
        key_order=chance.random() < 0.25,
        exactly_once=chance.random() < 0.35,
        retry_delays_seconds=chance.choice([(0.2, 0.5, 1.0), (0.5, 3.0, 8.0)]),
        dead_letters_per_minute=0 if chance.random() < 0.9 else 4,
    )


def _jobs(chance: random.Random, partitions: int) -> Iterator[Sent]:
    kinds, weights = list(KINDS), list(KINDS.values())
    first, keys = chance.randrange(_TEXTS), [f"k{number}".encode() for number in range(6)]
    bursts = [chance.uniform(0, _SECONDS * 0.8) for _ in range(chance.randint(1, 4))]
    for number in range(first, first + chance.randint(3, _MAX_JOBS)):
        kind = chance.choices(kinds, weights)[0]
        at_seconds = chance.choice(bursts) + chance.choice([0.0, chance.uniform(0, 3)])
        value, headers = body(kind, number, at_seconds, chance.uniform(0.2, 8))
        text, codes = ends(kind, number)
        key = chance.choice([*keys, None])
        yield Sent(
            kind=kind,
            at_seconds=at_seconds,
            partition=chance.randrange(partitions) if key is None else sum(key) % partitions,
            key=key,
            value=value,
            headers=headers + chance.choice(_FOREIGN_HEADERS),
            text=text,
            codes=codes,
            job_id=id_of(kind, number),
            gap=chance.choice([0, 0, 0, 0, 1, 3]),
        )


def _faults(chance: random.Random, workers: int) -> Iterator[Fault]:
    kinds = chance.sample(list(FAULTS), chance.randint(1, len(FAULTS)))
    weights = [FAULTS[kind] for kind in kinds]
    for _ in range(chance.choice([0, 1, 1, 2, 3, 4, 6, 8])):
        kind = chance.choices(kinds, weights)[0]
        # Most stalls are to last longer than a session.
        lasts_seconds = chance.choice([1.0, 12.0, 18.0] if kind == "stall" else [0.2, 1.0, 4.0, 12.0])
        yield Fault(
            kind=kind,
            at_seconds=chance.uniform(0.5, _SECONDS),
            lasts_seconds=lasts_seconds * chance.uniform(0.5, 1.5),
            worker=chance.randrange(workers),
            share=chance.choice([0.1, 0.5, 1.0]),
        )
