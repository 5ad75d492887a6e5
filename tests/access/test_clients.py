"""Who calls, and what they may do."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, ClientIdentity, Clients
from proxy.access.placeholders import LIFETIME
from proxy.app.rules import make_clients
from proxy.config.model.clients import Client
from proxy.errors import BudgetSpent, ClientUnknown, NotPermitted, PlaceholderRejected
from proxy.http1.message import Request
from proxy.routing.api import ADS_API
from proxy.routing.route import Route
from proxy.routing.table import ClientScope
from tests.support.deciding import config, fields, request, screened

SIGNING = b"s" * 32
NOW = 1_000_000.0


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def client(name: str, **limits: Any) -> Client:
    return Client(name=name, key_sha256=digest(f"key-of-{name}"), **limits)


def clients(*configured: Client, budgets: Budgets | None = None) -> Clients:
    return make_clients(config({"acme": {}, "zeta": {}}, clients=configured), SIGNING, budgets or Budgets())


NOBODYS = clients()
KEYED = clients(client("reporting", accounts=("acme",)), client("bidder"))


# --- who


def test_without_clients_every_request_is_anonymous() -> None:
    """The credentials that a client sends are ignored."""
    credentials: tuple[dict[str, Any], ...] = (
        {},
        {"authorization": b"Bearer Atza|of-amazon"},
        {"proxy_key": b"x"},
        {"authorization": b"Basic eDp5"},
    )
    for sent in credentials:
        identity = NOBODYS.identify(fields(**sent), NOW)
        assert (identity.name, identity.policy, identity.scope, identity.has_key) == (
            "anonymous",
            None,
            ClientScope(),
            False,
        )
    assert not NOBODYS.exist
    assert NOBODYS.nobody.name == "anonymous"


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": b"Bearer key-of-reporting"},
        {"authorization": b"bearer  key-of-reporting"},
        {"authorization": b"key-of-reporting"},
        {"proxy_key": b"key-of-reporting"},
        {"proxy_key": b"key-of-reporting", "authorization": b"Bearer Atza|of-amazon"},
        {"proxy_key": b"key-of-reporting", "authorization": b"Bearer key-of-bidder"},
    ],
)
def test_a_key_names_its_client(sent: dict[str, Any]) -> None:
    """In each of the contract's forms; X-Ads-Proxy-Key speaks first. Asked twice, the second answer is remembered."""
    identity = KEYED.identify(fields(**sent), NOW)
    assert (identity.name, identity.has_key) == ("reporting", True)
    assert identity.scope == ClientScope("", frozenset({"acme"}))
    assert KEYED.identify(fields(**sent), NOW + 1e9) is identity


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": b"Bearer wrong"},
        {"authorization": b"Bearer "},
        {"authorization": b"Basic key-of-reporting"},
        {"authorization": b"Digest key-of-reporting"},
        {"authorization": b"Bearer " + digest("key-of-reporting").encode()},
        {"proxy_key": b"wrong", "authorization": b"Bearer key-of-reporting"},
        {"proxy_key": b"Bearer key-of-reporting"},
        {"authorization": b"Bearer \xff\xfe"},
    ],
)
def test_without_a_right_key_the_caller_is_unknown(sent: dict[str, Any]) -> None:
    """401 that says how to send one, and never what was sent."""
    with pytest.raises(ClientUnknown, match="X-Ads-Proxy-Key") as refused:
        KEYED.identify(fields(**sent), NOW)
    assert refused.value.status == 401
    assert "wrong" not in refused.value.detail.lower()


def test_a_very_long_header_is_verified_without_being_remembered() -> None:
    """Memory stays bounded."""
    padded = fields(proxy_key=b"key-of-bidder", authorization=b"x" * 5000)
    first = KEYED.identify(padded, NOW)
    assert first.name == "bidder"
    assert KEYED.identify(padded, NOW) is not first


def placeholder(issuer: Clients, name: str, bound: str = "", now: float = NOW) -> bytes:
    identity = issuer.authenticate(name, f"key-of-{name}", NOW)
    assert identity is not None
    return issuer.issue(identity, bound, now)[0].encode()


@pytest.mark.parametrize("form", [b"Bearer %b", b"bearer %b", b"%b"])
@pytest.mark.parametrize(("issuer", "name", "shown"), [(NOBODYS, "", "anonymous"), (KEYED, "reporting", "reporting")])
def test_a_placeholder_names_its_client_and_what_it_is_bound_to(
    issuer: Clients, name: str, shown: str, form: bytes
) -> None:
    """The placeholder does so until the second it expires, remembered or not."""
    asked = fields(authorization=form % placeholder(issuer, name, "brand-eu"))
    identity = issuer.identify(asked, NOW)
    assert (identity.name, identity.scope.bound, identity.has_key) == (shown, "brand-eu", name != "")
    assert issuer.identify(asked, NOW + LIFETIME - 1) is identity
    with pytest.raises(PlaceholderRejected, match="expired"):
        issuer.identify(asked, NOW + LIFETIME)


