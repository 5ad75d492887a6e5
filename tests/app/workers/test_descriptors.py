"""What a worker inherits goes through its command line unchanged."""

from __future__ import annotations

from proxy.app.workers.descriptors import Descriptors

GIVEN = Descriptors(channel=7, numbers=8, counts=9, workers=4, listening=(10, 11))


def test_a_command_line_is_read_as_it_was_written() -> None:
    """With several listening sockets, too."""
    assert Descriptors.read(list(GIVEN.arguments())) == GIVEN


def test_all_descriptors_are_inherited_and_nothing_else() -> None:
    """The count of workers is none."""
    assert GIVEN.inherited() == (7, 8, 9, 10, 11)
