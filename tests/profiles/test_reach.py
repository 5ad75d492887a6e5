"""Where ads accounts, advertisers and hidden profiles lead, and what is kept of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from proxy.profiles.listing import Endpoint, ListResponse, Profile, ProfilesUnavailable
from proxy.profiles.reach import (
    HIDDEN,
    MAX_PAGES,
    MEDIA_TYPE,
    AdsAccount,
    AlternateId,
    LinkedAccount,
    MergedAdsAccount,
    Reach,
    ReachIndex,
    is_refusal,
    list_ads_accounts,
    list_hidden_profiles,
    list_linked_accounts,
    parse_ads_accounts,
    parse_manager_accounts,
    read_document,
)
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def profile(identifier: str) -> Profile:
    return Profile(identifier, f"Brand {identifier}", "US", "USD", "UTC", "seller", "M", "E")


def ads_account(identifier: str, *countries: str, profiles: dict[str, str] | None = None) -> AdsAccount:
    """An ads account in these countries; `profiles` leads from country to profile."""
    alternates = tuple(AlternateId(country, f"E{country}", each) for country, each in (profiles or {}).items())
    return AdsAccount(identifier, f"Account {identifier}", "CREATED", countries, alternates)


def advertiser(identifier: str, entity: str = "") -> LinkedAccount:
    return LinkedAccount(entity or f"E{identifier}", "D", "DSP_ADVERTISING_ACCOUNT", "", identifier, "m")


def reading(**lists: tuple[object, ...]) -> Reach:
    return Reach("https://x amzn1", **lists)  # type: ignore[arg-type]  # each of its own type


def test_the_profiles_of_an_ads_account_are_known_with_their_regions() -> None:
    """Over all hosts, without repetitions; a country without a profile has an empty one, and a change is seen."""
    index = ReachIndex()
    assert index.ads_account_profiles("both", "acme") == ()
    both = ads_account("both", "US", "MX", profiles={"US": "11", "DE": "21", "NO": "31"})
    index.put("acme", "na", reading(ads_accounts=(both, ads_account("bare"))))
    index.put("acme", "eu", reading(ads_accounts=(both,), linked=(LinkedAccount("E7", "", "SELLER", "41", "", "m"),)))
    index.put("acme", "fe", reading(linked=(advertiser("58"),)))
    assert index.ads_account_profiles("both", "acme") == (
        ("11", "na"),
        ("21", "eu"),
        ("31", "na"),
        ("", "na"),
        ("31", "eu"),
    )
    assert index.ads_account_profiles("E7", "acme") == (("41", "eu"),)
    assert [index.ads_account_profiles(each, "acme") for each in ("bare", "58", "E58", "m")] == [()] * 4
    assert index.ads_account_profiles("both", "zeta") == ()
    index.put("acme", "na", reading(ads_accounts=(ads_account("both", profiles={"US": "12"}),)))
    index.drop("acme", "eu")
    assert index.ads_account_profiles("both", "acme") == (("12", "na"),)
    assert index.ads_account_profiles("E7", "acme") == ()


def test_a_hidden_profile_is_described() -> None:
    """The reading of that account and region has the profile."""
    index = ReachIndex()
    index.put("acme", "na", reading(profiles=(profile("7"), profile("8"))))
    assert index.describe("8", "acme", "na") == profile("8")
    assert [index.describe("8", *key) for key in (("acme", "eu"), ("zeta", "na"))] == [None, None]
    index.put("acme", "na", reading(profiles=(profile("7"),)))
    assert index.describe("8", "acme", "na") is None
    index.drop("acme", "na")
    assert index.describe("7", "acme", "na") is None


def test_an_ads_account_lives_where_its_countries_are() -> None:
    """Whichever host lists it; without a known country it lives where it is listed."""
    index = ReachIndex()
    both = ads_account("both", "US", profiles={"DE": "21"})
    index.put("acme", "na", reading(ads_accounts=(both, AdsAccount("bare"), ads_account("new", "NO"))))
    index.put("acme", "fe", reading(ads_accounts=(both, AdsAccount("bare"))))
    assert index.ads_account_owners("both") == (("acme", "eu"), ("acme", "na"))
    assert index.ads_account_owners("bare") == (("acme", "fe"), ("acme", "na"))
    assert index.ads_account_owners("new") == (("acme", "na"),)
    assert index.ads_account_owners("other") == ()


def test_parts_listed_by_several_hosts_are_one_account() -> None:
    """Merged by id: countries, regions, profiles and entities of all."""
    index = ReachIndex()
    index.put("acme", "na", reading(ads_accounts=(ads_account("a", "US", profiles={"US": "11"}),)))
    index.put("acme", "eu", reading(ads_accounts=(ads_account("a", "DE", profiles={"DE": "21"}),)))
    assert index.snapshot() == (
        MergedAdsAccount(
            "a", "acme", "ads account", "Account a", "CREATED", ("eu", "na"), ("US", "DE"), ("11", "21"), ("EUS", "EDE")
        ),
    )
    assert index.ads_account_owners("a") == (("acme", "eu"), ("acme", "na"))
    assert (index.counts("acme"), index.count("acme")) == ({"na": 1, "eu": 1}, 1)
    index.drop("acme", "eu")
    assert index.ads_account_owners("a") == (("acme", "na"),)
    assert index.owners("21") == ()


def test_advertisers_are_found_by_every_id_that_they_have() -> None:
    """By the DSP advertiser's id and by the linked account's own, in the region of the host that lists them."""
    index = ReachIndex()
    index.put("acme", "eu", reading(linked=(advertiser("58", "ENTITY9"),)))
    assert index.ads_account_owners("58") == index.ads_account_owners("ENTITY9") == (("acme", "eu"),)
    assert index.snapshot("acme") == (MergedAdsAccount("58", "acme", "dsp advertising account", "D", "", ("eu",)),)
    assert index.snapshot("zeta") == ()


def test_managers_are_found_where_they_have_linked_accounts() -> None:
    """In each region whose host lists them; they are no ads account that is shown or counted."""
    index = ReachIndex()
    for region in ("eu", "na"):
        index.put("acme", region, reading(linked=(LinkedAccount("x", "", "SELLER", "1", "", "amzn1.m"),)))
    assert index.ads_account_owners("amzn1.m") == (("acme", "eu"), ("acme", "na"))
    assert (index.snapshot("acme"), index.count("acme")) == ((), 0)


def test_a_profile_is_where_the_best_source_has_it() -> None:
    """A list of profiles knows best, then the country of an ads account's part, then the host of a manager."""
    index = ReachIndex()
    linked = tuple(LinkedAccount("", "", "SELLER", each, "", "m") for each in ("1", "2", "3"))
    parts = ads_account("a", profiles={"DE": "2", "JP": "1", "NO": "4"})
    index.put("acme", "na", reading(profiles=(profile("1"),), ads_accounts=(parts,), linked=linked))
    assert [index.owners(each) for each in "1234"] == [
        (("acme", "na"),),
        (("acme", "eu"),),
        (("acme", "na"),),
        (("acme", "na"),),
    ]


