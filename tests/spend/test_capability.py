"""The gate and the tap of spend limits, on real sockets: what leaves, what a client is told, what the day counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest

from proxy.errors import LedgerUnavailable
from proxy.events import RequestFinished, SpendMode, SpendVerdict
from proxy.net import deadlines
from proxy.profiles.listing import Profile
from proxy.routing.table import EmptyDirectory
from proxy.spend import capability
from proxy.spend.capability import SpendMemory
from proxy.spend.freezes import Freezes
from proxy.spend.judge import DayUse, Reservation
from proxy.spend.ledger import DayKey
from proxy.spend.limits import Hours, SpendLimits
from tests.support.accounted_bench import AccountedBench
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.walk import recorded
from tests.support.wire import Answer, Script, Wire, answering

NOON = 1_780_000_000.0
"""2026-05-28, 20:26 UTC."""
CAMPAIGNS = b"application/vnd.spCampaign.v3+json"
PROFILE = b"Amazon-Advertising-API-Scope: 123\r\n"
FIXED = b"Amazon-Ads-AI-Account-Selection-Mode: FIXED\r\n" + PROFILE


class OneProfile(EmptyDirectory):
    """Knows one profile, which pays in dollars."""

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        if profile != "123":
            return None
        return Profile("123", "Acme", "US", "USD", "America/New_York", "seller", "ATVPDKIKX0DER", "A1")


class FakeLedger:
    """Counts like the real one. `is_away` makes it unavailable; a `turn` holds each reservation until it is set."""

    def __init__(self) -> None:
        self.used = DayUse()
        self.is_away = False
        self.keys: list[DayKey] = []
        self.turn: asyncio.Event | None = None
        self.waiting = 0

    async def reserve(self, key: DayKey, wanted: Reservation, limits: SpendLimits | None) -> tuple[bool, DayUse]:
        if self.turn is not None:
            self.waiting += 1
            await self.turn.wait()
        used = await self.look(key)
        granted = limits is None or limits.new_per_day is None or used.created + wanted.created <= limits.new_per_day
        if granted:
            self._add(wanted, 1)
        return granted, used

    async def look(self, key: DayKey) -> DayUse:
        if self.is_away:
            raise LedgerUnavailable("The ledger is away.", retry_after=1)
        self.keys.append(key)
        return self.used

    def release(self, key: DayKey, back: Reservation) -> None:
        assert key in self.keys
        self._add(back, -1)

    async def days(self) -> Mapping[DayKey, DayUse]:
        return {}

    def _add(self, amounts: Reservation, sign: int) -> None:
        budgets = dict(self.used.budgets)
        for currency, amount in amounts.budgets:
            budgets[currency] = budgets.get(currency, Decimal()) + sign * amount
        self.used = DayUse(self.used.created + sign * amounts.created, budgets)


LIMITS = SpendLimits(budget={"USD": Decimal(200)}, new_per_day=3, budget_per_day={"USD": Decimal(1000)})
OBSERVING = SpendLimits(SpendMode.OBSERVE, {"USD": Decimal(200)}, new_per_day=3)


def campaign(budget: object = 100) -> dict[str, Any]:
    """A campaign that is created."""
    return {"name": "c", "state": "PAUSED", "budget": {"budget": budget, "budgetType": "DAILY"}}


def write(
    content: object, *, target: bytes = b"/sp/campaigns", kind: bytes = CAMPAIGNS, lines: bytes = PROFILE
) -> bytes:
    """A POST with this body, as it is where it is bytes."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (
        target,
        kind,
        len(body),
    )
    return head + lines + b"\r\n" + body


def create(*budgets: object) -> bytes:
    return write({"campaigns": [campaign(budget) for budget in budgets]})


def call(tool: str, arguments: object, lines: bytes = FIXED, **params: Any) -> bytes:
    """A tool call of MCP, in a session for the one profile."""
    message = {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments, **params},
    }
    return write(message, target=b"/mcp", kind=b"application/json", lines=lines)


def response(status: int, content: object = None, kind: bytes = b"application/json") -> bytes:
    body = b"" if content is None else json.dumps(content).encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body)) + body


