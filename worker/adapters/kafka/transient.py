"""Which of librdkafka's errors pass by themselves, and asking again until they have.

librdkafka marks an error as retriable in its transactional calls alone; elsewhere the code must tell.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

_Answer = TypeVar("_Answer")
_TRANSIENT = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's own names, here and below
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)


def is_transient(error: KafkaError) -> bool:
    """Say whether the same call may succeed a moment later."""
    return not error.fatal() and (error.retriable() or error.code() in _TRANSIENT)


def retry_transient(
    call: Callable[[], _Answer],
    *,
    timeout_seconds: float,
    pause_seconds: float,
    passes: Callable[[KafkaError], bool] = is_transient,
) -> _Answer:
    """Repeat a call until it succeeds.

    Raises KafkaException for an error that does not pass by itself, or still stands after `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            if not passes(error.args[0]) or time.monotonic() > deadline:
                raise
        time.sleep(pause_seconds)
