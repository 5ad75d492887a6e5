"""Orders and polls of reports that clients share: what reaches Amazon, and what each client gets."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.events import CounterRaised
from proxy.reports import pace, report_look
from proxy.reports.pace import OrderLimit
from proxy.reports.sharing import OrderClaim, ReportRules, SharedReports
from proxy.routing.operations import Access
from proxy.upstream import throttles
from tests.support.memory_bench import MemoryBench
from tests.support.tokens import virtual_time
from tests.support.wire import UNAUTHORIZED, Wire, value_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.proxy_bench import ProxyBench, Running
    from tests.support.wire import Answer

RULES = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)
CONFIGURATION = {
    "adProduct": "SPONSORED_PRODUCTS",
    "reportTypeId": "spCampaigns",
    "timeUnit": "DAILY",
    "groupBy": ["campaign"],
    "columns": ["date", "cost"],
    "format": "GZIP_JSON",
}
ORDER = {"name": "mine", "startDate": "2026-11-01", "endDate": "2026-11-07", "configuration": CONFIGURATION}
V1 = {"accessRequestedAccounts": [{"advertiserAccountId": "amzn1.a"}], "reports": [{"format": "CSV"}]}
MEDIA = "application/vnd.createasyncreportrequest.v3+json"


def post(path: str, content: Any, *lines: str, scope: str = "1") -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    about = [f"Amazon-Advertising-API-Scope: {scope}", f"Content-Type: {MEDIA}", f"Content-Length: {len(body)}", *lines]
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{''.join(line + chr(13) + chr(10) for line in about)}\r\n".encode()
        + body
    )


def order(content: Any = ORDER, *lines: str, scope: str = "1") -> bytes:
    return post("/reporting/reports", content, *lines, scope=scope)


def poll(identifier: str, *lines: str, scope: str = "1", method: str = "GET") -> bytes:
    about = [f"Amazon-Advertising-API-Scope: {scope}", *lines]
    head = f"{method} /reporting/reports/{identifier} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return (head + "".join(f"{line}\r\n" for line in about) + "\r\n").encode()


def answer(status: int, content: Any, *lines: bytes) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    about = b"".join(line + b"\r\n" for line in lines)
    head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, about, len(body)) + body


class Amazon:
    """Reports as Amazon makes them: each order makes one. `asked` are the requests that came: method and path."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.reports: dict[str, dict[str, Any]] = {}
        self.answers: list[bytes] = []
        """Answers to the next orders, instead of a report."""
        self.held: asyncio.Event | None = None
        """While it is not set, no answer leaves."""
        self.looks: list[bytes] = []
        """Answers to the next polls; without a byte, the connection ends."""
        self.retrieved: list[bytes] = []
        """Answers to the next polls of version 1."""

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.asked.append(f"{method} {target}")
            self.heads.append(head)
            if self.held is not None:
                await self.held.wait()
            answered = self._answer(method, target, body)
            if not answered:
                return
            wire.send(answered)

    def _answer(self, method: str, target: str, body: bytes) -> bytes:
        if method == "POST" and target.startswith("/reporting/reports"):
            return self.answers.pop(0) if self.answers else answer(200, self._make(json.loads(body)))
        if target == "/adsApi/v1/create/reports":
            made = {"reportId": f"v1-{len(self.asked)}", "status": "PENDING"}
            self.reports[made["reportId"]] = made
            found = answer(207, {"success": [{"index": 0, "report": made}], "error": []})
            return self.answers.pop(0) if self.answers else found
        if method == "GET" and self.looks:
            return self.looks.pop(0)
        is_v1 = method == "POST"
        if is_v1 and self.retrieved:
            return self.retrieved.pop(0)
        identifier = json.loads(body)["reportIds"][0] if is_v1 else target.rpartition("/")[2].partition("?")[0]
        report = self.reports.get(identifier)
        if report is None:
            return answer(404, {"code": "404", "detail": "Not found"})
        if is_v1:
            return answer(207, {"success": [{"index": 0, "report": report}], "error": []})
        return answer(200, report)

    def _make(self, asked: dict[str, Any]) -> dict[str, Any]:
        identifier = f"report-{len(self.reports) + 1}"
        self.reports[identifier] = {**asked, "reportId": identifier, "status": "PENDING", "url": None}
        return self.reports[identifier]

    def orders(self) -> int:
        return sum(
            asked.startswith(("POST /reporting/reports", "POST /adsApi/v1/create/reports")) for asked in self.asked
        )

    def has_orders(self, count: int) -> bool:
        return self.orders() == count

    def polls(self) -> int:
        return sum(asked.startswith("GET /reporting/reports/") for asked in self.asked)

    def duplicate(self, identifier: str) -> bytes:
        return answer(425, {"code": "425", "detail": f"The Request is a duplicate of : {identifier}"})


class LimitedOrder:
    client = ""


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def amazon() -> Amazon:
    return Amazon()


@asynccontextmanager
async def sharing(running: Running, amazon: Amazon, **changed: Any) -> AsyncIterator[ProxyBench]:
    async with running(amazon, **{"reports": RULES, **changed}) as bench:
        bench.reports.wall = Clock()
        yield bench


def pass_time(bench: ProxyBench, seconds: float) -> None:
    clock = bench.reports.wall
    assert isinstance(clock, Clock)
    clock.now += seconds


def outcomes(bench: ProxyBench) -> list[str]:
    return [event.labels[0] for event in bench.events.of(CounterRaised) if event.metric == "report_orders_total"]


def told(got: Answer) -> tuple[int, str, bool]:
    """Status, report, and whether it is told to be another order's."""
    return got.status, json.loads(got.body)["reportId"], got.value(b"x-ads-proxy-report") == b"reused"


# --- orders


async def test_without_the_section_every_order_reaches_amazon(running: Running, amazon: Amazon) -> None:
    """And so does every poll."""
    async with sharing(running, amazon, reports=None) as bench:
        for _ in range(2):
            await bench.ask(order())
            await bench.ask(poll("report-1"))
    assert (amazon.orders(), amazon.polls()) == (2, 2)


