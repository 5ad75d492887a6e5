"""Which report each order made, and who asks Amazon."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.errors import Throttled
from proxy.reports.orders import Report, ReportStatus
from proxy.reports.pace import OrderLimit, QueuedOrder
from proxy.reports.polls import PollAnswer
from proxy.reports.sharing import (
    LEAST_CHECK,
    MAX_AGE,
    MAX_REPORTS,
    Claims,
    KnownReports,
    MadeReport,
    OrderClaim,
    ReportRules,
    SharedReports,
    see,
)
from tests.support.tokens import virtual_time

NOW = 1_800_000_000.0
RULES = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)
MADE = MadeReport("key", "report-1", 200, "{}", NOW, NOW)
ANSWER = PollAnswer(200, "application/json", "{}", NOW, 0.0, NOW)


def shown(status: ReportStatus = ReportStatus.COMPLETED, /, **content: str) -> Report:
    return Report("report-1", status, {"reportId": "report-1", **content})


# --- what is known of a report


def test_an_unfinished_report_is_reused_for_a_day() -> None:
    """Not if the clock was set back."""
    assert MADE.is_reusable(900.0, NOW + 86_400 - 1)
    assert not MADE.is_reusable(900.0, NOW + 86_400)
    assert not MADE.is_reusable(900.0, NOW - 1)


def test_a_completed_report_is_reused_for_the_time_that_is_configured() -> None:
    """From its completion on."""
    made = replace(MADE, completed_at=NOW + 10)
    assert made.is_reusable(900.0, NOW + 909)
    assert not made.is_reusable(900.0, NOW + 910)
    assert not made.is_reusable(900.0, NOW + 9)


def test_an_unfinished_report_needs_a_look_if_nobody_saw_it_lately() -> None:
    """At the interval of polls, or half a minute."""
    assert not MADE.needs_look(60.0, NOW + 59)
    assert MADE.needs_look(60.0, NOW + 60)
    assert not MADE.needs_look(0.0, NOW + LEAST_CHECK - 1)
    assert MADE.needs_look(0.0, NOW + LEAST_CHECK)
    assert not replace(MADE, completed_at=NOW).needs_look(60.0, NOW + 60)


def test_what_amazon_shows_is_noted() -> None:
    """The answer to identical orders follows it in version 3, and stays as it was in version 1."""
    seen = see(MADE, shown(ReportStatus.PROCESSING, status="PROCESSING"), NOW + 5, shows_answer=True)
    assert seen == replace(MADE, text='{"reportId":"report-1","status":"PROCESSING"}', seen_at=NOW + 5)
    assert see(MADE, shown(ReportStatus.PROCESSING), NOW + 5, shows_answer=False) == replace(MADE, seen_at=NOW + 5)
    assert see(MADE, shown(ReportStatus.FAILED), NOW + 5, shows_answer=True) is None


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ({}, NOW + 500),
        ({"generatedAt": "2027-01-15T08:05:00Z"}, NOW + 300),
        ({"completedDateTime": "2027-01-15T08:05:00Z"}, NOW + 300),
        ({"generatedAt": "2027-01-15T07:00:00Z"}, NOW),
        ({"generatedAt": "2027-01-15T09:00:00Z"}, NOW + 500),
        ({"generatedAt": "soon"}, NOW + 500),
    ],
)
def test_the_moment_of_completion_is_amazons_if_it_can_be_true(written: dict[str, str], moment: float) -> None:
    """Between the last look that found the report unfinished and now."""
    seen = see(MADE, shown(**written), NOW + 500, shows_answer=False)
    assert seen is not None
    assert seen.completed_at == moment
    again = see(seen, shown(), NOW + 900, shows_answer=False)
    assert again is not None
    assert again.completed_at == moment


def test_the_memory_of_reports_is_bounded() -> None:
    """Those used longest ago are forgotten."""
    reports = KnownReports()
    for number in range(MAX_REPORTS + 1):
        reports.put(replace(MADE, key=f"key {number}"), f"order {number}")
    assert reports.of_order("order 0") is None
    assert reports.of_order(f"order {MAX_REPORTS}") is not None
    assert repr(reports) == f"<KnownReports: {MAX_REPORTS} of {MAX_REPORTS} orders>"


def test_unfinished_reports_can_be_listed() -> None:
    """With their orders, for those who keep them; what is complete, or old, need not be kept."""
    changes = []
    reports = KnownReports()
    reports.changed = lambda: changes.append(1)
    reports.put(MADE, "order")
    reports.put(replace(MADE, key="done", completed_at=NOW), "other")
    reports.put(replace(MADE, key="old", made_at=NOW - MAX_AGE), "third")
    assert reports.known(NOW) == [("order", MADE)]
    reports.forget("key")
    reports.forget("key")
    assert reports.known(NOW) == []
    assert len(changes) == 4


# --- who asks Amazon


@virtual_time
async def test_one_claims_and_the_others_wait() -> None:
    """Until the claim is released by the one who has it."""
    claims = Claims()
    assert claims.take("key", "first")
    assert not claims.take("key", "second")
    waiting = asyncio.create_task(claims.wait("key"))
    await asyncio.sleep(0)
    claims.release("key", "second")
    await asyncio.sleep(0)
    assert not waiting.done()
    claims.release("key", "first")
    await waiting
    assert repr(claims) == "<Claims: 0>"


def shared(rules: ReportRules | None = RULES) -> tuple[SharedReports, list[float]]:
    clock = [NOW]
    found = SharedReports(lambda: clock[0])
    found.apply(rules)
    return found, clock


@virtual_time
async def test_an_order_is_granted_once_and_then_answered() -> None:
    """The others get the report that it made."""
    reports, _ = shared()
    assert await reports.claim_order("order", "a") == OrderClaim(None, granted=True)
    others = [asyncio.create_task(reports.claim_order("order", ticket)) for ticket in "bc"]
    await asyncio.sleep(0)
    reports.settle_order("order", "a", MADE)
    assert await asyncio.gather(*others) == [OrderClaim(MADE, granted=False)] * 2


@virtual_time
async def test_the_next_order_is_granted_if_nothing_was_made() -> None:
    """One at a time."""
    reports, _ = shared()
    await reports.claim_order("order", "a")
    others = {ticket: asyncio.create_task(reports.claim_order("order", ticket)) for ticket in "bc"}
    await asyncio.sleep(0)
    reports.settle_order("order", "a", None)
    done, waiting = await asyncio.wait(others.values(), return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [OrderClaim(None, granted=True)]
    reports.settle_order("order", "b", MADE)
    assert [await task for task in waiting] == [OrderClaim(MADE, granted=False)]


@virtual_time
async def test_who_stops_waiting_disturbs_nobody() -> None:
    """The claim is still to be released."""
    reports, _ = shared()
    await reports.claim_order("order", "a")
    leaving = asyncio.create_task(reports.claim_order("order", "b"))
    staying = asyncio.create_task(reports.claim_order("order", "c"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    reports.settle_order("order", "a", MADE)
    assert (await staying).made == MADE


@virtual_time
async def test_a_report_that_needs_a_look_is_granted_with_it() -> None:
    """By one order at a time."""
    reports, clock = shared()
    reports.settle_order("order", "a", MADE)
    clock[0] += 60
    assert await reports.claim_order("order", "b") == OrderClaim(MADE, granted=True)
    reports.settle_order("order", "b", None)
    assert (await reports.claim_order("order", "c")).granted


@virtual_time
async def test_a_report_is_not_reused_for_too_long() -> None:
    """Nor without rules."""
    reports, clock = shared()
    reports.settle_order("order", "a", replace(MADE, completed_at=NOW))
    clock[0] += 900
    assert await reports.claim_order("order", "b") == OrderClaim(None, granted=True)
    reports, _ = shared(None)
    reports.settle_order("order", "a", MADE)
    assert await reports.claim_order("order", "b") == OrderClaim(None, granted=True)


@virtual_time
async def test_what_polls_show_counts_for_orders() -> None:
    """A failed report is forgotten; one that nobody ordered here is not remembered."""
    reports, clock = shared()
    reports.settle_order("order", "a", MADE)
    clock[0] += 50
    reports.saw("key", shown(ReportStatus.PROCESSING), shows_answer=False)
    reports.saw("other", shown(), shows_answer=False)
    clock[0] += 50
    assert not (await reports.claim_order("order", "b")).granted
    reports.saw("key", shown(ReportStatus.FAILED), shows_answer=False)
    assert (await reports.claim_order("order", "b")).granted
    assert repr(reports) == "<SharedReports: <KnownReports: 0 of 1 orders>, 0 polls, <Claims: 1>>"


# --- an order that waits for its turn

LIMIT = OrderLimit("acme", "app", "na")


def queued(client: str, day: str = "2026-11-07", patience: float = 600.0) -> QueuedOrder:
    return QueuedOrder(LIMIT, client, (day, day), patience)


class Waiting:
    """Orders of which one leaves every two seconds, from now on; `reports` are where they wait."""

    def __init__(self) -> None:
        self.reports, _ = shared()
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.reports.throttled(LIMIT, self.began, None)

    async def claim(self, order: str, ticket: str, waits: QueuedOrder) -> asyncio.Task[OrderClaim]:
        """A claim that waits."""
        claiming = self._loop.create_task(self.reports.claim_order(order, ticket, waits))
        for _ in range(3):
            await asyncio.sleep(0)
        return claiming

    @property
    def passed(self) -> float:
        return round(self._loop.time() - self.began, 3)


@virtual_time
async def test_a_client_far_back_in_its_queue_delays_no_other() -> None:
    """Of identical orders the one whose turn is first is sent; the other gets its report, and needs no turn."""
    bench = Waiting()
    busy = [await bench.claim(f"other {day}", f"a{day}", queued("a", f"2026-11-2{day}")) for day in range(5)]
    far = await bench.claim("order", "a", queued("a", "2026-11-01"))
    near = await bench.claim("order", "b", queued("b"))
    assert await near == OrderClaim(None, granted=True)
    assert bench.passed == 4.0
    assert [each.done() for each in busy] == [False] * 4 + [True]
    bench.reports.settle_order("order", "b", MADE)
    assert await far == OrderClaim(MADE, granted=False)
    assert bench.passed == 4.0
    await asyncio.gather(*busy)
    assert bench.passed == 12.0


@virtual_time
async def test_an_order_waits_for_its_turn_again_if_an_identical_one_failed() -> None:
    """It is still the first of its client's."""
    bench = Waiting()
    first = await bench.claim("order", "a", queued("a"))
    second = await bench.claim("order", "b", queued("b"))
    assert (await first).granted
    bench.reports.settle_order("order", "a", None)
    assert await second == OrderClaim(None, granted=True)
    assert bench.passed == 4.0


