"""Small herds before a real store: Amazon is asked as docs/explanation/fleet.md says, however many replicas ask."""

from __future__ import annotations

import pytest

from tests.support.herds import Herd, Outcome, simulate
from tests.support.redis_server import RedisServer, one_engine

kept_server = one_engine

pytestmark = pytest.mark.long
REPLICAS, ACCOUNTS = 4, 10
LISTS = 3 * (1 + 1 + 1 + 7)
"""In each region: the usual profiles, ads accounts, managers' accounts, and those that the usual list leaves out."""
SHORTEST_LIFE = 3600 - 300 * 1.2
"""Seconds after which a token is renewed at the soonest."""


@pytest.fixture(scope="module", params=[Herd.START, Herd.EMPTIED, Herd.ROLLING])
def outcome(request: pytest.FixtureRequest, kept_server: RedisServer) -> Outcome:
    """The outcome of an hour with one of the herds."""
    return simulate(kept_server, request.param, REPLICAS, ACCOUNTS)


def test_each_token_is_asked_for_once(outcome: Outcome) -> None:
    """In the hour, each account asks twice: for the first token, and for the one that follows it; no replica is without
    one."""
    assert outcome.most == 1 + int(3600 / SHORTEST_LIFE)
    assert outcome.requests == outcome.most * ACCOUNTS
    assert outcome.peak <= ACCOUNTS
    assert outcome.without == 0


def test_each_list_is_asked_for_as_by_one(outcome: Outcome) -> None:
    """In the hour, each list is read twice: at the start, and when the soonest timer of all replicas fires."""
    assert outcome.most_lists == 2
    assert outcome.lists == outcome.most_lists * LISTS * ACCOUNTS


def test_an_outage_is_asked_about_at_the_pace_of_one(server: RedisServer) -> None:
    """Ten minutes at 15 to 30 seconds, six at first, and not once more for each replica; all serve soon after it."""
    found = simulate(server, Herd.OUTAGE, REPLICAS, ACCOUNTS)
    assert found.most <= 2 + 600 / 15 + 6
    assert found.peak <= 2 * ACCOUNTS
    assert found.without <= 200 + 30 + 10, "from the tokens' end until the outage is over, and the longest pause"