def test_a_placeholder_survives_a_reload_while_its_client_does() -> None:
    """A placeholder dies with its client, and with the client's key."""
    asked = fields(authorization=placeholder(KEYED, "reporting", "zeta"))
    assert clients(client("reporting")).identify(asked, NOW).name == "reporting"
    with pytest.raises(PlaceholderRejected):
        clients(client("bidder")).identify(asked, NOW)
    with pytest.raises(PlaceholderRejected):
        clients(Client(name="reporting", key_sha256=digest("another"))).identify(asked, NOW)
    with pytest.raises(PlaceholderRejected):
        NOBODYS.identify(asked, NOW)


def test_a_placeholder_of_nobody_is_no_key() -> None:
    """Placeholders from before there were clients expire when clients are configured."""
    with pytest.raises(PlaceholderRejected):
        KEYED.identify(fields(authorization=placeholder(NOBODYS, "")), NOW)


def test_a_forged_placeholder_is_rejected_in_both_modes() -> None:
    """The response is 401, so that the client refreshes."""
    asked = fields(authorization=b"Bearer " + placeholder(KEYED, "bidder")[:-3] + b"xxx")
    for issuer in (NOBODYS, KEYED):
        with pytest.raises(PlaceholderRejected) as refused:
            issuer.identify(asked, NOW)
        assert refused.value.status == 401


def test_key_and_placeholder_must_be_of_one_client() -> None:
    """With both of one client, the placeholder still says what it is bound to."""
    bound = placeholder(KEYED, "bidder", "zeta")
    identity = KEYED.identify(fields(authorization=bound, proxy_key=b"key-of-bidder"), NOW)
    assert (identity.name, identity.scope.bound) == ("bidder", "zeta")
    with pytest.raises(PlaceholderRejected, match="different clients"):
        KEYED.identify(fields(authorization=bound, proxy_key=b"key-of-reporting"), NOW)
    with pytest.raises(PlaceholderRejected, match="different clients"):
        KEYED.identify(fields(authorization=placeholder(KEYED, "reporting"), proxy_key=b"key-of-bidder"), NOW)


def test_text_that_only_holds_a_placeholder_is_nothing_of_ours() -> None:
    """Only a credential that begins like a placeholder is examined."""
    assert NOBODYS.identify(fields(authorization=b"Basic Atza|ap1.x.y"), NOW) == NOBODYS.nobody


# --- for the token endpoint and for check


def test_the_token_endpoint_authenticates_by_name_and_key() -> None:
    """Name and key must both be right; without clients, any are."""
    found = KEYED.authenticate("reporting", "key-of-reporting", NOW)
    assert found is not None and found.name == "reporting"
    assert KEYED.authenticate("reporting", "key-of-bidder", NOW) is None
    assert KEYED.authenticate("nobody", "key-of-reporting", NOW) is None
    assert KEYED.authenticate("", "", NOW) is None
    assert KEYED.authenticate("reporting", "\ud800", NOW) is None
    anybody = NOBODYS.authenticate("x", "y", NOW)
    assert anybody is not None and anybody.name == "anonymous"
    assert KEYED.nobody.name == ""
    assert KEYED.exist


def test_refresh_placeholders_belong_to_their_client() -> None:
    """Another client's is worth nothing."""
    limited, free = KEYED.impersonate("reporting"), KEYED.impersonate("bidder")
    assert limited is not None and free is not None
    _, refresh = KEYED.issue(limited, "acme", NOW)
    assert KEYED.read_refresh(limited, refresh, NOW) == "acme"
    assert KEYED.read_refresh(free, refresh, NOW) is None
    assert KEYED.read_refresh(free, "acme", NOW) is None
    _, refresh = KEYED.issue(free, "acme", NOW)
    assert KEYED.read_refresh(free, refresh, NOW) == "acme"
    assert KEYED.read_refresh(limited, refresh, NOW) is None
    _, refresh = NOBODYS.issue(NOBODYS.nobody, "", NOW)
    assert NOBODYS.read_refresh(NOBODYS.nobody, refresh, NOW) == ""


def test_names_are_listed_and_nothing_secret_is_shown() -> None:
    """The names are for check, and the `repr` for any reader."""
    assert KEYED.names() == ("bidder", "reporting")
    assert KEYED.impersonate("nobody") is None
    assert repr(KEYED) == "Clients(bidder, reporting)"


# --- what they may do

