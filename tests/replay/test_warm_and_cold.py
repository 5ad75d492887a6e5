"""A program that remembers requests does what one does that remembers none."""

from __future__ import annotations

import pytest

from proxy.routing.operations import PUBLISHED
from tests.replay.corpus import Case, Group
from tests.replay.recording import REQUESTS
from tests.replay.repeats import Repeats
from tests.replay.warm_and_cold import SEED, Played, all_compared, compared

SAMPLE = 400


@pytest.mark.long
async def test_a_sample_shows_no_memory() -> None:
    """Answers, bytes to Amazon, log lines, audit records and metrics of the first requests."""
    assert (await all_compared(SAMPLE))[:20] == []


@pytest.mark.fuzz
async def test_all_of_it_shows_no_memory() -> None:
    """Twenty thousand requests; `python -m tests.replay warm` plays them as well."""
    assert (await all_compared(REQUESTS))[:20] == []


def cases(requests: int) -> list[Case]:
    corpus = Repeats(SEED, tuple((row.method, row.template) for row in PUBLISHED))
    groups = [step for step in corpus.steps(requests) if isinstance(step, Group)]
    return [case for group in groups for connection in group.connections for case in connection]


def test_most_requests_come_again() -> None:
    """Byte for byte, after others: three quarters of them came before, and a few differ from one in a byte."""
    found = cases(5_000)
    assert [case.number for case in found] == list(range(len(found)))
    heads = [case.data for case in found]
    again = len(heads) - len(set(heads))
    assert again > 0.7 * len(heads)
    changed = {case.data for case in found} - {case.data for case in found if case.number == case.mark}
    assert len(changed) > 0.05 * len(heads)


def test_a_difference_is_reported() -> None:
    """What one program did and the other did not, of requests and of lines."""
    warm, cold = Played([{"case": 1, "got": "a"}]), Played([{"case": 1, "got": "b"}])
    warm.lines.update(("x", "x"))
    cold.lines.update(("x", "y"))
    assert len(list(compared(warm, cold))) == 3
    assert list(compared(cold, cold)) == []
