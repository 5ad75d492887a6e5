"""Spans as a receiver gets them: what they say, whose children they are, and what becomes of them without one."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from proxy.events import (
    AttemptEnded,
    Event,
    RefreshCause,
    RefreshFailed,
    RequestFinished,
    TokenRefreshed,
    TraceDeliveryChanged,
    TraceSpan,
)
from proxy.forwarding.tracing import Tracing
from proxy.observability import traces as module
from proxy.observability.traces import Traces, TraceSettings, WatchedExporter
from tests.support.events import EventRecorder
from tests.support.otlp import CLIENT, SERVER, Receiver, receiving, values_of
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, answering

SPAN, TRIED = TraceSpan(0xABC, 1, 0), TraceSpan(0xABC, 2, 1)
SERVED = RequestFinished(
    request_id="r-1",
    client="nightly",
    account="acme",
    region="na",
    method="POST",
    path="/sp/campaigns/secret-word/list",
    status=200,
    amazon_request_id="amzn-1",
    bytes_in=9,
    bytes_out=9,
    duration=0.5,
    upstream=0.4,
    overhead=0.001,
    attempts=1,
    refusal="",
    detail="",
    fault="",
    profile="4711",
    operation="ListCampaigns",
    span=SPAN,
)
ATTEMPT = AttemptEnded(
    TRIED, 1, "api.example.com:443", "nightly", "acme", "POST", "/sp/campaigns/list", "ListCampaigns", 200, "", 0.25
)
GRANTED = TokenRefreshed("acme", 2, 0.125, 0.0, RefreshCause.AHEAD)
FAILED = RefreshFailed("acme", "invalid_grant", True, "", "", 0.125, 60.0, None)


def traces(receiver: Receiver, tell: Callable[[Event], object] = lambda event: None) -> Traces:
    settings = TraceSettings(receiver.url, "1.2", "http", lambda account: f"https://login.example/{account}/token")
    return Traces(settings, tell, lambda text: text.replace("secret-word", "***"))


async def sent(*events: Event) -> Receiver:
    """What a receiver has once these are told and all is sent."""
    with receiving() as receiver:
        observer = traces(receiver)
        for event in events:
            observer.observe(event)
        await observer.stop()
    return receiver


async def test_a_request_and_its_try_are_parent_and_child() -> None:
    """The two belong to one trace, a server's and a client's span, under the ids of the event, each with its
    duration."""
    receiver = await sent(ATTEMPT, SERVED)
    (server,), (client,) = receiver.spans(SERVER), receiver.spans(CLIENT)
    assert server.trace_id == client.trace_id == (0xABC).to_bytes(16, "big")
    assert (server.span_id, server.parent_span_id) == ((1).to_bytes(8, "big"), b"")
    assert (client.span_id, client.parent_span_id) == ((2).to_bytes(8, "big"), (1).to_bytes(8, "big"))
    assert server.end_time_unix_nano - server.start_time_unix_nano == 500_000_000
    assert client.end_time_unix_nano - client.start_time_unix_nano == 250_000_000
    assert abs(server.end_time_unix_nano - time.time_ns()) < 60_000_000_000
    assert receiver.paths == ["/v1/traces"]
    assert receiver.resource["service.name"] == "ads-proxy"


async def test_what_a_span_says_of_a_request() -> None:
    """OpenTelemetry's names for HTTP, and ours; no profile, and a path without secrets."""
    (span,) = (await sent(SERVED)).spans()
    assert span.name == "POST ListCampaigns"
    assert values_of(span.attributes) == {
        "http.request.method": "POST",
        "url.path": "/sp/campaigns/***/list",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "ads_proxy.account": "acme",
        "ads_proxy.client": "nightly",
        "ads_proxy.operation": "ListCampaigns",
        "ads_proxy.request_id": "r-1",
        "ads_proxy.amazon_request_id": "amzn-1",
    }


async def test_what_a_span_says_of_a_try() -> None:
    """Where it went, and which one it was unless it was the first."""
    first, second = (await sent(replace(ATTEMPT, duration=1.0), replace(ATTEMPT, number=2))).spans()
    common = {
        "http.request.method": "POST",
        "url.path": "/sp/campaigns/list",
        "http.response.status_code": 200,
        "server.address": "api.example.com",
        "server.port": 443,
        "ads_proxy.account": "acme",
        "ads_proxy.client": "nightly",
        "ads_proxy.operation": "ListCampaigns",
    }
    assert values_of(first.attributes) == common
    assert values_of(second.attributes) == {**common, "http.request.resend_count": 1}


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (SERVED, ""),
        (replace(SERVED, status=404, refusal="no-such-account"), ""),
        (replace(SERVED, status=503, refusal="no-token"), "no-token"),
        (replace(SERVED, status=500), "500"),
        (replace(SERVED, status=0, fault="client-gone"), "client-gone"),
        (replace(SERVED, fault="upstream-died"), "upstream-died"),
        (ATTEMPT, ""),
        (replace(ATTEMPT, status=401), "401"),
        (replace(ATTEMPT, status=0, fault="upstream-timeout"), "upstream-timeout"),
        (GRANTED, ""),
        (FAILED, "invalid_grant"),
    ],
)
async def test_what_counts_as_an_error(event: Event, error: str) -> None:
    """A server's span from 500 on, a client's from 400 on, and whatever broke."""
    (span,) = (await sent(event)).spans()
    assert values_of(span.attributes).get("error.type", "") == error
    assert span.status.code == (Status.STATUS_CODE_ERROR if error else Status.STATUS_CODE_UNSET)


