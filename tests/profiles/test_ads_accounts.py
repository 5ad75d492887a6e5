"""Ads accounts, managers' accounts and hidden profiles, as a real server lists them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from proxy.profiles.ads_accounts import (
    HIDDEN,
    MAX_PAGES,
    MEDIA_TYPE,
    AdsAccount,
    AlternateId,
    LinkedAccount,
    list_ads_accounts,
    list_hidden_profiles,
    list_linked_accounts,
    parse_ads_accounts,
    parse_manager_accounts,
)
from proxy.profiles.listing import Endpoint, ProfilesUnavailable, Reply
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENTRY = {
    "adsAccountId": "amzn1.ads-account.g.a",
    "accountName": "Acme",
    "status": "PARTIALLY_CREATED",
    "countryCodes": ["US", "DE"],
    "alternateIds": [
        {"countryCode": "US", "entityId": "ENTITY1", "profileId": 9007199254740993},
        {"countryCode": "DE", "entityId": "ENTITY2"},
    ],
    "errors": {"FR": [{"errorCode": "X"}]},
}
KNOWN = AdsAccount(
    "amzn1.ads-account.g.a",
    "Acme",
    "PARTIALLY_CREATED",
    ("US", "DE"),
    (AlternateId("US", "ENTITY1", "9007199254740993"), AlternateId("DE", "ENTITY2", "")),
)


def reply(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode())


def test_only_the_id_of_an_ads_account_is_needed() -> None:
    """Ids beyond 2^53 stay exact; whatever else is missing or of another kind is empty."""
    bare: list[Any] = [
        {"adsAccountId": "b"},
        {"adsAccountId": "c", "accountName": 1, "countryCodes": "US", "alternateIds": [None, {"profileId": "7"}]},
    ]
    accounts, following = parse_ads_accounts(reply({"adsAccounts": [ENTRY, *bare], "nextToken": "t"}))
    assert accounts == (KNOWN, AdsAccount("b"), AdsAccount("c", alternates=(AlternateId("", "", "7"),)))
    assert following == "t"


@pytest.mark.parametrize(
    "entry", [None, 5, {}, {"adsAccountId": None}, {"adsAccountId": "a b"}, {"adsAccountId": "a\r\nX: y"}, {"x": 1}]
)
def test_an_ads_account_without_a_usable_id_is_left_out(entry: object) -> None:
    """The others are taken."""
    assert parse_ads_accounts(reply({"adsAccounts": [entry, ENTRY]})) == ((KNOWN,), "")


@pytest.mark.parametrize("value", [{}, {"adsAccounts": None}, {"adsAccounts": [], "nextToken": 5}])
def test_a_page_may_be_empty(value: object) -> None:
    """An account may have no ads account at a host."""
    assert parse_ads_accounts(reply(value)) == ((), "")


def test_names_that_others_chose_cannot_steer_a_terminal() -> None:
    """Control characters are left out."""
    accounts, _ = parse_ads_accounts(reply({"adsAccounts": [{"adsAccountId": "a", "accountName": "A\x1b[2J"}]}))
    assert accounts[0].name == "A[2J"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Reply(429, b"{}", "7"), "Amazon asks to wait"),
        (Reply(200, b"<html>"), "list of ads accounts is not JSON"),
        (Reply(200, b"[]"), "list of ads accounts is not an object"),
    ],
)
def test_anything_else_is_unavailable(answer: Reply, said: str) -> None:
    """With the words of the list that was asked for."""
    with pytest.raises(ProfilesUnavailable, match=said):
        parse_ads_accounts(answer)


def test_linked_accounts_are_read_from_every_manager() -> None:
    """Of sellers the profile, of DSP advertisers their id; one that names nothing leads nowhere."""
    seller = {"accountId": "ENTITY1", "accountName": "S", "accountType": "SELLER", "profileId": "11"}
    advertiser = {"accountId": "E2", "accountType": "DSP_ADVERTISING_ACCOUNT", "profileId": None, "dspAdvertiserId": 58}
    managers = [
        {"managerAccountId": "m1", "linkedAccounts": [seller, {}, None, seller]},
        {"managerAccountId": None, "linkedAccounts": [advertiser]},
        {"managerAccountId": "m3"},
        None,
    ]
    assert parse_manager_accounts(reply({"managerAccounts": managers})) == (
        LinkedAccount("ENTITY1", "S", "SELLER", "11", "", "m1"),
        LinkedAccount("E2", "", "DSP_ADVERTISING_ACCOUNT", "", "58", ""),
    )
    assert parse_manager_accounts(reply({"managerAccounts": None})) == ()


def test_too_many_linked_accounts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """That list has no pages, so its length is bounded here."""
    monkeypatch.setattr("proxy.profiles.ads_accounts.MAX_LINKED", 2)
    linked = [{"accountId": f"E{number}"} for number in range(3)]
    with pytest.raises(ProfilesUnavailable, match="more than 2 accounts"):
        parse_manager_accounts(reply({"managerAccounts": [{"linkedAccounts": linked}]}))


class Amazon:
    """A server on a real port; `answer` makes its answer of a request and its body, `asked` keeps both."""

    def __init__(self) -> None:
        self.asked: list[tuple[web.BaseRequest, bytes]] = []
        self.answer: Any = None
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request, body))
        return self.answer(request, body)  # type: ignore[no-any-return]  # the script's answer

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, "amzn1.x", 5)


@pytest.fixture
async def amazon() -> AsyncIterator[Amazon]:
    scripted = Amazon()
    runner = web.ServerRunner(web.Server(scripted.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


async def test_ads_accounts_are_read_page_by_page(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """With the vendor's media type, the token and both client ids, without Scope; each account once."""
    pages = {"": {"adsAccounts": [ENTRY], "nextToken": "p|2"}, "p|2": {"adsAccounts": [{"adsAccountId": "b"}, ENTRY]}}
    amazon.answer = lambda _, body: web.json_response(pages[json.loads(body).get("nextToken", "")])
    assert await list_ads_accounts(session, amazon.endpoint, Secret("Atza|t")) == (KNOWN, AdsAccount("b"))
    assert [json.loads(body) for _, body in amazon.asked] == [
        {"maxResults": 100},
        {"maxResults": 100, "nextToken": "p|2"},
    ]
    for request, _ in amazon.asked:
        assert (request.method, request.path_qs) == ("POST", "/adsAccounts/list")
        assert request.headers["Content-Type"] == request.headers["Accept"] == MEDIA_TYPE
        assert request.headers["Authorization"] == "Bearer Atza|t"
        assert request.headers["Amazon-Ads-ClientId"] == "amzn1.x"
        assert "Amazon-Advertising-API-Scope" not in request.headers


