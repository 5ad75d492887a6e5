"""What objects are like now, read through the real core: which requests reach Amazon, whose they are, what they say."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app import present_values
from proxy.app.internal_client import key_of
from proxy.events import ApprovalState
from proxy.spend.approval_questions import AbsentApprovals
from proxy.spend.approvals import Approval, Found, WriteToApprove
from proxy.spend.capability import SpendMemory
from proxy.spend.limits import Beyond, SpendLimits
from tests.spend.test_capability import FakeLedger, OneProfile, call, response, write
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import Answer, Wire, value_of

LIMITS = SpendLimits(budget={"USD": Decimal(200)}, beyond=Beyond.APPROVE)
KEY = b"X-Ads-Proxy-Key: agent-key\r\n"
SCOPE = b"Amazon-Advertising-API-Scope: 123\r\n"
FIXED = KEY + b"Amazon-Ads-AI-Account-Selection-Mode: FIXED\r\n" + SCOPE
UPDATE = "campaign_management-update_campaign"
NOW = {"campaignId": "7", "state": "ENABLED", "budget": {"budget": 100.0, "budgetType": "DAILY"}}


class OneAccount(OneProfile):
    """Knows an ads account, too, which has the one profile."""

    def ads_account_profiles(self, identifier: str, account: str | None = None) -> tuple[tuple[str, str], ...]:
        return (("123", "na"),)


class Recorded(AbsentApprovals):
    """Keeps what persons are asked about. Nobody decides, unless a test says that the last write `is_approved`."""

    def __init__(self) -> None:
        self.asked: list[WriteToApprove] = []
        self.is_approved = False
        self.voided: list[str] = []

    async def find(self, client: str, digest: str) -> Found:
        return (
            Found(Approval("a1", self.asked[-1], ApprovalState.APPROVED, 0.0, 60.0, by="anna"))
            if (self.is_approved)
            else Found(None)
        )

    async def use(self, client: str, identifier: str) -> bool:
        return True

    async def void(self, client: str, identifier: str, because: str) -> None:
        self.voided.append(identifier)

    async def ask(self, write: WriteToApprove) -> Approval | None:
        self.asked.append(write)
        return Approval("a1", write, ApprovalState.PENDING, 0.0, 60.0)


class Amazon:
    """Answers each request as `answer` says, and keeps its line and its head."""

    def __init__(self, answer: Callable[[bytes, Any], bytes]) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.bodies: list[Any] = []

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.heads.append(head)
            self.bodies.append(json.loads(body) if body else None)
            wire.send(self.answer(head, self.bodies[-1]))

    @property
    def lines(self) -> list[bytes]:
        return [head.partition(b" HTTP")[0] for head in self.heads]


class Opened:
    def __init__(self, bench: ProxyBench, approvals: Recorded) -> None:
        self.bench, self.approvals = bench, approvals

    async def befores(self, request: bytes) -> dict[str, str | None]:
        """The present values that a person is shown of a write, by member."""
        answer = await self.bench.ask(request)
        assert is_asked(answer), answer.body
        return {each.member: each.before for each in self.approvals.asked[-1].changes}


def is_asked(answer: Answer) -> bool:
    return b"approval-required" in answer.body or b"A person was asked" in answer.body


def clients(**rights: Any) -> Clients:
    return Clients((Policy("agent", (key_of("agent-key"),), **rights),), Placeholders(b"key"), Budgets())


@contextlib.asynccontextmanager
async def opened(running: Running, amazon: Any, **rights: Any) -> AsyncIterator[Opened]:
    """The proxy for a client `agent`, which asks a person about budgets above 200 dollars."""
    async with running(amazon, spend_limits={"agent": LIMITS}, clients=clients(**rights)) as bench:
        approvals, present = Recorded(), bench.path.memory.spend.present
        spend = SpendMemory(FakeLedger(), approvals=approvals, present=present)
        bench.path.memory = replace(bench.path.memory, spend=spend)
        bench.apply(table=replace(bench.rules.table, directory=OneAccount()))
        yield Opened(bench, approvals)


def update(budget: int = 500, lines: bytes = KEY + SCOPE) -> bytes:
    content = {"campaigns": [{"campaignId": "7", "state": "ENABLED", "budget": {"budget": budget}}]}
    return write(content, lines=lines).replace(b"POST", b"PUT", 1)


def listing(head: bytes, body: Any) -> bytes:
    return response(200, {"campaigns": [NOW]})


def unified(*products: str) -> Callable[[bytes, Any], bytes]:
    """Answers queries for these products with the campaign, and others with none."""
    monetary = {"monetaryBudgetValue": {"monetaryBudget": {"value": 90, "currencyCode": "USD"}}}
    campaign = {"campaignId": "7", "budgets": [{"budgetType": "MONETARY", "budgetValue": monetary}]}

    def answer(head: bytes, body: Any) -> bytes:
        return response(200, {"campaigns": [campaign] if body["adProductFilter"]["include"][0] in products else []})

    return answer


def raise_budget(lines: bytes = FIXED) -> bytes:
    monetary = {"monetaryBudgetValue": {"monetaryBudget": {"value": 500}}}
    budget = {"budgetType": "MONETARY", "budgetValue": monetary, "recurrenceTimePeriod": "DAILY"}
    return call(UPDATE, {"body": {"campaigns": [{"campaignId": "7", "budgets": [budget]}]}}, lines)


async def test_a_person_is_shown_the_present_values(running: Running) -> None:
    """They are read with the account's token, for the profile of the write, as requests of its client."""
    amazon = Amazon(listing)
    async with opened(running, amazon) as proxy:
        assert await proxy.befores(update()) == {"state": '"ENABLED"', "budget.budget": "100"}
        events = await proxy.bench.events.last(2)
    (head,) = amazon.heads
    assert amazon.lines == [b"POST /sp/campaigns/list"]
    assert amazon.bodies == [{"campaignIdFilter": {"include": ["7"]}, "maxResults": 100}]
    sent = {
        "authorization": b"Bearer Atza|0",
        "amazon-advertising-api-scope": b"123",
        "content-type": b"application/vnd.spCampaign.v3+json",
        "x-ads-proxy-key": None,
    }
    assert {name: value_of(head, name.encode()) for name in sent} == sent
    assert events.client == "agent"
    assert {each.client for each in proxy.bench.events.finished} == {"agent"}


