"""The walk of a plain GET through the rooms: where a lower room calls a higher one, and how often in a row."""

from __future__ import annotations

from tests.support.walk import walk_of_a_get


async def test_a_get_turns_back_in_three_places_at_most() -> None:
    """A tool's connection hands a request on, Amazon's tells of the response, a new request gets its id."""
    steps = await walk_of_a_get()
    rooms = {room for step in steps for room in step.chain}
    assert {"downstream", "http1", "access", "routing", "upstream", "forwarding"} <= rooms
    assert {step.rooms for step in steps if step.turns_back} <= {
        ("downstream", "forwarding"),
        ("upstream", "forwarding"),
        ("http1", "forwarding"),
    }


async def test_no_chain_of_calls_turns_back_twice() -> None:
    """What is told upwards is acted on from there downwards."""
    assert max(step.turns for step in await walk_of_a_get()) == 1


async def test_a_get_that_is_known_again_asks_no_decision_anew() -> None:
    """Neither whether it may pass, nor where it goes, and nothing of it is parsed."""
    steps = await walk_of_a_get(quick=True)
    assert not {room for step in steps for room in step.chain} & {"access", "routing", "http1", "errors"}
    assert {step.rooms for step in steps if step.turns_back} == {
        ("downstream", "forwarding"),
        ("upstream", "forwarding"),
        ("observability", "forwarding"),  # what is noted of it is read
    }
