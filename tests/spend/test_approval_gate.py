"""Writes over a limit of clients with `beyond: approve`, on real sockets: what is asked, what passes, what is said."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from proxy.errors import StateError
from proxy.events import ApprovalState, RequestFinished, SpendMode, UsedApproval, ValueChange
from proxy.forwarding.decision import RequestContext
from proxy.routing.table import Selection
from proxy.spend.approval_keeper import ApprovalKeeper
from proxy.spend.approvals import FURTHER, ApprovalTerms
from proxy.spend.capability import SpendMemory
from proxy.spend.freezes import Freezes
from proxy.spend.judge import MAX_VIOLATIONS, DayUse
from proxy.spend.limits import Beyond, Hours, SpendLimits
from proxy.spend.present_values import WrittenBody
from proxy.tokens.store import MemoryStore
from tests.spend.test_capability import (
    CREATED,
    FAILED,
    FIXED,
    NOON,
    PROFILE,
    FakeLedger,
    OneProfile,
    call,
    campaign,
    create,
    response,
    said,
    told,
    write,
)
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import Answer, Script, Wire, answering

CLIENT = "anonymous"
LIMITS = SpendLimits(budget={"USD": Decimal(200)}, beyond=Beyond.APPROVE)
TERMS = ApprovalTerms(valid_for=3600, pending_for=86400, max_pending=2)
UPDATE = b"PUT" + write({"campaigns": [{"campaignId": "7", "budget": {"budget": 500, "budgetType": "DAILY"}}]})[4:]


BUDGETED = {
    "name": "c",
    "state": "PAUSED",
    "budgets": [
        {
            "budgetType": "MONETARY",
            "recurrenceTimePeriod": "DAILY",
            "budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 500, "currencyCode": "USD"}}},
        }
    ],
}
"""A campaign as a tool creates it."""


class Values:
    """Implements `PresentValues`: campaign 7 has this budget now, unknown where it is None."""

    def __init__(self) -> None:
        self.now: str | None = "100"
        self.reads = 0
        self.turn = asyncio.Event()
        self.turn.set()

    async def changes(self, context: RequestContext, written: tuple[WrittenBody, ...]) -> tuple[ValueChange, ...]:
        self.reads += 1
        await self.turn.wait()
        return (ValueChange("campaign/7", "budget.budget", self.now, "500"),)


class Away(MemoryStore):
    """A store that fails while `is_away`."""

    is_away = False

    async def change_document(self, name: str, change: Any) -> None:
        if self.is_away:
            raise StateError("The store is away.")
        await super().change_document(name, change)


class Asked:
    """A bench whose writes over a limit are asked about, and the approver."""

    def __init__(self, bench: ProxyBench, keeper: ApprovalKeeper, ledger: FakeLedger, values: Values) -> None:
        self.bench, self.keeper, self.ledger, self.values = bench, keeper, ledger, values
        self.now = NOON

    async def decide(self, answer: Answer, state: ApprovalState, because: str = "") -> None:
        await self.keeper.decide(said(answer)["approval_id"], state, "anna", because)

    async def approve(self, request: bytes) -> None:
        """Ask for a write, and approve it."""
        await self.decide(await self.bench.ask(request), ApprovalState.APPROVED)

    async def state(self, identifier: str) -> Answer:
        return await self.bench.ask(f"GET /-/approvals/{identifier} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    async def last(self) -> RequestFinished:
        """The account of the newest request."""
        finished = self.bench.events.finished
        await self.bench.settled(lambda: len(finished) == self.bench.events.started)
        return finished[-1]

    @property
    def arrived(self) -> int:
        return sum(event.upstream_status > 0 for event in self.bench.events.finished)


@contextlib.asynccontextmanager
async def asking(
    running: Running, script: Script, limits: SpendLimits = LIMITS, store: MemoryStore | None = None
) -> AsyncIterator[Asked]:
    """The proxy with these limits for requests without a key, and a keeper of approvals."""
    async with running(script, spend_limits={CLIENT: limits}) as bench:
        ledger, values, freezes = FakeLedger(), Values(), Freezes()
        keeper = ApprovalKeeper(store or MemoryStore(), freezes, bench.events, lambda: NOON)
        keeper.follow(TERMS, {CLIENT: limits.version})
        await keeper.start()
        asked = Asked(bench, keeper, ledger, values)
        memory = SpendMemory(ledger, freezes, lambda: asked.now, keeper, values)
        bench.path.memory = replace(bench.path.memory, spend=memory)
        bench.apply(table=replace(bench.rules.table, directory=OneProfile()))
        try:
            yield asked
        finally:
            await keeper.stop()


def kind_of(answer: Answer) -> tuple[int, str]:
    return answer.status, str(said(answer)["type"]).rpartition(":")[2]


async def test_a_write_over_a_limit_passes_once_after_its_approval(running: Running) -> None:
    """The client is told whom to wait for, then passes once, and its account names the approver."""
    async with asking(running, answering(CREATED)) as asked:
        first = await asked.bench.ask(UPDATE)
        document = said(first)
        identifier = document["approval_id"]
        assert kind_of(first) == (403, "approval-required")
        assert document["status_url"] == f"/-/approvals/{identifier}"
        assert document["expires_at"] == "2026-05-29T20:26:40Z"
        assert [each["rule"] for each in document["violations"]] == ["budget"]
        assert (document["retryable"], asked.arrived) == (False, 0)
        assert (await asked.last()).spend.approval == UsedApproval(identifier)  # type: ignore[union-attr]  # judged
        await asked.decide(first, ApprovalState.APPROVED)
        assert (await asked.bench.ask(UPDATE)).status == 207
        spend = (await asked.last()).spend
        assert spend is not None
        change = ValueChange("campaign/7", "budget.budget", "100", "500")
        assert (spend.verdict, spend.approval) == ("approved", UsedApproval(identifier, "anna", (change,)))
        again = await asked.bench.ask(UPDATE)
        assert kind_of(again) == (403, "approval-required")
        assert said(again)["approval_id"] != identifier


async def test_the_same_write_has_one_question(running: Running) -> None:
    """Whoever repeats a pending write, in another spelling too, hears of the same approval."""
    respelled = b"""{"campaigns":[{"budget":{"budgetType":"DAILY","budget":5e2},"campaignId":"7"}]}"""
    async with asking(running, answering(CREATED)) as asked:
        first = said(await asked.bench.ask(UPDATE))
        other = said(await asked.bench.ask(b"PUT" + write(respelled)[4:]))
        assert first["approval_id"] == other["approval_id"]
        assert asked.values.reads == 1


@pytest.mark.parametrize(
    "other",
    [
        UPDATE.replace(b"500", b"501"),
        UPDATE.replace(b'"7"', b'"8"'),
        UPDATE.replace(b"PUT /sp/campaigns", b"PUT /sp/campaigns?x=1"),
        UPDATE.replace(PROFILE, PROFILE + b"Amazon-Ads-AccountId: amzn1.ads-account.g.x\r\n"),
        b"PUT" + write(json.loads(UPDATE.partition(b"\r\n\r\n")[2])["campaigns"] * 2)[4:],
    ],
)
async def test_an_approval_holds_for_nothing_else(running: Running, other: bytes) -> None:
    """Another value, object, path, advertiser or one item more does not pass, and does not use the approval."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        other = other.replace(b"Content-Length: 80", b"Content-Length: %d" % len(other.partition(b"\r\n\r\n")[2]))
        assert (await asked.bench.ask(other)).status == 403
        assert asked.arrived == 0
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_an_approval_does_not_hold_for_another_login_of_the_account(running: Running) -> None:
    """Under the same name, an operator may configure another application, or the consent of somebody else."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        table = asked.bench.rules.table
        accounts = {name: replace(each, login="another") for name, each in table.accounts.items()}
        asked.bench.apply(table=replace(table, accounts=accounts))
        assert kind_of(await asked.bench.ask(UPDATE)) == (403, "approval-required")
        asked.bench.apply(table=table)
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_an_approval_of_a_removed_account_lets_nothing_pass(running: Running) -> None:
    """The write is another one by whichever account it would leave now; the approvals show the account's name."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        [approved] = await asked.keeper.list()
        table = asked.bench.rules.table
        [entry] = table.accounts.values()
        other = replace(entry, name="other")
        names = {"other": Selection(other)}
        asked.bench.apply(table=replace(table, accounts={"other": other}, names=names))
        answer = await asked.bench.ask(UPDATE)
        assert kind_of(answer) == (403, "approval-required")
        assert said(answer)["approval_id"] != approved.id
        asked.bench.apply(table=replace(table, accounts={}, names={}))
        assert kind_of(await asked.bench.ask(UPDATE)) == (400, "account-required")
        assert asked.arrived == 0
        shown = [(each.write.account, each.state) for each in await asked.keeper.list()]
        assert shown == [(entry.name, ApprovalState.APPROVED), ("other", ApprovalState.PENDING)]


