"""Requests of named reports through the real core: what reaches Amazon, what comes back, and who may send them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.internal_client import MAX_RESPONSE, ReportClients
from proxy.events import CounterRaised, Fault
from proxy.profiles.listing import ListRequest, ListResponse
from proxy.reports.pace import OrderLimit
from proxy.reports.sharing import ReportRules
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, UNAUTHORIZED, Script, Wire, answering, value_of

CLIENTS = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)
LIMIT = OrderLimit("default", "amzn1.test", "na")
CONFIGURATION = {"columns": ["date", "cost"], "format": "GZIP_JSON"}
CONTENT = {"startDate": "2026-11-01", "endDate": "2026-11-07", "configuration": CONFIGURATION}
BODY = json.dumps(CONTENT).encode()
ORDER = ListRequest("POST", "/@default/na/reporting/reports", BODY, "application/x.order+json", "11")
OF_A_CLIENT = b"POST /reporting/reports HTTP/1.1\r\nHost: localhost\r\nAmazon-Advertising-API-Scope: 11\r\n"
OF_A_CLIENT += b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
POLL = ListRequest("GET", "/@default/na/reporting/reports/report-1", profile="11")


def answer(status: int, content: Any, *lines: str) -> bytes:
    body = json.dumps(content).encode()
    about = "".join(f"{line}\r\n" for line in (*lines, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{about}\r\n".encode() + body


def made(identifier: str = "report-1", **changes: Any) -> bytes:
    return answer(200, {**CONTENT, "reportId": identifier, "status": "PENDING", "url": None, **changes})


THROTTLED = answer(429, {"message": "slow"})


class Recorder:
    """Gives these answers in turn, the last one for ever; keeps the requests."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.answers = list(answers)

    async def __call__(self, wire: Wire) -> None:
        while True:
            self.requests.append(await wire.request())
            wire.send(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    @property
    def lines(self) -> list[bytes]:
        return [head.partition(b"\r\n")[0] for head, _ in self.requests]


class Bench:
    """The core between two named reports and Amazon."""

    def __init__(self, core: ProxyBench) -> None:
        self.core = core
        self.client = ReportClients(core.dependencies, core.pools, core.reports.queues)
        self.client.apply(core.rules, ("sp-daily", "sb-daily"))

    async def send(self, request: ListRequest, report: str = "sp-daily") -> ListResponse:
        return await self.client.send(report, request)


@asynccontextmanager
async def serving(running: Running, script: Script, **changed: Any) -> AsyncIterator[Bench]:
    async with running(script, **changed) as core:
        yield Bench(core)


async def test_an_order_leaves_as_that_of_a_client(running: Running) -> None:
    """With the account's token and the own Scope, and with nothing of how the proxy told whose it is."""
    amazon = Recorder(made())
    async with serving(running, amazon) as bench:
        response = await bench.send(ORDER)
        assert (response.status, json.loads(response.body)["reportId"], response.own) == (200, "report-1", False)
        event = await bench.core.events.last(1)
    ((head, body),) = amazon.requests
    assert head.startswith(b"POST /reporting/reports HTTP/1.1\r\n")
    assert json.loads(body) == CONTENT
    sent = {
        "authorization": b"Bearer Atza|0",
        "amazon-advertising-api-clientid": b"amzn1.test",
        "amazon-advertising-api-scope": b"11",
        "content-type": b"application/x.order+json",
        "content-length": b"%d" % len(body),
        "user-agent": b"ads-proxy",
        "x-ads-proxy-key": None,
    }
    assert {name: value_of(head, name.encode()) for name in sent} == sent
    assert b"sp-daily" not in head
    assert (event.client, event.account, event.operation) == ("report:sp-daily", "default", "createAsyncReport")


async def test_a_poll_has_no_body(running: Running) -> None:
    """Nor a length: Amazon specifies none."""
    amazon = Recorder(made())
    async with serving(running, amazon) as bench:
        assert (await bench.send(POLL)).status == 200
    ((head, _),) = amazon.requests
    assert head.startswith(b"GET /reporting/reports/report-1 HTTP/1.1\r\n")
    assert value_of(head, b"content-length") is None


async def test_the_core_renews_a_refused_token(running: Running) -> None:
    """The body of an order is kept too, however small the bodies of clients are that are kept."""
    amazon = Recorder(UNAUTHORIZED, made())
    async with serving(running, amazon, replay_bytes=0) as bench:
        assert (await bench.send(ORDER)).status == 200
        assert [use.client for use in bench.core.tokens.uses] == ["report:sp-daily"]
    assert [value_of(head, b"authorization") for head, _ in amazon.requests] == [b"Bearer Atza|0", b"Bearer Atza|1"]


async def test_a_401_about_the_scope_renews_nothing(running: Running) -> None:
    """Two profiles without rights would have the account's token taken for dead, which serves all its clients."""
    refusal = answer(401, {"code": "401", "details": "Not authorized to access scope 11"})
    async with serving(running, answering(refusal)) as bench:
        response = await bench.send(ORDER)
        assert (response.status, response.own, bench.core.tokens.renewals) == (401, False, 0)


async def test_no_default_is_added(running: Running) -> None:
    """Neither to an order whose body names its account, nor to one with a Scope."""
    amazon = Recorder(made())
    unified = replace(ORDER, target="/@default/na/adsApi/v1/create/reports", profile="")
    async with serving(running, amazon) as bench:
        table = bench.core.rules.table
        entry = replace(table.accounts["default"], default_profile="99", default_ads_account="amzn1.x")
        bench.core.apply(table=replace(table, accounts={"default": entry}))
        bench.client.apply(bench.core.rules, ("sp-daily",))
        await bench.send(unified)
        await bench.send(ORDER)
    assert [value_of(head, b"amazon-advertising-api-scope") for head, _ in amazon.requests] == [None, b"11"]
    assert [value_of(head, b"amazon-ads-accountid") for head, _ in amazon.requests] == [None, None]


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + HELLO, b"hello"),
        (b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nProxy-Status: cdn; error=x\r\nContent-Length: 1\r\n\r\n-", b"-"),
    ],
    ids=["chunks", "interim", "another proxy"],
)
async def test_the_body_comes_as_amazon_meant_it(running: Running, response: bytes, body: bytes) -> None:
    async with serving(running, answering(response)) as bench:
        got = await bench.send(POLL)
    assert (got.body, got.own) == (body, False)
    assert got.retry_after == ("7" if got.status == 503 else "")