CREATED = response(207, {"campaigns": {"success": [{"index": 0, "campaignId": "1"}], "error": []}})
PARTLY = response(
    207,
    {
        "campaigns": {
            "success": [{"index": 1, "campaignId": "1"}],
            "error": [{"index": 0, "errors": [{"errorType": "rangeError"}]}],
        }
    },
)
FAILED = response(207, {"campaigns": {"success": [], "error": [{"index": 0, "errors": [{"errorType": "rangeError"}]}]}})


class Opened:
    """A bench, its ledger, and what reached Amazon."""

    def __init__(self, bench: ProxyBench, ledger: FakeLedger) -> None:
        self.bench, self.ledger = bench, ledger

    async def last(self) -> RequestFinished:
        """The account of the newest request, which comes behind its answer."""
        finished = self.bench.events.finished
        await self.bench.settled(lambda: len(finished) == self.bench.events.started)
        return finished[-1]

    @property
    def arrived(self) -> int:
        """How many requests were forwarded."""
        return sum(event.upstream_status > 0 for event in self.bench.events.finished)


@contextlib.asynccontextmanager
async def limited(
    running: Running, script: Script, limits: SpendLimits = LIMITS, **changed: Any
) -> AsyncIterator[Opened]:
    """The proxy with these limits for requests without a key, and one known profile."""
    async with running(script, spend_limits={"anonymous": limits}, **changed) as bench:
        ledger = FakeLedger()
        bench.path.memory = replace(bench.path.memory, spend=SpendMemory(ledger, Freezes(), lambda: NOON))
        bench.apply(table=replace(bench.rules.table, directory=OneProfile()))
        yield Opened(bench, ledger)


def said(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body)
    return found


def told(answer: Answer) -> str:
    """The text of a tool result that is an error."""
    result = said(answer)["result"]
    assert result["isError"] is True
    text: str = result["content"][0]["text"]
    return text


async def test_a_write_within_its_limits_passes_and_is_counted(running: Running) -> None:
    """The write is reserved under the day of its profile, and stays counted when it succeeded."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(create(200))
        assert (answer.status, opened.ledger.used) == (207, DayUse(1, {"USD": Decimal(200)}))
        assert opened.ledger.keys == [DayKey("anonymous", "2026-05-28")]
        event = await opened.last()
        assert event.spend is not None
        assert (event.spend.mode, event.spend.verdict) == ("enforce", "within")


async def test_every_violated_rule_is_named(running: Running) -> None:
    """A write over the limit of a budget and of the day is told both, does not leave, and is not counted."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(create(500, 1, "6e2", 2))
        document = said(answer)
        assert (answer.status, document["type"]) == (403, "urn:ads-proxy:error:over-limit")
        assert document["retryable"] is False
        rules = [(each["rule"], each["path"], each["value"], each["limit"]) for each in document["violations"]]
        assert rules[:2] == [
            ("budget", "campaigns[0].budget.budget", "500", "200"),
            ("budget", "campaigns[2].budget.budget", "600", "200"),
        ]
        assert {rule for rule, *_ in rules} == {"budget", "new_per_day", "budget_per_day"}
        assert (opened.ledger.used, opened.arrived) == (DayUse(), 0)


async def test_the_day_is_over_when_the_ledger_says_so(running: Running) -> None:
    """The fourth object of the day is refused; another one passes when one of the three failed."""
    async with limited(running, answering(CREATED)) as opened:
        for _ in range(3):
            assert (await opened.bench.ask(create(10))).status == 207
        answer = await opened.bench.ask(create(10))
        [violation] = said(answer)["violations"]
        assert violation == {"rule": "new_per_day", "path": "", "value": "4", "currency": "", "limit": "3"}
        assert opened.ledger.used.created == 3


