"""Small herds before a real store: Login with Amazon is asked as docs/scaling.md says, however many replicas ask."""

from __future__ import annotations

import pytest

from tests.support.herds import Herd, simulate
from tests.support.redis_server import RedisServer

REPLICAS, ACCOUNTS = 4, 10
SHORTEST_LIFE = 3600 - 300 * 1.2
"""Seconds after which a token is renewed at the soonest."""


@pytest.mark.parametrize("herd", [Herd.START, Herd.EMPTIED, Herd.ROLLING])
def test_each_token_is_asked_for_once(server: RedisServer, herd: Herd) -> None:
    """In the hour, two for each account: the first, and the one that follows it; nobody is without one."""
    found = simulate(server, herd, REPLICAS, ACCOUNTS)
    assert found.most == 1 + int(3600 / SHORTEST_LIFE)
    assert found.requests == found.most * ACCOUNTS
    assert found.peak <= ACCOUNTS
    assert found.without == 0


def test_an_outage_is_asked_about_at_the_pace_of_one(server: RedisServer) -> None:
    """Ten minutes at 15 to 30 seconds, six at first, and not once more for each replica; all serve soon after it."""
    found = simulate(server, Herd.OUTAGE, REPLICAS, ACCOUNTS)
    assert found.most <= 2 + 600 / 15 + 6
    assert found.peak <= 2 * ACCOUNTS
    assert found.without <= 200 + 30 + 10, "from the tokens' end until the outage is over, and the longest pause"
