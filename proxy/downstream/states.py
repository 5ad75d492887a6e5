"""The states of a client's connection in its two directions, and which may follow which. Pure.

`HEAD` follows `NOTHING` alone: a connection cannot be ready for a request while a body remains to be read.
`HEAD` and `SKIPPED_BODY` go with `IDLE`, `BODY` with `RESPONSE`, and `CLOSED` with `ENDED`. Every state may change to
`CLOSED` or `ENDED`, which is why the connection assigns these two without a check.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar


class ReadingState(Enum):
    """What the next byte from the client is."""

    HEAD = "head"
    """It begins or continues the head of a request. No response is owed."""
    BODY = "body"
    """It belongs to the body of the request that is being served."""
    SKIPPED_BODY = "skipped body"
    """It belongs to the body of a request that has its response: it is read and dropped (`Remainder`)."""
    NOTHING = "nothing"
    """It is kept for later: a response is owed, or other connections have their turn first."""
    CLOSED = "closed"
    """It is dropped: the connection closes."""


class WritingState(Enum):
    """What the client still gets."""

    IDLE = "idle"
    """Nothing, until the next request."""
    RESPONSE = "response"
    """The response to the request that is being served."""
    LAST = "last"
    """A response, and no other behind it: what the client sends can no longer be understood."""
    ENDED = "ended"
    """Nothing more."""


HEAD, BODY, SKIPPED_BODY, NOTHING, CLOSED = ReadingState
IDLE, RESPONSE, LAST, ENDED = WritingState
"""For each request: to look a member up in an Enum takes longer than to compare it."""

TRANSITIONS: dict[ReadingState | WritingState, frozenset[ReadingState | WritingState]] = {
    HEAD: frozenset((BODY, SKIPPED_BODY, NOTHING, CLOSED)),
    BODY: frozenset((SKIPPED_BODY, NOTHING, CLOSED)),
    SKIPPED_BODY: frozenset((NOTHING, CLOSED)),
    NOTHING: frozenset((HEAD, CLOSED)),
    CLOSED: frozenset(),
    IDLE: frozenset((RESPONSE, LAST, ENDED)),
    RESPONSE: frozenset((IDLE, LAST, ENDED)),
    LAST: frozenset((ENDED,)),
    ENDED: frozenset(),
}

_State = TypeVar("_State", ReadingState, WritingState)


def follow(old: _State, new: _State) -> _State:
    """The new state, if it may follow the old one: anything else is a defect of the connection."""
    if new not in TRANSITIONS[old]:
        raise AssertionError(f"a connection cannot go from {old} to {new}")
    return new
