"""Events that are kept for tests."""

from typing import TypeVar

from worker.domain.events import Event

_EventT = TypeVar("_EventT")


class RecordedEvents:
    """An `EventSink` that keeps every event, in order, in `all`."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keep an event."""
        self.all.append(event)

    def of(self, event_type: type[_EventT]) -> list[_EventT]:
        """Return the events of one type."""
        return [event for event in self.all if isinstance(event, event_type)]
