"""The phases of an exchange, and which may follow which. Pure."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """Where an exchange stands."""

    __hash__ = str.__hash__  # that of an Enum is written in Python, and each request is hashed several times

    ADMITTED = "admitted"
    RECEIVING = "receiving"
    """A small body is still arriving, or the first part of a large one: nothing is asked of Amazon for it yet."""
    WAITING = "waiting"
    """For a pause to pass, a token or a connection: nothing of it is at Amazon."""
    SENT = "sent"
    """An attempt is at Amazon, and no final response has begun."""
    HOLDING = "holding"
    """A response is held back until it is known whether a better one can be had."""
    RELAYING = "relaying"
    """A response goes to the client: nothing is sent again from here on."""
    DONE = "done"


ADMITTED, SENT, DONE = Phase.ADMITTED, Phase.SENT, Phase.DONE
"""For each request: to look a member up in an Enum takes longer than to compare it."""

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.ADMITTED: frozenset((Phase.RECEIVING, Phase.SENT, Phase.DONE)),
    Phase.RECEIVING: frozenset((Phase.WAITING, Phase.SENT, Phase.DONE)),
    Phase.WAITING: frozenset((Phase.SENT, Phase.DONE)),
    Phase.SENT: frozenset((Phase.WAITING, Phase.HOLDING, Phase.RELAYING, Phase.DONE)),
    Phase.HOLDING: frozenset((Phase.WAITING, Phase.RELAYING, Phase.DONE)),
    Phase.RELAYING: frozenset((Phase.DONE,)),
    Phase.DONE: frozenset(),
}


def follow(old: Phase, new: Phase) -> Phase:
    """The new phase, if it may follow the old one: anything else is a defect of the exchange."""
    if new not in TRANSITIONS[old]:
        raise AssertionError(f"an exchange cannot go from {old} to {new}")
    return new