@pytest.mark.parametrize("other", [b"Amazon-Ads-AccountId: a\r\nConnection: %b\r\n", b"Amazon_Ads_AccountId: a\r\n"])
async def test_an_approval_holds_for_the_fields_that_leave(running: Running, other: bytes) -> None:
    """A field that ends at the proxy, or that Amazon may not know, does not choose the advertiser that was approved."""
    limits = SpendLimits(states=frozenset({"paused"}), beyond=Beyond.APPROVE)
    enabled = b"PUT" + write({"campaigns": [{"campaignId": "7", "state": "ENABLED"}]})[4:]
    approved = enabled.replace(PROFILE, PROFILE + b"Amazon-Ads-AccountId: a\r\n")
    async with asking(running, answering(CREATED), limits) as asked:
        await asked.approve(approved)
        dropped = other.replace(b"%b", b"keep-alive, Amazon-Ads-AccountId")
        assert kind_of(await asked.bench.ask(enabled.replace(PROFILE, PROFILE + dropped)))[0] == 403
        assert asked.arrived == 0
        assert (await asked.bench.ask(approved)).status == 207


async def test_all_that_names_an_account_is_shown(running: Running) -> None:
    """The profile alone does not tell for whom a write is that names an entity, too."""
    entity = b"Amazon-Advertising-API-EntityId: ENTITY1\r\n"
    async with asking(running, answering(CREATED)) as asked:
        for fields in (PROFILE, PROFILE + entity):
            await asked.bench.ask(UPDATE.replace(PROFILE, fields))
        scopes = [each.write.scope for each in await asked.keeper.list()]
        assert scopes == ["123", "123, amazon-advertising-api-entityid: ENTITY1"]


