"""A receiver of traces over HTTP, which reads what comes with OpenTelemetry's own messages.

Nothing is asserted here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


def values_of(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@dataclass
class Receiver:
    """What came, and the keys that it came with; the first posts are answered with these statuses, all others with 200.

    `location` is where the others are led to."""

    statuses: list[int] = field(default_factory=list)
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    location: str = ""

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def resource(self) -> dict[str, Any]:
        """The resource of the first spans."""
        return values_of(self.requests[0].resource_spans[0].resource.attributes)

    def spans(self, kind: Span.SpanKind.ValueType | None = None) -> list[Span]:
        """The spans of one kind, or all spans, in the order in which they began."""
        found = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
            if kind in (None, span.kind)
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.keys.append(self.headers["Authorization"])
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            if status == 200:
                receiver.paths.append(self.path)
                receiver.bodies.append(body)
            self.send_response(status)
            if status != 200 and receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        yield receiver
        server.shutdown()
        thread.join()