async def test_an_identical_order_gets_the_report_of_the_first(running: Running, amazon: Amazon) -> None:
    """With another name and other spacing; Amazon is not asked, and the log says so."""
    async with sharing(running, amazon) as bench:
        first = await bench.ask(order())
        again = await bench.ask(order(json.dumps({**ORDER, "name": "other"}, indent=2).encode()))
        assert told(first) == (200, "report-1", False)
        assert told(again) == (200, "report-1", True)
        finished = await bench.events.last(2)
        nameless = await bench.ask(order({name: value for name, value in ORDER.items() if name != "name"}))
        assert [json.loads(each.body)["name"] for each in (first, again, nameless)] == ["mine", "other", None]
    assert amazon.orders() == 1
    assert (finished.status, finished.upstream_status, finished.attempts) == (200, 0, 0)
    assert finished.detail == "The order got report report-1, which an identical one made."
    assert outcomes(bench) == ["created", "reused", "reused"]


@pytest.mark.parametrize(
    "other",
    [
        order({**ORDER, "endDate": "2026-11-06"}),
        order(scope="2"),
        order(ORDER, "Amazon-Ads-AccountId: amzn1.other"),
        order(ORDER, "Amazon-Advertising-API-Manager-Account: 5"),
        order(ORDER, "X-Profile-Ids: 5"),
        order(ORDER, "X-HTTP-Method-Override: DELETE"),
        order(json.dumps(ORDER).encode().replace(b'"name"', b'"startDate": "2026-10-01", "name"')),
        post("/reporting/reports?x=1", ORDER),
        order(gzip.compress(json.dumps(ORDER).encode()), "Content-Encoding: gzip"),
    ],
    ids=["days", "Scope", "account id", "manager", "alike", "override", "ambiguous", "query", "coded"],
)
async def test_any_other_order_reaches_amazon(other: bytes, running: Running, amazon: Amazon) -> None:
    """Nobody gets the report of another Scope or account, nor that of an order that can be read in two ways."""
    amazon.answers = [answer(200, {"reportId": f"report-{number}", "status": "PENDING"}) for number in (1, 2)]
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        assert told(await bench.ask(other)) == (200, "report-2", False)
    assert amazon.orders() == 2


async def test_an_account_that_does_not_leave_does_not_count(running: Running, amazon: Amazon) -> None:
    """With `Connection`, an order of one account would else be filed as one of another."""
    named = "Amazon-Ads-AccountId: amzn1.b"
    held_back = order(ORDER, named, "Connection: Amazon-Ads-AccountId")
    async with sharing(running, amazon) as bench:
        assert told(await bench.ask(held_back)) == (200, "report-1", False)
        assert told(await bench.ask(order(ORDER, named))) == (200, "report-2", False)
        assert told(await bench.ask(order(ORDER))) == (200, "report-1", True)
    assert [b"Amazon-Ads-AccountId" in head for head in amazon.heads] == [False, True]


async def test_simultaneous_identical_orders_make_one(running: Running, amazon: Amazon) -> None:
    """The others wait for the first one's report."""
    amazon.held = asyncio.Event()
    async with sharing(running, amazon) as bench:
        asking = [asyncio.create_task(bench.ask(order())) for _ in range(20)]
        await bench.settled(lambda: bench.accounting.in_flight == 20 and len(amazon.asked) == 1)
        amazon.held.set()
        got = await asyncio.gather(*asking)
    assert {told(each)[:2] for each in got} == {(200, "report-1")}
    assert sum(told(each)[2] for each in got) == 19
    assert amazon.orders() == 1


