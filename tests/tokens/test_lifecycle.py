"""Tables over every boundary of `proxy.tokens.lifecycle`."""

from __future__ import annotations

import itertools

import pytest

from proxy import errors
from proxy.events import NEEDS_OPERATOR, CredentialState, RefreshCause
from proxy.token_bucket import TokenBucket
from proxy.tokens import lifecycle
from proxy.tokens.leases import FailedAttempt, Urgency
from proxy.tokens.lifecycle import RefreshSchedule, Trigger
from proxy.tokens.token_rejections import renewals_for_401

P, V, D, E, R, M = (
    CredentialState.PENDING,
    CredentialState.VALID,
    CredentialState.DEGRADED,
    CredentialState.EXPIRED,
    CredentialState.REVOKED,
    CredentialState.MISCONFIGURED,
)
TABLE = {
    Trigger.GRANTED: (V, V, V, V, V, V),
    Trigger.TROUBLED: (P, D, D, E, R, M),
    Trigger.REFUSED_GRANT: (R, R, R, R, R, R),
    Trigger.REFUSED_APP: (M, M, M, M, M, M),
    Trigger.LAPSED: (P, E, E, E, R, M),
    Trigger.CHANGED: (P, V, D, P, D, D),
    Trigger.RESET: (P, P, P, P, P, P),
}


@pytest.mark.parametrize("trigger", Trigger)
def test_every_state_answers_every_trigger(trigger: Trigger) -> None:
    """The transition table is total and holds what it should."""
    assert tuple(lifecycle.next_state(state, trigger) for state in (P, V, D, E, R, M)) == TABLE[trigger]


def test_states_are_named_as_the_metric_names_them() -> None:
    """The six states of the contract, and no other."""
    assert {str(state) for state in CredentialState} == {
        "pending",
        "valid",
        "degraded",
        "expired",
        "revoked",
        "misconfigured",
    }


@pytest.mark.parametrize(("state", "needs"), [(P, False), (V, False), (D, False), (E, False), (R, True), (M, True)])
def test_only_refusals_need_an_operator(state: CredentialState, needs: bool) -> None:
    """Waiting is worth while unless a person has to act."""
    assert (state in NEEDS_OPERATOR) is needs


@pytest.mark.parametrize(
    ("failure", "trigger"),
    [
        (errors.RefreshTokenRevoked("x"), Trigger.REFUSED_GRANT),
        (errors.AppMisconfigured("x"), Trigger.REFUSED_APP),
        (errors.TokenRequestRejected("x"), Trigger.REFUSED_APP),
        (errors.TokenThrottled("x"), Trigger.TROUBLED),
        (errors.TokenServerError("x"), Trigger.TROUBLED),
        (errors.TokenNetworkError("x"), Trigger.TROUBLED),
        (errors.TokenTimeout("x"), Trigger.TROUBLED),
        (errors.TokenAnswerMalformed("x"), Trigger.TROUBLED),
    ],
)
def test_failures_mean_what_the_facts_say(failure: errors.TokenFailure, trigger: Trigger) -> None:
    """Which failures are final and which pass (docs/development/amazon-login.md, Token errors)."""
    assert lifecycle.trigger_of(failure) is trigger


@pytest.mark.parametrize(
    ("expires_in", "refresh_ahead", "lead"),
    [(3600, 300, 300), (601, 300, 300), (600, 300, 150), (599, 300, 149.75), (5, 300, 1.25), (3600, 0, 0)],
)
def test_the_lead_is_refresh_ahead_or_a_quarter(expires_in: float, refresh_ahead: float, lead: float) -> None:
    """The lead is `refresh_ahead` where that is under half of the life, else a quarter of it."""
    assert lifecycle.lead(expires_in, refresh_ahead) == pytest.approx(lead)


@pytest.mark.parametrize(
    ("expires_in", "chance", "moment"),
    [(3600, 0.0, 3300), (3600, 0.999999, 3240), (5, 0.0, 3.75), (5, 0.999999, 3.5), (0.2, 0.5, 0.5)],
)
def test_refreshing_is_only_ever_earlier_by_chance(expires_in: float, chance: float, moment: float) -> None:
    """Jitter takes up to a fifth of the lead off, and very short lives do not make a storm."""
    assert lifecycle.refresh_at(100.0, expires_in, 300, chance) == pytest.approx(100.0 + moment, abs=0.01)


