"""Spans for OpenTelemetry, made of events after the fact, and sent by OTLP over HTTP from a thread of the SDK's.

Only imported where traces are wanted: it needs the extra `telemetry`. The names of attributes are OpenTelemetry's for
HTTP, and `ads_proxy.*`; a query, a profile, a body or a secret is never among the values. At most 2048 spans wait; what
comes beyond takes the place of the oldest, and nothing ever waits for a receiver.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from proxy.events import (
    UNKNOWN,
    AttemptEnded,
    Event,
    RefreshFailed,
    RequestFinished,
    TokenRefreshed,
    TraceDeliveryChanged,
    TraceSpan,
)
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_SERVICE = "ads-proxy"
_LIBRARY = "opentelemetry"
_SEND_TIMEOUT = 5.0
_STOP_TIMEOUT = 3.0
_NANOSECONDS = 1_000_000_000
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_UNNAMED = {"other": "_OTHER"}
"""OpenTelemetry's name for a method that is none of those known."""

Attributes = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """`receiver` is a URL. `token_url` gives an account's token endpoint. `scheme` is that of the client listener."""

    receiver: str
    version: str
    scheme: str
    token_url: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A span to be: `error` is empty where all went well."""

    name: str
    kind: SpanKind
    attributes: Attributes
    duration: float
    error: str


class PresetIds(IdGenerator):
    """Gives the ids that are set, as they were told to others before; random ones where there are none."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.span: TraceSpan | None = None

    def generate_span_id(self) -> int:
        return self.span.span_id if self.span is not None else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return self.span.trace_id if self.span is not None else self._random.generate_trace_id()


class _LibraryErrors(logging.Handler):
    """Keeps what the library logged last, and lets nothing of it into the log: each failure would be a line."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


class WatchedExporter(SpanExporter):
    """Sends with another exporter, and tells when that begins to fail, and when it works again. In a thread."""

    def __init__(self, exporter: SpanExporter, tell: Callable[[bool], None]) -> None:
        self._exporter = exporter
        self._tell = tell
        self._failing = False
        self.sent = self.refused = 0

    def __repr__(self) -> str:
        return f"<WatchedExporter: {'failing' if self._failing else 'working'}>"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - of whatever kind, it is a failure to send
            result = SpanExportResult.FAILURE
        failing = result is not SpanExportResult.SUCCESS
        if failing:
            self.refused += len(spans)
        else:
            self.sent += len(spans)
        if failing is not self._failing:
            self._failing = failing
            self._tell(failing)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Traces:
    """An observer that makes spans. `tell` may be called in another thread; `clean` takes secrets out of a text.

    `exporter` sends, if not by OTLP.
    """

    def __init__(
        self,
        settings: TraceSettings,
        tell: Callable[[Event], object],
        clean: Callable[[str], str],
        exporter: SpanExporter | None = None,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._clean = clean
        self._said = _LibraryErrors()
        library = logging.getLogger(_LIBRARY)
        library.addHandler(self._said)
        library.propagate = False
        service = {"service.name": _SERVICE, "service.version": settings.version}
        self._ids = PresetIds()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(service).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        sender = exporter or _sender(settings.receiver)
        self._exporter, self._made = WatchedExporter(sender, self._delivery_changed), 0
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer(_SERVICE, settings.version)

    def __repr__(self) -> str:
        return f"<Traces to {urlsplit(self._settings.receiver).hostname}>"

    def observe(self, event: Event) -> None:
        ended_at = time.time_ns()
        if isinstance(event, RequestFinished):
            if event.span is not None:
                self._add(event.span, served(event, self._settings.scheme, self._clean), ended_at)
        elif isinstance(event, AttemptEnded):
            self._add(event.span, tried(event, self._clean), ended_at)
        elif isinstance(event, TokenRefreshed | RefreshFailed):
            self._add(None, refreshed(event, self._settings.token_url(event.account)), ended_at)

    def counts(self) -> dict[str, int]:
        """Spans since the start: those made, and of those the ones that the receiver took, and that it did not take.
        The others wait, or others have taken their places."""
        return {"made": self._made, "sent": self._exporter.sent, "refused": self._exporter.refused}

    async def stop(self) -> None:
        """Send what waits, for a few seconds at most."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            logging.getLogger(_LIBRARY).removeHandler(self._said)  # not before: logging would print what comes
            with contextlib.suppress(RuntimeError):  # it is no longer awaited
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, name="stop traces", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _STOP_TIMEOUT)

    def _add(self, span: TraceSpan | None, work: FinishedSpan, end: int) -> None:
        """Make a span that has ended."""
        if span is not None and not span.sampled:
            return
        self._ids.span = span
        made = self._tracer.start_span(
            work.name,
            context=_under(span, remote=work.kind is SpanKind.SERVER),
            kind=work.kind,
            attributes=work.attributes,
            start_time=end - round(work.duration * _NANOSECONDS),
        )
        if work.error:
            made.set_attribute("error.type", work.error)
            made.set_status(Status(StatusCode.ERROR))
        made.end(end)
        self._made += 1

    def _delivery_changed(self, failing: bool) -> None:
        detail = self._clean(self._said.text) if failing else ""
        self._tell(TraceDeliveryChanged(failing, detail))