@virtual_time
async def test_a_report_that_becomes_known_ends_the_wait() -> None:
    """By whichever order it was made: a 425 may have named it."""
    bench = Waiting()
    waiting = await bench.claim("order", "a", queued("a"))
    bench.reports.settle_order("order", "without a claim", MADE)
    assert await waiting == OrderClaim(MADE, granted=False)
    assert (bench.passed, bench.reports.queues.snapshot()[0].waiting) == (0.0, 0)


@virtual_time
async def test_a_turn_that_is_not_used_is_the_next_ones() -> None:
    """An identical order was claimed at the same moment, or its client left."""
    bench = Waiting()
    loop = asyncio.get_running_loop()
    claimed = await bench.claim("order", "a", queued("a"))
    leaving = await bench.claim("leaves", "b", queued("b"))
    last = await bench.claim("last", "c", queued("c"))
    loop.call_at(bench.began + 2.0, lambda: bench.reports._claims.take("order", "x"))
    loop.call_at(bench.began + 2.0, leaving.cancel)
    assert (await last).granted
    assert bench.passed == 2.0
    assert not claimed.done()
    claimed.cancel()
    await asyncio.wait((claimed, leaving))


@pytest.mark.parametrize("steps", range(6))
@virtual_time
async def test_a_client_that_leaves_when_its_turn_comes_uses_it_up_in_no_case(steps: int) -> None:
    """However many steps of the loop later: either its order was granted, or the next one leaves at once."""
    bench = Waiting()
    loop = asyncio.get_running_loop()
    leaving = await bench.claim("leaves", "a", queued("a"))
    last = await bench.claim("last", "c", queued("c"))

    def leave(left: int) -> None:
        if left:
            loop.call_soon(leave, left - 1)
        else:
            leaving.cancel()

    loop.call_at(bench.began + 2.0, leave, steps)
    assert (await last).granted
    await asyncio.wait((leaving,))
    assert bench.passed == (2.0 if leaving.cancelled() else 4.0)