@pytest.mark.parametrize(
    ("failures", "chance", "retry_after", "wait"),
    [
        (1, 0.0, None, 0.25),
        (1, 1.0, None, 0.5),
        (2, 1.0, None, 1.0),
        (6, 1.0, None, 16.0),
        (7, 1.0, None, 30.0),
        (7, 0.0, None, 15.0),
        (10_000, 1.0, None, 30.0),
        (1, 0.0, 7.0, 7.0),
        (7, 1.0, 7.0, 30.0),
        (1, 0.0, 1e9, 120.0),
    ],
)
def test_backoff_doubles_up_to_thirty_seconds(
    failures: int, chance: float, retry_after: float | None, wait: float
) -> None:
    """Backoff is bounded, random in its upper half, and honours a Retry-After up to two minutes."""
    failure = errors.TokenThrottled("x", retry_after=retry_after)
    assert lifecycle.retry_in(failure, failures, chance) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("failures", "chance", "wait"),
    [(1, 0.0, 30), (1, 1.0, 36), (2, 0.0, 60), (4, 0.0, 240), (5, 0.0, 300), (500, 1.0, 360)],
)
def test_refusals_are_tried_again_slowly(failures: int, chance: float, wait: float) -> None:
    """From half a minute to five, and never for ever silent."""
    assert lifecycle.retry_in(errors.RefreshTokenRevoked("x"), failures, chance) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("first", "timeouts", "seconds"),
    [(8, 0, 8), (8, 1, 8), (8, 2, 16), (8, 3, 30), (8, 10_000, 30), (60, 0, 60), (60, 5, 60)],
)
def test_a_token_request_is_given_up_soon_and_twice(first: float, timeouts: int, seconds: float) -> None:
    """A hang costs little; an endpoint that is slow for all gets its time in the end."""
    assert lifecycle.request_timeout(first, timeouts) == seconds


def test_a_schedule_counts_timeouts_in_a_row() -> None:
    """Any other outcome ends the row."""
    schedule = RefreshSchedule(0.0, RefreshCause.START)
    seen = []
    for failure in (errors.TokenTimeout("x"), errors.TokenTimeout("x"), errors.TokenServerError("x")):
        schedule = schedule.after_failure(failure, 10.0, 0.0)
        seen.append((schedule.failures, schedule.timeouts))
    assert seen == [(1, 1), (2, 2), (3, 0)]


@pytest.mark.parametrize(
    ("failure", "wait", "chance", "seconds"),
    [
        (errors.TokenServerError("x"), 0.25, 0.0, 0.25),
        (errors.TokenServerError("x"), 2.5, 0.0, 2.5),
        (errors.TokenServerError("x"), 15.0, 0.0, 2.5),
        (errors.TokenServerError("x"), 30.0, 1.0, 5.0),
        (errors.TokenThrottled("x", retry_after=4.0), 15.0, 0.0, 4.0),
        (errors.TokenThrottled("x", retry_after=40.0), 40.0, 0.0, 40.0),
        (errors.TokenThrottled("x", retry_after=1e9), 120.0, 0.0, 120.0),
        (errors.RefreshTokenRevoked("x"), 30.0, 0.0, 30.0),
    ],
)
def test_waiting_requests_shorten_the_backoff(
    failure: errors.TokenFailure, wait: float, chance: float, seconds: float
) -> None:
    """To five seconds at most; neither a Retry-After nor a refusal gives way."""
    assert lifecycle.retry_in_while_waiting(failure, wait, chance) == seconds


def test_a_schedule_is_sooner_where_requests_wait() -> None:
    """Counted from the failure, however late the request comes; and it does not become later by being asked again."""
    schedule = RefreshSchedule(0.0, RefreshCause.START, failures=8).after_failure(errors.TokenServerError("x"), 100, 1)
    assert (schedule.due_at, schedule.wait) == (130.0, 30.0)
    sooner = schedule.for_waiting_requests()
    assert (sooner.due_at, sooner.wait, sooner.cause, sooner.failures) == (105.0, 5.0, RefreshCause.RETRY, 9)
    assert sooner.for_waiting_requests() == sooner


