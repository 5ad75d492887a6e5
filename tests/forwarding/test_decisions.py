"""A decision is remembered by all that it was made from, and lasts no longer than its rules, lists and keys."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.downstream.ports import Availability
from proxy.forwarding import decisions, forwarder
from proxy.forwarding.decision import RequestContext
from proxy.forwarding.exchange import Exchange
from proxy.routing.api import MCP
from proxy.routing.operations import Operations, parse_operations
from proxy.routing.route import Route, route
from tests.support.proxy_bench import Running
from tests.support.warm_and_cold import KEY, KEYED, SCOPED, AskedDirectory, ask, clients, look_up_in
from tests.support.wire import GET, HELLO, answering, value_of

COLUMNS = "method\tpath\tname\tscope\taccount_id\taccount_header\teffect\n"


@pytest.fixture
def routed(monkeypatch: pytest.MonkeyPatch) -> list[Route]:
    """The routes that are chosen anew, as they are."""
    chosen: list[Route] = []
    choose = route

    def noting(*arguments: object) -> Route:
        found = choose(*arguments)  # type: ignore[arg-type]  # each of its own type
        chosen.append(found)
        return found

    monkeypatch.setattr(forwarder, "route", noting)
    return chosen


async def test_a_request_is_routed_once(running: Running, routed: list[Route]) -> None:
    """Each later one like it uses the remembered decision, on any connection."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        assert await ask(client, GET, 5) == [200] * 5
        assert await ask(await bench.client(), GET) == [200]
        assert len(routed) == 1


async def test_another_operation_is_routed_anew(running: Running, routed: list[Route]) -> None:
    """By its path or by its method; a path without an operation is one of its own."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        for method, path in ((b"GET", b"profiles"), (b"GET", b"stores"), (b"PUT", b"profiles"), (b"GET", b"x/1")):
            await ask(client, method + b" /v2/" + path + GET[GET.index(b" HTTP/1.1") :], 2)
        assert len(routed) == 4


async def test_numbers_and_queries_that_nothing_reads_make_no_difference(running: Running, routed: list[Route]) -> None:
    """Requests of one operation are one decision, and each is logged under its own path."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        for number in range(6):
            assert await ask(client, GET.replace(b"/v2/profiles", b"/v2/profiles/%d?a=%d" % (number, number))) == [200]
        assert len(routed) == 1
        await bench.settled(lambda: len(bench.events.finished) == 6)
        assert [event.path for event in bench.events.finished] == [f"/v2/profiles/{number}" for number in range(6)]


async def test_a_row_of_the_table_with_a_number_is_told_from_others(running: Running) -> None:
    """An operation of one number only is another than that of all numbers."""
    rows = "GET\t/v2/{id}\tany\tnever\tnever\t-\tread\nGET\t/v2/7\tseven\tnever\tnever\t-\tread\n"
    async with running(answering(HELLO)) as bench:
        bench.apply(table=replace(bench.rules.table, operations=Operations(parse_operations(COLUMNS + rows))))
        client = await bench.client()
        for number in (6, 7, 8, 7):
            await ask(client, GET.replace(b"profiles", b"%d" % number))
        await bench.settled(lambda: len(bench.events.finished) == 4)
        assert [event.operation for event in bench.events.finished] == ["any", "seven", "any", "seven"]


@pytest.mark.parametrize("query", [b"", b"?a=1"], ids=["plain", "query"])
async def test_a_path_that_a_policy_names_is_told_from_others(running: Running, query: bytes) -> None:
    """One path is permitted and others are not, although they differ in a number only."""
    known = clients(paths=tuple(map(PathPattern.read, ("/v2/profiles", "/v2/7", "/v2/8*"))))
    async with running(answering(HELLO), clients=known) as bench:
        client = await bench.client()
        assert await ask(client, KEYED, 2) == [200] * 2
        statuses = [await ask(client, KEYED.replace(b"profiles", b"%d%b" % (n, query)), 2) for n in (7, 9, 8, 81, 7)]
        assert statuses == [[200] * 2, [403] * 2, [200] * 2, [200] * 2, [200] * 2]


