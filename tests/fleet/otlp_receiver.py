"""A receiver of traces on the loopback interface: what comes by OTLP over HTTP is read by OpenTelemetry's own schema.

The worker sends protobuf, Triton 2.51 sends JSON, in which ids are hexadecimals and not base64 as protobuf has it.
"""

import base64
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

_PATH = "/v1/traces"
_IDS = frozenset({"traceId", "spanId", "parentSpanId"})


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it came; ids in hexadecimals, `parent` empty for a root, `links` as pairs of trace and span."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    begun_ns: int
    ended_ns: int
    attributes: Mapping[str, object]
    events: Sequence[str]
    links: Sequence[tuple[str, str]]


class OtlpReceiver:
    """Receives traces until it is left; it refuses what is no OTLP over HTTP."""

    def __init__(self) -> None:
        self._spans: list[ReceivedSpan] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """As `LABELWIRE_TRACING__ENDPOINT` takes it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[ReceivedSpan]:
        """Return all that came, in the order of their beginnings."""
        return sorted(self._spans, key=lambda span: span.begun_ns)

    def receive(self, content_type: str, body: bytes) -> bool:
        """Take the body of a request, and say whether its type is one of OTLP's. Raises where it is no export."""
        if content_type == "application/x-protobuf":
            self._take(ExportTraceServiceRequest.FromString(body))
        elif content_type == "application/json":
            document = json.loads(body, object_hook=_with_base64_ids)
            self._take(json_format.ParseDict(document, ExportTraceServiceRequest()))
        else:
            return False
        return True

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = {attribute.key: _value(attribute.value) for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                self._spans += [_span(str(service.get("service.name", "")), span) for span in scope.spans]


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fits = self.path == _PATH and receiver.receive(self.headers["Content-Type"], body)
            self.send_response(HTTPStatus.OK if fits else HTTPStatus.BAD_REQUEST)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    return Handler


def _with_base64_ids(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode() if name in _IDS else value
        for name, value in document.items()
    }


def _span(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        begun_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        attributes={attribute.key: _value(attribute.value) for attribute in span.attributes},
        events=[event.name for event in span.events],
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
    )


def _value(value: AnyValue) -> object:
    chosen = value.WhichOneof("value")
    return None if chosen is None else getattr(value, chosen)
