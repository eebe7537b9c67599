# ruff: noqa: T201 - a command prints
"""What a shadow of all jobs costs those jobs: `python -m tests.rollout.shadow_cost --rate 2 --windows 40`.

One worker on the real Kafka and Triton reads labels that arrive at random, at a steady rate. In every other of many
short windows a shadow of the same models runs; the labels of two neighboring windows arrive at the same intervals.
Reported is the 95th percentile of the age of a job when its result was written, over all windows with a shadow and over
all without one, and their ratio with the middle 95 % of a bootstrap over the pairs of windows.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from confluent_kafka import Consumer, Producer

from tests.fleet.workers import MAX_BYTES, Fleet, wait_until
from worker.adapters.clock import SystemClock
from worker.domain.rollout.evidence import Evidence, total
from worker.domain.rollout.state import Mode, RolloutLimits
from worker.lab.synth.dataset import write_dataset
from worker.local.kafka import KafkaServer
from worker.local.triton import TritonServer
from worker.models.build import build_repository
from worker.rollouts.control import RolloutControl, RolloutOrder
from worker.settings import KafkaSettings, TopicSettings

# No end within a window: more than are read.
_LIMITS = RolloutLimits(min_jobs=1_000_000, min_pairs=1_000_000)


class Ages:
    """Follows the results, and keeps the time from each job's record to its result's, in milliseconds."""

    def __init__(self, fleet: Fleet) -> None:
        options = {"bootstrap.servers": fleet.bootstrap_servers, "group.id": "ages", "auto.offset.reset": "earliest"}
        self._consumer = Consumer(options)
        self._consumer.subscribe([fleet.results_topic])
        self.ages: dict[int, float] = {}

    def until(self, count: int) -> None:
        """Read until so many results came."""
        deadline = time.monotonic() + 120
        while len(self.ages) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.ages)} of {count} results came")
            message = self._consumer.poll(0.5)
            if message is None or message.error() is not None:
                continue
            sent_ms = int(dict(message.headers() or [])["labelwire.origin.timestamp"] or b"")
            number = int(json.loads(message.value() or b"")["job_id"])
            self.ages.setdefault(number, message.timestamp()[1] - sent_ms)

    def close(self) -> None:
        self._consumer.close()


Windows = list[tuple[float, ...]]


def p95(windows: Windows) -> float:
    return float(np.percentile(np.concatenate(windows), 95))


def measure(fleet: Fleet, pictures: list[bytes], rate: float, windows: int, jobs: int) -> dict[bool, Windows]:
    """Return the ages in milliseconds of each window, by whether a shadow ran."""
    control = RolloutControl(
        KafkaSettings(bootstrap_servers=fleet.bootstrap_servers),
        TopicSettings(jobs=fleet.jobs_topic).rollouts_topic,
        "",
        SystemClock(),
    )
    options = {"bootstrap.servers": fleet.bootstrap_servers, "linger.ms": 0, "message.max.bytes": MAX_BYTES}
    producer, ages = Producer(options), Ages(fleet)
    sent = 0
    found: dict[bool, Windows] = {False: [], True: []}
    seen = Evidence()
    for number in range(-4, windows):  # the first four warm up
        pair, second = divmod(number, 2)
        shadowed, first = (pair + second) % 2 == 1, sent  # each of both comes first in every other pair
        chance = random.Random(pair)  # noqa: S311 - arrivals
        if shadowed:
            control.start(RolloutOrder("v2", Mode.SHADOW, (10_000,), _LIMITS))
        for _ in range(jobs):
            headers: list[tuple[str, str | bytes | None]] = [("content-type", b"image/jpeg"), ("job-id", str(sent))]
            producer.produce(fleet.jobs_topic, pictures[sent % len(pictures)], str(sent), headers=headers)
            producer.poll(0)
            sent += 1
            time.sleep(chance.expovariate(rate))
        ages.until(sent)
        if shadowed:
            seen = total([seen, *control.read().evidence().values()])
            control.abort("the window has ended")
        if number >= 0:
            found[shadowed].append(tuple(ages.ages[job] for job in range(first, sent)))
    ages.close()
    producer.flush(10)
    print(f"compared {seen.pairs}, left out {seen.dropped}, failed {seen.errors}")
    return found


def labels(folder: Path) -> list[bytes]:
    """Return 24 drawn labels."""
    write_dataset(folder, 24, 20)
    return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]


def one_line() -> bytes:
    """Return a picture of one line."""
    page = np.full((120, 320, 3), 255, np.uint8)
    cv2.putText(page, "PARCEL 00007", (15, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2)
    return cv2.imencode(".jpg", page)[1].tobytes()


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4.0, help="labels a second")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=16, help="labels in each window")
    parser.add_argument("--one-line", action="store_true", help="the same picture of one line, so that ages vary less")
    given = parser.parse_args()
    base = build_repository("embedded", Path("build/model_repository/embedded"))
    with tempfile.TemporaryDirectory() as folder:
        candidate = build_repository("embedded", Path(folder) / "v2", model_set="v2")
        pictures = [one_line()] if given.one_line else labels(Path(folder) / "labels")
        with (
            KafkaServer(run_dir=Path(folder) / "kafka") as kafka,
            TritonServer([base, candidate], run_dir=Path(folder) / "triton") as triton,
        ):
            fleet = Fleet(kafka.bootstrap_servers, triton.grpc_url, Path(folder))
            fleet.create_topics()
            worker = fleet.add_worker()
            wait_until(lambda: worker.probe("/readyz")[0] == 200)
            try:
                found = measure(fleet, pictures, given.rate, given.windows, given.jobs)
            finally:
                worker.terminate()
    drawn = np.random.default_rng(1)
    ratios = []
    for _ in range(2000):
        pairs = drawn.integers(0, len(found[True]), len(found[True]))
        ratios.append(p95([found[True][pair] for pair in pairs]) / p95([found[False][pair] for pair in pairs]))
    low, high = np.percentile(ratios, [2.5, 97.5])
    without, with_ = p95(found[False]), p95(found[True])
    print(
        f"p95 {without:.0f} ms without, {with_:.0f} ms with a shadow: {with_ / without:.3f} ({low:.3f} to {high:.3f})"
    )
    medians = {shadowed: float(np.median(np.concatenate(windows))) for shadowed, windows in found.items()}
    print(f"p50 {medians[False]:.0f} ms without, {medians[True]:.0f} ms with a shadow")


if __name__ == "__main__":
    main()