async def test_of_a_hundred_at_once_one_passes(running: Running) -> None:
    """An approval is used once, however many send its write at the same moment."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        answers = await asyncio.gather(*(asked.bench.ask(UPDATE) for _ in range(100)))
        statuses = [answer.status for answer in answers]
        assert (statuses.count(207), asked.arrived) == (1, 1)
        assert set(statuses) <= {207, 403, 503}


async def test_a_denied_write_hears_why(running: Running) -> None:
    """The reason of the approver reaches the client, and the state says the same."""
    async with asking(running, answering(CREATED)) as asked:
        first = await asked.bench.ask(UPDATE)
        await asked.decide(first, ApprovalState.DENIED, "Too much for a Tuesday.")
        denied = await asked.bench.ask(UPDATE)
        assert kind_of(denied) == (403, "approval-denied")
        assert "Too much for a Tuesday" in said(denied)["detail"]
        assert (said(denied)["because"], asked.arrived) == ("Too much for a Tuesday.", 0)
        state = said(await asked.state(said(first)["approval_id"]))
        assert (state["state"], state["because"]) == ("denied", "Too much for a Tuesday.")


async def test_a_client_asks_for_at_most_so_many(running: Running) -> None:
    """The next write gets 429, without a read of its objects."""
    async with asking(running, answering(CREATED)) as asked:
        for budget in (b"500", b"501"):
            assert (await asked.bench.ask(UPDATE.replace(b"500", budget))).status == 403
        answer = await asked.bench.ask(UPDATE.replace(b"500", b"502"))
        assert kind_of(answer) == (429, "too-many-approvals")
        assert asked.values.reads == 2


@pytest.mark.parametrize(
    "request_",
    [
        write({"campaigns": [campaign(500) | {"maxSpend": 5}]}),
        write({"campaigns": [campaign(500)]}, kind=b"application/json"),
        write(b"{"),
        write({"campaigns": [campaign(500)]}, lines=b"X-HTTP-Method-Override: PUT\r\n" + PROFILE),
        call("campaign_management-create_campaign", {"body": {"campaigns": [campaign(500)]}}, lines=PROFILE),
    ],
)
async def test_nobody_is_asked_about_what_cannot_be_read(running: Running, request_: bytes) -> None:
    """A person could not tell what would be approved."""
    async with asking(running, answering(CREATED)) as asked:
        answer = await asked.bench.ask(request_)
        assert b"approv" not in answer.body
        assert (await asked.keeper.list(), asked.arrived) == ([], 0)


async def test_nobody_is_asked_about_what_is_nested_too_deep(running: Running) -> None:
    """A body may be just flat enough to be judged, and too deep for its digest."""
    terms = replace(TERMS, max_pending=100)
    async with asking(running, answering(CREATED)) as asked:
        asked.keeper.follow(terms, {CLIENT: LIMITS.version})
        for depth in range(320, 340):
            nested = b'{"a":' * depth + b"1" + b"}" * depth
            body = json.dumps({"campaigns": [campaign(500)]}).encode()[:-1] + b',"x":' + nested + b"}"
            assert kind_of(await asked.bench.ask(write(body))) in ((403, "approval-required"), (403, "over-limit"))


async def test_nobody_is_asked_about_more_violations_than_are_shown(running: Running) -> None:
    """A large amount does not hide behind a hundred small ones; the client hears what to do."""
    many = [campaign(201)] * (MAX_VIOLATIONS - 1)
    async with asking(running, answering(CREATED)) as asked:
        answer = await asked.bench.ask(write({"campaigns": [*many, campaign(1_000_000)]}))
        assert kind_of(answer) == (403, "over-limit")
        assert "95 more violations follow. Send fewer items in one request." in said(answer)["detail"]
        assert await asked.keeper.list() == []
        await asked.approve(write({"campaigns": [*many[1:], campaign(1_000_000)]}))
        [approval] = await asked.keeper.list()
        assert approval.write.violations[-1].value == "1000000"


async def test_nobody_is_asked_about_what_is_observed_or_within(running: Running) -> None:
    """Such writes pass."""
    async with asking(running, answering(CREATED), replace(LIMITS, mode=SpendMode.OBSERVE)) as asked:
        assert (await asked.bench.ask(UPDATE)).status == 207
        asked.bench.apply(spend_limits={CLIENT: LIMITS})
        assert (await asked.bench.ask(create(200))).status == 207
        assert await asked.keeper.list() == []


async def test_a_tool_call_over_a_limit_is_told_how_to_go_on(running: Running) -> None:
    """A language model hears that a person was asked; the same arguments with another id pass once."""
    arguments = {"body": {"campaigns": [BUDGETED]}}
    tool = "campaign_management-create_campaign"
    async with asking(
        running, answering(response(200, {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}))
    ) as asked:
        text = told(await asked.bench.ask(call(tool, arguments)))
        [approval] = await asked.keeper.list()
        assert text.startswith("Nothing was changed.")
        assert f"approval {approval.id}" in text
        assert f"GET /-/approvals/{approval.id}" in text
        assert "Repeat the call with the same arguments once it is approved" in text
        await asked.keeper.decide(approval.id, ApprovalState.APPROVED, "anna")
        repeated = call(tool, arguments, _meta={"progressToken": 3}).replace(b'"id": 7', b'"id": 8')
        assert b"isError" not in (await asked.bench.ask(repeated)).body
        assert asked.arrived == 1
        assert "A person was asked" in told(await asked.bench.ask(call(tool, arguments)))


async def test_rest_does_not_use_the_approval_of_a_tool(running: Running) -> None:
    """A tool call and a request are two writes, whatever they set."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        arguments = {"body": {"campaigns": [{"campaignId": "7", "budget": {"budget": 500, "budgetType": "DAILY"}}]}}
        assert (
            await asked.bench.ask(call("campaign_management-update_campaign", arguments, lines=FIXED))
        ).status == 200
        assert asked.arrived == 0