@pytest.mark.parametrize(
    ("answer", "created", "spent"),
    [
        (PARTLY, 1, 20),
        (FAILED, 1, 20),
        (response(207, {"campaigns": {"success": [], "error": [{"index": 0}, {"index": 1}]}}), 0, 0),
        (response(400, {"code": "400"}), 0, 0),
        (response(429), 2, 30),
        (response(500), 2, 30),
        (response(207, ["odd"]), 2, 30),
        (response(200, None), 2, 30),
        (b"HTTP/1.1 207 X\r\nContent-Length: 100\r\n\r\ncut", 2, 30),
        (b"", 2, 30),
    ],
)
async def test_what_became_of_a_write_settles_it(running: Running, answer: bytes, created: int, spent: int) -> None:
    """What failed is given back; what may have happened stays counted."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answer)
        wire.transport.close()

    async with limited(running, script) as opened:
        with contextlib.suppress(EOFError):
            await opened.bench.ask(create(10, 20))
        await opened.last()
        assert opened.ledger.used.created == created
        assert sum(opened.ledger.used.budgets.values()) == spent


async def test_a_client_that_leaves_while_it_is_counted_takes_nothing(running: Running) -> None:
    """The ledger is not waited for any more, and the next write is counted alone."""
    async with limited(running, answering(CREATED)) as opened:
        turn = opened.ledger.turn = asyncio.Event()
        wire = await opened.bench.client(create(10))
        await opened.bench.settled(lambda: opened.bench.accounting.in_flight == 1)
        wire.abort()
        await opened.bench.settled(lambda: not opened.bench.accounting.in_flight)
        turn.set()
        assert (await opened.bench.ask(create(20))).status == 207
        assert (opened.ledger.used.budgets, opened.arrived) == ({"USD": Decimal(20)}, 1)


async def test_without_the_ledger_only_counted_writes_are_refused(running: Running) -> None:
    """A write that the day counts gets 503, may be sent again, and did not leave; reads and other writes pass."""
    async with limited(running, answering(CREATED)) as opened:
        opened.ledger.is_away = True
        answer = await opened.bench.ask(create(10))
        assert (answer.status, said(answer)["retryable"]) == (503, True)
        assert (await opened.bench.ask()).status == 207
        update = b"PUT" + write({"campaigns": [{"campaignId": "1", "name": "x"}]})[4:]
        assert (await opened.bench.ask(update)).status == 207
        assert opened.arrived == 2


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        (write({"campaigns": [campaign()]}, kind=b"application/json"), 403, "spend-unreadable"),
        (write({"campaigns": [campaign()]}, lines=b"Content-Encoding: gzip\r\n" + PROFILE), 403, "spend-unreadable"),
        (write({"campaigns": [campaign()]}, lines=b"Amazon-Advertising-API-Scope: 9\r\n"), 403, "spend-unreadable"),
        (write({"x": 1}, target=b"/unknown", kind=b"application/json"), 403, "spend-unreadable"),
        (write(json.dumps({"campaigns": [campaign()]}).encode("utf-16")), 403, "spend-unreadable"),
        (write(json.dumps({"campaigns": [campaign()]}).encode("utf-8-sig")), 403, "spend-unreadable"),
        (write(b'{"campaigns": [{"name": "x+ACI-,+ACI-budget+ACI-:+AHs-"}]}'), 403, "spend-unreadable"),
        (write(b'{"campaigns": [{"state": "PAUSED", "+AGI-udget": {"budget": 500}}]}'), 403, "spend-unreadable"),
        (write(b"{"), 400, "ambiguous-body"),
        (write(b'{"campaigns": [], "campaigns": []}'), 400, "ambiguous-body"),
        (write(b'{"campaigns": [], "Campaigns": []}'), 400, "ambiguous-body"),
        (write(b" " * 300_000), 403, "spend-unreadable"),
    ],
)
async def test_what_cannot_be_read_does_not_leave(running: Running, request_: bytes, status: int, slug: str) -> None:
    """The refusal says what to do about it; `observe` lets the same pass, and records the same verdict."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(request_)
        document = said(answer)
        assert (answer.status, document["type"]) == (status, f"urn:ads-proxy:error:{slug}")
        assert document["detail"].startswith("Nothing was changed.")
        enforced = (await opened.last()).spend
        assert opened.arrived == 0
        opened.bench.apply(spend_limits={"anonymous": OBSERVING})
        assert (await opened.bench.ask(request_)).status == 207
        observed = (await opened.last()).spend
        assert enforced is not None
        assert observed == enforced._replace(mode=SpendMode.OBSERVE)
        assert observed.verdict == "unreadable"