async def test_requests_that_share_an_id_have_claims_of_their_own(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job may send its X-Request-Id with all its orders, and all may wait."""
    tickets = list[str]()

    async def claim(_: SharedReports, key: str, ticket: str, *asked: Any) -> OrderClaim:
        tickets.append(ticket)
        return OrderClaim(None, granted=True)

    monkeypatch.setattr(SharedReports, "claim_order", claim)
    async with sharing(running, amazon) as bench:
        for _ in range(2):
            assert (await bench.ask(order(ORDER, "X-Request-Id: job-1"))).status == 200
    assert len(set(tickets)) == 2


async def test_the_next_order_is_sent_if_the_first_one_fails(running: Running, amazon: Amazon) -> None:
    """Each client gets Amazon's answer to its own order then, until one makes a report."""
    amazon.held = asyncio.Event()
    amazon.answers = [answer(500, {"code": "500"}), answer(400, {"code": "400"})]
    async with sharing(running, amazon) as bench:
        asking = [asyncio.create_task(bench.ask(order())) for _ in range(4)]
        await bench.settled(lambda: bench.accounting.in_flight == 4 and len(amazon.asked) == 1)
        amazon.held.set()
        statuses = sorted(each.status for each in await asyncio.gather(*asking))
    assert statuses == [200, 200, 400, 500]
    assert amazon.orders() == 3


async def test_a_client_that_leaves_does_not_delay_the_next(running: Running, amazon: Amazon) -> None:
    """Its order may be at Amazon: the next one is sent, and the 425 to it becomes the report of the first."""
    amazon.held = asyncio.Event()
    async with sharing(running, amazon) as bench:
        leaving = await bench.client(order())
        await bench.settled(lambda: len(amazon.asked) == 1)
        waiting = asyncio.create_task(bench.ask(order()))
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        amazon.reports["report-9"] = {**ORDER, "reportId": "report-9", "status": "PENDING"}
        amazon.answers = [amazon.duplicate("report-9"), amazon.duplicate("report-9")]
        leaving.abort()
        amazon.held.set()
        assert told(await waiting) == (200, "report-9", True)


async def test_a_waiting_client_that_leaves_is_forgotten(running: Running, amazon: Amazon) -> None:
    """The others still make one order."""
    amazon.held = asyncio.Event()
    async with sharing(running, amazon) as bench:
        first = asyncio.create_task(bench.ask(order()))
        await bench.settled(lambda: len(amazon.asked) == 1)
        leaving = await bench.client(order())
        third = asyncio.create_task(bench.ask(order()))
        await bench.settled(lambda: bench.accounting.in_flight == 3)
        leaving.abort()
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        amazon.held.set()
        assert [told(each)[1] for each in await asyncio.gather(first, third)] == ["report-1", "report-1"]
    assert amazon.orders() == 1


async def test_a_completed_report_is_reused_for_a_while(running: Running, amazon: Amazon) -> None:
    """`reuse_for` seconds from its completion, as polls showed it; the answer has no address of a download."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 100)
        amazon.reports["report-1"].update(
            status="COMPLETED", url="https://s3/secret", urlExpiresAt="2027-01-15T09:00:00Z"
        )
        await bench.ask(poll("report-1"))
        pass_time(bench, 899)
        got = await bench.ask(order())
        assert told(got) == (200, "report-1", True)
        content = json.loads(got.body)
        assert (content["status"], content["url"], content["urlExpiresAt"]) == ("COMPLETED", None, None)
        pass_time(bench, 1)
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_a_report_that_nobody_polls_is_looked_at(running: Running, amazon: Amazon) -> None:
    """Once it was not seen for a while: so that none is reused that failed."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 61)
        assert told(await bench.ask(order())) == (200, "report-1", True)
        assert amazon.asked[-1] == "GET /reporting/reports/report-1"
        assert b"Amazon-Advertising-API-Scope: 1\r\n" in amazon.heads[-1]
        assert b"Bearer" in amazon.heads[-1]
        assert b"Content-" not in amazon.heads[-1]
        pass_time(bench, 61)
        amazon.reports["report-1"]["status"] = "FAILED"
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_a_report_of_version_1_is_looked_at_too(running: Running, amazon: Amazon) -> None:
    """By its own operation; the answer stays what the first order got."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    async with sharing(running, amazon) as bench:
        first = await bench.ask(request)
        amazon.reports["v1-1"]["status"] = "PROCESSING"
        pass_time(bench, 61)
        again = await bench.ask(request)
    assert (again.status, again.body) == (207, first.body)
    assert amazon.asked == ["POST /adsApi/v1/create/reports", "POST /adsApi/v1/retrieve/reports"]


@pytest.mark.parametrize("status", [404, 410, 401, 500, 200])
async def test_a_look_without_a_clear_answer_reuses_nothing(status: int, running: Running, amazon: Amazon) -> None:
    """The order is sent: if the report is there, Amazon says so with a 425."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 61)
        amazon.looks = [answer(status, {"code": str(status)})]
        assert told(await bench.ask(order())) == (200, "report-2", False)
    assert (amazon.orders(), amazon.polls()) == (2, 1)


async def test_a_look_that_breaks_reuses_nothing(running: Running, amazon: Amazon) -> None:
    """The connection ended without an answer."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 61)
        amazon.looks = [b""]
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_a_look_that_takes_too_long_reuses_nothing(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client does not wait for ever."""
    monkeypatch.setattr(report_look, "PATIENCE", 0.05)
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 61)
        amazon.looks = [b"HTTP/1.1 200 OK\r\n"]
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_an_identical_order_waits_no_longer_than_for_amazon(running: Running, amazon: Amazon) -> None:
    """Then it is sent, too; and so is a poll."""
    amazon.held = asyncio.Event()
    async with sharing(running, amazon) as bench:
        first = asyncio.create_task(bench.ask(order()))
        await bench.settled(lambda: amazon.orders() == 1)
        bench.apply(response_timeout=0.05)
        second = asyncio.create_task(bench.ask(order()))
        await bench.settled(lambda: amazon.orders() == 2)
        assert (await second).status == 504
        amazon.held.set()
        assert told(await first) == (200, "report-1", False)
        assert told(await bench.ask(order()))[2]


async def test_a_poll_waits_no_longer_than_for_amazon(running: Running, amazon: Amazon) -> None:
    """Then it is sent, too."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        amazon.held = asyncio.Event()
        first = asyncio.create_task(bench.ask(poll("report-1")))
        await bench.settled(lambda: amazon.polls() == 1)
        bench.apply(response_timeout=0.05)
        second = asyncio.create_task(bench.ask(poll("report-1")))
        await bench.settled(lambda: amazon.polls() == 2)
        amazon.held.set()
        assert (await first).status == 200
        assert (await second).status in (200, 504)


async def test_a_report_that_completed_long_ago_is_not_reused(running: Running, amazon: Amazon) -> None:
    """Amazon's own moment of completion counts, if it can be true."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        pass_time(bench, 5000)
        amazon.reports["report-1"].update(status="COMPLETED", generatedAt="2027-01-15T08:05:00Z")
        assert told(await bench.ask(order())) == (200, "report-2", False)


@pytest.mark.parametrize("status", ["FAILED", None])
async def test_a_failed_or_unknown_report_is_forgotten(status: str | None, running: Running, amazon: Amazon) -> None:
    """As soon as a poll shows it."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        if status is None:
            amazon.answers = [answer(200, {"reportId": "report-2", "status": "PENDING"})]
            del amazon.reports["report-1"]
        else:
            amazon.reports["report-1"]["status"] = status
        await bench.ask(poll("report-1"))
        assert told(await bench.ask(order()))[1:] == ("report-2", False)


async def test_a_deleted_report_is_forgotten(running: Running, amazon: Amazon) -> None:
    """Its polls, too."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(poll("report-1"))
        await bench.ask(poll("report-1", method="DELETE"))
        assert told(await bench.ask(order())) == (200, "report-2", False)
        await bench.ask(poll("report-1"))
    assert amazon.polls() == 2