async def test_the_day_counts_what_is_approved(running: Running) -> None:
    """A write beyond the day's limit passes with an approval, and is counted; what failed is given back."""
    limits = SpendLimits(new_per_day=0, budget_per_day={"USD": Decimal(10)}, beyond=Beyond.APPROVE)
    answers = [CREATED, FAILED]

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answers.pop(0))

    async with asking(running, script, limits) as asked:
        first = await asked.bench.ask(create(20))
        assert {each["rule"] for each in said(first)["violations"]} == {"new_per_day", "budget_per_day"}
        assert asked.ledger.used == DayUse()
        await asked.decide(first, ApprovalState.APPROVED)
        assert (await asked.bench.ask(create(20))).status == 207
        await asked.last()
        assert asked.ledger.used == DayUse(1, {"USD": Decimal(20)})


async def test_a_write_that_never_left_keeps_its_approval(running: Running) -> None:
    """Its client left while it waited for a token: the next attempt passes."""
    async with asking(running, answering(CREATED)) as asked:
        first = await asked.bench.ask(UPDATE)
        await asked.decide(first, ApprovalState.APPROVED)
        asked.bench.tokens.cold = True
        asked.bench.tokens.gate.clear()
        wire = await asked.bench.client(UPDATE)
        identifier = said(first)["approval_id"]
        async with asyncio.timeout(5):
            while said(await asked.state(identifier))["state"] != "used":
                pass
            wire.abort()
            while said(await asked.state(identifier))["state"] != "approved":
                pass
        asked.bench.tokens.cold = False
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_an_approval_ends_when_its_objects_have_changed(running: Running) -> None:
    """The client gets both values, and asks again by sending the write once more."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        asked.values.now = "150"
        stale = await asked.bench.ask(UPDATE)
        assert kind_of(stale) == (403, "approval-stale")
        [changed] = said(stale)["changed"]
        assert changed == {"object": "campaign/7", "member": "budget.budget", "approved": "100", "present": "150"}
        assert (said(await asked.state(said(stale)["approval_id"]))["state"], asked.arrived) == ("void", 0)
        assert kind_of(await asked.bench.ask(UPDATE)) == (403, "approval-required")


HOURS = replace(LIMITS, hours=Hours.parse("mon-fri 08:00-21:00 UTC"))
NIGHT = NOON + 3600  # 21:26


async def test_an_approval_does_not_cover_hours_that_ended_meanwhile(running: Running) -> None:
    """The approver saw an amount by day; at night the write is asked about again with all that it violates."""
    async with asking(running, answering(CREATED), HOURS) as asked:
        first = said(await asked.bench.ask(UPDATE))
        await asked.keeper.decide(first["approval_id"], ApprovalState.APPROVED, "anna")
        asked.now = NIGHT
        answer = await asked.bench.ask(UPDATE)
        again = said(answer)
        assert (kind_of(answer), asked.arrived) == ((403, "approval-required"), 0)
        assert again["approval_id"] != first["approval_id"]
        assert [each["rule"] for each in again["violations"]] == ["budget", "hours"]
        assert said(await asked.state(first["approval_id"]))["because"] == FURTHER
        await asked.keeper.decide(again["approval_id"], ApprovalState.APPROVED, "anna")
        asked.now = NOON
        assert (await asked.bench.ask(UPDATE)).status == 207  # the approver saw more than that


async def test_an_approval_outlasts_hours_in_which_no_more_can_be_asked(running: Running) -> None:
    """At night too many other writes are pending: the write gets 429 then, and passes by day as it was approved."""
    async with asking(running, answering(CREATED), HOURS) as asked:
        await asked.approve(UPDATE)
        for budget in (b"501", b"502"):
            await asked.bench.ask(UPDATE.replace(b"500", budget))
        asked.now = NIGHT
        assert kind_of(await asked.bench.ask(UPDATE)) == (429, "too-many-approvals")
        assert asked.arrived == 0
        asked.now = NOON
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_a_tool_call_hears_of_limits_that_it_reached_meanwhile(running: Running) -> None:
    """The text names the new approval and both limits."""
    arguments = {"body": {"campaigns": [BUDGETED]}}
    request = call("campaign_management-create_campaign", arguments)
    async with asking(running, answering(CREATED), HOURS) as asked:
        await asked.bench.ask(request)
        [first] = await asked.keeper.list()
        await asked.keeper.decide(first.id, ApprovalState.APPROVED, "anna")
        asked.now = NIGHT
        text = told(await asked.bench.ask(request))
        [approval] = await asked.keeper.list()
        assert approval.id != first.id
        assert f"approval {approval.id}" in text
        assert "(`budget`)" in text
        assert "(`hours`)" in text
        assert asked.arrived == 0


async def test_an_approval_does_not_cover_a_day_that_others_used_up(running: Running) -> None:
    """A day's limit that the approver saw stays covered, whatever the day comes to; another one does not."""
    limits = replace(LIMITS, new_per_day=1)
    async with asking(running, answering(CREATED), limits) as asked:
        first = await asked.bench.ask(create(500))
        await asked.decide(first, ApprovalState.APPROVED)
        assert (await asked.bench.ask(create(100))).status == 207
        again = await asked.bench.ask(create(500))
        assert kind_of(again) == (403, "approval-required")
        assert [each["rule"] for each in said(again)["violations"]] == ["budget", "new_per_day"]
        await asked.decide(again, ApprovalState.APPROVED)
        asked.ledger.used = DayUse(30)
        assert (await asked.bench.ask(create(500))).status == 207
        await asked.last()
        assert asked.ledger.used.created == 31


