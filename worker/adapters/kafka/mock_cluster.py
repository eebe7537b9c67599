"""librdkafka's mock cluster in a process of its own: `python -m worker.adapters.kafka.mock_cluster`.

It prints its bootstrap address as its first line and lives until a signal ends it. Everything is in memory, some
5 MB a partition; a topic comes into being with four partitions when it is first asked for.
"""

import signal
import sys

from confluent_kafka import Producer

# The prefix of every mock cluster's id; nothing else distinguishes it from a real one.
MOCK_CLUSTER_PREFIX = "mockCluster"
_TIMEOUT_SECONDS = 10.0


def main() -> None:
    """Run a mock cluster of one broker until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = producer.list_topics(timeout=_TIMEOUT_SECONDS).brokers.values()
    sys.stdout.write(",".join(f"{broker.host}:{broker.port}" for broker in brokers) + "\n")
    sys.stdout.flush()
    signal.sigwait(signals)


if __name__ == "__main__":
    main()
