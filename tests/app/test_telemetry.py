"""Traces of a configuration: nothing of them where they are off, and a clear word where they cannot be had."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from proxy.app.program import Program
from proxy.app.telemetry import open_traces, tracing_of
from proxy.commands.check import check_accounts
from proxy.config import Config
from proxy.errors import ConfigurationError
from tests.app.test_program import configured
from tests.support.programs import ROOT

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
