"""Traces of a configuration: nothing of them where they are off, and a clear word where they cannot be had."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.app.program import Program
from proxy.app.telemetry import open_traces, spans_of_workers, tracing_of
from proxy.commands.check import check_accounts
from proxy.config import Config
from proxy.errors import ConfigurationError
from proxy.events import CounterRaised
from proxy.observability.metrics import Metrics
from tests.app.test_program import configured
from tests.observability.test_traces import ATTEMPT, SERVED
from tests.support.programs import ROOT
from tests.support.scraping import scraped

RECEIVER = "http://127.0.0.1:9/v1/traces"


def test_what_is_off_is_not_imported() -> None:
    """The whole program is made, and no module of the extra's is there."""
    code = (
        "import sys; from tests.app.test_program import configured; from proxy.app.program import Program;"
        "program = Program(configured()); print(program.accounting.tracing, "
        "[name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "[]"]


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `pip install amazon-ads-proxy` gives."""
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "proxy.observability.traces"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)


@pytest.mark.parametrize("use", [Program, check_accounts], ids=["serve", "check"])
def test_without_the_extra_it_is_said_what_to_install(without_the_extra: None, use: Callable[[Config], object]) -> None:
    """At the start and by `check`: the error names the key and what to do."""
    with pytest.raises(ConfigurationError, match=r"^telemetry\.otlp: .*amazon-ads-proxy\[telemetry\]"):
        use(configured(telemetry__otlp=RECEIVER))


def test_the_whole_address_is_asked_for() -> None:
    """A receiver without a path is no receiver."""
    with pytest.raises(ConfigurationError, match=r"^telemetry\.otlp: has no path"):
        configured(telemetry__otlp="http://127.0.0.1:4318")


async def test_with_it_every_request_has_a_span() -> None:
    """The program gives spans to the requests that it forwards."""
    program = Program(configured(telemetry__otlp=RECEIVER, telemetry__trust_traceparent="true"))
    await program.start()
    assert repr(program.accounting.tracing) == "<Tracing: the parents that tools name>"
    await program.stop()


def test_off_there_is_nothing() -> None:
    """There are neither an observer nor spans."""
    config = configured()
    assert open_traces(lambda: config, lambda event: None, str, AsyncExitStack()) == ()
    assert tracing_of(config, ()) is None


def test_spans_of_workers_are_sent_and_stand_for_their_buckets() -> None:
    """An attempt is a span, and a request an exemplar as well; all are counted, and with traces off no code takes
    them."""
    taken: list[tuple[object, int]] = []
    metrics = Metrics("1")
    counts = {"made": 7, "sent": 4, "refused": 1}
    traces: Any = SimpleNamespace(take=lambda *what: taken.append(what), counts=lambda: counts)
    take = spans_of_workers((traces,), metrics)
    assert take is not None
    take(ATTEMPT, 5)
    assert b"trace_id" not in scraped(metrics, "application/openmetrics-text")
    take(SERVED, 6_500_000_000)
    assert taken == [(ATTEMPT, 5), (SERVED, 6_500_000_000)]
    assert b'{span_id="0000000000000001",trace_id="00000000000000000000000000000abc"} 0.5 6.5' in (
        scraped(metrics, "application/openmetrics-text")
    )
    metrics.observe(CounterRaised("trace_spans_total", ("dropped",), 2))
    shown = re.findall(r'trace_spans_total{result="(\w+)"} (\S+)', scraped(metrics, "").decode())
    assert dict(shown) == {"made": "7.0", "sent": "4.0", "refused": "1.0", "dropped": "2.0"}
    assert spans_of_workers((), metrics) is None
