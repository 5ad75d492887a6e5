"""The protocol of a fleet's leases as plain functions, apart from the scripts in `redis_scripts`.

Each function takes a state and a request, and returns the next state and the answer. Moments are in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class LeaseState:
    """What is kept of one lease."""

    fence: int = 0
    holder: str = ""
    until: int = 0
    token: str = ""
    token_fence: int = 0
    expires: int = 0
    failed: str = ""
    failed_for: str = ""
    failed_by: str = ""
    again: int = 0
    sooner: int = 0


@dataclass(frozen=True)
class LeaseAttempt:
    """Who asks with what, how urgently, and for how long it leaves others their turn after a failure of its own."""

    holder: str
    sent: str
    urgency: str = "planned"
    turn: int = 0


Answer = tuple[object, ...]


def newest(state: LeaseState, now: int, known: int) -> Answer:
    """(fence, token, what is left of its life), or nothing."""
    if state.token and state.token_fence > known and state.expires > now:
        return state.token_fence, state.token, state.expires - now
    return ()


def acquire(state: LeaseState, now: int, known: int, asking: LeaseAttempt, life: int) -> tuple[LeaseState, Answer]:
    holder, failed = asking.holder, ""
    if found := newest(state, now, known):
        return state, ("token", *found)
    if state.holder and state.holder != holder and state.until > now:
        return state, ("held", state.until - now)
    if state.failed and state.failed_for == asking.sent:
        failed = state.failed
        since = now - (asking.turn if state.failed_by == holder else 0)
        wait, sooner = max(0, state.again - since), max(0, state.sooner - since)
        if {"planned": wait, "awaited": sooner, "at-once": 0}[asking.urgency]:
            return state, ("failed", failed, wait, sooner)
    fence = max(state.fence + 1, now)
    return replace(state, fence=fence, holder=holder, until=now + life), ("granted", fence, failed)


def renew(state: LeaseState, now: int, holder: str, fence: int, life: int) -> tuple[LeaseState, int]:
    if (state.holder, state.fence) != (holder, fence):
        return state, 0
    return replace(state, until=now + life), 1


def publish(state: LeaseState, now: int, lease: tuple[str, int], token: str, expires_in: int) -> tuple[LeaseState, int]:
    if state.token_fence == lease[1]:
        return state, 1
    if (state.holder, state.fence) != lease:
        return state, 0
    return _keep(state, lease[1], token, now + expires_in), 1


def fail(
    state: LeaseState, now: int, lease: tuple[str, int], sent: str, attempt: tuple[int, int, str]
) -> tuple[LeaseState, int]:
    """Note a failed attempt. `attempt` says how it failed, and for how long no replica tries again, with and without
    waiting requests."""
    if (state.holder, state.fence) != lease:
        return state, 0
    wait, sooner, failed = attempt
    past = {"failed": failed, "failed_for": sent, "failed_by": lease[0], "again": now + wait, "sooner": now + sooner}
    return replace(state, holder="", until=0, **past), 1  # type: ignore[arg-type]  # each of its own type


def release(state: LeaseState, holder: str, fence: int) -> tuple[LeaseState, int]:
    if (state.holder, state.fence) != (holder, fence):
        return state, 0
    return replace(state, holder="", until=0), 1


def seize(state: LeaseState, now: int, token: str, expires_in: int) -> tuple[LeaseState, int]:
    if state.token == token:
        return state, state.token_fence
    fence = max(state.fence + 1, now)
    return _keep(state, fence, token, now + expires_in), fence


def _keep(state: LeaseState, fence: int, token: str, expires: int) -> LeaseState:
    kept = replace(state, fence=fence, holder="", until=0, token=token, token_fence=fence, expires=expires)
    return replace(kept, failed="", failed_for="")
