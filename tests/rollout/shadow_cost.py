# ruff: noqa: T201 - a command prints
"""What a shadow of all jobs costs those jobs: `python -m tests.rollout.shadow_cost --rate 4 --rounds 6`.

One worker on the real Kafka and Triton reads labels that arrive at random, at a steady rate. In every other window a
shadow of the same models runs. Reported are, for each window, the 95th percentile of the age of a job when its result
was written, and the ratio of neighboring windows, as their medians with the range.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer

from tests.fleet.workers import Fleet, wait_until
from worker.adapters.clock import SystemClock
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


def p95(ages: list[float]) -> float:
    return statistics.quantiles(ages, n=20)[-1]


def measure(fleet: Fleet, pictures: list[bytes], rate: float, rounds: int, jobs: int) -> list[tuple[float, float]]:
    """Return the p95 in milliseconds without and with a shadow, for each round."""
    control = RolloutControl(
        KafkaSettings(bootstrap_servers=fleet.bootstrap_servers),
        TopicSettings(jobs=fleet.jobs_topic).rollouts_topic,
        "",
        SystemClock(),
    )
    producer, ages = Producer({"bootstrap.servers": fleet.bootstrap_servers, "linger.ms": 0}), Ages(fleet)
    chance, sent, found = random.Random(3), 0, []  # noqa: S311 - arrivals

    def window(*, shadowed: bool) -> float:
        nonlocal sent
        if shadowed:
            control.start(RolloutOrder("v2", Mode.SHADOW, (10_000,), _LIMITS))
        first = sent
        for _ in range(jobs):
            headers: list[tuple[str, str | bytes | None]] = [("content-type", b"image/jpeg"), ("job-id", str(sent))]
            producer.produce(fleet.jobs_topic, pictures[sent % len(pictures)], str(sent), headers=headers)
            producer.poll(0)
            sent += 1
            time.sleep(chance.expovariate(rate))
        ages.until(sent)
        if shadowed:
            evidence = control.read().evidence().get(0)
            control.abort("the window has ended")
            if evidence is not None:
                print(f"  compared {evidence.pairs}, left out {evidence.dropped}, failed {evidence.errors}")
        return p95([ages.ages[number] for number in range(first, sent)])

    window(shadowed=False)  # warms up
    for number in range(rounds):
        order = (False, True) if number % 2 == 0 else (True, False)
        seen = {shadowed: window(shadowed=shadowed) for shadowed in order}
        print(f"p95 {seen[False]:.0f} ms without, {seen[True]:.0f} ms with a shadow: {seen[True] / seen[False]:.3f}")
        found.append((seen[False], seen[True]))
    ages.close()
    return found


def main() -> None:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=4.0, help="labels a second")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=150, help="labels in each window")
    given = parser.parse_args()
    base = build_repository("embedded", Path("build/model_repository/embedded"))
    with tempfile.TemporaryDirectory() as folder:
        candidate = build_repository("embedded", Path(folder) / "v2", model_set="v2")
        write_dataset(Path(folder) / "labels", 24, 20)
        pictures = [path.read_bytes() for path in sorted((Path(folder) / "labels").rglob("*.jpg"))]
        with (
            KafkaServer(run_dir=Path(folder) / "kafka") as kafka,
            TritonServer([base, candidate], run_dir=Path(folder) / "triton") as triton,
        ):
            fleet = Fleet(kafka.bootstrap_servers, triton.grpc_url, Path(folder))
            fleet.create_topics()
            worker = fleet.add_worker()
            wait_until(lambda: worker.probe("/readyz")[0] == 200)
            try:
                found = measure(fleet, pictures, given.rate, given.rounds, given.jobs)
            finally:
                worker.terminate()
    ratios = sorted(with_ / without for without, with_ in found)
    print(f"ratio of p95: median {statistics.median(ratios):.3f}, {ratios[0]:.3f} to {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