async def test_the_reads_name_the_same_advertiser(running: Running) -> None:
    """The ads account of the write, and further fields that name an account."""
    amazon = Amazon(listing)
    named = b"Amazon-Ads-AccountId: amzn1.ads-account.g.x\r\nAmazon-Ads-Manager-AccountId: m1\r\n"
    async with opened(running, amazon) as proxy:
        await proxy.befores(update(lines=KEY + SCOPE + named))
    (head,) = amazon.heads
    assert value_of(head, b"amazon-ads-accountid") == b"amzn1.ads-account.g.x"
    assert value_of(head, b"amazon-ads-manager-accountid") == b"m1"


@pytest.mark.parametrize(
    "rights",
    [
        {"paths": (PathPattern.read("/sp/campaigns"),)},
        {"methods": frozenset((b"PUT",))},
        {"requests_per_minute": 1},
    ],
    ids=["paths", "methods", "budget"],
)
async def test_what_the_client_may_not_read_is_not_known(running: Running, rights: dict[str, Any]) -> None:
    """Its policy and its budget of requests hold for the reads, too."""
    amazon = Amazon(listing)
    async with opened(running, amazon, **rights) as proxy:
        assert set((await proxy.befores(update())).values()) == {None}
    assert amazon.heads == []


async def test_a_limited_client_reads_what_it_may_write(running: Running) -> None:
    """Also while the write itself takes its only slot."""
    async with opened(running, Amazon(listing), profiles=frozenset((b"123",)), max_in_flight=1) as proxy:
        assert (await proxy.befores(update()))["budget.budget"] == "100"


@pytest.mark.parametrize("status", [403, 429, 500])
async def test_what_amazon_does_not_tell_is_not_known(running: Running, status: int) -> None:
    async with opened(running, Amazon(lambda head, body: response(status, {"message": "no"}))) as proxy:
        assert set((await proxy.befores(update())).values()) == {None}


async def test_reads_that_take_too_long_are_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of them stays under way."""
    monkeypatch.setattr(present_values, "READ_SECONDS", 0.01)

    async def silent(wire: Wire) -> None:
        await wire.request()
        await asyncio.Event().wait()

    async with opened(running, silent) as proxy:
        assert set((await proxy.befores(update())).values()) == {None}
        assert proxy.bench.accounting.in_flight == 0


async def test_a_deletion_shows_the_present_state(running: Running) -> None:
    """The write is of the object in its path; the day's ledger has no part in it."""
    amazon = Amazon(lambda head, body: response(200, [{"campaignId": 7, "state": "paused"}]))
    request = b"DELETE /sd/campaigns/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n" + KEY + SCOPE + b"\r\n"
    async with opened(running, amazon) as proxy:
        proxy.bench.apply(spend_limits={"agent": replace(LIMITS, states=frozenset(("paused",)))})
        assert await proxy.befores(request) == {"state": '"paused"'}
        (change,) = proxy.approvals.asked[-1].changes
    assert (change.object, change.after) == ("campaign/7", '"archived"')
    assert amazon.lines == [b"GET /sd/campaigns?campaignIdFilter=7"]


