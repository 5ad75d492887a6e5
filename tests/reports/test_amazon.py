"""What is asked of Amazon and where, and addresses of rows that lead nowhere. Answers are tried in test_answers.py."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, cast

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from proxy.profiles.listing import ListRequest, ListResponse, ProfileSource
from proxy.redaction import Redaction
from proxy.reports.amazon import DownloadFailed, ReportApi
from proxy.reports.templates import PlannedOrder
from tests.reports.reporting import make_report

ORDER = PlannedOrder("11", "na", "2026-10-01", "2026-10-31")


class NoNames(AbstractResolver):
    """Knows no name."""

    async def resolve(self, *_: Any, **__: Any) -> NoReturn:
        raise OSError("unknown")

    async def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    "url",
    [
        *("https://xn--a.amazonaws.com/x", "https://xn--%.amazonaws.com/x", "https://a][::/x", "https://a\\b"),
        *("https://..a.amazonaws.com/x", "https://rows.test/x", "http://127.0.0.1:1/x"),
    ],
)
async def test_rows_at_an_address_that_is_not_amazons_are_not_fetched(url: str, tmp_path: Path) -> None:
    """Whatever it is: the order is given up later, and the others of the run go on."""
    source = ProfileSource("main", "client", {}, pins_first=False)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        api = ReportApi(session, Core(), str, lambda _: source)
        with pytest.raises(DownloadFailed):
            await api.download("main", ORDER, url, tmp_path / "rows", 0)


async def test_without_its_account_no_rows_are_fetched() -> None:
    """A reload may have removed it while its report runs."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        api = ReportApi(session, Core(), str, lambda _: None)
        with pytest.raises(DownloadFailed, match="The account 'main' is not configured any more"):
            await api.download("main", ORDER, "https://rows.test/", Path("unused"), 0)


@dataclass
class Core:
    """Answers each request so, and keeps what it was asked."""

    response: ListResponse = field(default_factory=lambda: ListResponse(500, b""))
    asked: list[tuple[str, ListRequest]] = field(default_factory=list)

    async def send(self, report: str, request: ListRequest) -> ListResponse:
        self.asked.append((report, request))
        return self.response


async def test_orders_and_polls_name_account_and_region_in_front_of_the_path() -> None:
    """And the profile as the Scope: nothing else chooses where they go."""
    core, report = Core(), make_report()
    api = ReportApi(cast(Any, None), core, str, lambda _: None)
    await api.order(report, ORDER)
    await api.poll(report, ORDER, "r-1")
    order, poll = (request for _, request in core.asked)
    assert {name for name, _ in core.asked} == {"sp-daily"}
    assert (order.method, order.target) == ("POST", "/@main/na/reporting/reports")
    assert (poll.method, poll.target) == ("GET", "/@main/na/reporting/reports/r-1")
    assert {request.headers["Amazon-Advertising-API-Scope"] for request in (order, poll)} == {"11"}


async def test_an_access_token_that_amazon_repeats_is_not_shown() -> None:
    """Clients of the report see what Amazon said, and a gateway may repeat what it does not accept."""
    words = "Not a valid pair in Authorization header: 'Bearer Atza|next-token'"
    core = Core(ListResponse(403, json.dumps({"message": words}).encode()))
    api = ReportApi(cast(Any, None), core, Redaction().clean, lambda _: None)
    shown = "Amazon answered 403: Not a valid pair in Authorization header: 'Bearer ***'."
    assert (await api.order(make_report(), ORDER)).words == shown
    assert (await api.poll(make_report(), ORDER, "r-1")).words == shown