@pytest.mark.parametrize("kind", [b"text/plain", CAMPAIGNS + b"; charset=utf-16", b"application/json"])
async def test_a_body_of_another_media_type_is_told_the_right_one(running: Running, kind: bytes) -> None:
    """The media type is the operation's own: with any other, the write would be refused again."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(write({"campaigns": [campaign()]}, kind=kind))
        assert "sent as Content-Type: application/vnd.spcampaign.v3+json" in said(answer)["detail"]


async def test_allow_opens_an_operation_that_cannot_be_read(running: Running) -> None:
    """The write passes in whatever form; what is known to be over a limit is still refused."""
    limits = replace(LIMITS, allow=frozenset(("POST /sp/campaigns",)))
    async with limited(running, answering(CREATED), limits) as opened:
        for request in (write(b"{"), write(b" " * 300_000), write({"campaigns": [campaign() | {"maxSpend": 5}]})):
            assert (await opened.bench.ask(request)).status == 207
            assert (await opened.last()).spend.verdict == "unreadable"  # type: ignore[union-attr]  # it was judged
        answer = await opened.bench.ask(write({"campaigns": [campaign(500) | {"maxSpend": 5}]}))
        assert said(answer)["type"] == "urn:ads-proxy:error:over-limit"
        assert (await opened.bench.ask(write({"a": 1}, target=b"/other"))).status == 403


BY_DAY = Hours.parse("mon-sun 08:00-20:30 UTC")
"""They end four minutes after `NOON`."""


@contextlib.asynccontextmanager
async def until_evening(
    running: Running, limits: SpendLimits, script: Script | None = None, **changed: Any
) -> AsyncIterator[tuple[Opened, list[float]]]:
    """The proxy with these limits, and its time, which a test sets."""
    async with limited(running, script or answering(CREATED), replace(limits, hours=BY_DAY), **changed) as opened:
        now, bench = [NOON], opened.bench
        spend = replace(bench.path.memory.spend, wall=lambda: now[0])
        bench.path.memory = replace(bench.path.memory, spend=spend)
        bench.apply()
        yield opened, now


@pytest.mark.parametrize(("limits", "status"), [(LIMITS, 403), (OBSERVING, 207)])
async def test_a_write_that_waits_for_a_token_past_its_hours_does_not_leave(
    running: Running, limits: SpendLimits, status: int
) -> None:
    """What was counted is given back; with limits that observe it leaves, and is recorded as over."""
    async with until_evening(running, limits) as (opened, now):
        bench, bench.tokens.cold = opened.bench, True
        bench.tokens.gate.clear()
        client = await bench.client(create(100))
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        now[0] += 600
        bench.tokens.gate.set()
        assert (await client.answer()).status == status
        judged = (await opened.last()).spend
        assert judged is not None
        assert (judged.verdict, [each.rule for each in judged.violations]) == ("over", ["hours"])
        assert opened.ledger.used.created == opened.arrived == (status == 207)


async def test_a_write_that_waits_for_the_ledger_past_its_hours_does_not_leave(running: Running) -> None:
    """As of any wait at a gate; a write that comes within them leaves."""
    async with until_evening(running, LIMITS) as (opened, now):
        turn = opened.ledger.turn = asyncio.Event()
        client = await opened.bench.client(create(100))
        await opened.bench.settled(lambda: opened.ledger.waiting == 1)
        now[0] += 600
        turn.set()
        answer = await client.answer()
        [violation] = said(answer)["violations"]
        assert (answer.status, violation["rule"], violation["limit"]) == (403, "hours", BY_DAY.text)
        assert (opened.arrived, opened.ledger.used.created) == (0, 0)
        now[0] = NOON
        assert (await opened.bench.ask(create(100))).status == 207


async def test_a_write_that_waits_for_a_connection_past_its_hours_does_not_leave(running: Running) -> None:
    """The one that has the only connection was sent by day."""
    answered = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await answered.wait()
            wire.send(CREATED)

    async with until_evening(running, LIMITS, script, pool_limit=1) as (opened, now):
        bench = opened.bench
        first = await bench.client(create(1))
        await bench.settled(lambda: bool(bench.upstream.wires))
        second = await bench.client(create(2))
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        now[0] += 600
        answered.set()
        assert [(await first.answer()).status, (await second.answer()).status] == [207, 403]
        await opened.last()
        assert opened.arrived == 1


@pytest.mark.parametrize(
    "request_", [write(b"{"), write(b" " * 300_000), write(b"\xff")], ids=["odd", "large", "latin"]
)
async def test_allow_opens_no_operation_outside_of_its_hours(running: Running, request_: bytes) -> None:
    """When a write leaves is known of one that cannot be read, too."""
    async with until_evening(running, replace(LIMITS, allow=frozenset(("POST /sp/campaigns",)))) as (opened, now):
        assert (await opened.bench.ask(request_)).status == 207
        now[0] += 600
        assert said(await opened.bench.ask(request_))["type"] == "urn:ads-proxy:error:over-limit"


@pytest.mark.parametrize("line", [b"X-HTTP-Method-Override: PUT\r\n", b"X-Original-URL: /sp/keywords\r\n"])
@pytest.mark.parametrize("request_", [write(b"{"), create(1), write(b" " * 300_000)], ids=["unclear", "small", "large"])
async def test_allow_opens_no_operation_that_a_header_may_ask_for(
    running: Running, request_: bytes, line: bytes
) -> None:
    """A server that obeys the header carries out another operation than the one that is allowed."""
    limits = replace(LIMITS, allow=frozenset(("POST /sp/campaigns",)))
    async with limited(running, answering(CREATED), limits) as opened:
        assert (await opened.bench.ask(request_.replace(PROFILE, PROFILE + line))).status in (400, 403)
        assert opened.arrived == 0


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (LIMITS, replace(LIMITS, budget={"USD": Decimal(50)}), 403),
        (None, LIMITS, 403),
        (LIMITS, replace(LIMITS), 207),
        (LIMITS, None, 207),
        (LIMITS, OBSERVING, 207),
    ],
    ids=["lowered", "new", "the same", "gone", "observed"],
)
async def test_a_write_that_waited_leaves_by_no_earlier_limits(
    running: Running, before: SpendLimits | None, after: SpendLimits | None, status: int
) -> None:
    """A reload changes them while it waits for a token; what was counted is given back."""
    async with limited(running, answering(CREATED), before or LIMITS) as opened:
        bench, bench.tokens.cold = opened.bench, True
        bench.apply(spend_limits={"anonymous": before} if before else {})
        bench.tokens.gate.clear()
        client = await bench.client(create(100))
        await bench.settled(lambda: bench.accounting.in_flight == 1 and bool(opened.ledger.keys or before is None))
        bench.apply(spend_limits={"anonymous": after} if after else {})
        bench.tokens.gate.set()
        assert (await client.answer()).status == status
        await opened.last()
        assert (opened.arrived, opened.ledger.used.created) == ((1, 1) if status == 207 else (0, 0))


@pytest.mark.parametrize(
    "request_",
    [
        write({"campaigns": [campaign()]}, lines=PROFILE + b"X-Original-URL: /sp/campaigns\r\n"),
        write({"campaigns": [campaign()]}, lines=PROFILE + b"X-HTTP-Method-Override: PUT\r\n"),
        write({"campaigns": [campaign()]}, target=b"/sp/campaigns?_method=PUT"),
        write(b" " * 300_000, lines=PROFILE + b"X-Original-URL: /sp/campaigns\r\n"),
        call("campaign_management-create_target", {"body": {}}, FIXED + b"X-Original-URL: /sp/campaigns\r\n"),
    ],
)
async def test_allow_opens_no_other_operation_than_the_one_it_names(running: Running, request_: bytes) -> None:
    """A field or a parameter may have the server carry out another one, so the write does not leave."""
    allow = frozenset(("POST /sp/campaigns", "MCP campaign_management-create_target"))
    async with limited(running, answering(CREATED), replace(LIMITS, allow=allow)) as opened:
        answer = await opened.bench.ask(request_)
        assert (answer.status, said(answer)["type"]) == (403, "urn:ads-proxy:error:spend-unreadable")
        assert opened.arrived == 0


async def test_observing_changes_nothing(running: Running) -> None:
    """A write that is over passes, is recorded as over, and counts, also without the ledger."""
    async with limited(running, answering(CREATED), OBSERVING) as opened:
        assert (await opened.bench.ask(create(500, 1, 1, 1))).status == 207
        event = await opened.last()
        assert event.spend is not None
        assert [each.rule for each in event.spend.violations] == ["budget", "new_per_day"]
        assert opened.ledger.used.created == 4
        opened.ledger.is_away = True
        assert (await opened.bench.ask(create(500))).status == 207
        assert (await opened.last()).spend.verdict == "over"  # type: ignore[union-attr]  # it was judged


async def test_an_observed_write_does_not_wait_for_a_ledger_that_hangs(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write passes without being counted."""
    monkeypatch.setattr(capability, "OBSERVED_SECONDS", 0.0)
    async with limited(running, answering(CREATED), OBSERVING) as opened:
        opened.ledger.turn = asyncio.Event()
        assert (await opened.bench.ask(create(500))).status == 207
        assert opened.ledger.used.created == 0


