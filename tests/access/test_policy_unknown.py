"""What a client may send that the table of operations lacks: reads by Amazon's own scheme, nothing that may write."""

from __future__ import annotations

import csv
import re
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.policy import Verdict
from proxy.routing.operations import PUBLISHED
from proxy.routing.target import find_destination
from tests.access.test_policy import OTHER, OWN, account, decided
from tests.support.deciding import fields, request, summary

PROFILED: dict[str, Any] = {"profiles": ("123", "124")}
ACCOUNTED: dict[str, Any] = {"account_ids": (OWN,)}
UNHEARD, UNIFIED = b"/dsp/v1/unheardThings", b"/adsApi/v1/query/unheardThings"


# --- limited clients ------------------------------------------------------------------------------------------


def test_a_read_is_governed_by_the_clients_own_profile() -> None:
    """With a Scope of its own, or a default that turns out to be one; never with that of others."""
    for path in (UNHEARD, UNHEARD + b"?count=1"):
        assert decided(PROFILED, b"GET", path, scope=b"123").refusal is None
        assert decided(PROFILED, b"GET", path, scope=b"999").refusal is not None
        assert decided(PROFILED, b"GET", path, default=b"123").refusal is None
        assert "must choose" in decided(PROFILED, b"GET", path).reason
        assert decided(PROFILED, b"GET", path, default=b"999").refusal is not None
    assert decided(PROFILED, b"POST", UNHEARD, scope=b"123").refusal is not None


def test_a_read_is_governed_by_the_clients_own_account_id() -> None:
    """Sent once, and its own; not if there is a body, which may name another one."""
    for method, path in ((b"GET", UNHEARD), (b"HEAD", UNHEARD), (b"GET", b"/adsApi/v1/unheardThings")):
        assert decided(ACCOUNTED, method, path, account(OWN)).refusal is None
        assert decided(ACCOUNTED, method, path, account(OTHER)).refusal is not None
        assert decided(ACCOUNTED, method, path, account(OWN), account(OWN)).refusal is not None
        assert "must choose" in decided(ACCOUNTED, method, path).reason
    verdict = decided(ACCOUNTED, b"POST", UNIFIED, account(OWN))
    assert verdict.refusal is not None and "body may name another account" in verdict.reason


def test_a_scope_governs_nothing_of_the_unified_api() -> None:
    """Its operations take the account id, and would ignore a Scope."""
    for path in (b"/adsApi/v1/unheardThings", b"/ADSAPI/v1/unheardThings"):
        verdict = decided(PROFILED, b"GET", path, scope=b"123")
        assert verdict.refusal is not None and "needs an account id" in verdict.reason


@pytest.mark.parametrize(
    "path",
    [
        *(b"/dsp/v1/unheardAccounts", b"/v7/Profiles", b"/unheard/BillingThings", b"/unheard/x"),
        *(b"/organizations", b"/v7/Companies", b"/unheard/payers", b"/merchants", b"/customers/list", b"/whoami"),
    ],
)
def test_a_word_that_may_stand_for_other_accounts_is_refused(path: bytes) -> None:
    """Such lists are probably those of the whole login, whatever Scope is sent."""
    verdict = decided(PROFILED, b"GET", path, scope=b"123")
    assert verdict.refusal is not None and "not in Amazon's specifications" in verdict.reason


# --- no spelling makes a write a read -------------------------------------------------------------------------


def reads_of_the_table() -> list[tuple[str, re.Pattern[str]]]:
    """The reads of the committed table, read without the code that is tried."""
    text = resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")
    rows = csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t")
    found = []
    for row in rows:
        if row["effect"] == "read":
            parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in row["path"].split("/"))
            found.append((row["method"], re.compile("/".join(parts) + "/?")))
    return found


READS = reads_of_the_table()
SCHEME = re.compile(r"/adsApi/v1/(query|retrieve)/[A-Za-z0-9]+(/(dsp|sb|sd|sp|st))?")
METHODS = ("POST", "PUT", "PATCH", "DELETE", "get", "Get", "HEAD ", "GETX", "OPTIONS", "TRACE", "QUERY", "post")
WRITES = (
    "/sp/campaigns",
    "/adsApi/v1/create/campaigns",
    "/adsApi/v1/update/things",
    "/unheard/of",
    "/user-invitations",
)
OVERRIDES = (
    "X-HTTP-Method-Override: {}",
    "X-Method-Override: {}",
    "x-http-method: {}",
    "X-Original-URL: /v2/profiles",
    "X-Rewrite-URL: /adsApi/v1/query/campaigns",
)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A path that writes, with reading verbs mixed in, in other cases and encodings."""
    base = draw(st.sampled_from((*WRITES, "/adsApi/v1/query/campaigns", UNIFIED.decode())))
    insert = draw(
        st.sampled_from(
            ("", "/query", "/../create", "/%2e%2e/create", "/list", ";/query", "%00", "%2fquery", "//", "/dsp", "/.")
        )
    )
    place = draw(st.integers(0, len(base)))
    path = "/" + (base[:place] + insert + base[place:]).lstrip("/")
    shown = [
        draw(st.sampled_from((each, each, each, each.swapcase(), f"%{ord(each):02x}", f"%25{ord(each):02x}")))
        if each.isalnum()
        else each
        for each in path
    ]
    return "".join(shown)


def sent(method: str, path: str, lines: tuple[str, ...], access: str) -> Verdict:
    return decided({"access": access}, method.encode(), path.encode(), *(line.encode() for line in lines))


@given(
    method=st.sampled_from(METHODS),
    path=spellings(),
    query=st.sampled_from(("", "?_method=GET", "?x-http-method-override=GET", "?%5fmethod=GET", "?a=1")),
    override=st.sampled_from(("", *OVERRIDES)),
    access=st.sampled_from(("read", "report")),
)
def test_no_spelling_makes_a_write_a_read(method: str, path: str, query: str, override: str, access: str) -> None:
    """What passes a reading client is a read of the table, or has the exact shape of one of the unified API."""
    lines = (override.format("GET"),) if override else ()
    if sent(method, path + query, lines, access).refusal is not None:
        return
    assert not lines and "method" not in query
    plain = re.sub(r"%([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), path)
    exact = method == "POST" and SCHEME.fullmatch(path)
    assert exact or any(method == known and template.fullmatch(plain) for known, template in READS), (method, path)


@given(path=spellings(), override=st.sampled_from(OVERRIDES), method=st.sampled_from(("GET", "HEAD", "POST")))
def test_an_override_makes_no_request_a_known_read(path: str, override: str, method: str) -> None:
    """Whatever it asks for, its effect is unknown, and no reading client may send it."""
    line = override.format("DELETE")
    assert sent(method, path, (line,), "read").refusal is not None
    read = request(method.encode(), path.encode(), fields(line.encode()))
    assert summary(read, PUBLISHED).effect == "unknown"


def test_two_paths_of_which_one_reads_share_no_decision() -> None:
    """The path is part of what a decision is remembered by, where it has no operation."""
    one, other = (
        summary(request(b"POST", path, fields()), PUBLISHED) for path in (UNIFIED, b"/adsApi/v1/update/unheardThings")
    )
    assert one != other and (one.effect, other.effect) == ("read", "unknown")
    assert find_destination(request(b"POST", UNIFIED, fields()).target).path == one.unknown_path