ROUTE = Route("acme", "na", ADS_API, b"", b"")


def asked(method: bytes = b"GET", path: bytes = b"/v2/campaigns", **changed: Any) -> tuple[Request, Route]:
    return request(method, path), replace(ROUTE, **changed)


def permit(clients: Clients, identity: ClientIdentity, sent: Request, chosen: Route, now: float) -> None:
    """Ask for leave to send it, before it is routed and after."""
    clients.charge(identity, now)
    verdict = identity.verdict or screened(identity.policy, sent)
    if verdict.refusal is not None:
        raise verdict.refusal
    clients.check_route(identity, verdict, chosen)
    clients.claim(identity, 0)


def test_permit_raises_what_the_judge_says() -> None:
    """Without configured clients everything is permitted."""
    identity = KEYED.impersonate("reporting")
    assert identity is not None
    permit(KEYED, identity, *asked(), 0.0)
    with pytest.raises(NotPermitted, match=r"may not use account zeta\. \(Rule: accounts\.\)"):
        permit(KEYED, identity, *asked(account="zeta"), 0.0)
    permit(NOBODYS, NOBODYS.nobody, *asked(path=b"/../x"), 0.0)


def test_a_budget_is_spent_and_comes_back() -> None:
    """60 a minute: sixty at once, then one each second."""
    limited = clients(client("tool", requests_per_minute=60, methods=("GET",)))
    identity = limited.impersonate("tool")
    assert identity is not None
    for _ in range(60):
        permit(limited, identity, *asked(), 100.0)
    with pytest.raises(BudgetSpent, match="60 requests a minute") as refused:
        permit(limited, identity, *asked(), 100.25)
    assert refused.value.retry_after == pytest.approx(0.75)
    permit(limited, identity, *asked(), 101.0)
    with pytest.raises(BudgetSpent):
        permit(limited, identity, *asked(), 101.0)
    for _ in range(60):
        permit(limited, identity, *asked(), 10_000.0)
    with pytest.raises(BudgetSpent):
        permit(limited, identity, *asked(), 10_000.0)


def test_a_request_that_is_refused_costs_the_budget_too() -> None:
    """Whatever forbids it; beyond the budget it is not even judged."""
    limited = clients(client("tool", requests_per_minute=2, methods=("GET",)))
    identity = limited.impersonate("tool")
    assert identity is not None
    for _ in range(2):
        with pytest.raises(NotPermitted):
            permit(limited, identity, *asked(b"POST"), 100.0)
    with pytest.raises(BudgetSpent):
        permit(limited, identity, *asked(b"POST"), 100.0)


def test_a_changed_budget_goes_on_with_what_was_left() -> None:
    """A reload that gives less or more neither refills a spent budget nor takes back what was left of it."""
    budgets = Budgets()
    assert budgets.spend("tool", 60, 100.0) == 0.0
    assert budgets.spend("tool", 1, 100.0) == 0.0
    assert budgets.spend("tool", 1, 100.0) == pytest.approx(60.0)
    assert budgets.spend("tool", 120, 100.0) == pytest.approx(0.5)
    assert budgets.spend("tool", 120, 100.5) == 0.0


def test_a_budget_outlives_a_reload() -> None:
    """New clients, the same ledger."""
    budgets = Budgets()
    for status in ("spent", "refused"):
        limited = clients(client("tool", requests_per_minute=1), budgets=budgets)
        identity = limited.impersonate("tool")
        assert identity is not None
        if status == "spent":
            permit(limited, identity, *asked(), 1.0)
        else:
            with pytest.raises(BudgetSpent) as refused:
                permit(limited, identity, *asked(), 1.0)
            assert refused.value.retry_after == pytest.approx(60.0)


def test_other_keys_lead_to_the_same_clients() -> None:
    """Their policies hold, their own keys do not, and what they spend is taken off one budget."""
    both = clients(client("bidder", requests_per_minute=1, max_in_flight=1, accounts=("acme",)), client("reporting"))
    within = both.with_keys({"bidder": ClientKey(digest("a-key-of-the-proxy")), "gone": ClientKey(digest("x"))})
    identity = within.identify(fields(proxy_key=b"a-key-of-the-proxy"), NOW)
    assert within.names() == ("bidder",)
    assert (identity.name, identity.scope.accounts) == ("bidder", frozenset({"acme"}))
    for key in (b"key-of-bidder", b"key-of-reporting", b"x"):
        with pytest.raises(ClientUnknown):
            within.identify(fields(proxy_key=key), NOW)
    within.claim(identity, 5)
    both.charge(both.identify(fields(proxy_key=b"key-of-bidder"), NOW), 0.0)
    with pytest.raises(BudgetSpent):
        within.charge(identity, 0.0)
