"""The walk of a plain GET through rooms and modules: where a lower room calls a higher one, how often in a row, how
many modules there are to read, and how many Python calls it takes."""

from __future__ import annotations

from itertools import groupby, pairwise

import pytest

from tests.support.walk import KINDS, Step, documented_calls, numbers_of_calls, walk_of_a_get

DECISIONS = {"identify", "Clients.charge", "Clients.check_route", "route", "Pools.find"}
WAY_OUT = ["downstream", "forwarding", "http1", "access", "routing", "upstream"]
"""The memory of admissions, in `forwarding`, is asked first."""
REPEATED = ["downstream", "forwarding", "upstream"]
CAPABILITIES = {("forwarding", room) for room in ("mcp", "audit", "reports", "local", "spend")}
"""The calls by which a new decision asks what plugs into it; those of a repeated request are none."""
CACHE = "bounded_cache.py"
WAY_BACK = ["upstream", "http1", "forwarding", "downstream", "observability"]
MOST_MODULES = 14
"""The modules of a repeated GET: a reader of its way has to open them all."""
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


def without_capabilities(steps: list[Step]) -> list[Step]:
    """The steps without those that lead into a capability, and without those from there."""
    return [step for step in steps if not CAPABILITIES & set(pairwise(step.chain))]


async def test_a_new_get_goes_through_the_rooms_once_out_and_once_back() -> None:
    """The event loop calls the proxy twice: for the request and for the response, without a task between."""
    out, back = walks(without_capabilities((await walk_of_a_get(new=True)).steps))
    assert first_visits(out) == [*WAY_OUT, "events.py", CACHE]
    assert first_visits(back) == [*WAY_BACK[:-1], "routing", WAY_BACK[-1], "events.py", CACHE]


async def test_a_repeated_get_goes_through_few_rooms() -> None:
    """An admitted head is neither read nor decided again."""
    out, back = walks((await walk_of_a_get()).steps)
    assert (first_visits(out), first_visits(back)) == (REPEATED, WAY_BACK)


async def test_a_repeated_get_goes_through_few_modules() -> None:
    """The walk prints these modules: `python -m tests.support.walk`."""
    modules = (await walk_of_a_get()).modules
    assert len(modules) <= MOST_MODULES, "\n".join(modules)


@EITHER
async def test_a_get_turns_back_in_three_places(new: bool) -> None:
    """A client connection passes a request on, Amazon's reports the response, and one that is read gets its id."""
    steps = (await walk_of_a_get(new=new)).steps
    read = {("http1", "forwarding")} if new else set()
    assert {step.rooms for step in (without_capabilities(steps) if new else steps) if step.turns_back} == read | {
        ("downstream", "forwarding"),
        ("upstream", "forwarding"),
    }


async def test_a_new_decision_asks_each_room_of_capabilities_at_most_twice() -> None:
    """For a session, and for gates and taps; from there, the way leads only down."""
    steps = (await walk_of_a_get(new=True)).steps
    asked = [step for step in steps if step.rooms in CAPABILITIES]
    assert {step.function.rpartition(".")[2] for step in asked} == {"place", "plug"}
    beyond = [step for step in steps if step not in asked and CAPABILITIES & set(pairwise(step.chain))]
    assert not [step for step in beyond if step.turns_back]


@EITHER
async def test_no_chain_of_calls_turns_back_twice(new: bool) -> None:
    """A higher room that was called from below calls only rooms below it, and capabilities through their socket."""
    steps = (await walk_of_a_get(new=new)).steps
    assert max(step.turns for step in without_capabilities(steps)) == 1


async def test_a_repeated_get_is_not_decided_again() -> None:
    """The client is recalled by its credentials, and no rule is evaluated; a new path has all of them evaluated."""
    assert not {step.function for step in (await walk_of_a_get()).steps} & DECISIONS
    assert {step.function for step in (await walk_of_a_get(new=True)).steps} >= DECISIONS


async def test_a_get_takes_the_documented_number_of_calls() -> None:
    """Within a tenth: whoever makes requests dearer or cheaper says so in docs/development/architecture.md."""
    documented, found = documented_calls(), await numbers_of_calls()
    assert documented.keys() == KINDS.keys()
    assert {
        kind: number for kind, number in found.items() if abs(number - documented[kind]) * 10 > documented[kind]
    } == {}
