"""Why Amazon refused: told in log and console, while the client gets Amazon's bytes."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from proxy.events import RefusalCause
from proxy.http1.body_copy import MAX_READ, readable
from proxy.routing.api import ADS_API, MCP
from proxy.routing.explanation import AmazonRefusal, explain
from proxy.routing.route import Route
from tests.support.deciding import Listed
from tests.support.proxy_bench import Running
from tests.support.wire import GET, Wire, answering

ROUTE = Route("acme", "na", ADS_API, b"11", b"")
WITHOUT = replace(ROUTE, profile=b"")
DIRECTORY = Listed(
    owners={"11": (("acme", "na"),), "22": (("zeta", "eu"), ("acme", "fe"))},
    first={("acme", "na"): ""},
    ads_accounts={"amzn1.z": (("zeta", "eu"),)},
)
OVER = "The account acme gets no more tokens."


@pytest.mark.parametrize(
    ("status", "text", "route", "problem", "said"),
    [
        (401, b"scope header is missing", WITHOUT, "", "set default_profile of the account acme"),
        (401, b"scope header is missing", WITHOUT, OVER, "set default_profile"),
        (401, b"not authorized to access scope 11", ROUTE, "", "The login of acme has no rights on this profile"),
        (401, b"no matching advertiser found for scope", ROUTE, "", "has no rights on this profile"),
        (401, b"not authorized to access scope 11", ROUTE, OVER, OVER),
        (
            401,
            b"no matching advertiser found for scope",
            replace(ROUTE, profile=b"33"),
            "",
            "not in the lists of any login",
        ),
        (401, b"unauthorized", replace(ROUTE, profile=b"33"), "", "Profile 33 is not in the lists of any login here"),
        (
            403,
            b"",
            replace(ROUTE, profile=b"22"),
            "",
            "Profile 22 belongs to zeta in eu, acme in fe, but the request",
        ),
        (401, b"", replace(WITHOUT, ads_account=b"amzn1.z"), "", "The ads account amzn1.z belongs to zeta in eu"),
        (
            401,
            b"",
            replace(WITHOUT, ads_account=b"amzn1.q"),
            "",
            "The ads account amzn1.q is not in the lists of any login",
        ),
        (401, b"invalid_token", replace(WITHOUT, api=MCP), "", "not even a new one: check that the application of the"),
        (401, b"unauthorized", ROUTE, OVER, OVER),
        (403, b"forbidden", ROUTE, OVER, OVER),
        (401, b"authentication failed", ROUTE, "", "The application is not approved"),
        (403, b"not a valid key=value pair (missing equal-sign) in authorization", ROUTE, "", "Amazon's gateway"),
        (403, b"advertiser is not authorized for sponsored display.", ROUTE, "", "no access to this kind"),
        (400, b"invalid advertiser or marketplace id.", ROUTE, OVER, "does not belong to this login in this region"),
        (400, b"entityid provided is null", ROUTE, "", "Amazon Marketing Cloud needs the headers"),
        (400, b"bad", replace(ROUTE, profile=b"33"), OVER, ""),
        (401, b"unauthorized", ROUTE, "", ""),
        (403, b"authentication failed", ROUTE, "", ""),
        (401, b"unauthorized", WITHOUT, "", ""),
        (401, b"unauthorized", replace(ROUTE, region="eu", profile=b"33"), "", ""),
    ],
)
def test_what_can_be_told_is_told(status: int, text: bytes, route: Route, problem: str, said: str) -> None:
    """By Amazon's words, by what is wrong with the login, and by who lists the profile; nothing is guessed."""
    told = explain(AmazonRefusal(status, text, route, problem), DIRECTORY)
    assert (told is None) is not bool(said)
    assert told is None or said in told.sentence