async def test_a_query_that_a_policy_forbids_is_seen_behind_others(running: Running) -> None:
    """A policy that reads queries is asked about each new one."""
    known = clients(methods=frozenset((b"GET",)))
    lines = [b"/v2/1?a=1", b"/v2/2?a=1", b"/v2/3?_method=PUT", b"/v2/4?a=1", b"/v2/5"]
    async with running(answering(HELLO), clients=known) as bench:
        client = await bench.client()
        assert await ask(client, KEYED, 2) == [200] * 2
        statuses = [await ask(client, KEYED.replace(b"/v2/profiles", line)) for line in lines]
        assert statuses == [[200], [200], [403], [200], [200]]


async def test_two_clients_are_decided_apart(running: Running) -> None:
    """One may send what the other may not: the decision belongs to the client of the key."""
    digests = [hashlib.sha256(key).hexdigest() for key in (KEY, b"key-of-another")]
    policies = (
        Policy("reader", (ClientKey(digests[0]),)),
        Policy("another", (ClientKey(digests[1]),), methods=frozenset((b"POST",))),
    )
    async with running(answering(HELLO), clients=Clients(policies, Placeholders(b"key"), Budgets())) as bench:
        client = await bench.client()
        for _ in range(3):
            assert await ask(client, KEYED) == [200]
            assert await ask(client, KEYED.replace(KEY, b"key-of-another")) == [403]


async def test_each_of_them_has_an_id_of_its_own(running: Running) -> None:
    """What is made for a single request is not kept."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        ids = set()
        for _ in range(4):
            client.send(GET)
            ids.add(value_of((await client.answer()).head, b"x-request-id"))
        assert len(ids) == 4


async def test_each_of_them_is_accounted_for(running: Running) -> None:
    """Metrics, the log and the requests in flight know nothing of what is kept."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        await ask(client, GET, 4)
        await bench.settled(lambda: len(bench.events.finished) == 4)
        assert {(event.path, event.client, event.status) for event in bench.events.finished} == {
            ("/v2/profiles", "anonymous", 200)
        }
        assert bench.accounting.client_cell("anonymous").value == 0