@pytest.mark.parametrize(
    "deletion",
    [
        poll("report-1", "Range: bytes=0-1", method="DELETE"),
        poll("report-1", "If-None-Match: *", method="DELETE"),
        poll("report-1", "X-HTTP-Method: PUT", method="DELETE"),
        poll("report-1", "Content-Length: 2", method="DELETE") + b"{}",
    ],
    ids=["range", "condition", "another method", "body"],
)
async def test_a_report_is_forgotten_however_its_deletion_is_written(
    deletion: bytes, running: Running, amazon: Amazon
) -> None:
    """Amazon may delete it all the same."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(deletion)
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_a_deletion_may_name_several_reports(running: Running, amazon: Amazon) -> None:
    """In version 1: each is forgotten."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    async with sharing(running, amazon) as bench:
        first = await bench.ask(request)
        await bench.ask(post("/adsApi/v1/delete/reports", {"reportIds": ["v1-1", "v1-9"]}))
        assert (await bench.ask(request)).body != first.body
    assert amazon.orders() == 2


async def test_a_deletion_with_another_scope_forgets_nothing(running: Running, amazon: Amazon) -> None:
    """Amazon decides about it."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(poll("report-1", method="DELETE", scope="2"))
        assert told(await bench.ask(order())) == (200, "report-1", True)


async def test_an_order_of_version_1_gets_what_the_first_got(running: Running, amazon: Amazon) -> None:
    """Byte for byte, with its status."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    async with sharing(running, amazon) as bench:
        first, again = await bench.ask(request), await bench.ask(request)
    assert (first.status, again.status, again.body) == (207, 207, first.body)
    assert again.value(b"x-ads-proxy-report") == b"reused"
    assert amazon.orders() == 1


async def test_an_order_of_version_1_with_errors_is_not_shared(running: Running, amazon: Amazon) -> None:
    """Its 207 holds no report."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    amazon.answers = [answer(207, {"success": [], "error": [{"index": 0, "errors": []}]})]
    async with sharing(running, amazon) as bench:
        first, again = await bench.ask(request), await bench.ask(request)
    assert b'"error": [{' in first.body
    assert b"v1-" in again.body
    assert outcomes(bench) == ["failed", "created"]


async def test_an_order_too_large_to_be_read_passes(running: Running, amazon: Amazon) -> None:
    """Whole, counted or chunked: it is not refused for that."""
    large = json.dumps({**ORDER, "name": "x" * 300_000}).encode()
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    head = order(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    async with sharing(running, amazon) as bench:
        assert (await bench.ask(order(large))).status == 200
        assert (await bench.ask(head + chunked)).status == 200
    assert amazon.orders() == 2


async def test_a_poll_with_a_chunked_body_of_nothing_is_answered(running: Running, amazon: Amazon) -> None:
    """As one without a body is."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        got = await bench.ask(poll("report-1", "Transfer-Encoding: chunked") + b"0\r\n\r\n")
        assert told(got)[1] == "report-1"
        assert bench.accounting.in_flight == 0


async def test_an_answer_too_large_to_be_read_passes(running: Running, amazon: Amazon) -> None:
    """It made a report, but nobody else gets it."""
    large = {"reportId": "report-9", "status": "PENDING", "name": "x" * 1_100_000}
    amazon.answers = [answer(200, large)]
    async with sharing(running, amazon) as bench:
        assert json.loads((await bench.ask(order())).body) == large
        assert told(await bench.ask(order()))[2] is False
        assert bench.accounting.in_flight == 0
    assert (amazon.orders(), outcomes(bench)) == (2, ["created", "created"])


async def test_an_answer_with_odd_parts_holds_up_no_other_order(running: Running, amazon: Amazon) -> None:
    """It is Amazon's to say what they are."""
    amazon.answers = [answer(200, {"reportId": "report-1", "status": "PENDING", "completedReportParts": 5})]
    async with sharing(running, amazon) as bench:
        assert told(await bench.ask(order())) == (200, "report-1", False)
        assert told(await bench.ask(order())) == (200, "report-1", True)
        assert bench.accounting.in_flight == 0


async def test_an_answer_with_a_number_that_readers_do_not_have_is_not_shared(running: Running, amazon: Amazon) -> None:
    """It passes as it came, and is not written anew."""
    body = b'{"reportId": "report-9", "status": "PENDING", "fileSize": 1e999}'
    amazon.answers = [answer(200, body)]
    async with sharing(running, amazon) as bench:
        assert (await bench.ask(order())).body == body
        assert told(await bench.ask(order())) == (200, "report-1", False)


async def test_a_compressed_answer_is_understood(running: Running, amazon: Amazon) -> None:
    """The client gets it as it came; the next one gets plain JSON."""
    content = gzip.compress(json.dumps({"reportId": "report-1", "status": "PENDING"}).encode())
    amazon.answers = [answer(200, content, b"Content-Encoding: gzip")]
    async with sharing(running, amazon) as bench:
        assert (await bench.ask(order())).body == content
        assert told(await bench.ask(order())) == (200, "report-1", True)


# --- a 425


async def test_a_425_becomes_the_report_that_it_names(running: Running, amazon: Amazon) -> None:
    """If that has the data that the order asks for; and the next identical order gets it, too."""
    amazon.reports["report-9"] = {**ORDER, "reportId": "report-9", "status": "PROCESSING", "name": "theirs"}
    amazon.answers = [amazon.duplicate("report-9")]
    async with sharing(running, amazon) as bench:
        got = await bench.ask(order())
        assert (*told(got), json.loads(got.body)["name"]) == (200, "report-9", True, "mine")
        finished = await bench.events.last()
        assert told(await bench.ask(order())) == (200, "report-9", True)
    assert (finished.status, finished.upstream_status, finished.attempts) == (200, 425, 1)
    assert "duplicate of report report-9" in finished.detail
    assert outcomes(bench) == ["duplicate", "reused"]
    assert amazon.asked == ["POST /reporting/reports", "GET /reporting/reports/report-9"]