@pytest.mark.parametrize(
    ("status", "text", "route", "problem", "cause"),
    [
        (401, b"scope header is missing", WITHOUT, "", RefusalCause.SCOPE_MISSING),
        (401, b"not authorized to access scope 11", ROUTE, "", RefusalCause.NO_RIGHTS),
        (401, b"not authorized to access scope 11", ROUTE, OVER, RefusalCause.LOGIN_OVER),
        (401, b"", replace(ROUTE, profile=b"33"), "", RefusalCause.NOT_LISTED),
        (401, b"authentication failed", ROUTE, "", RefusalCause.APPLICATION),
        (403, b"missing equal-sign", ROUTE, "", RefusalCause.PATH),
        (403, b"is not authorized for", ROUTE, "", RefusalCause.PROGRAM),
        (400, b"invalid advertiser or marketplace id", ROUTE, "", RefusalCause.ADVERTISER),
        (400, b"entityid provided is null", ROUTE, "", RefusalCause.ENTITY_MISSING),
    ],
)
def test_each_has_a_word_to_be_counted_by(
    status: int, text: bytes, route: Route, problem: str, cause: RefusalCause
) -> None:
    """A fixed one, and no two alike."""
    told = explain(AmazonRefusal(status, text, route, problem), DIRECTORY)
    assert told is not None and told.cause is cause


@pytest.mark.parametrize(
    ("body", "coding", "text"),
    [
        (b"Scope", b"", b"scope"),
        (b"Scope", b"Identity", b"scope"),
        (gzip.compress(b"Scope", mtime=0), b"X-GZip", b"scope"),
        (gzip.compress(bytes(1_000_000), mtime=0)[:500], b"gzip", bytes(MAX_READ)),
        (b"x" * 5000, b"", b"x" * MAX_READ),
        (b"Scope", b"gzip", b""),
        (b"Scope", b"br", b""),
    ],
)
def test_the_beginning_of_a_body_is_readable(body: bytes, coding: bytes, text: bytes) -> None:
    """Within bounds, and never more than it says itself."""
    assert readable(body, coding) == text


BODY = b'{"code":"403","details":"Advertiser is not authorized for Sponsored Display."}'
PADDED = BODY + b" " * 10_000


@pytest.mark.parametrize("framing", ["counted", "chunked", "ended"])
async def test_the_tool_gets_amazons_bytes_as_they_come(framing: str, running: Running) -> None:
    """Its beginning is here before the rest was sent; the sentence is in the account of the request alone."""
    head = {
        "counted": b"Content-Length: %d\r\n" % len(PADDED),
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "ended": b"Connection: close\r\n",
    }[framing]
    first, rest = PADDED[:50], PADDED[50:]

    def framed(data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 403 Forbidden\r\n" + head + b"\r\n" + framed(first))
        await bench.settled(lambda: bool(bench.clients) and first in bytes(bench.clients[0].received))
        wire.send(framed(rest) + (b"0\r\n\r\n" if framing == "chunked" else b""))
        if framing == "ended":
            wire.close()

    async with running(script) as bench:
        got = await bench.ask()
        assert (got.status, got.body) == (403, PADDED)
        event = await bench.events.last()
        assert (event.refusal, event.status) == ("", 403)
        assert event.detail.startswith("The advertiser has no access")
        assert event.cause == "program-not-open"


async def test_a_401_while_the_login_is_over_is_told_as_such(running: Running) -> None:
    """With the renewal that could not be, and Amazon's answer for the client."""
    denied = b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 26\r\n\r\n{"message":"Unauthorized"}'
    async with running(answering(denied)) as bench:
        bench.tokens.over = bench.tokens.fruitless = True
        got = await bench.ask(GET)
        assert (got.status, got.body) == (401, b'{"message":"Unauthorized"}')
        assert (await bench.events.last()).detail == "The login of default is over."


@pytest.mark.parametrize("answer", [b"200 OK", b"404 Not Found", b"429 Too Many Requests", b"500 Oops"])
async def test_other_answers_are_not_looked_into(answer: bytes, running: Running) -> None:
    """Whatever words they hold."""
    whole = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (answer, len(BODY), BODY)
    async with running(answering(whole)) as bench:
        bench.tokens.over = True
        assert (await bench.ask(GET)).body == BODY
        assert (await bench.events.last()).detail == ""


async def test_a_refusal_without_a_body_is_explained_by_what_is_known(running: Running) -> None:
    """A HEAD has none."""
    async with running(answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\n")) as bench:
        bench.tokens.over = bench.tokens.fruitless = True
        assert (await bench.ask(b"HEAD /v2/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")).status == 401
        assert (await bench.events.last()).detail == "The login of default is over."
