"""Pins Kafka's jars again, after a change of the version: `python -m worker.local.pin_kafka` (part of `make lock`).

What Maven brings is believed once, here, and held to its sums from then on.
"""

import hashlib
import tempfile
from pathlib import Path

from worker.local.progress import progress
from worker.local.provision import KAFKA_SUMS, fetch_kafka_jars


def main() -> None:
    """Fetch the jars and write their SHA-256 sums."""
    with tempfile.TemporaryDirectory() as name, progress("Pinning Kafka's jars") as report:
        fetch_kafka_jars(Path(name), report)
        jars = sorted(Path(name).glob("*.jar"))
        lines = [f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in jars]
    KAFKA_SUMS.write_text("".join(lines))


if __name__ == "__main__":
    main()