def test_a_renewal_ahead_is_not_hastened() -> None:
    """A schedule without a failure stays as it is."""
    ahead = RefreshSchedule.after_grant(100.0, 3600.0, 300.0, 0.0)
    assert ahead.for_waiting_requests() == ahead


def test_a_schedule_renews_ahead_after_a_grant() -> None:
    """Whatever failed before is over."""
    assert RefreshSchedule.after_grant(100.0, 3600.0, 300.0, 0.0) == RefreshSchedule(3400.0, RefreshCause.AHEAD)


def test_a_schedule_counts_failures_of_one_kind_in_a_row() -> None:
    """Passing trouble and refusals each start counting again after the other."""
    trouble, refusal = errors.TokenServerError("x"), errors.RefreshTokenRevoked("x")
    schedule = RefreshSchedule(0.0, RefreshCause.START)
    seen = []
    for failure in (trouble, trouble, refusal, refusal, trouble):
        schedule = schedule.after_failure(failure, 10.0, 0.0)
        seen.append((schedule.due_at, schedule.failures, schedule.permanent))
        assert schedule.due_at == 10.0 + schedule.wait
        assert schedule.cause is RefreshCause.RETRY
    assert seen == [(10.25, 1, False), (10.5, 2, False), (40.0, 1, True), (70.0, 2, True), (10.25, 1, False)]


@pytest.mark.parametrize(
    ("before", "after"),
    [(cause, RefreshCause.EXPIRED if cause is RefreshCause.AHEAD else cause) for cause in RefreshCause],
)
def test_a_lapse_is_a_cause_where_nothing_else_is(before: RefreshCause, after: RefreshCause) -> None:
    """A token that expired before its renewal is requested for that reason; a retry stays a retry."""
    assert RefreshSchedule(5.0, before, 2).after_expiry() == RefreshSchedule(5.0, after, 2)


def test_a_burst_of_401s_is_damped_and_recovers() -> None:
    """Five renewals at once, then one each half minute, and never more than five saved up."""
    bucket: TokenBucket | None = renewals_for_401(0.0)
    for _ in range(5):
        assert bucket is not None
        bucket = bucket.take(0.0)
    assert bucket is not None
    assert bucket.take(0.0) is None
    assert bucket.take(29.9) is None
    assert bucket.take(30.0) is not None
    saved = bucket.take(1e6)
    assert saved is not None
    assert saved.level == 4.0


def test_states_and_triggers_have_no_third_party() -> None:
    """The table has exactly one entry for each pair."""
    assert set(lifecycle.TRANSITIONS) == set(itertools.product(CredentialState, Trigger))


@pytest.mark.parametrize(
    ("cause", "waiting", "urgency"),
    [
        (RefreshCause.OPERATOR, 0, Urgency.AT_ONCE),
        (RefreshCause.RETRY, 0, Urgency.PLANNED),
        (RefreshCause.AHEAD, 2, Urgency.AWAITED),
    ],
)
def test_an_operator_waits_for_no_pause_of_the_fleet(cause: RefreshCause, waiting: int, urgency: Urgency) -> None:
    """Requests that wait shorten it."""
    assert lifecycle.urgency_of(cause, waiting) is urgency


def test_a_failed_attempt_of_another_replica_counts_as_ones_own() -> None:
    """The next attempt is due when the other replica says, sooner where requests wait; its own reports are the same."""
    attempt = FailedAttempt("network", True, 4, 8.0, 3.0)
    before = RefreshSchedule(50.0, RefreshCause.AHEAD)
    patient, hurried = (before.held_back(attempt, 100.0, waiting) for waiting in (0, 1))
    assert (patient.due_at, patient.cause, patient.failures, patient.permanent) == (108.0, RefreshCause.RETRY, 4, True)
    assert hurried.due_at == 103.0
    assert patient.failed_attempt("network") == attempt
