"""Destroys admin clients on a thread of its own.

librdkafka ends the process if a client is destroyed by one of librdkafka's own threads, or hangs where that thread is
another client's. The binding sets the futures of admin requests on such a thread, so what a future held last is freed
there; a client hangs on the traceback of each error that was raised in a function which holds it.

Invariant: the last reference to a client that went through `kept` is given up by this module's thread.
"""

import sys
import threading
from typing import Final

from confluent_kafka.admin import AdminClient

_INTERVAL_SECONDS: Final = 1.0
_OWN_REFERENCES: Final = 2  # the list's, and that of the call which counts


class _Keeper:
    """Holds clients until nobody else does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: list[AdminClient] = []
        self._thread: threading.Thread | None = None

    def keep(self, client: AdminClient) -> None:
        """Hold a client."""
        with self._lock:
            self._clients.append(client)
            if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
                self._thread = threading.Thread(target=self._run, name="kafka-admin-lifetime", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(_INTERVAL_SECONDS)
            while self._take_unused() is not None:
                pass

    def _take_unused(self) -> AdminClient | None:
        with self._lock:
            for index in range(len(self._clients)):
                if sys.getrefcount(self._clients[index]) == _OWN_REFERENCES:
                    return self._clients.pop(index)
        return None


_KEEPER: Final = _Keeper()


def kept(client: AdminClient) -> AdminClient:
    """Return a client that is destroyed on this module's thread, about a second after its last use."""
    _KEEPER.keep(client)
    return client
