"""An account that is gone, and addresses of rows that lead nowhere. Answers are tried in test_answers.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import RawTestServer

from proxy.profiles.listing import ProfileSource
from proxy.reports.amazon import DownloadFailed, ReportApi
from proxy.reports.answers import Answer, AnswerKind
from proxy.reports.templates import PlannedOrder, Version3Template
from proxy.secret import Secret
from proxy.tokens.token_rejections import TokenUse
from proxy.tokens.values import AccessToken

OTHER_DATA = "Amazon takes this order for one of report r-1, which need not have the same data."


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
        api = ReportApi(session, cast(Any, None), lambda _: source)
        with pytest.raises(DownloadFailed):
            await api.download("main", ORDER, url, tmp_path / "rows", 0)


async def test_without_its_account_nothing_is_asked() -> None:
    """A reload may have removed it while its report runs: orders, polls and comparisons are refused."""
    order, template = ORDER, Version3Template({"columns": ["date"]})
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        api = ReportApi(session, cast(Any, None), lambda _: None)
        answers = (
            await api.order("main", order, template),
            await api.poll("main", order, template, "r-1"),
            await api.compare("main", order, template, "r-1"),
        )
        with pytest.raises(DownloadFailed, match="The account 'main' is not configured any more"):
            await api.download("main", ORDER, "https://rows.test/", Path("unused"), 0)
    assert {(each.kind, each.words) for each in answers} == {
        (AnswerKind.REFUSED, "The account 'main' is not configured any more.")
    }


class NextTokens:
    """One token, of the application `next`."""

    async def get(self, account: str) -> AccessToken:
        return AccessToken(account, Secret("Atza|next"), 2, 3600.0, "next")


async def test_an_order_is_sent_with_the_client_id_of_its_token() -> None:
    """A reload may put another application in force while the order waits for a token."""
    sent = list[str]()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        sent.append(request.headers["Amazon-Ads-ClientId"])
        return web.json_response({"reportId": "r-1"})

    order, template = PlannedOrder("11", "na", "2026-10-01", "2026-10-31"), Version3Template({"columns": ["date"]})
    async with RawTestServer(answer) as server, aiohttp.ClientSession() as session:
        source = ProfileSource("main", "before", {"na": str(server.make_url("")).rstrip("/")}, pins_first=False)
        await ReportApi(session, cast(Any, NextTokens()), lambda _: source).order("main", order, template)
    assert sent == ["next"]


async def test_an_access_token_that_amazon_repeats_is_not_shown() -> None:
    """Clients of the report see what Amazon said, and a gateway may repeat what it does not accept."""

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        sent = request.headers["Authorization"]
        words = f"Not a valid key=value pair (missing equal-sign) in Authorization header: '{sent}'"
        return web.json_response({"message": words}, status=403)

    order, template = PlannedOrder("11", "na", "2026-10-01", "2026-10-31"), Version3Template({"columns": ["date"]})
    async with RawTestServer(refuse) as server, aiohttp.ClientSession() as session:
        source = ProfileSource("main", "next", {"na": str(server.make_url("")).rstrip("/")}, pins_first=False)
        answer = await ReportApi(session, cast(Any, NextTokens()), lambda _: source).order("main", order, template)
    assert answer.words == (
        "Amazon answered 403: Not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer ***'."
    )


@pytest.mark.parametrize(
    ("details", "renewed"),
    [("Not authorized to access scope 11", []), ("Unauthorized", [TokenUse("named reports", "11")])],
)
async def test_a_401_about_the_scope_is_no_reason_for_another_token(details: str, renewed: list[TokenUse]) -> None:
    """Two profiles without rights would have the account's token taken for dead, which serves all its clients."""
    uses = list[TokenUse]()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"code": "401", "details": details}, status=401)

    class Tokens:
        async def get(self, account: str) -> AccessToken:
            return AccessToken(account, Secret("Atza|1"), 1, 3600.0, "client")

        async def renewed(self, _: AccessToken, use: TokenUse) -> AccessToken | None:
            uses.append(use)
            return None

    order, template = PlannedOrder("11", "na", "2026-10-01", "2026-10-31"), Version3Template({"columns": ["date"]})
    async with RawTestServer(answer) as server, aiohttp.ClientSession() as session:
        source = ProfileSource("main", "client", {"na": str(server.make_url("")).rstrip("/")}, pins_first=False)
        told = await ReportApi(session, Tokens(), lambda _: source).order("main", order, template)
    assert told.kind is AnswerKind.UNAUTHORIZED
    assert uses == renewed


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (429, {"message": "slow"}, Answer(AnswerKind.AGAIN, words="Amazon answered 429: slow.", retry_after=600.0)),
        (503, {}, Answer(AnswerKind.AGAIN, words="Amazon answered 503.", retry_after=600.0)),
        (401, {"message": "no"}, Answer(AnswerKind.UNAUTHORIZED, words="Amazon answered 401: no.")),
        (403, {"message": "no"}, Answer(AnswerKind.REFUSED, words="Amazon answered 403: no.")),
        (404, {}, Answer(AnswerKind.AGAIN, words=OTHER_DATA)),
        (200, {"reportId": "r-1", "status": "PENDING"}, Answer(AnswerKind.AGAIN, words=OTHER_DATA)),
    ],
)
async def test_a_report_that_amazon_does_not_show_is_not_taken_for_one_with_other_data(
    status: int, content: dict[str, str], expected: Answer
) -> None:
    """What Amazon answered decides how long to wait, and whether that helps."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(content, status=status, headers={"Retry-After": "600"})

    class Tokens:
        async def get(self, account: str) -> AccessToken:
            return AccessToken(account, Secret("Atza|1"), 1, 3600.0, "client")

        async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None:
            return None

    order, template = PlannedOrder("11", "na", "2026-10-01", "2026-10-31"), Version3Template({"columns": ["date"]})
    async with RawTestServer(answer) as server, aiohttp.ClientSession() as session:
        source = ProfileSource("main", "client", {"na": str(server.make_url("")).rstrip("/")}, pins_first=False)
        assert await ReportApi(session, Tokens(), lambda _: source).compare("main", order, template, "r-1") == expected
