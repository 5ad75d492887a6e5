"""The phases of an exchange: each can be reached and ends, and what may not follow is a defect."""

from __future__ import annotations

from itertools import product

import pytest

from proxy.forwarding.phases import ADMITTED, DONE, TRANSITIONS, Phase, follow

PAIRS = list(product(Phase, Phase))


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_a_phase_follows_only_those_that_the_table_names(old: Phase, new: Phase) -> None:
    """Anything else is a defect of the exchange, and names both."""
    if new in TRANSITIONS[old]:
        assert follow(old, new) is new
    else:
        with pytest.raises(AssertionError, match=f"from {old} to {new}"):
            follow(old, new)


def _reached(start: Phase) -> set[Phase]:
    found: set[Phase] = set()
    waiting = [start]
    while waiting:
        new = TRANSITIONS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_every_phase_is_reached_and_leads_to_the_end() -> None:
    """An exchange ends in `done`, which nothing follows; it is never admitted twice."""
    assert _reached(ADMITTED) == set(Phase) - {ADMITTED}
    assert all(DONE in TRANSITIONS[phase] for phase in Phase if phase is not DONE)
    assert not TRANSITIONS[DONE]


def test_a_response_that_passes_is_never_held_nor_sent_again() -> None:
    """Its client has some of it."""
    assert _reached(Phase.RELAYING) == {DONE}