async def test_tools_are_read_by_the_account_in_force(running: Running) -> None:
    """In the unified API, at one product after the other, at the host of the API."""
    amazon = Amazon(unified("SPONSORED_BRANDS"))
    async with opened(running, amazon) as proxy:
        found = await proxy.befores(raise_budget())
    assert found["budgets[0].budgetValue.monetaryBudgetValue.monetaryBudget.value"] == "90"
    assert found["budgets[0].recurrenceTimePeriod"] == ""
    assert amazon.lines == [b"POST /adsApi/v1/query/campaigns"] * 2
    assert {value_of(head, b"amazon-advertising-api-scope") for head in amazon.heads} == {b"123"}


async def test_a_client_that_may_no_longer_ask_reads_nothing(running: Running) -> None:
    """A reload takes its key away, and may give it back."""
    amazon = Amazon(listing)
    async with opened(running, amazon) as proxy:
        reader = proxy.bench.path.memory.spend.present
        assert repr(reader) == "<PresentValueReader for agent>"
        proxy.bench.apply(spend_limits={"agent": replace(LIMITS, beyond=Beyond.REFUSE)})
        assert repr(reader) == "<PresentValueReader for nobody>"
        proxy.bench.apply(spend_limits={"agent": LIMITS})
        assert (await proxy.befores(update()))["budget.budget"] == "100"


async def test_without_approvals_there_is_no_forwarder(running: Running) -> None:
    async with running(Amazon(listing), spend_limits={"anonymous": SpendLimits()}) as bench:
        reader: Any = bench.path.memory.spend.present
        assert repr(reader._internal) == "<InternalClient of None>"


async def test_a_defect_leaves_the_values_unknown(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is asked all the same, and the defect is reported."""

    def fail(*_: object) -> None:
        raise KeyError("broken")

    told: list[str] = []
    monkeypatch.setattr(present_values, "written_objects", fail)
    async with opened(running, Amazon(listing)) as proxy:
        monkeypatch.setattr(proxy.bench.accounting, "defect", lambda where, error: told.append(where))
        assert await proxy.befores(update()) == {}
    assert told == ["present values"]


# --- The approved write ---------------------------------------------------------------------------------------


def adjusted(*percentages: int) -> bytes:
    return response(200, {"campaigns": [{**NOW, "dynamicBidding": bidding(*percentages)}]})


def bidding(*percentages: int) -> dict[str, Any]:
    places = ("PLACEMENT_TOP", "PLACEMENT_REST_OF_SEARCH")
    return {"placementBidding": [{"placement": p, "percentage": n} for p, n in zip(places, percentages, strict=False)]}


def adjust() -> bytes:
    """A write that is over the limit, and leaves one adjustment."""
    budget = {"budget": 500, "budgetType": "DAILY"}
    content = {"campaigns": [{"campaignId": "7", "budget": budget, "dynamicBidding": bidding(10)}]}
    return write(content, lines=KEY + SCOPE).replace(b"POST", b"PUT", 1)


@pytest.mark.parametrize(
    ("then", "now", "status", "slug"),
    [
        (adjusted(10, 20), adjusted(10, 20), 200, ""),
        (adjusted(10, 20), adjusted(10, 30), 403, "approval-stale"),
        (adjusted(10, 20), adjusted(10), 403, "approval-stale"),
        (adjusted(10), adjusted(10, 20), 403, "approval-stale"),
        (adjusted(10), response(200, {"campaigns": []}), 503, "ledger-unavailable"),
        (response(403), adjusted(10), 200, ""),
    ],
    ids=["equal", "other", "shorter", "longer", "unread now", "never read"],
)
async def test_an_approval_holds_while_its_objects_stay(
    running: Running, then: bytes, now: bytes, status: int, slug: str
) -> None:
    """What the approver saw is what an approved write may change, and an entry that it would take away counts."""
    lists = [then, now, response(200, {})]
    async with opened(running, Amazon(lambda head, body: lists.pop(0))) as proxy:
        await proxy.befores(adjust())
        proxy.approvals.is_approved = True
        if all(each.before is None for each in proxy.approvals.asked[-1].changes):
            del lists[0]
        answer = await proxy.bench.ask(adjust())
        assert answer.status == status, answer.body
        assert slug.encode() in answer.body
        assert proxy.approvals.voided == (["a1"] if slug == "approval-stale" else [])