def test_readings_change_nothing_of_other_accounts() -> None:
    """Newly read values are found and removed ones forgotten, for that account alone."""
    index = ReachIndex()
    index.put("acme", "na", reading(ads_accounts=(ads_account("a", "US"), ads_account("b", "US"))))
    index.put("zeta", "na", reading(ads_accounts=(ads_account("b", "US"),)))
    assert index.ads_account_owners("b") == (("acme", "na"), ("zeta", "na"))
    index.put("acme", "na", reading(ads_accounts=(ads_account("c", "US"),)))
    assert index.ads_account_owners("a") == ()
    assert index.ads_account_owners("b") == (("zeta", "na"),)
    assert index.ads_account_owners("c") == (("acme", "na"),)
    index.drop("acme", "na")
    index.drop("acme", "na")
    assert repr(index) == "<ReachIndex: 1 ads accounts and advertisers, 0 profiles in 1 readings>"


def test_a_document_holds_everything() -> None:
    """Through JSON and back."""
    index = ReachIndex()
    whole = reading(
        profiles=(profile("1"),),
        ads_accounts=(ads_account("a", "US", profiles={"US": "11"}), AdsAccount("b")),
        linked=(advertiser("58"),),
    )
    index.put("acme", "na", whole)
    index.put("acme", "eu", reading())
    document = json.loads(json.dumps(index.to_document()))
    assert list(read_document(document)) == [("acme", "na", whole), ("acme", "eu", reading())]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"version": 2, "readings": []},
        {"version": 1},
        {"version": 1, "readings": [None, 5, {}]},
        {
            "version": 1,
            "readings": [
                {"account": "a", "region": "na", "origin": "", "profiles": [], "ads_accounts": [["x"]], "linked": []},
                {"account": "a", "region": "na", "origin": "", "profiles": [[]], "ads_accounts": [], "linked": []},
                {"account": "a", "region": "na", "origin": "", "profiles": [], "ads_accounts": [], "linked": [["x"]]},
            ],
        },
    ],
)
def test_what_cannot_be_read_is_left_out(document: object) -> None:
    """The missing reading will be read again."""
    assert list(read_document(document)) == []


def test_ten_thousand_ads_accounts_of_forty_logins_are_looked_up_at_once() -> None:
    """Taking a reading touches that login's alone; a look-up is one of a dictionary."""
    index = ReachIndex()
    for login in range(40):
        accounts = tuple(ads_account(f"a{login}-{number}", "US") for number in range(250))
        index.put(f"acme{login}", "na", reading(ads_accounts=accounts))
    assert index.ads_account_owners("a39-249") == (("acme39", "na"),)
    assert len(index.snapshot()) == 10_000


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