@virtual_time
async def test_a_report_that_needs_a_look_needs_no_turn() -> None:
    """If it does not fit, the order waits for one."""
    bench = Waiting()
    bench.reports.settle_order("order", "a", replace(MADE, seen_at=NOW - 3600))
    assert (await bench.reports.claim_order("order", "b", queued("b"))).made is not None
    bench.reports.settle_order("order", "b", None)
    again = await bench.reports.claim_order("order", "b", queued("b"), MADE.id)
    assert (again, bench.passed) == (OrderClaim(None, granted=True), 2.0)


@virtual_time
async def test_an_order_that_would_wait_too_long_is_not_granted() -> None:
    bench = Waiting()
    with pytest.raises(Throttled):
        await bench.reports.claim_order("order", "a", queued("a", patience=1.0))
    assert (await bench.reports.claim_order("order", "b")).granted


@virtual_time
async def test_polls_take_turns() -> None:
    """The next one gets the answer while it is fresh; a report that is forgotten has none."""
    reports, clock = shared()
    assert (await reports.claim_poll("key", "a")).granted
    waiting = asyncio.create_task(reports.claim_poll("key", "b"))
    await asyncio.sleep(0)
    reports.settle_poll("key", "a", ANSWER)
    assert (await waiting).answer == ANSWER
    clock[0] += 60
    assert (await reports.claim_poll("key", "c")).granted
    reports.settle_poll("key", "c", replace(ANSWER, at=NOW + 60, waiting_since=NOW + 60))
    found = (await reports.claim_poll("key", "d")).answer
    assert found is not None
    assert found.waiting_since == NOW
    reports.forget("key")
    assert (await reports.claim_poll("key", "d")).granted


@virtual_time
async def test_without_rules_every_poll_is_granted() -> None:
    """A reload may have turned sharing off."""
    reports, _ = shared(None)
    reports.settle_poll("key", "a", ANSWER)
    assert (await reports.claim_poll("key", "b")).granted


@virtual_time
async def test_pace_is_that_of_the_queues() -> None:
    """Of all logins and regions."""
    reports, _ = shared()
    reports.throttled(LIMIT, asyncio.get_running_loop().time(), None)
    await reports.wait_for_turn(queued("client"))
    reports.taken(LIMIT, asyncio.get_running_loop().time())
    (status,) = reports.queues.snapshot()
    assert status.interval == pytest.approx(1.94)
