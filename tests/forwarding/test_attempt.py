"""A held response: who waits for its body goes on as soon as there is enough of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.errors import UpstreamClosed
from proxy.forwarding.attempt import Attempt
from proxy.secret import Secret
from proxy.tokens.values import AccessToken
from tests.support.tokens import virtual_time


class StillConnection:
    """Of the pool, as an attempt sees it; nothing comes of it but what a test says."""

    lost = head_began = False

    def __init__(self) -> None:
        self.paused = 0

    def pause(self) -> None:
        self.paused += 1


def held(connection: Any) -> Attempt:
    token = AccessToken("acme", Secret("Atza|1"), 1, 0.0, "amzn1.x")
    attempt = Attempt(None, 1, token, connection)  # type: ignore[arg-type]  # a held response has no owner
    attempt.hold()
    return attempt


@virtual_time
@pytest.mark.parametrize(
    ("comes", "gathered"),
    [
        (lambda attempt: attempt.response_data([b"bc", b"def"]), b"abcd"),
        (lambda attempt: attempt.response_ended(b""), b"a"),
        (lambda attempt: attempt.upstream_failed(UpstreamClosed("It closed.")), b"a"),
    ],
    ids=["enough", "the end", "a failure"],
)
async def test_the_body_is_had_when_there_is_enough_of_it(comes: Any, gathered: bytes) -> None:
    """Not when the patience is over; its end or a failure is enough, too."""
    loop, attempt = asyncio.get_running_loop(), held(StillConnection())
    attempt.response_data([b"a"])
    began = loop.time()
    loop.call_later(1, comes, attempt)
    assert await attempt.gather(4, 10.0) == gathered
    assert loop.time() - began == pytest.approx(1.0)


@virtual_time
async def test_a_body_that_does_not_come_is_not_awaited_for_ever() -> None:
    """What came by then is had, and no more is read."""
    loop, connection = asyncio.get_running_loop(), StillConnection()
    attempt, began = held(connection), loop.time()
    attempt.response_data([b"ab"])
    assert await attempt.gather(4, 10.0) == b"ab"
    assert loop.time() - began == pytest.approx(10.0)
    assert connection.paused == 1