def _sender(receiver: str) -> SpanExporter:
    """Sends by OTLP, to this address alone: proxies and passwords of the environment are of no concern to it."""
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    return OTLPSpanExporter(endpoint=receiver, timeout=_SEND_TIMEOUT, session=session)


def _under(span: TraceSpan | None, *, remote: bool) -> Context:
    """The context of the span that a span has as its parent; an empty one where it has none."""
    if span is None or not span.parent_id:
        return Context()
    parent = SpanContext(span.trace_id, span.parent_id, remote, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(parent), Context())


# --- the attributes of each: pure ---------------------------------------------------------------------------------


def served(event: RequestFinished, scheme: str, clean: Callable[[str], str]) -> FinishedSpan:
    """A request, as its tool saw it: it failed where the proxy or Amazon did, or where it could not be answered."""
    status, said = event.status, event.fault or event.refusal
    failed = bool(event.fault) or status >= _SERVER_ERROR or not status
    return FinishedSpan(
        name=_name(event.method, event.operation),
        kind=SpanKind.SERVER,
        attributes=_present(
            {
                **_request(event.method, clean(event.path), status),
                "url.scheme": scheme,
                **_owner(event.account, event.client, event.operation),
                "ads_proxy.request_id": clean(event.request_id),
                "ads_proxy.amazon_request_id": clean(event.amazon_request_id),
            }
        ),
        duration=event.duration,
        error=(said or str(status)) if failed else "",
    )


def tried(event: AttemptEnded, clean: Callable[[str], str]) -> FinishedSpan:
    """One try at Amazon: it failed where its response is an error, or is not whole."""
    host, _, port = event.host.rpartition(":")
    failed = bool(event.fault) or event.status >= _CLIENT_ERROR
    return FinishedSpan(
        name=_name(event.method, event.operation),
        kind=SpanKind.CLIENT,
        attributes=_present(
            {
                **_request(event.method, clean(event.path), event.status),
                "server.address": host,
                "server.port": int(port),
                "http.request.resend_count": event.number - 1,
                **_owner(event.account, event.client, event.operation),
            }
        ),
        duration=event.duration,
        error=(event.fault or str(event.status)) if failed else "",
    )


def refreshed(event: TokenRefreshed | RefreshFailed, token_url: str) -> FinishedSpan:
    """A token request, which belongs to no request of a client: many may wait for one."""
    address, granted = urlsplit(token_url), isinstance(event, TokenRefreshed)
    default = 443 if address.scheme == "https" else 80
    return FinishedSpan(
        name="POST refresh token",
        kind=SpanKind.CLIENT,
        attributes=_present(
            {
                **_request("POST", address.path, 200 if granted else 0),
                "server.address": address.hostname or "",
                "server.port": (address.port or default) if address.hostname else 0,
                "ads_proxy.account": event.account,
                "ads_proxy.refresh_cause": event.trigger.value if isinstance(event, TokenRefreshed) else "",
            }
        ),
        duration=event.duration,
        error=event.reason if isinstance(event, RefreshFailed) else "",
    )


def _name(method: str, operation: str) -> str:
    shown = "HTTP" if method in _UNNAMED else method
    return shown if operation == UNKNOWN else f"{shown} {operation}"


def _request(method: str, path: str, status: int) -> Attributes:
    return {
        "http.request.method": _UNNAMED.get(method, method),
        "url.path": path,
        "http.response.status_code": status,
    }


def _owner(account: str, client: str, operation: str) -> Attributes:
    return {"ads_proxy.account": account, "ads_proxy.client": client, "ads_proxy.operation": operation}


def _present(attributes: Mapping[str, Any]) -> Attributes:
    """The values that are neither empty nor 0, which mean none."""
    return {name: value for name, value in attributes.items() if value}
