"""Log lines: structlog, JSON for machines and colors on a terminal; the loggers of libraries join the same stream.

Invariant: nothing that was read off a label, no key and no value of a record is logged.
"""

import logging
import re
from dataclasses import asdict
from typing import Literal

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor

from worker.adapters.telemetry.standard_error import use_nonblocking_stderr
from worker.adapters.telemetry.tracing import trace_ids
from worker.domain import events

_MAX_MESSAGES = 1000
_NAMES: dict[type, tuple[str, str]] = {
    events.JobFinished: ("debug", "job finished"),
    events.JobDeadLettered: ("warning", "job dead-lettered"),
    events.JobRetried: ("warning", "job tried again"),
    events.ReaderCrashed: ("warning", "the reader of a suspect crashed"),
    events.InferenceRetried: ("info", "inference retried"),
    events.CircuitChanged: ("warning", "circuit changed"),
    events.PartitionsChanged: ("info", "partitions changed"),
    events.ReadinessChanged: ("info", "readiness changed"),
    events.DeadLettersWaiting: ("warning", "bad jobs wait for their dead letters"),
    events.CommitFailed: ("warning", "commit failed"),
    events.PositionReset: ("warning", "position reset"),
    events.RolloutChanged: ("warning", "rollout changed"),
    events.CandidateRead: ("debug", "a rollout's candidate read a job"),
    events.CacheCircuitChanged: ("warning", "cache of readings changed"),
    events.CacheRequestFinished: ("warning", "cache of readings asked"),
}


class EventLog:
    """An `EventSink` that writes the events worth a line."""

    def __init__(self) -> None:
        self._logger = structlog.stdlib.get_logger("labelwire")

    def emit(self, event: events.Event) -> None:
        """Log an event."""
        level, name = _NAMES.get(type(event), ("", ""))
        is_quiet = isinstance(event, events.DeadLettersWaiting) and not event.loud
        if is_quiet or (isinstance(event, events.CacheRequestFinished) and not event.rejection):
            level = "debug"
        if not level or not self._logger.isEnabledFor(getattr(logging, level.upper())):
            return
        fields = {key: _plain(value) for key, value in asdict(event).items() if key != "confidences"}
        if isinstance(event, events.JobFinished):
            fields["lines"] = len(event.confidences)
        getattr(self._logger, level)(name, **{k: v for k, v in fields.items() if v is not None})


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, bool | int) or value is None:
        return value
    if type(value) is tuple:  # and no coordinate, which is one with names
        return [str(part) for part in value]
    return str(value)


def _with_trace_ids(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
    """Name the sampled trace that a line belongs to."""
    event_dict.update(trace_ids())
    return event_dict


class _RepeatFilter(logging.Filter):
    """Drops repeated messages: librdkafka logs twice a second while a broker is away, and so does who sends traces."""

    def __init__(self, interval_seconds: float = 30.0) -> None:
        super().__init__()
        self._interval_seconds = interval_seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to log a message; messages that differ in digits only are the same."""
        if not record.name.startswith(("worker.adapters.kafka", "opentelemetry")):
            return True
        message = re.sub(r"\d+", "#", record.getMessage())
        if record.created - self._last.get(message, float("-inf")) < self._interval_seconds:
            return False
        if len(self._last) > _MAX_MESSAGES:
            self._last.clear()
        self._last[message] = record.created
        return True


def configure(level: str, style: Literal["auto", "json", "console"]) -> None:
    """Set up logging for the whole process, on a standard error that never blocks."""
    stream = use_nonblocking_stderr()
    pretty = style == "console" or (style == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace_ids,
    ]
    # A traceback's local variables hold pictures and texts.
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    handler.addFilter(_RepeatFilter())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
