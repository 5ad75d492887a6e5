"""Which phase of an exchange may follow which."""

from __future__ import annotations

import itertools

import pytest

from proxy.forwarding.phase import TRANSITIONS, Phase, follow


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Phase, Phase)))
def test_only_what_the_table_has_may_follow(old: Phase, new: Phase) -> None:
    """Anything else is a defect, and said so."""
    if new in TRANSITIONS[old]:
        assert follow(old, new) is new
    else:
        with pytest.raises(AssertionError, match=f"from {old} to {new}"):
            follow(old, new)


def test_every_phase_can_end_and_nothing_follows_the_end() -> None:
    """However an exchange stands, its tool may leave."""
    assert all(Phase.DONE in TRANSITIONS[phase] for phase in Phase if phase is not Phase.DONE)
    assert not TRANSITIONS[Phase.DONE]
    assert TRANSITIONS.keys() == set(Phase)
