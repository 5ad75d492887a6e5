"""Tables over every boundary of `proxy.tokens.lifecycle`."""

from __future__ import annotations

import itertools

import pytest

from proxy import errors
from proxy.tokens import lifecycle
from proxy.tokens.lifecycle import Damper, Occurrence, State

P, V, D, E, R, M = (
    State.PENDING,
    State.VALID,
    State.DEGRADED,
    State.EXPIRED,
    State.REVOKED,
    State.MISCONFIGURED,
)
TABLE = {
    Occurrence.GRANTED: (V, V, V, V, V, V),
    Occurrence.TROUBLED: (P, D, D, E, R, M),
    Occurrence.REFUSED_GRANT: (R, R, R, R, R, R),
    Occurrence.REFUSED_APP: (M, M, M, M, M, M),
    Occurrence.LAPSED: (P, E, E, E, R, M),
    Occurrence.CHANGED: (P, V, D, P, D, D),
    Occurrence.RESET: (P, P, P, P, P, P),
}


@pytest.mark.parametrize("occurrence", Occurrence)
def test_every_state_answers_every_occurrence(occurrence: Occurrence) -> None:
    """The transition table is total and holds what it should."""
    assert tuple(lifecycle.after(state, occurrence) for state in (P, V, D, E, R, M)) == TABLE[occurrence]


def test_states_are_named_as_the_metric_names_them() -> None:
    """The six states of the contract, and no other."""
    assert {str(state) for state in State} == {
        "pending",
        "valid",
        "degraded",
        "expired",
        "revoked",
        "misconfigured",
    }


@pytest.mark.parametrize(("state", "hopeless"), [(P, False), (V, False), (D, False), (E, False), (R, True), (M, True)])
def test_only_refusals_are_hopeless(state: State, hopeless: bool) -> None:
    """Waiting is worth while unless a person has to act."""
    assert lifecycle.is_hopeless(state) is hopeless


@pytest.mark.parametrize(
    ("failure", "occurrence"),
    [
        (errors.RefreshTokenRevoked("x"), Occurrence.REFUSED_GRANT),
        (errors.AppMisconfigured("x"), Occurrence.REFUSED_APP),
        (errors.TokenRequestRejected("x"), Occurrence.REFUSED_APP),
        (errors.TokenThrottled("x"), Occurrence.TROUBLED),
        (errors.TokenServerError("x"), Occurrence.TROUBLED),
        (errors.TokenNetworkError("x"), Occurrence.TROUBLED),
        (errors.TokenTimeout("x"), Occurrence.TROUBLED),
        (errors.TokenAnswerMalformed("x"), Occurrence.TROUBLED),
    ],
)
def test_failures_mean_what_the_facts_say(failure: errors.TokenFailure, occurrence: Occurrence) -> None:
    """Which failures are final and which pass (docs/amazon.md, Token errors)."""
    assert lifecycle.occurrence_of(failure) is occurrence


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
    assert lifecycle.backoff(failures, chance, retry_after) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("failures", "chance", "wait"),
    [(1, 0.0, 30), (1, 1.0, 36), (2, 0.0, 60), (4, 0.0, 240), (5, 0.0, 300), (500, 1.0, 360)],
)
def test_refusals_are_tried_again_slowly(failures: int, chance: float, wait: float) -> None:
    """From half a minute to five, and never for ever silent."""
    assert lifecycle.slow_retry(failures, chance) == pytest.approx(wait)
    assert lifecycle.retry_in(errors.RefreshTokenRevoked("x"), failures, chance) == pytest.approx(wait)


def test_passing_trouble_backs_off_by_its_retry_after() -> None:
    """The answer's own Retry-After reaches the decision."""
    assert lifecycle.retry_in(errors.TokenThrottled("x", retry_after=9.0), 1, 0.0) == 9.0


def test_a_burst_of_401s_is_damped_and_recovers() -> None:
    """Five refreshes at once, then one each half minute, and never more than five saved up."""
    damper: Damper | None = Damper(at=0.0)
    for _ in range(5):
        assert damper is not None
        damper = damper.take(0.0)
    assert damper is not None
    assert damper.take(0.0) is None
    assert damper.take(29.9) is None
    assert damper.take(30.0) is not None
    saved = damper.take(1e6)
    assert saved is not None
    assert saved.left == 4.0


def test_a_clock_that_went_back_gives_nothing() -> None:
    """The bucket does not drain or fill by a clock that jumps back."""
    assert Damper(left=0.5, at=100.0).take(50.0) is None


def test_states_and_occurrences_have_no_third_party() -> None:
    """The table has exactly one entry for each pair."""
    assert set(lifecycle.TRANSITIONS) == set(itertools.product(State, Occurrence))
