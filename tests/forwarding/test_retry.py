"""What follows an attempt, at every boundary: the rows of the table in docs/explanation/reliability.md."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.errors import (
    NoUsableToken,
    Refused,
    UpstreamCertificateRejected,
    UpstreamClosed,
    UpstreamConnectTimeout,
    UpstreamMalformed,
    UpstreamNameUnresolved,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from proxy.forwarding.retry import (
    Answered,
    Broken,
    Decision,
    Deliver,
    GiveUp,
    Progress,
    Replace,
    Replay,
    ReplayOutcome,
    ReplayReason,
    Situation,
    Wait,
    decide,
    may_hedge,
    outcome_of,
    told,
)
from proxy.tokens.token_refusals import ADS_API_REFUSALS, MCP_REFUSALS
from proxy.upstream.retry_budgets import FLOOR, FLOOR_INTERVAL, MAX_EARNED, RetryBudget, RetryBudgets

READ = Situation(number=1, reads=True, progress=Progress.WHOLE)
WRITE = replace(READ, reads=False)
PATIENT = replace(READ, retry_wait=30.0)
CLOSED = UpstreamClosed("closed")
AGAIN = Replay(renewed=False)
LEFT = [Progress.PARTLY, Progress.WHOLE, Progress.ANSWERING]
CONNECTION, THROTTLED = ReplayReason.CONNECTION, ReplayReason.THROTTLED


@pytest.mark.parametrize("status", [401, 425, 429])
def test_a_response_that_may_be_replaced_is_held(status: int) -> None:
    """A tap asked for that; what Amazon's status would lead to otherwise comes after."""
    assert decide(READ, Answered(status, None, replaceable=True)) == Replace()
    assert decide(replace(WRITE, number=3, replayable=False), Answered(status, 1.0, replaceable=True)) == Replace()


@pytest.mark.parametrize("status", [200, 204, 206, 301, 307, 304, 400, 403, 404, 425, 500, 502, 504])
def test_answers_are_delivered(status: int) -> None:
    """Whatever is none of 401, 429 and 503 is the client's to judge, Retry-After or not."""
    assert decide(PATIENT, Answered(status, None)) == Deliver()
    assert decide(PATIENT, Answered(status, 1.0)) == Deliver()


@pytest.mark.parametrize(
    ("attempt", "decision"),
    [
        (READ, Replay(renewed=True)),
        (WRITE, Replay(renewed=True)),
        (replace(WRITE, affordable=False), Replay(renewed=True)),
        (replace(READ, number=2), Replay(renewed=True)),
        (replace(READ, number=3), Deliver(ReplayReason.UNAUTHORIZED)),
        (replace(READ, number=2, unauthorized=1), Deliver()),
        (replace(READ, unauthorized=1), Deliver()),
        (replace(READ, replayable=False), Deliver(ReplayReason.UNAUTHORIZED)),
        (replace(PATIENT, unauthorized=1), Deliver()),
    ],
)
def test_401_is_replayed_once(attempt: Situation, decision: Decision) -> None:
    """With a newer token, any request, if the body is still there; the second 401 is the client's."""
    assert decide(replace(attempt, progress=Progress.REFUSED), Answered(401, None)) == decision


