"""Destroys admin clients on threads of its own.

librdkafka ends the process if a client is destroyed by its own background thread, and two such threads that destroy
each other's clients wait for ever, with them whoever waits for their answers. The binding sets the futures of admin
requests on that thread, so what only a future still held is freed there; and the traceback of an error holds the
clients of all functions that it passed through.

Invariant: a client that went through `kept` is destroyed by a thread of this module, or by the end of the process.
"""

import contextlib
import os
import sys
import threading
from typing import Final

from confluent_kafka.admin import AdminClient

_INTERVAL_SECONDS: Final = 1.0
_probe: list[object] = [object()]
_LISTED_ALONE: Final = sys.getrefcount(_probe[0])  # the references to what a list holds and nobody else


class _Keeper:
    """Holds clients until nobody else does."""

    def __init__(self) -> None:
        self._clients: list[AdminClient] = []
        self._inherited: list[AdminClient] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, client: AdminClient) -> None:
        """Hold a client."""
        with self._lock:
            self._clients.append(client)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kafka-admin-lifetime", daemon=True)
                with contextlib.suppress(RuntimeError):  # there is no thread to be had; the next client tries again
                    self._thread.start()

    def begin_anew(self) -> None:
        """Never destroy the clients of the process that this one was forked from: their threads are not here."""
        self._inherited += self._clients
        self._clients, self._lock, self._thread = [], threading.Lock(), None

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_INTERVAL_SECONDS)
            while unused := self._take_unused():
                # Each on a thread of its own: destroying one may take long, and must not hold up the others.
                try:
                    threading.Thread(target=unused.clear, name="kafka-admin-end", daemon=True).start()
                except RuntimeError:
                    unused.clear()

    def _take_unused(self) -> list[AdminClient]:
        with self._lock:
            for index in range(len(self._clients)):
                if sys.getrefcount(self._clients[index]) == _LISTED_ALONE:
                    return [self._clients.pop(index)]
        return []


_KEEPER: Final = _Keeper()
os.register_at_fork(after_in_child=_KEEPER.begin_anew)


def kept(client: AdminClient) -> AdminClient:
    """Return a client that is destroyed on a thread of this module, about a second after nobody else holds it."""
    _KEEPER.keep(client)
    return client
