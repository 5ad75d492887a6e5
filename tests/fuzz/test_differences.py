"""A proxy that has served many requests serves the next one as a cold proxy would."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.differences import Fuzz, connections_in_use

SECONDS = float(os.environ.get("SECONDS_OF_DIFFERENCES", "120"))


async def test_a_warm_proxy_does_what_a_cold_one_does() -> None:
    """For the same requests in each run, some of which go down the fast path."""
    with connections_in_use():
        counts = await Fuzz(4).run(batches=60)
    assert counts["requests"] > 400
    assert counts["fast"] > 40


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 120)
async def test_a_warm_proxy_does_what_a_cold_one_does_at_length() -> None:
    """For requests of chance; a failure names its seed, for `python -m tests.fuzz.differences`."""
    with connections_in_use():
        await Fuzz(int.from_bytes(os.urandom(4))).run(seconds=SECONDS)
