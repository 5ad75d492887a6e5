"""The walk of a plain GET through the rooms: where a lower room calls a higher one, and how often in a row."""

from __future__ import annotations

from itertools import groupby

import pytest

from tests.support.walk import Step, walk_of_a_get

DECISIONS = {"identify", "Clients.charge", "Clients.screen", "Clients.check_route", "route", "select", "Pools.find"}
WAY_OUT = ["downstream", "http1", "forwarding", "access", "routing", "upstream"]
CACHE = "bounded_cache.py"
WAY_BACK = ["upstream", "http1", "forwarding", "downstream", "observability"]
EITHER = pytest.mark.parametrize("new", [False, True], ids=["repeated", "new"])


def walks(steps: list[Step]) -> list[list[Step]]:
    """The steps of each call that the event loop makes."""
    begun = 0
    numbered: list[tuple[int, Step]] = []
    for step in steps:
        begun += step.rooms[0] == "loop"
        numbered.append((begun, step))
    return [[step for _, step in group] for _, group in groupby(numbered, key=lambda pair: pair[0])]


def first_visits(steps: list[Step]) -> list[str]:
    """The rooms in the order in which they are entered first."""
    return list(dict.fromkeys(room for step in steps for room in step.chain))


async def test_a_new_get_goes_through_the_rooms_once_out_and_once_back() -> None:
    """The event loop calls the proxy twice: for the request and for the response, without a task between."""
    out, back = walks(await walk_of_a_get(new=True))
    assert (first_visits(out), first_visits(back)) == ([*WAY_OUT[:2], CACHE, *WAY_OUT[2:]], [*WAY_BACK, CACHE])


async def test_a_repeated_get_goes_through_the_same_rooms() -> None:
    """The request takes a connection before it asks its route for the target to send."""
    out, back = walks(await walk_of_a_get())
    assert (set(first_visits(out)), first_visits(back)) == (set(WAY_OUT), WAY_BACK)


@EITHER
async def test_a_get_turns_back_in_three_places(new: bool) -> None:
    """A client connection passes a request on, Amazon's reports the response, a new request gets its id."""
    steps = await walk_of_a_get(new=new)
    assert {step.rooms for step in steps if step.turns_back} == {
        ("downstream", "forwarding"),
        ("upstream", "forwarding"),
        ("http1", "forwarding"),
    }


@EITHER
async def test_no_chain_of_calls_turns_back_twice(new: bool) -> None:
    """A higher room that was called from below calls only rooms below it."""
    assert max(step.turns for step in await walk_of_a_get(new=new)) == 1


async def test_a_repeated_get_is_not_decided_again() -> None:
    """The client is recalled by its credentials, and no rule is evaluated; a new path has all of them evaluated."""
    assert not {step.function for step in await walk_of_a_get()} & DECISIONS
    assert {step.function for step in await walk_of_a_get(new=True)} >= DECISIONS