@pytest.mark.parametrize(
    "report",
    [
        None,
        {**ORDER, "status": "FAILED"},
        {**ORDER, "status": "PENDING", "startDate": "2026-10-01"},
        {**ORDER, "status": "PENDING", "configuration": {**CONFIGURATION, "timeUnit": "SUMMARY"}},
        {**ORDER, "status": "PENDING", "reportId": "report-8"},
        {"status": "PENDING"},
    ],
    ids=["unknown", "failed", "days", "time unit", "another", "bare"],
)
async def test_a_425_passes_if_its_report_does_not_fit(
    report: dict[str, Any] | None, running: Running, amazon: Amazon
) -> None:
    """As Amazon sent it."""
    if report is not None:
        amazon.reports["report-9"] = {"reportId": "report-9", **report}
    amazon.answers = [amazon.duplicate("report-9")]
    async with sharing(running, amazon) as bench:
        got = await bench.ask(order())
    assert got.status == 425
    assert json.loads(got.body)["detail"] == "The Request is a duplicate of : report-9"
    assert got.value(b"x-ads-proxy-report") is None
    assert outcomes(bench) == ["failed"]


@pytest.mark.parametrize("body", [b"", b"<html>wait</html>", b'{"code": "425", "detail": "Too early"}'])
async def test_a_425_without_a_report_passes(body: bytes, running: Running, amazon: Amazon) -> None:
    """Nothing else is asked."""
    amazon.answers = [answer(425, body)]
    async with sharing(running, amazon) as bench:
        got = await bench.ask(order())
    assert (got.status, got.body) == (425, body)
    assert amazon.asked == ["POST /reporting/reports"]


async def test_a_425_passes_with_duplicates_off(running: Running, amazon: Amazon) -> None:
    """It is not looked at."""
    amazon.answers = [amazon.duplicate("report-9")]
    async with sharing(running, amazon, reports=replace(RULES, reuses=False, adopts=False)) as bench:
        assert (await bench.ask(order())).status == 425
        assert (await bench.ask(order())).status == 200
    assert amazon.orders() == 2


async def test_a_report_is_looked_at_with_the_token_that_amazon_took(running: Running, amazon: Amazon) -> None:
    """Not with the one that it refused before."""
    amazon.reports["report-9"] = {**ORDER, "reportId": "report-9", "status": "PROCESSING"}
    amazon.answers = [UNAUTHORIZED, amazon.duplicate("report-9")]
    async with sharing(running, amazon) as bench:
        assert told(await bench.ask(order())) == (200, "report-9", True)
    assert [value_of(head, b"authorization") for head in amazon.heads] == [
        b"Bearer Atza|0",
        b"Bearer Atza|1",
        b"Bearer Atza|1",
    ]


async def test_a_425_ends_the_replay_that_it_answers(running: Running, amazon: Amazon) -> None:
    """Also if its client gets a report instead: Amazon took the newer token."""
    amazon.reports["report-9"] = {**ORDER, "reportId": "report-9", "status": "PROCESSING"}
    amazon.answers = [UNAUTHORIZED, amazon.duplicate("report-9")]
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        assert bench.events.replays == [("unauthorized", "recovered")]