BUDGETS = {"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 500}}}, "recurrenceTimePeriod": "DAILY"}
UPDATE = {"body": {"campaigns": [{"campaignId": "1", "budgets": [BUDGETS]}]}}


async def test_a_tool_call_over_a_limit_is_a_tool_result(running: Running) -> None:
    """A language model reads that nothing was changed, which argument is over which limit, and what would pass."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(call("campaign_management-update_campaign_budget", UPDATE))
        path = "body.campaigns[0].budgets[0].budgetValue.monetaryBudgetValue.monetaryBudget.value"
        assert answer.status == 200
        assert f"{path} is 500 USD, and 200 USD is the limit" in told(answer)
        assert said(answer)["id"] == 7
        assert opened.arrived == 0
        event = await opened.last()
        assert (event.refusal, event.spend and event.spend.verdict) == ("over-limit", "over")


INITIALIZE = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}}
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: one\r\nContent-Length: 2\r\n\r\n{}"


async def begin(opened: Opened, lines: bytes) -> bytes:
    """The header line of a session that began with these lines."""
    answer = await opened.bench.ask(write(INITIALIZE, target=b"/mcp", kind=b"application/json", lines=lines))
    assert answer.status == 200
    return b"Mcp-Session-Id: %b\r\n" % (answer.value(b"mcp-session-id") or b"")


@pytest.mark.parametrize(
    ("begun", "called", "verdict"),
    [
        (FIXED, FIXED, "over"),
        (FIXED, PROFILE, "unreadable"),
        (PROFILE, FIXED, "unreadable"),
        (FIXED.replace(b"123", b"124"), FIXED, "unreadable"),
        (None, FIXED, "unreadable"),
    ],
)
async def test_only_a_session_that_began_for_one_profile_has_a_currency(
    running: Running, begun: bytes | None, called: bytes, verdict: str
) -> None:
    """Amazon keeps the account with which a session began: what later calls state does not change it."""
    async with limited(running, answering(BEGUN)) as opened:
        session = await begin(opened, begun) if begun is not None else b"Mcp-Session-Id: one\r\n"
        told(await opened.bench.ask(call("campaign_management-update_campaign_budget", UPDATE, session + called)))
        judged = (await opened.last()).spend
        assert judged is not None
        assert judged.verdict == verdict


async def test_a_session_that_began_in_another_process_has_a_currency(running: Running) -> None:
    """Its id says whom it is for: nothing has to be told from one worker or replica to the others."""
    async with limited(running, answering(BEGUN)) as one, limited(running, answering(BEGUN)) as other:
        session = await begin(one, FIXED)
        told(await other.bench.ask(call("campaign_management-update_campaign_budget", UPDATE, session + FIXED)))
        judged = (await other.last()).spend
        assert judged is not None
        assert judged.verdict == "over"


async def test_a_currency_in_the_arguments_counts_only_with_an_account_in_force(running: Running) -> None:
    """A call that names a cheap currency gains nothing where tools choose the account."""
    async with limited(running, answering(BEGUN), replace(LIMITS, budget={"JPY": Decimal(20000)})) as opened:
        told_budget = {"value": 20000, "currencyCode": "JPY"}
        amounts = {
            "budgetValue": {"monetaryBudgetValue": {"monetaryBudget": told_budget}},
            "recurrenceTimePeriod": "DAILY",
        }
        stated = {"body": {"campaigns": [{"campaignId": "1", "budgets": [amounts]}]}}
        text = told(await opened.bench.ask(call("campaign_management-update_campaign_budget", stated, PROFILE)))
        assert "Amazon-Ads-AI-Account-Selection-Mode: FIXED" in text


async def test_an_argument_that_names_another_account_is_unreadable(running: Running) -> None:
    """Another account might be paid in another currency."""
    async with limited(running, answering(BEGUN)) as opened:
        other = {"body": {"advertiserAccountId": "999", "campaigns": []}}
        text = told(await opened.bench.ask(call("campaign_management-update_campaign_budget", other)))
        assert "advertiserAccountId may name another account" in text


@pytest.mark.parametrize("line", [b"X-HTTP-Method-Override: DELETE\r\n", b"X-Original-URL: /sp/campaigns/1\r\n"])
async def test_a_message_of_mcp_that_a_header_may_turn_into_another_request_is_unreadable(
    running: Running, line: bytes
) -> None:
    """Also one that only reads: what such a request changes may be told by its path alone."""
    async with limited(running, answering(CREATED)) as opened:
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answer = await opened.bench.ask(write(message, target=b"/mcp", kind=b"application/json", lines=FIXED + line))
        assert said(answer)["type"] == "urn:ads-proxy:error:spend-unreadable"
        assert opened.arrived == 0


async def test_reading_messages_of_mcp_pass(running: Running) -> None:
    """What asks for nothing but to read is not judged."""
    async with limited(running, answering(response(200, {"jsonrpc": "2.0", "id": 7, "result": {}}))) as opened:
        assert (await opened.bench.ask(call("campaign_management-query_campaign", {"body": {}}))).status == 200
        assert (await opened.last()).spend is None
        assert opened.arrived == 1


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (call("campaign_management-do_something", {}), "campaign_management-do_something"),
        (call("campaign_management-update_campaign_budget", {}, inputResponses={"a": 1}), "inputResponses"),
        (
            write(
                {"jsonrpc": "2.0", "id": 7, "method": "odd/method", "params": {}},
                target=b"/mcp",
                kind=b"application/json",
            ),
            "odd/method",
        ),
        (
            write(
                {"jsonrpc": "2.0", "id": 7, "result": {"action": "accept", "content": {"budget": 500}}},
                target=b"/mcp",
                kind=b"application/json",
            ),
            "question of the server",
        ),
    ],
)
async def test_messages_of_mcp_that_cannot_be_read_do_not_leave(running: Running, request_: bytes, text: str) -> None:
    """Each is refused in the form of its message."""
    async with limited(running, answering(CREATED)) as opened:
        answer = await opened.bench.ask(request_)
        assert text in json.dumps(said(answer))
        assert opened.arrived == 0
        assert (await opened.last()).refusal == "spend-unreadable"


# --- what judging costs

READING = frozenset(
    (
        *("strict_json.py", "audit/changed_objects.py", "spend/body_walk.py", "spend/findings.py", "spend/judge.py"),
        *("spend/money_like.py", "spend/reading.py"),
    )
)
"""The modules that read and judge a write: they take more calls for a larger one."""


async def calls_of_a_write(limits: dict[str, SpendLimits]) -> Counter[str]:
    """The Python calls of a repeated write of a client with these limits, but for those that read and judge it."""
    now = time.time()
    with patch.object(deadlines, "INTERVAL", 3600.0), patch.object(time, "time", lambda: now):
        bench = AccountedBench(spend_limits=limits)
        bench.apply(replace(bench.rules, table=replace(bench.rules.table, directory=OneProfile())))
        bench.reach()
        bench.answer = lambda _: [CREATED]
        client = bench.client()
        for _ in range(4):
            client.send(create(100, 20.5))
            await bench.rest(client)
        with recorded() as walk:
            client.send(create(100, 20.5))
            await bench.rest(client)
        judged = bench.events.finished[-1].spend
        assert (judged is not None and judged.verdict is SpendVerdict.WITHIN) is bool(limits)
        client.leave()
        await bench.rest(client)
        bench.end()
    return Counter(call for call in walk.calls if call.split()[0] not in READING)


async def test_a_judged_write_takes_few_more_calls_than_any_other() -> None:
    """The write leaves in the same turn of the event loop, and is looked at once. Its limits cost the reading alone."""
    plain, judged = (
        await calls_of_a_write({}),
        await calls_of_a_write({"anonymous": SpendLimits(budget={"USD": Decimal(200)})}),
    )
    more = judged - plain
    assert more.total() <= 24, more
    assert not plain - judged