async def test_a_day_that_is_used_up_at_the_last_moment_holds_an_approved_write_back(running: Running) -> None:
    """Another write is counted after the approval was found: nothing is sent or counted, and the next attempt asks."""
    limits = replace(LIMITS, new_per_day=1)
    async with asking(running, answering(CREATED), limits) as asked:
        await asked.approve(create(500))
        asked.ledger.turn = asyncio.Event()
        sending = asyncio.create_task(asked.bench.ask(create(500)))
        await asked.bench.settled(lambda: asked.ledger.waiting == 1)
        asked.ledger.used = DayUse(1)
        asked.ledger.turn.set()
        answer = await sending
        assert kind_of(answer) == (503, "ledger-unavailable")
        assert "other writes were counted meanwhile" in said(answer)["detail"]
        assert (asked.arrived, asked.ledger.used.created) == (0, 1)
        again = await asked.bench.ask(create(500))
        assert [each["rule"] for each in said(again)["violations"]] == ["budget", "new_per_day"]


async def test_a_question_with_fewer_violations_does_not_answer_one_with_more(running: Running) -> None:
    """Both are asked at the same time, on either side of the end of the hours: each waits for its own."""
    async with asking(running, answering(CREATED), HOURS) as asked:
        asked.values.turn.clear()
        early = asyncio.create_task(asked.bench.ask(UPDATE))
        await asked.bench.settled(lambda: asked.values.reads == 1)
        asked.now = NIGHT
        late = asyncio.create_task(asked.bench.ask(UPDATE))
        await asked.bench.settled(lambda: asked.values.reads == 2)
        asked.values.turn.set()
        await early
        assert [each["rule"] for each in said(await late)["violations"]] == ["budget", "hours"]