async def test_a_refresh_is_a_trace_of_its_own() -> None:
    """The trace says for which account it was, where it went, and why."""
    granted, failed = (await sent(replace(GRANTED, duration=1.0), FAILED)).spans(CLIENT)
    assert granted.parent_span_id == failed.parent_span_id == b""
    assert granted.trace_id != failed.trace_id
    assert values_of(granted.attributes) == {
        "http.request.method": "POST",
        "url.path": "/acme/token",
        "http.response.status_code": 200,
        "server.address": "login.example",
        "server.port": 443,
        "ads_proxy.account": "acme",
        "ads_proxy.refresh_cause": "ahead",
    }


async def test_a_method_that_nobody_knows_has_opentelemetrys_name() -> None:
    """An unknown request is still a span."""
    (span,) = (await sent(replace(SERVED, method="other", operation="unknown"))).spans()
    assert span.name == "HTTP"
    assert values_of(span.attributes)["http.request.method"] == "_OTHER"


async def test_what_nobody_keeps_is_not_sent() -> None:
    """Neither spans whose parent is not kept nor requests without a span are sent."""
    dropped = replace(SPAN, sampled=False)
    receiver = await sent(replace(SERVED, span=dropped), replace(ATTEMPT, span=dropped), replace(SERVED, span=None))
    assert receiver.bodies == []


async def test_a_replay_comes_as_two_tries_of_one_request(running: Running) -> None:
    """Through the proxy: a token that is refused, and the one after it. Ends are read from the wall clock, and how long
    each took is measured by the other one: starts, of which both have a part, are not compared.
    """
    with receiving() as receiver:
        observer = traces(receiver)
        async with running(answering(UNAUTHORIZED, HELLO)) as bench:
            bench.accounting.tracing = Tracing(observer, trusts=False)
            bench.apply()
            assert (await bench.ask(GET)).status == 200
            observer.observe(await bench.events.last())
        await observer.stop()
    (server,), (first, second) = receiver.spans(SERVER), receiver.spans(CLIENT)
    assert {first.parent_span_id, second.parent_span_id} == {server.span_id}
    assert [values_of(each.attributes)["http.response.status_code"] for each in (first, second)] == [401, 200]
    assert first.end_time_unix_nano <= second.end_time_unix_nano <= server.end_time_unix_nano
    whole, *tries = (span.end_time_unix_nano - span.start_time_unix_nano for span in (server, first, second))
    assert min(tries) >= 0
    assert sum(tries) <= whole + 2  # each is rounded to a nanosecond


async def test_a_receiver_that_fails_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it answered; and when it takes spans again. Each span is counted by what became of it."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    heard, loop = EventRecorder(), asyncio.get_running_loop()
    with receiving(400) as receiver:
        observer = traces(receiver, lambda event: loop.call_soon_threadsafe(heard.observe, event))
        for count in (1, 2):
            observer.observe(SERVED)
            await heard.until(lambda count=count: len(heard.events) == count)  # type: ignore[misc]  # not inferred: it has a default
        await observer.stop()
    assert observer.counts() == {"made": 2, "sent": 1, "refused": 1}
    failing, working = heard.of(TraceDeliveryChanged)
    assert failing.failing
    assert "400" in failing.detail or "Bad Request" in failing.detail
    assert working == TraceDeliveryChanged(False, "")


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the receiver gets spans."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert len((await sent(SERVED)).spans()) == 1


class Scripted(SpanExporter):
    """Sends nothing, and says what it is told to; an exception is raised."""

    def __init__(self, *results: SpanExportResult | Exception) -> None:
        self.results = list(results)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def test_only_a_change_is_told() -> None:
    """Neither each failure, of whatever kind, nor each success is reported."""
    good, bad = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    told: list[bool] = []
    exporter = WatchedExporter(Scripted(good, bad, bad, OSError(), good, good, OSError()), told.append)
    assert repr(exporter) == "<WatchedExporter: working>"
    results = [exporter.export(()) for _ in range(7)]
    assert results == [good, bad, bad, bad, good, good, bad]
    assert told == [True, False, True]
    assert repr(exporter) == "<WatchedExporter: failing>"


async def test_what_makes_spans_says_where_they_go() -> None:
    """No more of the address than its host."""
    settings = TraceSettings("http://u:p@127.0.0.1:9/v1/traces?k=v", "1", "http", lambda account: "")
    observer = Traces(settings, lambda event: None, str)
    assert repr(observer) == "<Traces to 127.0.0.1>"
    await observer.stop()


class Stuck(SpanExporter):
    """Sends until it is told to go on, and then logs as the library does."""

    def __init__(self) -> None:
        self.goes_on, self.logged = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.goes_on.wait(PATIENCE)
        logging.getLogger("opentelemetry.exporter").error("Failed to export spans.")
        self.logged.set()
        return SpanExportResult.FAILURE


async def test_a_stop_that_does_not_wait_leaves_no_line_of_the_library(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it logs later would stand between the lines of the log."""
    monkeypatch.setattr(module, "_STOP_TIMEOUT", 0.0)
    monkeypatch.setattr(logging.getLogger("opentelemetry"), "handlers", [])  # those of other tests
    settings = TraceSettings("http://127.0.0.1:9/v1/traces", "1", "http", lambda account: "")
    stuck = Stuck()
    observer = Traces(settings, lambda event: None, str, stuck)
    observer.observe(SERVED)
    await observer.stop()
    stuck.goes_on.set()
    assert await asyncio.to_thread(stuck.logged.wait, PATIENCE)
    assert capfd.readouterr() == ("", "")
