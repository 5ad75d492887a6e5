"""Which state of a client's connection may follow which."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from proxy.downstream.states import TRANSITIONS, ReadingState, WritingState, follow

PAIRS = [*itertools.product(ReadingState, ReadingState), *itertools.product(WritingState, WritingState)]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_only_what_the_table_has_may_follow(old: Any, new: Any) -> None:
    """Anything else is a defect, and the error names both states."""
    if new in TRANSITIONS[old]:
        assert follow(old, new) is new
    else:
        with pytest.raises(AssertionError, match=f"from {old} to {new}"):
            follow(old, new)


@pytest.mark.parametrize(("kind", "first"), [(ReadingState, ReadingState.HEAD), (WritingState, WritingState.IDLE)])
def test_every_state_can_be_reached_from_the_first(kind: Any, first: Any) -> None:
    """And no state of the other direction."""
    reached, fresh = {first}, {first}
    while fresh:
        fresh = {new for old in fresh for new in TRANSITIONS[old]} - reached
        reached |= fresh
    assert reached == set(kind)


@pytest.mark.parametrize(("kind", "last"), [(ReadingState, ReadingState.CLOSED), (WritingState, WritingState.ENDED)])
def test_every_state_can_end_and_nothing_follows_the_end(kind: Any, last: Any) -> None:
    """The connection may be lost at any moment, which is why the last states are assigned without a check."""
    assert all(last in TRANSITIONS[state] for state in kind if state is not last)
    assert not TRANSITIONS[last]


def test_a_head_follows_only_where_no_body_remains() -> None:
    """Otherwise the rest of a body could be read as a request."""
    assert [old for old in ReadingState if ReadingState.HEAD in TRANSITIONS[old]] == [ReadingState.NOTHING]


def test_behind_a_last_response_there_is_no_other() -> None:
    """What the client sends is no longer understood, so it may not be answered."""
    assert TRANSITIONS[WritingState.LAST] == {WritingState.ENDED}