async def test_a_425_shows_that_the_limit_of_orders_is_not_reached(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as Amazon answered leave at once after the next Retry-After."""
    monkeypatch.setattr(throttles, "_BURST", 600.0)
    days = ["2026-11-03", "2026-11-04", "2026-11-05"]
    for day in days:
        amazon.reports[day] = {**ORDER, "endDate": day, "reportId": day, "status": "PENDING"}
    amazon.answers = [answer(429, {"code": "429"}, b"Retry-After: 600"), *map(amazon.duplicate, days)]
    async with sharing(running, amazon, reports=replace(RULES, paces=False)) as bench:
        loop = asyncio.get_running_loop()
        await bench.ask(order())
        (limit,) = bench.throttles.snapshot(loop.time())
        bench.throttles.forget()
        bench.throttles.pause(limit.key, 0.0, loop)
        for day in days:
            assert told(await bench.ask(order({**ORDER, "endDate": day}))) == (200, day, True)
        bench.throttles.pause(limit.key, 0.0, loop)
        throttle = bench.throttles.find(limit.key, loop.time())
        assert throttle is not None
        assert [throttle.admit(LimitedOrder(), 0.0) for _ in days] == [True] * 3


async def test_a_client_may_leave_while_its_425_is_looked_at(running: Running, amazon: Amazon) -> None:
    """Nothing is left over."""
    amazon.answers = [amazon.duplicate("report-9")]
    async with sharing(running, amazon) as bench:
        client = await bench.client(order())
        await bench.settled(lambda: len(amazon.asked) == 1)
        amazon.held = asyncio.Event()
        await bench.settled(lambda: len(amazon.asked) == 2)
        client.abort()
        await bench.settled(lambda: not bench.accounting.in_flight)
        amazon.held.set()


# --- polls


async def test_a_poll_within_the_interval_gets_the_last_answer(running: Running, amazon: Amazon) -> None:
    """With its age; later, Amazon is asked again."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        first = await bench.ask(poll("report-1"))
        pass_time(bench, 59)
        again = await bench.ask(poll("report-1"))
        assert (first.value(b"age"), again.value(b"age"), again.body) == (None, b"59", first.body)
        assert again.value(b"content-type") == b"application/json"
        assert (await bench.events.last(3)).detail == "The poll was answered from memory, 59 s old."
        pass_time(bench, 1)
        assert (await bench.ask(poll("report-1"))).value(b"age") is None
    assert amazon.polls() == 2


@pytest.mark.parametrize(
    "other",
    [
        poll("report-1", scope="2"),
        poll("report-1", "Amazon-Ads-AccountId: amzn1.other"),
        poll("report-1?x=1"),
        poll("report%2D1"),
        poll("report-1", "If-None-Match: x"),
        poll("report-1", "Content-Type: application/json", "Content-Length: 2") + b"{}",
    ],
    ids=["Scope", "account id", "query", "encoded", "condition", "body"],
)
async def test_any_other_poll_reaches_amazon(other: bytes, running: Running, amazon: Amazon) -> None:
    """What one Scope saw is not shown to another."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(poll("report-1"))
        assert (await bench.ask(other)).value(b"age") is None
    assert amazon.polls() == 2


async def test_a_head_request_is_no_poll(running: Running, amazon: Amazon) -> None:
    """A HEAD reaches Amazon, and its answer has no body, which a client would take for the beginning of the next."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(poll("report-1"))
        client = await bench.client(poll("report-1", method="HEAD"))
        assert (await client.answer(to_head=True)).status == 200
        client.send(poll("report-1"))
        assert (await client.answer()).status == 200
    assert amazon.asked[1:] == ["GET /reporting/reports/report-1", "HEAD /reporting/reports/report-1"]


async def test_simultaneous_polls_make_one(running: Running, amazon: Amazon) -> None:
    """The others wait for its answer."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        amazon.held = asyncio.Event()
        asking = [asyncio.create_task(bench.ask(poll("report-1"))) for _ in range(20)]
        await bench.settled(lambda: bench.accounting.in_flight == 20 and amazon.polls() == 1)
        amazon.held.set()
        assert {each.status for each in await asyncio.gather(*asking)} == {200}
    assert amazon.polls() == 1


async def test_a_report_that_takes_long_is_polled_half_as_often(running: Running, amazon: Amazon) -> None:
    """After half an hour."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        await bench.ask(poll("report-1"))
        pass_time(bench, 1801)
        await bench.ask(poll("report-1"))
        pass_time(bench, 119)
        assert (await bench.ask(poll("report-1"))).value(b"age") == b"119"
        pass_time(bench, 1)
        assert (await bench.ask(poll("report-1"))).value(b"age") is None


@pytest.mark.parametrize(
    ("ends", "shared"),
    [("2027-01-15T08:30:00Z", True), ("2027-01-15T08:10:00Z", False), ("soon", False), (None, False)],
)
async def test_a_download_address_from_memory_is_good_for_a_while(
    ends: str | None, shared: bool, running: Running, amazon: Amazon
) -> None:
    """For a quarter of an hour at least; else Amazon signs a new one."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        amazon.reports["report-1"].update(status="COMPLETED", url="https://s3/x", urlExpiresAt=ends)
        await bench.ask(poll("report-1"))
        assert ((await bench.ask(poll("report-1"))).value(b"age") is not None) is shared


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_an_error_is_not_shared(
    status: int, running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client gets its own."""
    monkeypatch.setattr(amazon, "_answer", lambda *_: answer(status, {"code": str(status)}))
    async with sharing(running, amazon) as bench:
        for _ in range(2):
            assert (await bench.ask(poll("report-1"))).status == status
    assert amazon.polls() >= 2


async def test_all_polls_reach_amazon_without_an_interval(running: Running, amazon: Amazon) -> None:
    """`poll_interval: 0`."""
    async with sharing(running, amazon, reports=replace(RULES, poll_interval=0.0)) as bench:
        await bench.ask(order())
        for _ in range(2):
            assert (await bench.ask(poll("report-1"))).value(b"age") is None
    assert amazon.polls() == 2


async def test_polls_of_version_1_are_shared(running: Running, amazon: Amazon) -> None:
    """Of one report each."""
    ask = post("/adsApi/v1/retrieve/reports", {"reportIds": ["v1-1"]}).replace(MEDIA.encode(), b"application/json")
    amazon.reports["v1-1"] = {"reportId": "v1-1", "status": "PENDING"}
    async with sharing(running, amazon) as bench:
        first, again = await bench.ask(ask), await bench.ask(ask)
    assert (first.status, again.status, again.body, again.value(b"age")) == (207, 207, first.body, b"0")
    assert len(amazon.asked) == 1


# --- permissions


KEYS = {name: f"the key of the client {name}" for name in ("first", "second", "reader")}


def known(*names: str, access: Access = Access.ADMIN) -> Clients:
    """These clients; the one called `reader` may only read, and so may the last one with that `access`."""
    policies = [
        Policy(
            name,
            (ClientKey(hashlib.sha256(KEYS[name].encode()).hexdigest()),),
            access=Access.READ if name == "reader" else access if name == names[-1] else Access.ADMIN,
        )
        for name in names
    ]
    return Clients(policies, Placeholders(b"key"), Budgets())


def of_account(identifier: bytes) -> Clients:
    """The client `first`, which may use this ads account alone."""
    first = ClientKey(hashlib.sha256(KEYS["first"].encode()).hexdigest())
    return Clients([Policy("first", (first,), account_ids=frozenset({identifier}))], Placeholders(b"key"), Budgets())


def own_order(name: str) -> bytes:
    return order(ORDER, key(name))


def own_poll(name: str) -> bytes:
    """Of a report that nobody ordered."""
    return poll("report-9", key(name))


def key(name: str) -> str:
    return f"X-Ads-Proxy-Key: {KEYS[name]}"


async def test_clients_share_what_each_of_them_may_order(running: Running, amazon: Amazon) -> None:
    """The log has the client of each."""
    async with sharing(running, amazon, clients=known("first", "second")) as bench:
        await bench.ask(order(ORDER, key("first")))
        assert told(await bench.ask(order(ORDER, key("second")))) == (200, "report-1", True)
        assert [each.client for each in bench.events.finished] == ["first", "second"]


async def test_a_client_gets_no_report_that_it_may_not_order(running: Running, amazon: Amazon) -> None:
    """Permissions come first, and so does the key."""
    async with sharing(running, amazon, clients=known("first", "reader")) as bench:
        await bench.ask(order(ORDER, key("first")))
        assert (await bench.ask(order(ORDER, key("reader")))).status == 403
        assert (await bench.ask(order())).status == 401
        await bench.ask(poll("report-1", key("first")))
        assert (await bench.ask(poll("report-1"))).status == 401
        assert (await bench.ask(poll("report-1", key("reader")))).value(b"age") == b"0"


async def test_a_revoked_key_gets_nothing_from_memory(running: Running, amazon: Amazon) -> None:
    """From the reload on."""
    async with sharing(running, amazon, clients=known("first", "second")) as bench:
        await bench.ask(order(ORDER, key("first")))
        await bench.ask(poll("report-1", key("first")))
        bench.apply(clients=known("second"))
        assert (await bench.ask(order(ORDER, key("first")))).status == 401
        assert (await bench.ask(poll("report-1", key("first")))).status == 401
        assert told(await bench.ask(order(ORDER, key("second")))) == (200, "report-1", True)


async def test_another_login_of_the_account_shares_nothing(running: Running, amazon: Amazon) -> None:
    """It may not be allowed what the first one was."""
    async with sharing(running, amazon) as bench:
        await bench.ask(order())
        bench.tokens._token = replace(bench.tokens._token, lineage="another")
        assert told(await bench.ask(order())) == (200, "report-2", False)


async def test_without_a_token_an_order_waits_for_one_as_usual(running: Running, amazon: Amazon) -> None:
    """Nothing is shared then."""
    async with sharing(running, amazon) as bench:
        bench.tokens.cold = True
        assert told(await bench.ask(order())) == (200, "report-1", False)


# --- pace


async def test_after_a_429_orders_wait_for_their_turn(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 429 passes to its client; other orders of the login leave later, in the order of their days."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    async with sharing(running, amazon, response_timeout=1000.0) as bench:
        assert (await bench.ask(order())).status == 429
        days = ["2026-11-03", "2026-11-05", "2026-11-04"]
        asking = [asyncio.create_task(bench.ask(order({**ORDER, "endDate": day}))) for day in days]
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == len(days))
        for turn in range(len(days)):
            bench.reports.queues.give_back(bench.reports.queues.snapshot()[0].limit)
            await bench.settled(partial(amazon.has_orders, 2 + turn))
        assert {each.status for each in await asyncio.gather(*asking)} == {200}
    assert [each["endDate"] for each in amazon.reports.values()] == sorted(days, reverse=True)
    assert outcomes(bench) == ["throttled", "created", "created", "created"]


async def test_an_order_of_version_1_may_be_throttled_inside_of_a_207(running: Running, amazon: Amazon) -> None:
    """The error of its one report tells it; an order that was taken makes the pace faster."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    error = {"index": 0, "errors": [{"code": "TOO_MANY_REQUESTS", "message": "Slow down"}]}
    amazon.answers = [answer(207, {"success": [], "error": [error]}, b"Retry-After: 600")]
    async with sharing(running, amazon, response_timeout=1000.0) as bench:
        assert (await bench.ask(request)).status == 207
        (throttled,) = bench.reports.queues.snapshot()
        bench.reports.queues.give_back(throttled.limit)
        asking = asyncio.create_task(bench.ask(request))
        await bench.settled(lambda: bool(bench.reports.queues.snapshot()[0].waiting))
        bench.reports.queues._queues[throttled.limit]._paused_until = 0.0
        bench.reports.queues.give_back(throttled.limit)
        assert (await asking).status == 207
        (taken,) = bench.reports.queues.snapshot()
    assert taken.interval < throttled.interval
    assert outcomes(bench) == ["throttled", "created"]


async def test_a_report_of_version_1_may_be_unknown_inside_of_a_207(running: Running, amazon: Amazon) -> None:
    """As after a 404, the next identical order makes another one."""
    request = post("/adsApi/v1/create/reports", V1).replace(MEDIA.encode(), b"application/json")
    error = {"index": 0, "errors": [{"code": "RESOURCE_ID_NOT_FOUND", "message": "Gone"}]}
    async with sharing(running, amazon) as bench:
        first = (await bench.ask(request)).body
        name = json.loads(first)["success"][0]["report"]["reportId"]
        amazon.retrieved = [answer(207, {"success": [], "error": [error]})]
        polling = post("/adsApi/v1/retrieve/reports", {"reportIds": [name]})
        await bench.ask(polling.replace(MEDIA.encode(), b"application/json"))
        assert (await bench.ask(request)).body != first
    assert amazon.orders() == 2


async def test_a_client_far_back_in_its_queue_delays_no_other(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two identical orders, the one whose turn is first is sent, and answers the other."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    async with sharing(running, amazon, clients=known("first", "second"), response_timeout=1000.0) as bench:
        await bench.ask(order({**ORDER, "endDate": "2026-11-30"}, key("first")))
        (limit,) = (each.limit for each in bench.reports.queues.snapshot())
        others = [await bench.client(order({**ORDER, "endDate": f"2026-11-2{day}"}, key("first"))) for day in range(9)]
        far = asyncio.create_task(bench.ask(order(ORDER, key("first"))))
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 10)
        near = asyncio.create_task(bench.ask(order(ORDER, key("second"))))
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 11)
        bench.reports.queues.give_back(limit)  # to that of the first client with the newest days
        await bench.settled(lambda: amazon.orders() == 2)
        bench.reports.queues.give_back(limit)  # to that of the second client
        assert told(await near) == (200, "report-2", False)
        assert told(await far) == (200, "report-2", True)
        assert bench.reports.queues.snapshot()[0].waiting == 8
        for client in others:
            client.abort()
    assert amazon.orders() == 3


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"clients": known("second")}, 401),
        ({"clients": known("second", "first", access=Access.READ)}, 403),
        ({"clients": known("second", "first")}, 200),
    ],
)
async def test_an_order_is_judged_again_when_it_leaves(
    changed: dict[str, Any], status: int, running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client's key, or a permission, may have been taken away while it waited; then Amazon is not asked, and the
    identical order of another client leaves in its turn."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    clients = known("first", "second")
    async with sharing(running, amazon, clients=clients, response_timeout=1000.0) as bench:
        await bench.ask(order({**ORDER, "endDate": "2026-11-30"}, key("first")))
        (limit,) = (each.limit for each in bench.reports.queues.snapshot())
        waiting = asyncio.create_task(bench.ask(order(ORDER, key("first"))))
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 1)
        bench.apply(**changed)
        bench.reports.queues.give_back(limit)
        got = await waiting
        assert got.status == status
        assert amazon.orders() == (2 if status == 200 else 1)
        assert told(await bench.ask(order(ORDER, key("second")))) == (200, "report-1", status == 200)
    assert amazon.orders() == 2


async def test_a_revoked_key_gets_nothing_that_it_waited_for(running: Running, amazon: Amazon) -> None:
    """Neither the report of an identical order that was under way, nor the answer to a poll."""
    amazon.held = asyncio.Event()
    async with sharing(running, amazon, clients=known("first", "second")) as bench:
        sent = [asyncio.create_task(bench.ask(each("second"))) for each in (own_order, own_poll)]
        await bench.settled(lambda: len(amazon.asked) == 2)
        waiting = [asyncio.create_task(bench.ask(each("first"))) for each in (own_order, own_poll)]
        await bench.settled(lambda: bench.accounting.in_flight == 4)
        bench.apply(clients=known("second"))
        amazon.held.set()
        assert [each.status for each in await asyncio.gather(*sent)] == [200, 404]
        refused = await asyncio.gather(*waiting)
    assert [each.status for each in refused] == [401, 401]
    assert len(amazon.asked) == 2


async def test_a_body_is_judged_again_too(running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names an ads account that was the client's when it came."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    sent = post("/adsApi/v1/create/reports", V1, key("first")).replace(b"Amazon-Advertising-API-Scope: 1\r\n", b"")
    async with sharing(running, amazon, clients=of_account(b"amzn1.a"), response_timeout=1000.0) as bench:
        assert (await bench.ask(sent)).status == 429
        (limit,) = (each.limit for each in bench.reports.queues.snapshot())
        waiting = asyncio.create_task(bench.ask(sent))
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 1)
        bench.apply(clients=of_account(b"amzn1.b"))
        bench.reports.queues.give_back(limit)
        assert (await waiting).status == 403
    assert amazon.orders() == 1


@pytest.mark.parametrize("arrives", ["at once", "in pieces", "chunked"])
async def test_an_order_too_large_to_be_read_waits_for_its_turn(
    arrives: str, running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blanks behind an order do not take it past the others, and it passes whole."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    large = json.dumps(ORDER).encode() + b" " * 300_000
    request = order(large)
    if arrives == "chunked":
        head = order(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        request = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    first = 1000 if arrives == "in pieces" else len(request)
    async with sharing(running, amazon, response_timeout=1000.0) as bench:
        await bench.ask(order())
        (limit,) = (each.limit for each in bench.reports.queues.snapshot())
        client = await bench.client(request[:first])
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 1)
        assert amazon.orders() == 1
        client.send(request[first:])
        bench.reports.queues.give_back(limit)
        assert (await client.answer()).status == 200
        assert bench.reports.queues.snapshot()[0].interval < 600.0
    assert amazon.orders() == 2


async def test_an_order_that_would_wait_too_long_is_refused(running: Running, amazon: Amazon) -> None:
    """With the seconds after which it can be sent again; orders of another region are not held back."""
    amazon.answers = [answer(429, {"code": "429"}, b"Retry-After: 600")]
    async with sharing(running, amazon) as bench:
        await bench.ask(order(scope="2"))
        got = await bench.ask(order())
        finished = await bench.events.last(2)
    assert (got.status, got.value(b"retry-after")) == (429, b"600")
    assert b"throttles orders for reports" in got.body
    assert (finished.refusal, finished.attempts) == ("throttled", 0)
    assert amazon.orders() == 1
    assert outcomes(bench) == ["throttled", "throttled"]


async def test_without_pace_orders_do_not_wait(running: Running, amazon: Amazon) -> None:
    """Each gets Amazon's own answer."""
    amazon.answers = [answer(429, {"code": "429"})]
    async with sharing(running, amazon, reports=replace(RULES, paces=False)) as bench:
        assert [(await bench.ask(order())).status for _ in range(2)] == [429, 200]


async def two_that_wait(bench: ProxyBench) -> tuple[OrderLimit, Wire, asyncio.Task[Answer]]:
    """Behind a 429: the limit for which they wait, the client of the first order, and the answer to the second."""
    await bench.ask(order())
    (limit,) = (each.limit for each in bench.reports.queues.snapshot())
    first = await bench.client(order({**ORDER, "endDate": "2026-11-09"}))
    await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 1)
    second = asyncio.create_task(bench.ask(order()))
    await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 2)
    return limit, first, second