@pytest.mark.parametrize(
    ("attempt", "decision"),
    [
        (WRITE, Replay(renewed=True)),
        (replace(WRITE, affordable=False), Replay(renewed=True)),
        (replace(WRITE, unauthorized=1), Deliver()),
        (replace(WRITE, number=3), Deliver()),
        (replace(WRITE, replayable=False), Deliver()),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_what_may_refuse_a_token_is_looked_into_once(attempt: Situation, decision: Decision, status: int) -> None:
    """As a 401 is, whatever its status; where it cannot be replayed, nobody knows that there was a reason to."""
    assert decide(attempt, Answered(status, None, needs_body=True)) == decision


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("attempt", "retry_after", "decision"),
    [
        (READ, 0.0, Deliver()),
        (READ, 1.0, Deliver()),
        (READ, None, Deliver()),
        (PATIENT, None, Deliver()),
        (PATIENT, 0.0, Wait(0.0)),
        (PATIENT, 2.0, Wait(2.0)),
        (PATIENT, 30.0, Wait(30.0)),
        (PATIENT, 30.5, Deliver(THROTTLED)),
        (replace(PATIENT, waited=20.0), 10.0, Wait(10.0)),
        (replace(PATIENT, waited=20.0), 10.5, Deliver(THROTTLED)),
        (replace(PATIENT, waited=30.0), 1.0, Deliver(THROTTLED)),
        (replace(PATIENT, number=2), 2.0, Wait(2.0)),
        (replace(PATIENT, number=3), 2.0, Deliver(THROTTLED)),
        (replace(PATIENT, replayable=False), 2.0, Deliver(THROTTLED)),
        (replace(PATIENT, affordable=False), 2.0, Deliver(THROTTLED)),
        (replace(PATIENT, unauthorized=1), 2.0, Wait(2.0)),
        (replace(PATIENT, reads=False), 2.0, Deliver(THROTTLED)),
        (replace(PATIENT, reads=False), 0.0, Deliver(THROTTLED)),
    ],
)
def test_a_pause_is_waited_out_within_the_configured_bound(
    status: int, attempt: Situation, retry_after: float | None, decision: Decision
) -> None:
    """For reads alone: a 429 does not prove that nothing was done. Without Retry-After there is nothing to wait for."""
    assert decide(replace(attempt, progress=Progress.ANSWERING), Answered(status, retry_after)) == decision


@pytest.mark.parametrize("progress", LEFT)
def test_a_read_that_was_cut_is_sent_once_more(progress: Progress) -> None:
    """However far it got, on a connection of whatever age: it does nothing twice."""
    attempt = replace(READ, progress=progress)
    assert decide(attempt, Broken(CLOSED)) == AGAIN
    assert decide(replace(attempt, number=2), Broken(CLOSED)) == AGAIN
    assert decide(replace(attempt, number=2, cut=1), Broken(CLOSED)) == GiveUp(CLOSED)


@pytest.mark.parametrize("progress", LEFT)
def test_a_write_that_may_have_left_is_not_sent_again(progress: Progress) -> None:
    """Amazon may have carried it out."""
    assert decide(replace(WRITE, progress=progress), Broken(CLOSED)) == GiveUp(CLOSED, CONNECTION)


@pytest.mark.parametrize("attempt", [READ, WRITE])
def test_what_never_left_is_sent_again(attempt: Situation) -> None:
    """Its connection had ended before anything was written to it."""
    assert decide(replace(attempt, progress=Progress.UNSENT), Broken(CLOSED)) == AGAIN


@pytest.mark.parametrize(
    "attempt",
    [
        replace(READ, replayable=False),
        replace(READ, number=3),
        replace(READ, time_left=0.0),
        replace(READ, affordable=False),
        replace(WRITE, progress=Progress.UNSENT, affordable=False),
    ],
)
def test_a_replay_needs_body_time_and_budget(attempt: Situation) -> None:
    """And there are no more than three attempts."""
    assert decide(attempt, Broken(CLOSED)) == GiveUp(CLOSED, CONNECTION)


@pytest.mark.parametrize(
    ("attempt", "sent"),
    [
        (READ, True),
        (replace(READ, cut=1, number=2), True),
        (WRITE, False),
        (replace(READ, number=3), False),
        (replace(READ, affordable=False), False),
        (replace(READ, time_left=0.0), False),
    ],
)
def test_what_reads_is_sent_beside_a_late_answer(attempt: Situation, sent: bool) -> None:
    """Within the same bounds: three times in all, time and budget left."""
    assert may_hedge(attempt) is sent


@pytest.mark.parametrize("attempt", [READ, WRITE])
def test_without_a_connection_there_is_nothing_to_send_again(attempt: Situation) -> None:
    """Dialing has been tried again by itself, within connect_timeout."""
    assert decide(replace(attempt, progress=Progress.UNCONNECTED), Broken(CLOSED)) == GiveUp(CLOSED)


@pytest.mark.parametrize(
    "error",
    [
        UpstreamTimeout("slow"),
        UpstreamConnectTimeout("slow"),
        UpstreamMalformed("odd"),
        UpstreamCertificateRejected("bad"),
        UpstreamUnreachable("gone"),
        UpstreamNameUnresolved("who"),
        NoUsableToken("none"),
    ],
)
@pytest.mark.parametrize("progress", Progress)
def test_other_failures_are_given_up(error: Refused, progress: Progress) -> None:
    """A slow, odd or absent Amazon is told to the client, which knows better how long it can wait."""
    assert decide(replace(READ, progress=progress), Broken(error)) == GiveUp(error)


@pytest.mark.parametrize("progress", Progress)
@pytest.mark.parametrize("reads", [True, False])
def test_nothing_invites_to_send_a_write_again_that_may_have_left(progress: Progress, reads: bool) -> None:
    """The error says so and why; of a read, and of a write that cannot have run, it is what it was."""
    error = UpstreamTimeout("Slow.", retry_after=3.0, close=True)
    said = told(error, reads, progress)
    if reads or progress not in LEFT:
        assert said is error
    else:
        assert isinstance(said, UpstreamTimeout)
        assert (said.retryable, said.retry_after, said.close) == (False, None, True)
        assert said.detail.startswith("Slow. Amazon may have carried it out")


@pytest.mark.parametrize(
    ("reason", "status", "outcome"),
    [
        (ReplayReason.UNAUTHORIZED, 401, ReplayOutcome.FAILED),
        (ReplayReason.UNAUTHORIZED, 400, ReplayOutcome.RECOVERED),
        (ReplayReason.UNAUTHORIZED, 429, ReplayOutcome.RECOVERED),
        (ReplayReason.THROTTLED, 429, ReplayOutcome.FAILED),
        (ReplayReason.THROTTLED, 503, ReplayOutcome.FAILED),
        (ReplayReason.THROTTLED, 200, ReplayOutcome.RECOVERED),
        (ReplayReason.CONNECTION, 503, ReplayOutcome.RECOVERED),
    ],
)
def test_a_replay_failed_where_the_same_trouble_came_again(
    reason: ReplayReason, status: int, outcome: ReplayOutcome
) -> None:
    """Any other answer is one that the client would not have had."""
    assert outcome_of(reason, status, ADS_API_REFUSALS.statuses) is outcome


@pytest.mark.parametrize(
    ("status", "outcome"), [(400, ReplayOutcome.FAILED), (401, ReplayOutcome.FAILED), (200, ReplayOutcome.RECOVERED)]
)
def test_mcp_has_several_answers_to_a_token_that_is_refused(status: int, outcome: ReplayOutcome) -> None:
    """So a replay that is answered by another of them has failed."""
    assert outcome_of(ReplayReason.UNAUTHORIZED, status, MCP_REFUSALS.statuses) is outcome


def spend_all(budget: RetryBudget, now: float) -> int:
    """Spend what there is at this moment, and count it."""
    spent = 0
    while budget.affords(now):
        budget.spend(now)
        spent += 1
    return spent


def test_a_quiet_proxy_may_retry() -> None:
    """So many at once without any traffic, and one more each interval."""
    budget = RetryBudget(0.0)
    assert spend_all(budget, 0.0) == FLOOR
    assert spend_all(budget, FLOOR_INTERVAL - 0.1) == 0
    assert spend_all(budget, FLOOR_INTERVAL) == 1
    assert spend_all(budget, 1e6) == FLOOR


def test_ten_requests_earn_one_retry() -> None:
    """A storm of retries is no more than a tenth of the traffic on top."""
    budget = RetryBudget(0.0)
    spend_all(budget, 0.0)
    retries = 0
    for _ in range(1000):
        budget.earn()
        if budget.affords(0.0):
            budget.spend(0.0)
            retries += 1
    assert 99 <= retries <= 100


def test_a_promised_retry_is_left_for_the_one_that_waits() -> None:
    """And can be had again if it was not sent."""
    budget = RetryBudget(0.0)
    budget.promised = 3
    assert spend_all(budget, 0.0) == FLOOR - 3
    budget.promised = 0
    assert spend_all(budget, 0.0) == 3


def test_no_more_is_saved_than_a_storm_may_cost() -> None:
    """An hour without trouble does not pay for a hundred retries in a second."""
    budget = RetryBudget(0.0)
    for _ in range(10_000):
        budget.earn()
    assert MAX_EARNED - 1 <= spend_all(budget, 0.0) - FLOOR <= MAX_EARNED + 1


def test_each_host_has_a_budget_of_its_own() -> None:
    """One host's bad minute takes nothing from the others."""
    budgets = RetryBudgets()
    spend_all(budgets.of(b"Host: a\r\n", 0.0), 0.0)
    assert budgets.of(b"Host: a\r\n", 0.0) is budgets.of(b"Host: a\r\n", 5.0)
    assert not budgets.of(b"Host: a\r\n", 0.0).affords(0.0)
    assert budgets.of(b"Host: b\r\n", 0.0).affords(0.0)
    assert repr(budgets) == "<RetryBudgets of 2 hosts>"
    assert repr(budgets.of(b"Host: a\r\n", 0.0)) == "<RetryBudget: 0.0 earned, 0.0 given>"
