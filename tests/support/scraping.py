"""What a scraper gets of some metrics, whole."""

from __future__ import annotations

from proxy.observability.metrics import Metrics


def scraped(metrics: Metrics, accept: str = "") -> bytes:
    """The body of one scrape."""
    return b"".join(metrics.scrape(accept)[0])