async def test_a_client_that_leaves_its_place_is_not_sent(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    async with sharing(running, amazon, response_timeout=1000.0) as bench:
        limit, leaving, staying = await two_that_wait(bench)
        leaving.abort()
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 1)
        bench.reports.queues.give_back(limit)
        assert told(await staying)[0] == 200
    assert [each["endDate"] for each in amazon.reports.values()] == ["2026-11-07"]


async def test_an_order_that_was_not_sent_gives_its_turn_back(
    running: Running, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client left while it waited for a token: the next one does not wait for another interval."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    amazon.answers = [answer(429, {"code": "429"})]
    async with sharing(running, amazon, response_timeout=1000.0) as bench:
        limit, leaving, staying = await two_that_wait(bench)
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        bench.reports.queues.give_back(limit)
        await bench.settled(lambda: len(bench.reports._claims._claimed) == 1)
        leaving.abort()
        await bench.settled(lambda: bench.reports.queues.snapshot()[0].waiting == 0)
        bench.tokens.gate.set()
        assert told(await staying)[0] == 200
    assert [each["endDate"] for each in amazon.reports.values()] == ["2026-11-07"]


@virtual_time
async def test_a_slow_upload_shortens_no_wait_for_a_turn() -> None:
    """Its client's patience begins when the body is whole."""
    bench = MemoryBench(reports=RULES, response_timeout=8.0)
    loop, reports = asyncio.get_running_loop(), bench.reports
    limit = OrderLimit("default", "amzn1.test", "na")
    request, client = order(), bench.client()
    client.send(request[:-1])
    await bench.rest(client)
    await asyncio.sleep(5.0)
    reports.throttled(limit, loop.time(), 6.0)
    client.send(request[-1:])
    await bench.rest(client)
    assert not bench.sent
    await asyncio.sleep(6.0)
    await bench.rest(client)
    assert len(bench.sent) == 1
    assert client.pipe.written.startswith(b"HTTP/1.1 200 OK")
    await bench.stop(client)
