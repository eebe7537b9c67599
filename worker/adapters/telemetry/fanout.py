"""An event sink that passes events to several others."""

from worker.domain.events import Event
from worker.ports import EventSink


class Fanout:
    """An `EventSink` that passes each event to others, in their order."""

    def __init__(self, *sinks: EventSink) -> None:
        self._sinks = sinks

    def emit(self, event: Event) -> None:
        """Pass an event on."""
        for sink in self._sinks:
            sink.emit(event)