async def test_values_that_cannot_be_read_again_hold_an_approved_write_back(running: Running) -> None:
    """The write may be sent again, and passes when they can be read; what was never known holds nothing back."""
    async with asking(running, answering(CREATED)) as asked:
        await asked.approve(UPDATE)
        asked.values.now = None
        assert kind_of(await asked.bench.ask(UPDATE)) == (503, "ledger-unavailable")
        asked.values.now = "100"
        assert (await asked.bench.ask(UPDATE)).status == 207
        asked.values.now = None
        await asked.approve(UPDATE)
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_without_the_store_nothing_over_a_limit_passes(running: Running) -> None:
    """Neither what was approved nor what would be asked; other writes go on."""
    store = Away()
    async with asking(running, answering(CREATED), store=store) as asked:
        await asked.approve(UPDATE)
        store.is_away = True
        assert kind_of(await asked.bench.ask(UPDATE)) == (503, "ledger-unavailable")
        assert kind_of(await asked.bench.ask(create(500))) == (503, "ledger-unavailable")
        assert (asked.arrived, (await asked.bench.ask(create(200))).status) == (0, 207)
        store.is_away = False
        assert (await asked.bench.ask(UPDATE)).status == 207


async def test_several_who_ask_at_once_read_the_objects_once(running: Running) -> None:
    """They hear of the same approval, also where the first of them left."""
    async with asking(running, answering(CREATED)) as asked:
        asked.values.turn.clear()
        wire = await asked.bench.client(UPDATE)
        await asked.bench.settled(lambda: asked.values.reads == 1)
        others = [asyncio.create_task(asked.bench.ask(UPDATE)) for _ in range(3)]
        await asked.bench.settled(lambda: asked.bench.accounting.in_flight == 4)
        wire.abort()
        asked.values.turn.set()
        identifiers = {said(answer)["approval_id"] for answer in await asyncio.gather(*others)}
        assert (len(identifiers), asked.values.reads) == (1, 1)


