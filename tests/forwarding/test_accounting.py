"""The account of one request: its times, and whether there is anything to say that other requests do not share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.events import (
    ChangedObjects,
    Fault,
    Observers,
    Outcome,
    SpendJudgement,
    SpendMode,
    SpendVerdict,
    WriteOutcome,
)
from proxy.forwarding.accounting import Accounting, LateAccount
from proxy.forwarding.request_stats import RequestStats
from proxy.net.deadlines import INTERVAL, Deadlines
from tests.support.deciding import request


@pytest.mark.parametrize(
    ("sent_at", "overhead", "upstream", "spent"),
    [
        (0.0, 1.0, 0.0, 1.0),
        (13.0, 1.0, 1.0, 1.0),
        (11.0, 3.0, 1.0, 3.0),
        (11.0, 9.0, 0.0, 4.0),
    ],
    ids=["not sent", "sent late", "the proxy spent some of it", "more than there was"],
)
def test_amazon_and_the_proxy_spent_no_more_than_there_was(
    sent_at: float, overhead: float, upstream: float, spent: float
) -> None:
    """Of the four seconds from 10 to 14, what the proxy spent does not count as Amazon's too."""
    stats = RequestStats(request(), 10.0)
    stats.sent_at, stats.overhead = sent_at, overhead
    stats.measure(14.0)
    assert (stats.duration, stats.upstream, stats.overhead) == (4.0, upstream, spent)


@pytest.mark.parametrize(
    ("said", "well"),
    [
        ({}, True),
        ({"write": WriteOutcome(Outcome.SUCCESS)}, True),
        ({"write": WriteOutcome(Outcome.PARTIAL)}, False),
        ({"changes": ChangedObjects()}, False),
        ({"judged": SpendJudgement(SpendMode.ENFORCE, SpendVerdict.WITHIN)}, True),
        ({"judged": SpendJudgement(SpendMode.OBSERVE, SpendVerdict.UNREADABLE)}, False),
        ({"fault": Fault.CLIENT_GONE}, False),
        ({"note": "answered from memory"}, False),
        ({"mcp_tools": ("campaign_management-query_campaign",)}, False),
        ({"upstream_status": 503}, False),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else "",
)
def test_a_request_of_which_something_is_to_be_said_is_no_usual_one(said: dict[str, Any], well: bool) -> None:
    """A usual one went to the client whole, as Amazon answered it."""
    stats = RequestStats(request(), 0.0)
    stats.upstream_status = 200
    for name, value in said.items():
        setattr(stats, name, value)
    assert stats.ended_well(200) is well


def test_a_record_is_due_within_a_second() -> None:
    """A crash costs no older one; deadlines are kept to within an interval."""
    assert Accounting(Observers(())).record_within + INTERVAL <= 1.0


async def test_a_late_account_is_given_once() -> None:
    """When the reading has ended, or at the deadline, which cancels it."""
    loop = asyncio.get_running_loop()
    deadlines, given = Deadlines(loop), list[str]()
    read, unread = loop.create_future(), loop.create_future()
    early = LateAccount(read, deadlines, loop.time() + 50, lambda late: given.append("early"))
    LateAccount(unread, deadlines, loop.time() + 100, lambda late: given.append("late"))
    assert repr(early).startswith("<LateAccount until ")
    read.set_result("tools")
    await asyncio.sleep(0)
    deadlines.sweep(loop.time() + 75)
    assert given == ["early"]
    for _ in range(2):
        deadlines.sweep(loop.time() + 125)
        await asyncio.sleep(0)
    assert (given, unread.cancelled()) == (["early", "late"], True)
    deadlines.stop()
