"""The traces of a configuration. What makes them is imported only where they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import __version__
from proxy.errors import ConfigurationError
from proxy.forwarding.tracing import Tracing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from proxy.config import Config
    from proxy.events import Event, Observer
    from proxy.observability.traces import Traces

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
    """What gives requests their spans, if anybody takes them."""
    return Tracing(traces[0], trusts=config.telemetry.trust_traceparent) if traces else None
