"""Which form of the exposition an `Accept` gets."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from proxy.observability.exposition import expose, prefers_openmetrics

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; Version=1.0.0", True),
        ("text/plain, application/openmetrics-text", True),
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.5, text/plain", False),
        ("application/openmetrics-text;version=99.0.0", False),
        ("application/openmetrics-text;version=none", False),
        ("application/openmetrics-text;q=much", False),
        ("application/openmetrics-text;q=nan", False),
        (";;,=,;q", False),
    ],
)
def test_the_form_follows_what_a_scraper_accepts(accept: str, openmetrics: bool) -> None:
    """OpenMetrics 1.0 goes to who takes it and likes text no better; what makes no sense gets text."""
    assert prefers_openmetrics(accept) is openmetrics


def test_each_form_says_what_it_is() -> None:
    """The content type names the form, and OpenMetrics ends with its end mark."""
    assert expose(CollectorRegistry(), "application/openmetrics-text;version=1.0.0") == (
        b"# EOF\n",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )
    assert expose(CollectorRegistry(), "*/*") == (b"", "text/plain; version=0.0.4; charset=utf-8")
