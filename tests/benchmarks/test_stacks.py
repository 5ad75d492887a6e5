"""Stacks that were sampled become shares of the time, and the frames of a flame graph."""

from __future__ import annotations

import pytest

from benchmarks.profile import rooms_table
from benchmarks.stacks import Frame, frames, read, rooms, shares


def test_lines_of_one_function_are_one_frame() -> None:
    """The line in the function and the number of equal stacks make no difference."""
    assert read(["f (a.py:1);g (b.py:2) 3", "f (a.py:9);g (b.py:2) 1", "main 2"]) == {
        ("f (a.py)", "g (b.py)"): 4,
        ("main",): 2,
    }


def test_a_function_that_calls_itself_is_counted_once() -> None:
    """Own time is that of the innermost frame; whatever the line within a function, it is one function."""
    found = {
        share.function: (share.own, share.total) for share in shares(read(["f (a.py:1);f (a.py:2) 3", "f (a.py:9) 1"]))
    }
    assert found == {"f (a.py)": (1.0, 1.0)}


def test_calls_of_one_function_stand_below_it_by_name() -> None:
    """Each is as wide as its samples; its own time is the room that they leave."""
    assert frames(read(["f;b 2", "f;a 1", "f 1"]), 0.01) == [
        Frame("f", 0, 0.0, 1.0),
        Frame("a", 1, 0.0, 0.25),
        Frame("b", 1, 0.25, 0.5),
    ]


def test_the_same_function_called_from_two_places_is_two_frames() -> None:
    """A single frame would hide who spends the time."""
    found = frames(read(["f;a;x 1", "f;b;x 1"]), 0.01)
    assert [(frame.function, frame.depth, frame.start) for frame in found if frame.function == "x"] == [
        ("x", 2, 0.0),
        ("x", 2, 0.5),
    ]


def test_what_leads_to_the_first_fork_alone_is_left_out() -> None:
    """The start of the program, and of each thread, up to where it does several things, or its one."""
    found = frames(read(["main;run;a 5", "main;run;b 3", "thread;wait 2"]), 0.01)
    assert [(frame.function, frame.depth) for frame in found] == [("run", 0), ("a", 1), ("b", 1), ("wait", 0)]


def test_a_frame_that_takes_time_itself_is_no_way_to_another() -> None:
    """The frame stays, though it calls but one."""
    assert [frame.function for frame in frames(read(["main;f;g 5", "main;f 5"]), 0.01)] == ["f", "g"]


def test_a_small_part_is_left_out_and_takes_its_calls_along() -> None:
    """The frames next to it stay as wide, and as far to the left, as if it were there."""
    stacks = read(["f;a 1", "f;b;x 1", "f;b;y 98", "lost 1"])
    assert [frame.function for frame in frames(stacks, 0.02)] == ["y"]
    assert frames(stacks, 0.02)[0].width == pytest.approx(98 / 101)


def test_nothing_sampled_is_no_frame() -> None:
    """An empty profile is drawn empty."""
    assert frames(read([]), 0.01) == []


def test_a_sample_is_of_the_innermost_room() -> None:
    """What a room calls of Python and libraries is its own; what called the event loop has no part in it."""
    started = "main (proxy/app/run.py:1);run (asyncio/runners.py:1)"
    lines = [f"{started} 2", f"{started};f (proxy/app/rules.py:1);dumps (json/encoder.py:1) 5"]
    found = rooms(
        read(
            [
                *lines,
                f"{started};f (proxy/app/rules.py:1);g (proxy/net/tls.py:2) 2",
                "wait (queue.py) 1",
            ]
        )
    )
    assert found == {
        "proxy/app": 0.5,
        "event loop": 0.2,
        "proxy/net": 0.2,
        "Python and libraries": 0.1,
    }


def test_rooms_are_a_table_of_all_that_was_sampled() -> None:
    """A column for each scenario; a room that takes less than a thousandth of all of them is left out."""
    first = read(["f (proxy/net/a.py:1) 999", "f (proxy/admin/a.py:1) 1", "f (proxy/app/a.py:1) 0"])
    table = rooms_table({"one target": first, "TLS upstream": read(["f (proxy/net/a.py:1) 1"])})
    assert table.splitlines() == [
        "| room | one target | TLS upstream |",
        "| --- | ---: | ---: |",
        "| proxy/net | 99.9% | 100.0% |",
        "| proxy/admin | 0.1% | 0.0% |",
    ]
