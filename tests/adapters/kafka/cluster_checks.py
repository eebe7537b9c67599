"""Asks for many groups at once whether a worker could use its topics, until standard input ends.

`python cluster_checks.py BOOTSTRAP TOPIC`: it says "asked" once each group was asked about, and at the end how many of
the last answers named an obstacle.
"""

import asyncio
import sys
import threading
import time

from worker.adapters.kafka.permissions import KafkaAccess
from worker.domain.errors import BrokerError
from worker.settings import KafkaSettings

GROUPS = 8  # their coordinators are then on both brokers
_PAUSE_SECONDS = 0.5


class Checks:
    """The checks for one group, on a thread."""

    def __init__(self, bootstrap_servers: str, topic: str, number: int) -> None:
        self._access = KafkaAccess(KafkaSettings(bootstrap_servers=bootstrap_servers, group_id=f"checked-{number}"))
        self._topic = topic
        self._thread = threading.Thread(target=self._run)
        self.answered = threading.Event()
        self.ending = threading.Event()
        self.last = ""
        self._thread.start()

    def _run(self) -> None:
        while not self.ending.wait(_PAUSE_SECONDS):
            try:
                self.last = asyncio.run(self._access.obstacle([self._topic], [self._topic]))
            except BrokerError as error:
                self.last = str(error)
            except BaseException as error:
                self.last = repr(error)
                raise
            self.answered.set()

    def end(self) -> str:
        """Stop, and return the last answer."""
        self.ending.set()
        self._thread.join()
        return self.last


def main() -> None:
    """Ask until standard input ends."""
    checks = [Checks(sys.argv[1], sys.argv[2], number) for number in range(GROUPS)]
    for each in checks:
        each.answered.wait()
    sys.stdout.write("asked\n")
    sys.stdout.flush()
    sys.stdin.read()
    time.sleep(2 * _PAUSE_SECONDS)
    sys.stdout.write(f"{sum(bool(each.end()) for each in checks)}\n")


if __name__ == "__main__":
    main()