async def test_a_question_that_fails_after_its_client_left_is_no_defect(running: Running) -> None:
    """Nothing waits for the error any more; the next write asks anew."""
    store = Away()
    async with asking(running, answering(CREATED), store=store) as asked:
        unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
        asked.values.turn.clear()
        wire = await asked.bench.client(UPDATE)
        await asked.bench.settled(lambda: asked.values.reads == 1)
        wire.abort()
        await asked.bench.settled(lambda: not asked.bench.accounting.in_flight)
        store.is_away = True
        asked.values.turn.set()
        await asked.bench.settled(lambda: not asked.bench.path.memory.spend.desk._asking)
        gc.collect()
        store.is_away = False
        assert kind_of(await asked.bench.ask(UPDATE)) == (403, "approval-required")
        assert unhandled == []


async def test_a_client_reads_the_state_of_its_approval(running: Running) -> None:
    """A pending one says when to ask again; other paths and methods are refused."""
    async with asking(running, answering(CREATED)) as asked:
        identifier = said(await asked.bench.ask(UPDATE))["approval_id"]
        answer = await asked.state(identifier)
        assert said(answer) == {
            "id": identifier,
            "state": "pending",
            "because": None,
            "expires_at": "2026-05-29T20:26:40Z",
        }
        assert answer.value(b"Retry-After") == b"15"
        await asked.keeper.decide(identifier, ApprovalState.APPROVED, "anna")
        approved = await asked.state(identifier)
        assert (said(approved)["state"], approved.value(b"Retry-After")) == ("approved", None)
        await asked.bench.ask(UPDATE)
        assert said(await asked.state(identifier))["state"] == "used"
        for unknown in ("0" * 20, identifier + "/", identifier + "?x=1", "..", ""):
            assert kind_of(await asked.state(unknown)) == (404, "unknown-approval")
        posted = b"POST /-/approvals/%b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n" % identifier.encode()
        assert kind_of(await asked.bench.ask(posted)) == (405, "only-readable")
        assert asked.arrived == 1
