"""Which of the two forms of Prometheus' exposition a scraper is given: text 0.0.4, or OpenMetrics 1.0, which alone has
exemplars. What is scraped is for `metrics`.

The library's own choice fails on a version that is none, and claims any version that it was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_OPENMETRICS: Final = "application/openmetrics-text"
_VERSIONS: Final = ("", "1.0.0")
_TEXT: Final = ("text/plain", "text/*", "*/*")


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The body and its content type, by the field `Accept` of a request."""
    if prefers_openmetrics(accept):
        body = openmetrics_exposition.generate_latest(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types
        return body, openmetrics_exposition.CONTENT_TYPE_LATEST
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_PLAIN_0_0_4


def prefers_openmetrics(accept: str) -> bool:
    """Whether who sends this (RFC 9110, section 12.5.1) takes OpenMetrics 1.0, and text no more gladly."""
    wished = text = 0.0
    for media_range in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in media_range.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        quality = _quality(values.get("q", "1"))
        if kind == _OPENMETRICS and values.get("version", "") in _VERSIONS:
            wished = max(wished, quality)
        elif kind in _TEXT:
            text = max(text, quality)
    return 0 < wished >= text


def _quality(weight: str) -> float:
    """A weight from 0 to 1; what is none counts as not wanted."""
    try:
        return min(float(weight), 1.0)
    except ValueError:
        return 0.0
