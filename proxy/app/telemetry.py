"""The traces of a configuration. What makes them is imported only where they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import __version__
from proxy.errors import ConfigurationError
from proxy.events import RequestFinished
from proxy.forwarding.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from proxy.app.workers.span_forwarder import SpanTaker
    from proxy.config import Config
    from proxy.events import AttemptEnded, Event, Observer
    from proxy.observability.metrics import Metrics
    from proxy.observability.traces import Traces

_NANOSECONDS = 1_000_000_000
_MISSING = (
    "telemetry.otlp: needs packages that are not installed; install the program as `amazon-ads-proxy[telemetry]` "
    "(docs/how-to/traces.md), or remove telemetry.otlp"
)


def open_traces(
    current: Callable[[], Config], tell: Callable[[Event], None], clean: Callable[[str], str], opened: AsyncExitStack
) -> tuple[Traces, ...]:
    """What makes spans, if a receiver is configured. Starts a thread, which ends with what was `opened`. Raises
    `ConfigurationError`.

    `tell` is called from that thread. `clean` takes secrets out of a text.
    """
    config = current()
    require_extra(config)
    if config.telemetry.otlp is None:
        return ()
    from proxy.observability.traces import Traces, TraceSettings

    def token_url(account: str) -> str:
        """Empty where the account is gone."""
        found = current().accounts.get(account)
        return current().regions[found.region].token_url if found is not None else ""

    scheme = "https" if config.tls else "http"
    traces = Traces(TraceSettings(config.telemetry.otlp, __version__, scheme, token_url), tell, clean)
    opened.push_async_callback(traces.stop)
    return (traces,)


def require_extra(config: Config) -> None:
    """Raises `ConfigurationError` where traces are wanted, and what makes them is not installed."""
    if config.telemetry.otlp is None:
        return
    try:
        import proxy.observability.traces  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise ConfigurationError((_MISSING,)) from error


def tracing_of(config: Config, traces: tuple[Observer, ...]) -> Tracing | None:
    """What gives requests their spans, if anybody takes them: `traces`, or what forwards them to the supervisor."""
    return Tracing(traces[0], trusts=config.telemetry.trust_traceparent) if traces else None


def spans_of_workers(traces: tuple[Traces, ...], metrics: Metrics) -> SpanTaker | None:
    """What takes a worker's spans, and when each ended, in nanoseconds: its trace, and the exemplars. The metrics show
    what becomes of all spans."""
    if not traces:
        return None
    metrics.watch_spans(traces[0].counts)

    def take(event: RequestFinished | AttemptEnded, ended_at: int) -> None:
        traces[0].take(event, ended_at)
        if isinstance(event, RequestFinished):
            metrics.requests.exemplify(event, ended_at / _NANOSECONDS)

    return take
