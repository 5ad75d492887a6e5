"""The sessions of a client that has limits on spending: those that began for one advertiser have signed ids."""

from __future__ import annotations

import json
from typing import Any

from proxy.spend.limits import SpendLimits
from tests.mcp.test_fixed_clients import CALL, INITIALIZE, OPENED, Endpoint, answer, clients, message, opened
from tests.support.proxy_bench import Running

FIXED = b"Amazon-Ads-AI-Account-Selection-Mode: FIXED"
ONE, ANOTHER = b"Amazon-Advertising-API-Scope: 123", b"Amazon-Advertising-API-Scope: 124"
LIMITED: dict[str, Any] = {"free": SpendLimits(), "reader": SpendLimits()}
OWN = b"Mcp-Session-Id: amazons-own"


async def test_a_session_for_one_advertiser_has_an_id_of_the_proxys_own(running: Running) -> None:
    """Amazon gets its own id, and what the client says of its account; every answer names the same id."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients(), spend_limits=LIMITED) as bench:
        session = await opened(bench, "free", FIXED, ONE)
        assert session.startswith(b"Mcp-Session-Id: ap1.")
        for lines in ((session, FIXED, ONE), (session, FIXED, ANOTHER), (session,)):
            got = await bench.ask(message("free", CALL, *lines))
            assert (got.status, got.value(b"mcp-session-id")) == (200, session.partition(b": ")[2])
            assert endpoint.values(b"mcp-session-id") == [b"amazons-own"]
            assert endpoint.values(b"amazon-advertising-api-scope") == [
                line.partition(b": ")[2] for line in lines if line in (ONE, ANOTHER)
            ]


async def test_nothing_else_of_the_client_changes(running: Running) -> None:
    """Codings are accepted as before, and the body of an answer passes with its length."""
    coded = answer(None, b"Mcp-Session-Id: amazons-own", b"Content-Encoding: gzip")
    endpoint = Endpoint(coded)
    async with running(endpoint, clients=clients(), spend_limits=LIMITED) as bench:
        got = await bench.ask(message("free", INITIALIZE, FIXED, ONE, b"Accept-Encoding: gzip, br"))
        assert endpoint.values(b"accept-encoding") == [b"gzip, br"]
        assert (got.value(b"content-encoding"), got.value(b"content-length")) == (b"gzip", b"%d" % len(got.body))
        assert got.body == coded.partition(b"\r\n\r\n")[2]


async def test_a_session_for_any_advertiser_keeps_amazons_id(running: Running) -> None:
    """Also one of a client without limits, in whatever mode."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients(), spend_limits=LIMITED) as bench:
        for lines in ((), (ONE,), (FIXED,), (FIXED, ONE, b"Amazon-Ads-AccountId: amzn1.own")):
            assert await opened(bench, "free", *lines) == OWN
        bench.apply(spend_limits={})
        assert await opened(bench, "free", FIXED, ONE) == OWN


async def test_a_client_whose_tools_are_limited_gets_signed_ids_as_well(running: Running) -> None:
    """Ids are signed where the client has limits on spending, and its session is for one advertiser."""
    async with running(Endpoint(OPENED), clients=clients(), spend_limits=LIMITED) as bench:
        session = await opened(bench, "reader", FIXED, ONE)
        assert session.startswith(b"Mcp-Session-Id: ap1.")
        got = await bench.ask(message("reader", CALL, session, FIXED, ONE))
        assert got.value(b"mcp-session-id") == session.partition(b": ")[2]
        assert await opened(bench, "reader") == OWN
        bench.apply(spend_limits={})
        assert await opened(bench, "reader", FIXED, ONE) == OWN


async def test_a_new_session_in_an_old_one_is_for_what_began_it(running: Running) -> None:
    """Its id does not say what the old one was for."""
    second = answer(None, b"Mcp-Session-Id: the-second")
    async with running(Endpoint(OPENED, second, OPENED), clients=clients(), spend_limits=LIMITED) as bench:
        first = await opened(bench, "free", FIXED, ONE)
        other = await opened(bench, "free", first, FIXED, ANOTHER)
        assert other == await _begun_again(running, ANOTHER, second)


async def _begun_again(running: Running, scope: bytes, begun: bytes) -> bytes:
    async with running(Endpoint(begun), clients=clients(), spend_limits=LIMITED) as bench:
        return await opened(bench, "free", FIXED, scope)


async def test_a_signed_id_is_read_without_limits(running: Running) -> None:
    """The session goes on when a reload takes the client's limits away; another client gets the answer for an unknown
    one."""
    endpoint = Endpoint(OPENED)
    async with running(endpoint, clients=clients(), spend_limits=LIMITED) as bench:
        session = await opened(bench, "free", FIXED, ONE)
        bench.apply(spend_limits={})
        assert (await bench.ask(message("free", CALL, session, FIXED, ONE))).status == 200
        assert endpoint.values(b"mcp-session-id") == [b"amazons-own"]
        got = await bench.ask(message("reader", CALL, session, FIXED, ONE))
        assert (got.status, json.loads(got.body)["type"]) == (404, "urn:ads-proxy:error:session-elsewhere")
        assert len(endpoint.heads) == 2
