"""Calls of librdkafka that may never return, whatever timeout they are given.

- `send_offsets_to_transaction` does not look at its timeout while the group's coordinator cannot be reached (librdkafka
  issue 5456, seen with 2.16): where a connection is reset at the wrong moment it waits for ever.
- A future of the admin client is never done where its thread hangs (`admin_lifetime`).
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

_AskedT = TypeVar("_AskedT")


class CallTimeoutError(Exception):
    """A call did not return in time, or could not be made. It may return later, on a thread that is left alone."""


def call_within(seconds: float, call: Callable[..., object], *arguments: object) -> None:
    """Make a call on a thread of its own, and return when it does. Raises what it raises, and CallTimeoutError."""
    made = _Call(call, arguments)
    # A daemon, so that a call that never returns does not keep the process.
    thread = threading.Thread(target=made.make, name="kafka-call", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # there is no thread to be had; later there may be
        raise CallTimeoutError("there is no thread for a call of librdkafka") from error
    thread.join(seconds)
    if thread.is_alive():
        raise CallTimeoutError(f"a call of librdkafka did not return within {seconds:g} s")
    failure, made.failure = made.failure, None
    try:
        if failure is not None:
            raise failure
    finally:
        # Else the failure's traceback holds this frame, and with it the client: a cycle, which frees the client on
        # whatever thread collects garbage next.
        del failure, made, call


def all_done(seconds: float, asked: "Mapping[_AskedT, Future[Any]]") -> "Mapping[_AskedT, Future[Any]]":
    """Wait until an admin client's futures are done, and return them.

    Raises KafkaException (timed out) if one is not.
    """
    open_ones = wait(asked.values(), seconds).not_done
    if open_ones:
        reason = f"{len(open_ones)} of {len(asked)} admin requests had no answer within {seconds:g} s"
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, reason))  # noqa: SLF001 - librdkafka's own name
    return asked


class _Call:
    def __init__(self, call: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._call = call
        self._arguments = arguments
        self.failure: BaseException | None = None

    def make(self) -> None:
        """Make it, and keep what it raises."""
        try:
            self._call(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - raised again by `call_within`
            self.failure = error