def response(value: object, status: int = 200) -> ListResponse:
    return ListResponse(status, json.dumps(value).encode())


def test_only_the_id_of_an_ads_account_is_needed() -> None:
    """Ids beyond 2^53 stay exact; whatever else is missing or of another kind is empty."""
    bare: list[Any] = [
        {"adsAccountId": "b"},
        {"adsAccountId": "c", "accountName": 1, "countryCodes": "US", "alternateIds": [None, {"profileId": "7"}]},
    ]
    accounts, following = parse_ads_accounts(response({"adsAccounts": [ENTRY, *bare], "nextToken": "t"}))
    assert accounts == (KNOWN, AdsAccount("b"), AdsAccount("c", alternates=(AlternateId("", "", "7"),)))
    assert following == "t"


def test_the_name_of_the_next_page_may_be_of_any_length() -> None:
    """A list that was cut there would lack ads accounts, and nothing would tell."""
    assert parse_ads_accounts(response({"nextToken": "t" * 100_000})) == ((), "t" * 100_000)


@pytest.mark.parametrize(
    "entry", [None, 5, {}, {"adsAccountId": None}, {"adsAccountId": "a b"}, {"adsAccountId": "a\r\nX: y"}, {"x": 1}]
)
def test_an_ads_account_without_a_usable_id_is_left_out(entry: object) -> None:
    """All other ads accounts are taken."""
    assert parse_ads_accounts(response({"adsAccounts": [entry, ENTRY]})) == ((KNOWN,), "")


@pytest.mark.parametrize("value", [{}, {"adsAccounts": None}, {"adsAccounts": [], "nextToken": 5}])
def test_a_page_may_be_empty(value: object) -> None:
    """An account may have no ads account at a host."""
    assert parse_ads_accounts(response(value)) == ((), "")


def test_names_that_others_chose_cannot_steer_a_terminal() -> None:
    """Control characters are left out."""
    accounts, _ = parse_ads_accounts(response({"adsAccounts": [{"adsAccountId": "a", "accountName": "A\x1b[2J"}]}))
    assert accounts[0].name == "A[2J"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ListResponse(429, b"{}", "7"), "Amazon asks to wait"),
        (ListResponse(200, b"<html>"), "list of ads accounts is not JSON"),
        (ListResponse(200, b"[]"), "list of ads accounts is not an object"),
    ],
)
def test_anything_else_is_unavailable(answer: ListResponse, said: str) -> None:
    """With the words of the list that was asked for."""
    with pytest.raises(ProfilesUnavailable, match=said):
        parse_ads_accounts(answer)


def test_linked_accounts_are_read_from_every_manager() -> None:
    """For sellers the profile is read, for DSP advertisers their id; an entry without either leads nowhere."""
    seller = {"accountId": "ENTITY1", "accountName": "S", "accountType": "SELLER", "profileId": "11"}
    advertiser = {"accountId": "E2", "accountType": "DSP_ADVERTISING_ACCOUNT", "profileId": None, "dspAdvertiserId": 58}
    managers = [
        {"managerAccountId": "m1", "linkedAccounts": [seller, {}, None, seller]},
        {"managerAccountId": None, "linkedAccounts": [advertiser]},
        {"managerAccountId": "m3"},
        None,
    ]
    assert parse_manager_accounts(response({"managerAccounts": managers})) == (
        LinkedAccount("ENTITY1", "S", "SELLER", "11", "", "m1"),
        LinkedAccount("E2", "", "DSP_ADVERTISING_ACCOUNT", "", "58", ""),
    )
    assert parse_manager_accounts(response({"managerAccounts": None})) == ()


def test_too_many_linked_accounts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has no pages, so its length is bounded here."""
    monkeypatch.setattr("proxy.profiles.reach.MAX_LINKED", 2)
    linked = [{"accountId": f"E{number}"} for number in range(3)]
    with pytest.raises(ProfilesUnavailable, match="more than 2 accounts"):
        parse_manager_accounts(response({"managerAccounts": [{"linkedAccounts": linked}]}))


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


def test_some_statuses_refuse_a_list_to_this_login_for_good() -> None:
    """Any other, or no answer at all, may be another the next time."""
    refused = {status for status in (0, *range(100, 600)) if is_refusal(ProfilesUnavailable("no list", status=status))}
    assert refused == {400, 401, 403, 404, 405, 406, 415}


async def test_amazons_wish_to_wait_ends_the_walk(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """Nothing more is asked then."""
    amazon.answer = lambda *_: web.Response(status=429, headers={"Retry-After": "9"})
    with pytest.raises(ProfilesUnavailable) as raised:
        await list_hidden_profiles(session, amazon.endpoint, Secret("t"))
    assert raised.value.retry_after == 9
    assert len(amazon.asked) == 1