async def test_pages_without_end_are_given_up(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """A token that stays the same is an end; ever new ones are not followed beyond a bound."""
    amazon.answer = lambda *_: web.json_response({"adsAccounts": [ENTRY], "nextToken": "same"})
    assert await list_ads_accounts(session, amazon.endpoint, Secret("t")) == (KNOWN,)
    assert len(amazon.asked) == 2
    amazon.answer = lambda *_: web.json_response({"nextToken": str(len(amazon.asked))})
    with pytest.raises(ProfilesUnavailable, match=f"more than {MAX_PAGES} pages"):
        await list_ads_accounts(session, amazon.endpoint, Secret("t"))
    assert len(amazon.asked) == 2 + MAX_PAGES


async def test_managers_are_asked_without_a_body(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """One GET, as that list has no pages, of the vendor's media type."""
    amazon.answer = lambda *_: web.json_response({"managerAccounts": []})
    assert await list_linked_accounts(session, amazon.endpoint, Secret("t")) == ()
    ((request, body),) = amazon.asked
    assert (request.method, request.path_qs, body) == ("GET", "/managerAccounts", b"")
    assert request.headers["Accept"] == "application/vnd.getmanageraccountsresponse.v1+json"


async def test_hidden_profiles_are_asked_for_one_programme_after_the_other(
    amazon: Amazon, session: aiohttp.ClientSession
) -> None:
    """Each profile once; a programme that is not for this login has none and stops nothing."""

    def answer(request: web.BaseRequest, _: bytes) -> web.Response:
        program = request.query.get("apiProgram")
        if program == "store":
            return web.json_response({"code": "403"}, status=403)
        return web.json_response([{"profileId": 1}, *([{"profileId": 2}] if program == "billing" else [])])

    amazon.answer = answer
    found = await list_hidden_profiles(session, amazon.endpoint, Secret("t"))
    assert [profile.id for profile in found] == ["1", "2"]
    assert [request.path_qs for request, _ in amazon.asked] == [f"/v2/profiles{query}" for query in HIDDEN]
    assert len(HIDDEN) == 7


async def test_amazons_wish_to_wait_ends_the_walk(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """Nothing more is asked then."""
    amazon.answer = lambda *_: web.Response(status=429, headers={"Retry-After": "9"})
    with pytest.raises(ProfilesUnavailable) as raised:
        await list_hidden_profiles(session, amazon.endpoint, Secret("t"))
    assert raised.value.retry_after == 9
    assert len(amazon.asked) == 1
