"""The service in front of exchanges: who is served, what is remembered, and what the account says."""

from __future__ import annotations

import asyncio
import hashlib
import json
from itertools import count

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.upstream.throttles import ThrottleKey
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering

KEY = b"correct horse battery staple"
NUMBERS = count()


def keyed() -> Clients:
    """One client with a key."""
    return Clients(
        [Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),))], Placeholders(b"key"), Budgets()
    )


async def test_each_request_has_an_id_of_its_own(running: Running) -> None:
    """Made where the client sends none; forwarded only if it sent one."""
    async with running(answering(HELLO)) as bench:
        first, second = await bench.ask(), await bench.ask()
        assert first.value(b"x-request-id") != second.value(b"x-request-id")
        assert b"x-request-id" not in bytes(bench.upstream.wires[0].received).lower()
        await bench.ask(GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: a-1\r\n\r\n"))
        assert bytes(bench.upstream.wires[0].received).endswith(b"X-Request-Id: a-1\r\n\r\n")
        assert [event.request_id for event in bench.events.finished][-1] == "a-1"


async def test_a_foreign_host_is_421_and_a_web_page_403(running: Running) -> None:
    """Nothing of either is forwarded."""
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask(GET.replace(b"127.0.0.1", b"evil.example"))).status == 421
        assert (await bench.ask(GET.replace(b"\r\n\r\n", b"\r\nOrigin: null\r\n\r\n"))).status == 403
        assert not bench.upstream.wires
        assert [event.refusal for event in bench.events.finished] == ["misdirected-host", "cross-origin"]


async def test_a_key_is_asked_for_where_clients_are_configured(running: Running) -> None:
    """With it a foreign Host is served; without it the Host is judged first."""
    async with running(answering(HELLO), clients=keyed()) as bench:
        unknown = await bench.ask()
        assert unknown.status == 401
        assert (await bench.ask(GET.replace(b"127.0.0.1", b"evil.example"))).status == 421
        known = GET.replace(b"127.0.0.1", b"any.example").replace(
            b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n"
        )
        assert (await bench.ask(known)).status == 200
        assert KEY not in bytes(bench.upstream.wires[0].received)
        assert (await bench.events.last(3)).client == "reporting"
        token = b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
        assert (await bench.ask(token)).status in (400, 401)