async def test_an_expired_key_is_refused_although_its_request_was_decided(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client of a request is looked up each time."""
    now = time.time()
    async with running(answering(HELLO), clients=clients(ends_at=now + 1000)) as bench:
        client = await bench.client()
        assert await ask(client, KEYED, 3) == [200] * 3
        monkeypatch.setattr(time, "time", lambda: now + 2000)
        assert await ask(client, KEYED) == [401]


async def test_each_of_them_costs_its_client_its_budget(running: Running) -> None:
    """The refusal is reported as one of the client's, with its operation; the request is not routed any more."""
    known = clients(requests_per_minute=4)
    async with running(answering(HELLO), clients=known) as bench:
        client = await bench.client()
        assert await ask(client, KEYED, 5) == [*[200] * 4, 429]
        refused = bench.events.finished[-1]
        assert (refused.client, refused.operation, refused.refusal) == ("reader", "listProfiles", "budget-spent")


async def test_each_use_of_a_key_is_noted(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the time of the last one."""
    known, now = clients(), time.time()
    async with running(answering(HELLO), clients=known) as bench:
        client = await bench.client()
        await ask(client, KEYED, 3)
        monkeypatch.setattr(time, "time", lambda: now + 500)
        await ask(client, KEYED)
        assert known.known_keys()[0][2] == now + 500


async def test_a_profile_that_nobody_lists_is_looked_up_each_time(running: Running, routed: list[Route]) -> None:
    """So that the lists are read again; and when it is listed, the request is routed anew."""
    directory = AskedDirectory()
    async with running(answering(HELLO)) as bench:
        look_up_in(bench, directory)
        client = await bench.client()
        for data in (SCOPED, GET[:-2] + b"Amazon-Ads-AccountId: a.1\r\n\r\n"):
            await ask(client, data, 3)
            asked, chosen = directory.asked, len(routed)
            assert await ask(client, data, 5) == [200] * 5
            assert (directory.asked, len(routed)) == (asked + 5, chosen)
        directory.list("77")
        chosen = len(routed)
        await ask(client, SCOPED)
        assert len(routed) == chosen + 1


@pytest.mark.parametrize(
    ("method", "path", "defaults"),
    [(b"GET", b"/v2/sp/campaigns", ("99", "")), (b"POST", b"/adsApi/v1/query/campaigns", ("", "a.9"))],
)
async def test_a_default_that_nobody_lists_is_looked_up_each_time(
    running: Running, routed: list[Route], method: bytes, path: bytes, defaults: tuple[str, str]
) -> None:
    """A decision with such a default is not remembered."""
    async with running(answering(HELLO)) as bench:
        look_up_in(bench, AskedDirectory(), *defaults)
        client = await bench.client()
        assert await ask(client, method + b" " + path + GET[GET.index(b" HTTP/1.1") :], 4) == [200] * 4
        assert len(routed) == 4


async def test_a_request_of_an_api_with_sessions_is_decided_each_time(running: Running, routed: list[Route]) -> None:
    """Its session may have ended, or begun, since the last one like it."""
    async with running(answering(HELLO)) as bench:
        call = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nMcp-Session-Id: s-1\r\nContent-Length: 2\r\n\r\n{}"
        assert await ask(await bench.client(), call, 3) == [200] * 3
        assert [chosen.api for chosen in routed] == [MCP] * 3


async def test_a_changed_list_of_profiles_makes_all_void(running: Running, routed: list[Route]) -> None:
    """By a number that differs."""
    directory = AskedDirectory()
    async with running(answering(HELLO)) as bench:
        look_up_in(bench, directory)
        client = await bench.client()
        await ask(client, GET, 3)
        directory.change()
        await ask(client, GET, 2)
        assert len(routed) == 2


async def test_new_rules_begin_with_nothing(running: Running) -> None:
    """A client that is gone is not served for what was decided when it was there."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client()
        assert await ask(client, KEYED, 3) == [200] * 3
        bench.apply(clients=clients(methods=frozenset((b"POST",))))
        assert await ask(client, KEYED) == [403]


async def test_who_comes_too_late_is_told_so(running: Running) -> None:
    """A proxy that stops lets nothing through that it knows."""
    async with running(answering(HELLO)) as bench:
        client, late = await bench.client(), await bench.client()
        await ask(client, GET, 3)
        bench.forwarder.availability = Availability.CLOSING
        assert await ask(late, GET) == [503]


async def test_little_memory_costs_time_and_nothing_else(
    running: Running, routed: list[Route], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full memory is emptied: the requests are decided again, and answered as before."""
    monkeypatch.setattr(decisions, "MAX_DECISIONS", 2)
    async with running(answering(HELLO)) as bench:
        client = await bench.client()
        for _ in range(2):
            for number in range(5):
                assert await ask(client, GET.replace(b"/v2/profiles", b"/v2/x/%d" % number), 2) == [200] * 2
        assert len(routed) == 10


async def test_contexts_and_decisions_show_nothing_of_a_request(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the client, the account and the region are in their representation."""
    shown: list[str] = []

    def noting(dependencies: object, client: object, context: RequestContext, check: object = None) -> object:
        shown.extend((repr(context), repr(context.decision)))
        return Exchange(dependencies, client, context, check)  # type: ignore[arg-type]  # each of its own type

    monkeypatch.setattr(forwarder, "Exchange", noting)
    async with running(answering(HELLO)) as bench:
        bench.forwarder.new_request_id = lambda: "id"  # type: ignore[method-assign]  # of this one object alone
        await bench.ask()
    assert shown == [
        "<RequestContext of id: <Decision: anonymous to default in na>>",
        "<Decision: anonymous to default in na>",
    ]