async def test_what_the_core_refuses_is_told_from_what_amazon_answers(running: Running) -> None:
    """At once, as an account that is gone, or after a wait, as for a token that is not to be had."""
    async with serving(running, answering(UNAUTHORIZED)) as bench:
        gone = await bench.send(replace(POLL, target="/@gone/na/reporting/reports/report-1"))
        assert (gone.status, gone.own) == (404, True)
        assert json.loads(gone.body)["detail"].startswith("Unknown route or account 'gone'.")
        bench.core.tokens.away = True
        away = await bench.send(POLL)
        assert (away.status, away.own, away.retry_after) == (503, True, "3")
        assert [event.client for event in bench.core.events.finished] == ["report:sp-daily"] * 2


@pytest.mark.parametrize(
    "response",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_RESPONSE)],
    ids=["short", "long"],
)
async def test_a_response_that_does_not_come_whole_is_none(running: Running, response: bytes) -> None:
    """One that is too long is not read on."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(response)

    async with serving(running, script) as bench:
        got = await bench.send(POLL)
        assert (got.status, got.own) == (502, True)
        assert "broke off" in json.loads(got.body)["detail"]


async def test_a_request_that_is_given_up_ends(running: Running) -> None:
    """The request ends like one whose client left: nothing of it stays under way."""
    asked = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await asyncio.Event().wait()

    async with serving(running, script) as bench:
        sending = asyncio.create_task(bench.send(POLL))
        await asked.wait()
        assert bench.core.accounting.in_flight == 1
        sending.cancel()
        await asyncio.wait((sending,))
        assert sending.cancelled()
        assert bench.core.accounting.in_flight == 0
        event = await bench.core.events.last(1)
        assert (event.status, event.fault) == (0, Fault.CLIENT_GONE)


# --- Who may send them -------------------------------------------------------------------------------------------


async def test_nobody_outside_is_a_named_report(running: Running) -> None:
    """Its name is no key at any listener, also where clients have keys of their own."""
    policy = Policy("excel", (ClientKey("0" * 64),))
    clients = Clients((policy,), Placeholders(b"key"), Budgets())
    async with serving(running, answering(HELLO), clients=clients) as bench:
        assert (await bench.send(POLL)).status == 200
        for shown in (b"X-Ads-Proxy-Key: sp-daily", b"Authorization: Bearer report:sp-daily"):
            asked = b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n" % shown
            assert (await bench.core.ask(asked)).status == 401


async def test_a_reload_that_removes_a_report_ends_its_rights(running: Running) -> None:
    """The run of it is being cancelled then."""
    async with serving(running, answering(HELLO)) as bench:
        bench.client.apply(bench.core.rules, ("sb-daily",))
        assert (await bench.send(POLL)).status == 401
        assert (await bench.send(POLL, "sb-daily")).status == 200


# --- Orders ------------------------------------------------------------------------------------------------------


async def test_a_throttled_order_slows_down_the_orders_of_all(running: Running) -> None:
    """Once: of its report, of other reports and of clients, in one queue in which each of them takes turns."""
    amazon = Recorder(THROTTLED, made())
    async with serving(running, amazon, reports=CLIENTS) as bench:
        queues = bench.core.reports.queues
        assert (await bench.send(ORDER)).status == 429
        (paced,) = queues.snapshot()
        assert (paced.limit, paced.interval) == (LIMIT, 2.0)
        sending = bench.send(ORDER), bench.send(ORDER, "sb-daily"), bench.core.ask(OF_A_CLIENT)
        waiting = [asyncio.ensure_future(each) for each in sending]
        await bench.core.settled(lambda: queues.snapshot()[0].waiting == 3)
        assert sorted(queues._queues[LIMIT]._waiting) == ["anonymous", "report:sb-daily", "report:sp-daily"]
        assert len(amazon.requests) == 1
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        await bench.core.settled(lambda: queues.snapshot()[0].waiting == 0)


async def test_orders_wait_for_their_turn_longer_than_clients_may(running: Running) -> None:
    """Amazon throttles for hours; a client would be refused at once."""
    async with serving(running, answering(made()), reports=CLIENTS, response_timeout=0.01) as bench:
        queues = bench.core.reports.queues
        queues.throttled(LIMIT, asyncio.get_running_loop().time(), 600.0)
        waiting = asyncio.create_task(bench.send(ORDER))
        await bench.core.settled(lambda: queues.snapshot()[0].waiting == 1)
        assert (await bench.core.ask(OF_A_CLIENT)).status == 429
        assert queues.snapshot()[0].waiting == 1
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_an_order_gets_no_report_of_an_earlier_one(running: Running) -> None:
    """Not of its own, nor of a client's: their rows are as they were then. Nor does a client get its report."""
    amazon = Recorder(made("report-1"), made("report-2"), made("report-3"))
    async with serving(running, amazon, reports=CLIENTS) as bench:
        for number in (1, 2):
            assert json.loads((await bench.send(ORDER)).body)["reportId"] == f"report-{number}"
        asked = await bench.core.ask(OF_A_CLIENT)
        assert json.loads(asked.body)["reportId"] == "report-3"
        assert json.loads((await bench.send(ORDER)).body)["reportId"] == "report-3"
    assert len(amazon.requests) == 4


async def test_an_order_gets_the_report_that_a_425_names(running: Running) -> None:
    """If it has the same data: an order whose answer was lost is made once. Otherwise the 425 is its answer."""
    duplicate = answer(425, {"code": "425", "detail": "The Request is a duplicate of : report-9"})
    amazon = Recorder(duplicate, made("report-9"), duplicate, made("report-9", endDate="2026-11-06"))
    async with serving(running, amazon) as bench:
        adopted, other = await bench.send(ORDER), await bench.send(ORDER)
        counted = [each.labels[0] for each in bench.core.events.of(CounterRaised)]
    assert (adopted.status, json.loads(adopted.body)["reportId"], adopted.own) == (200, "report-9", False)
    assert (other.status, other.own) == (425, False)
    assert counted == ["duplicate", "failed"]
    assert amazon.lines[1] == b"GET /reporting/reports/report-9 HTTP/1.1"