@pytest.mark.parametrize("path", [b"/@", b"/@nobody/x", b"/%25%32%35/x", b"/@x" + b"%25" * 500 + b"/auth/o2/token"])
async def test_without_a_key_a_path_is_not_even_read(
    path: bytes, monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    """The key is looked up before anything is decoded: a stranger's path costs nothing and tells nothing."""
    asked: list[bytes] = []

    class Never:
        def split(self, text: bytes) -> list[bytes]:
            asked.append(text)
            return [text]

    monkeypatch.setattr("proxy.http1.target._CODE", Never())
    async with running(answering(HELLO), clients=keyed()) as bench:
        assert (await bench.ask(GET.replace(b"/v2/profiles", path))).status == 401
        assert asked == []
        new = b"/%%41-%d" % next(NUMBERS)  # what was decoded before is remembered
        known = GET.replace(b"/v2/profiles", new).replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n")
        await bench.ask(known)
        assert new in b"".join(asked)


METADATA = tuple(
    f"GET {at}/.well-known/{name}{behind} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    for name in ("oauth-protected-resource", "oauth-authorization-server", "openid-configuration")
    for at, behind in (("", ""), ("", "/mcp"), ("", "/@acme/eu/mcp/lite"), ("/mcp", ""))
)
POSTED = tuple(
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n" % path
    for path in (b"/register", b"/.well-known/oauth-protected-resource/mcp")
)


@pytest.mark.parametrize("key", [b"", b"X-Ads-Proxy-Key: wrong\r\n", b"X-Ads-Proxy-Key: " + KEY + b"\r\n"])
async def test_who_asks_for_a_login_is_told_that_there_is_none(key: bytes, running: Running) -> None:
    """With a key and without, in the members of OAuth, too; nothing is forwarded; the Host is judged as everywhere."""
    async with running(answering(HELLO), clients=keyed()) as bench:
        for asked in (
            *(head + key + b"\r\n" for head in METADATA),
            *(head + key + b"\r\n{}" for head in POSTED),
        ):
            answer = await bench.ask(asked)
            assert answer.status == 404
            problem = json.loads(answer.body)
            assert problem["type"] == "urn:ads-proxy:error:never-forwarded"
            assert "no OAuth login here" in problem["detail"] and "Authorization: Bearer KEY" in problem["detail"]
            assert (problem["error"], problem["error_description"]) == ("access_denied", problem["detail"])
            assert "jsonrpc" not in problem, "its error is an object"
        metadata = METADATA[0] + key + b"\r\n"
        stranger = metadata.replace(b"127.0.0.1", b"evil.example").replace(KEY, b"wrong")
        assert (await bench.ask(stranger)).status == 421
        assert not bench.upstream.wires


async def test_a_reload_changes_the_clients_of_the_next_request(running: Running) -> None:
    """Also on a connection that is open."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(GET)
        assert (await client.answer()).status == 200
        bench.apply(clients=keyed())
        client.send(GET)
        assert (await client.answer()).status == 401


async def test_the_account_of_a_request_is_whole(running: Running) -> None:
    """Path without query, bytes, attempts, times that add up."""
    async with running(answering(HELLO)) as bench:
        await bench.ask(b"POST /v2/x?secret=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc")
        event = await bench.events.last()
        assert (event.client, event.account, event.region) == ("anonymous", "default", "na")
        assert (event.method, event.path, event.status) == ("POST", "/v2/x", 200)
        assert (event.bytes_in, event.bytes_out, event.attempts) == (3, 5, 1)
        assert (event.refusal, event.fault) == ("", "")
        assert 0 < event.overhead < event.duration
        assert 0 < event.upstream <= event.duration - event.overhead


async def test_the_account_names_operation_profile_and_user_agent(running: Running) -> None:
    """By Amazon's name and what it does at Amazon; an operation of no specification has no name there."""
    about = b"\r\nAmazon-Advertising-API-Scope: 1\r\nUser-Agent: curl/8\r\n\r\n"
    async with running(answering(HELLO)) as bench:
        await bench.ask(GET.replace(b"\r\n\r\n", about))
        await bench.ask(GET.replace(b"/v2/profiles", b"/v9/strange"))
        known, unknown = await bench.events.last(1), await bench.events.last(2)
        assert (known.operation, known.operation_class) == ("listProfiles", "read")
        assert (known.profile, known.user_agent, known.upstream_status) == ("1", "curl/8", 200)
        assert (unknown.operation, unknown.operation_class, unknown.user_agent) == ("unknown", "read", "")


async def test_a_refusal_keeps_its_client_and_what_it_asked_for(running: Running) -> None:
    """Who was refused, and which operation of whom it asked for, as far as that was known when it was refused."""
    policy = Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),), methods=frozenset((b"POST",)))
    clients = Clients([policy], Placeholders(b"key"), Budgets())
    about = b"\r\nAmazon-Advertising-API-Scope: 77\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n"
    async with running(answering(HELLO), clients=clients) as bench:
        assert (await bench.ask(GET.replace(b"\r\n\r\n", about))).status == 403
        assert (await bench.ask(GET)).status == 401
        refused, stranger = await bench.events.last(1), await bench.events.last(2)
        assert (refused.client, refused.refusal, refused.profile) == ("reporting", "not-permitted", "77")
        assert (refused.operation, refused.operation_class) == ("listProfiles", "read")
        assert (refused.account, refused.upstream_status, refused.attempts) == ("", 0, 0)
        assert (stranger.client, stranger.operation, stranger.profile) == ("", "unknown", "")


