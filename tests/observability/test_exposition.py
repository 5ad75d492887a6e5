"""Which form of the exposition an `Accept` gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from prometheus_client import exposition as library
from prometheus_client import parser as library_parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics_library
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.registry import Collector

from proxy import events
from proxy.observability.exposition import form_of, prefers_openmetrics
from proxy.observability.instruments import Instrument, InstrumentKind, Table
from proxy.observability.metrics import Metrics
from tests.observability.test_metrics import finished
from tests.support.scraping import scraped

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
    openmetrics, text = form_of("application/openmetrics-text;version=1.0.0"), form_of("*/*")
    assert openmetrics.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert openmetrics.end == b"# EOF\n"
    assert (text.content_type, text.end) == ("text/plain; version=0.0.4; charset=utf-8", b"")


def busy() -> Metrics:
    """Metrics in which every instrument was used, with series that came in no order and some that are gone."""
    metrics = Metrics("1.2", wall=lambda: 1_000.5)
    metrics.accounts(f"acct-{number}" for number in range(70))
    for number in range(0, 70, 3):
        account = f"acct-{number}"
        metrics.observe(events.TokenRefreshed(account, 1, 0.1 * number, 1_790_000_000.25, events.RefreshCause.START))
        metrics.observe(events.RefreshFailed(account, "network", False, "", "", 0.3, 5.0, None))
        metrics.observe(finished(account=account, status=200 + number, duration=0.01 * number))
    for region in ("fe", "na"):
        for number in range(70):
            metrics.observe(events.ProfilesListed(f"acct-{number}", region, number * 1_000_000))
    metrics.client_keys({'odd "name"': 1_800_000_000.0, "back\\slash": 2.0, "line\nbreak": 3.0})
    metrics.accounts(f"acct-{number}" for number in range(5, 80) if number != 7)
    return metrics


def of_the_program(text: bytes) -> list[bytes]:
    """The lines but for those of the process, which change by themselves."""
    return [line for line in text.splitlines(keepends=True) if b"process_" not in line]


class Read(Collector):
    """What the library reads in a text."""

    def __init__(self, text: bytes, parse: Callable[[str], Iterable[Metric]]) -> None:
        self._families = [*parse(text.decode())]

    def collect(self) -> Iterable[Metric]:
        return self._families


@pytest.mark.parametrize(
    ("accept", "parse", "write"),
    [
        ("", library_parser.text_string_to_metric_families, library.generate_latest),
        (
            "application/openmetrics-text",
            openmetrics_parser.text_string_to_metric_families,
            openmetrics_library.generate_latest,
        ),
    ],
)
def test_the_text_is_the_librarys_byte_for_byte(
    accept: str, parse: Callable[[str], Iterable[Metric]], write: Callable[[Collector], bytes]
) -> None:
    """What prometheus-client reads in a scrape, it writes as it was, whatever was kept of an earlier scrape."""
    metrics = busy()
    for _ in range(2):
        text = scraped(metrics, accept)
        assert write(Read(text, parse)) == text
        change(metrics)


def test_no_text_of_an_earlier_scrape_is_kept_too_long() -> None:
    """A scrape says the same, whether or not others came before the last changes."""
    scraped_often, scraped_once = busy(), busy()
    for _ in range(2):
        scraped(scraped_often)
        change(scraped_often)
        change(scraped_once)
    assert of_the_program(scraped(scraped_often)) == of_the_program(scraped(scraped_once))


def change(metrics: Metrics) -> None:
    """Some series are gone, some new, and some other."""
    metrics.accounts([*(f"acct-{number}" for number in range(40, 80)), "acct-1"])
    metrics.observe(events.TokenRefreshed("acct-50", 2, 7.0, 1_790_000_001.0, events.RefreshCause.AHEAD))
    metrics.observe(events.CredentialStateChanged("acct-60", "pending", "valid"))


def test_a_scrape_that_is_under_way_survives_what_changes() -> None:
    """Series begin and end between two pieces: each line is whole, and the next scrape has the truth."""
    metrics = busy()
    pieces, _ = metrics.scrape("")
    whole = b""
    for count, piece in enumerate(pieces):
        whole += piece
        if count % 50 == 0:
            metrics.accounts(f"acct-{number}" for number in range(count % 30, 60 + count % 40))
    assert whole.endswith(b"\n")
    assert scraped(metrics).count(b"# TYPE ads_proxy_profiles gauge") == 1


def test_only_what_changed_is_written_again() -> None:
    """One of a thousand series changes: the other blocks are the same object as before, and not only an equal text."""
    table = Table(Instrument(InstrumentKind.GAUGE, "x", "X.", ("account",)))
    for number in range(1000):
        table.put(f"acct-{number}", value=1.0)
    before = [*table.lines()]
    table.put("acct-500", value=2.0)
    after = [*table.lines()]
    assert [old is new for old, new in zip(before, after, strict=True)].count(False) == 1
    assert b'ads_proxy_x{account="acct-500"} 2.0\n' in b"".join(after)
