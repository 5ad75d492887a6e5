"""What follows an attempt, at every boundary."""

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
    Replay,
    Situation,
    Wait,
    before_sending,
    decide,
)

FIRST = Situation(number=1, method=b"GET", replayable=True, reused=False, unauthorized=0, waited=0.0, retry_wait=0.0)
REUSED = replace(FIRST, reused=True)
PATIENT = replace(FIRST, retry_wait=30.0)
CLOSED = UpstreamClosed("closed")


@pytest.mark.parametrize("status", [200, 204, 206, 301, 307, 304, 400, 403, 404, 425, 500, 502, 503, 504])
def test_answers_are_delivered(status: int) -> None:
    """Whatever is neither 401 nor 429 is the tool's to judge, Retry-After or not."""
    assert decide(PATIENT, Answered(status, None)) == Deliver()
    assert decide(PATIENT, Answered(status, 1.0)) == Deliver()


@pytest.mark.parametrize(
    ("attempt", "decision"),
    [
        (FIRST, Replay(renewed=True)),
        (replace(FIRST, method=b"POST"), Replay(renewed=True)),
        (replace(FIRST, method=b"PATCH", reused=True), Replay(renewed=True)),
        (replace(FIRST, number=2), Replay(renewed=True)),
        (replace(FIRST, number=3), Deliver()),
        (replace(FIRST, number=2, unauthorized=1), Deliver()),
        (replace(FIRST, unauthorized=1), Deliver()),
        (replace(FIRST, replayable=False), Deliver()),
        (replace(PATIENT, unauthorized=1), Deliver()),
    ],
)
def test_401_is_replayed_once(attempt: Situation, decision: Decision) -> None:
    """With a newer token, any method, if the body is still there; the second 401 is the tool's."""
    assert decide(attempt, Answered(401, None)) == decision


@pytest.mark.parametrize(
    ("attempt", "retry_after", "decision"),
    [
        (FIRST, 0.0, Deliver()),
        (FIRST, 1.0, Deliver()),
        (FIRST, None, Deliver()),
        (PATIENT, None, Deliver()),
        (PATIENT, 0.0, Wait(0.0)),
        (PATIENT, 2.0, Wait(2.0)),
        (PATIENT, 30.0, Wait(30.0)),
        (PATIENT, 30.5, Deliver()),
        (replace(PATIENT, waited=20.0), 10.0, Wait(10.0)),
        (replace(PATIENT, waited=20.0), 10.5, Deliver()),
        (replace(PATIENT, waited=30.0), 1.0, Deliver()),
        (replace(PATIENT, number=2), 2.0, Wait(2.0)),
        (replace(PATIENT, number=3), 2.0, Deliver()),
        (replace(PATIENT, replayable=False), 2.0, Deliver()),
        (replace(PATIENT, method=b"POST"), 2.0, Wait(2.0)),
        (replace(PATIENT, unauthorized=1), 2.0, Wait(2.0)),
    ],
)
def test_429_is_waited_out_within_the_configured_bound(
    attempt: Situation, retry_after: float | None, decision: Decision
) -> None:
    """Amazon did not act on it, so any method may come again; without Retry-After there is nothing to wait for."""
    assert decide(attempt, Answered(429, retry_after)) == decision


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
def test_a_pooled_connection_that_died_is_replaced_for_idempotent_methods(method: bytes) -> None:
    """The second sending does no harm (RFC 9110, 9.2.2)."""
    assert decide(replace(REUSED, method=method), Broken(CLOSED, connected=True)) == Replay(renewed=False)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"get"])
def test_other_methods_are_not_sent_twice(method: bytes) -> None:
    """Amazon may have acted on the first sending."""
    assert decide(replace(REUSED, method=method), Broken(CLOSED, connected=True)) == GiveUp(CLOSED)


@pytest.mark.parametrize(
    ("attempt", "connected"),
    [
        (FIRST, True),
        (REUSED, False),
        (replace(REUSED, replayable=False), True),
        (replace(REUSED, number=3), True),
    ],
)
def test_a_death_that_is_no_idle_ones_is_given_up(attempt: Situation, connected: bool) -> None:
    """A fresh connection, none at all, a body that is gone, or too many attempts."""
    assert decide(attempt, Broken(CLOSED, connected=connected)) == GiveUp(CLOSED)


def test_the_last_but_one_attempt_may_still_be_replaced() -> None:
    """Two attempts leave room for a third."""
    assert decide(replace(REUSED, number=2), Broken(CLOSED, connected=True)) == Replay(renewed=False)


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
@pytest.mark.parametrize("connected", [True, False])
def test_other_failures_are_given_up(error: Refused, connected: bool) -> None:
    """A slow, odd or absent Amazon is told to the tool, which knows better how long it can wait."""
    assert decide(REUSED, Broken(error, connected=connected)) == GiveUp(error)


@pytest.mark.parametrize(("left", "waits"), [(0.5, True), (30.0, True), (30.1, False)])
def test_a_running_retry_after_is_waited_out_or_told(left: float, waits: bool) -> None:
    """Up to the bound the request waits; beyond it the tool hears how long it should."""
    decision = before_sending(left, 30.0)
    if waits:
        assert decision == Wait(left)
    else:
        assert isinstance(decision, GiveUp)
        assert decision.error.slug == "throttled"
        assert decision.error.retry_after == left