async def test_a_spent_budget_is_reported_with_client_and_operation(running: Running) -> None:
    """A request beyond the budget is not routed."""
    policy = Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),), requests_per_minute=1)
    clients = Clients([policy], Placeholders(b"key"), Budgets())
    known = GET.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n")
    async with running(answering(HELLO), clients=clients) as bench:
        assert [(await bench.ask(known)).status for _ in range(2)] == [200, 429]
        spent = await bench.events.last(2)
        assert (spent.client, spent.refusal, spent.operation) == ("reporting", "budget-spent", "listProfiles")
        assert bench.accounting.in_flight == bench.accounting.client_cell("reporting").value == 0


@pytest.mark.parametrize("path", [b"/@/x", b"/na/@nobody/x"])
async def test_a_prefix_that_cannot_be_read_costs_the_budget_too(path: bytes, running: Running) -> None:
    """As every other request that is refused: a client sends no more of them than of any."""
    policy = Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),), requests_per_minute=1)
    clients = Clients([policy], Placeholders(b"key"), Budgets())
    odd = GET.replace(b"/v2/profiles", path).replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n")
    async with running(answering(HELLO), clients=clients) as bench:
        assert [(await bench.ask(odd)).status for _ in range(2)] == [404, 429]


async def test_the_time_that_a_response_takes_to_come_is_not_the_proxys(running: Running) -> None:
    """However many reads it takes."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await go.wait()
        wire.send(b"b")

    async with running(script) as bench:
        client = await bench.client(GET)
        await client.until(lambda: client.received.endswith(b"a"))
        go.set()
        event = await bench.events.last()
        assert 0 < event.overhead < event.duration
        assert 0 < event.upstream <= event.duration - event.overhead


async def test_answers_carry_the_lines_of_the_demo(running: Running) -> None:
    """The proxy's own answers as well."""
    async with running(answering(HELLO), response_lines=b"X-Demo: 1\r\n") as bench:
        assert (await bench.ask()).value(b"x-demo") == b"1"
        assert (await bench.ask(GET.replace(b"GET /", b"GET /@nobody/"))).value(b"x-demo") == b"1"


async def test_a_head_request_is_refused_without_body(running: Running) -> None:
    """And the connection serves the next one."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(b"HEAD /@nobody/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await client.answer(to_head=True)).status == 404
        client.send(GET)
        assert (await client.answer()).body == b"hello"


async def test_pools_and_tokens_are_closed_with_the_forwarder(running: Running) -> None:
    """Idle connections at once."""
    async with running(answering(HELLO)) as bench:
        await bench.ask()
        assert any(size for size, _ in bench.pools.sizes().values())
        bench.pools.close()
        await bench.settled(lambda: not any(size for size, _ in bench.pools.sizes().values()))


async def test_what_lives_long_says_its_state_and_no_secret(running: Running) -> None:
    """While a request runs and after it: the forwarder, the exchange, and what they share."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()
        wire.send(HELLO)

    async with running(script) as bench:
        asked = b"GET /a?q=SECRET HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Request-Id: id-7\r\nAuthorization: SECRET\r\n\r\n"
        client = await bench.client(asked)
        await bench.settled(lambda: bool(bench.upstream.wires and bench.upstream.wires[0].received))
        exchange = bench.connection()._handler
        assert repr(exchange) == "<Exchange id-7: sent, in one step>"
        assert repr(bench.forwarder) == "<Forwarder: serving, 1 requests in flight>"
        assert repr(bench.accounting) == "<Accounting: 1 requests in flight>"
        go.set()
        await client.answer()
        await bench.events.last()
        assert "SECRET" not in repr(exchange) and "Atza" not in repr(exchange)
        assert repr(bench.forwarder) == "<Forwarder: serving, 0 requests in flight>"
        assert repr(bench.accounting) == "<Accounting: 0 requests in flight>"
        assert repr(bench.throttles) == "<Throttles: 0 remembered>"
        bench.throttles.note(ThrottleKey("sp/campaigns:read", "1", "na", "c"), asyncio.get_running_loop(), 5.0)
        assert repr(bench.throttles) == "<Throttles: 1 remembered>"
