"""Events kept for whoever asks what happened."""

from typing import TypeVar

from worker.domain.events import Event

_Kind = TypeVar("_Kind")


class RecordedEvents:
    """An `EventSink` that keeps every event, in order, in `all`."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep an event."""
        self.all.append(event)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return the events of one kind."""
        return [event for event in self.all if isinstance(event, kind)]
