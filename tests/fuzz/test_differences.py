"""A proxy that has served many requests serves the next one as a cold proxy would."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.differences import Fuzz

SECONDS = float(os.environ.get("SECONDS_OF_DIFFERENCES", "120"))


@pytest.mark.long
async def test_a_warm_proxy_does_what_a_cold_one_does() -> None:
    """For the same requests in each run, many of which repeat an earlier decision, and after changes."""
    counts = await Fuzz(4).run(batches=60)
    assert counts["requests"] > 400
    assert counts["repeated"] > 100
    assert counts["changes"] > 2


@pytest.mark.fuzz
async def test_a_warm_proxy_does_what_a_cold_one_does_at_length() -> None:
    """For random requests; a failure names its seed, for `python -m tests.fuzz.differences`."""
    await Fuzz(int.from_bytes(os.urandom(4))).run(seconds=SECONDS)
