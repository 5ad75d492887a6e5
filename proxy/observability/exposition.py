"""Which of the two forms of Prometheus' exposition a scraper is given: text 0.0.4, or OpenMetrics 1.0, which alone has
exemplars. What is scraped is for `metrics`.

The library's own choice fails on a version that is none, and claims any version that it was asked for.

The library brings a web server along, and is a twentieth of a start. So `observability` imports it within functions,
which the first scrape calls.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

_OPENMETRICS: Final = "application/openmetrics-text"
_VERSIONS: Final = ("", "1.0.0")
_TEXT: Final = ("text/plain", "text/*", "*/*")


@dataclass(frozen=True, slots=True)
class ExpositionFormat:
    """One of the two, by the name that its answers have. `end` closes them."""

    content_type: str
    end: bytes

    def text_of(self, *families: Metric) -> bytes:
        """What a scraper gets of these, as the library writes it."""
        from prometheus_client import exposition
        from prometheus_client.openmetrics import exposition as openmetrics_exposition

        given = cast("Collector", _CollectedFamilies(families))
        if not self.end:
            return exposition.generate_latest(given)
        body = openmetrics_exposition.generate_latest(given)  # type: ignore[no-untyped-call]  # prometheus_client has no types
        return bytes(body).removesuffix(self.end)


TEXT: Final = ExpositionFormat("text/plain; version=0.0.4; charset=utf-8", b"")
OPENMETRICS: Final = ExpositionFormat("application/openmetrics-text; version=1.0.0; charset=utf-8", b"# EOF\n")


def form_of(accept: str) -> ExpositionFormat:
    """The form that the field `Accept` of a request asks for."""
    return OPENMETRICS if prefers_openmetrics(accept) else TEXT


class _CollectedFamilies:
    """Families that were collected before; a `Collector` of the library."""

    def __init__(self, families: tuple[Metric, ...]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class SampleLine:
    """A sample of one name as a line. Both forms have the same, and the library takes ten times as long for it."""

    __slots__ = ("_order", "_template")

    def __init__(self, name: str, labels: tuple[str, ...]) -> None:
        self._order = sorted(range(len(labels)), key=labels.__getitem__)
        named = ",".join(f'{labels[at]}="%s"' for at in self._order)
        self._template = f"{name}{{{named}}} %s\n" if labels else f"{name} %s\n"

    def __call__(self, labels: tuple[str, ...], value: float) -> str:
        return self._template % (*[_escaped(labels[at]) for at in self._order], _number(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@lru_cache(maxsize=4096)
def _number(value: float) -> str:
    """Most numbers are zero, one or a small count."""
    from prometheus_client.utils import floatToGoString

    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # prometheus_client has no types


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
