"""The protocol of a fleet's leases as plain functions: what the scripts of `lease_scripts` do, said a second time.

A state and what is asked come in, the next state and the answer go out. Moments are in milliseconds.
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


Answer = tuple[object, ...]


def newest(state: LeaseState, now: int, known: int) -> Answer:
    """(fence, token, what is left of its life), or nothing."""
    if state.token and state.token_fence > known and state.expires > now:
        return state.token_fence, state.token, state.expires - now
    return ()


def acquire(state: LeaseState, now: int, known: int, holder: str, life: int) -> tuple[LeaseState, Answer]:
    if found := newest(state, now, known):
        return state, ("token", *found)
    if state.holder and state.holder != holder and state.until > now:
        return state, ("held", state.until - now)
    fence = max(state.fence + 1, now)
    return replace(state, fence=fence, holder=holder, until=now + life), ("granted", fence)


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
    return replace(state, fence=fence, holder="", until=0, token=token, token_fence=fence, expires=expires)
