"""Two minutes of the soak in each run of the tests; `make soak` has the half hour."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.soak import failures, soaking

SLICE = 120
LONG = int(os.environ.get("SECONDS_OF_SOAK", "1800"))


def soaked(folder: Path, seconds: int) -> list[str]:
    with soaking(folder) as soak:
        summary = soak.run(seconds)
    assert summary["requests"] > 20 * seconds
    assert summary["outcomes"]["kept alive: 200"] > 4 * seconds
    print(summary)
    return failures(summary)


@pytest.mark.integration
@pytest.mark.timeout(SLICE + 240)
def test_nothing_is_lost_in_two_minutes_of_troubles(tmp_path: Path) -> None:
    """No request that could have been served, no file or thread left over, and the log tells what the tools saw."""
    assert soaked(tmp_path, SLICE) == []


@pytest.mark.soak
@pytest.mark.timeout(LONG + 600)
def test_nothing_is_lost_in_half_an_hour_of_troubles(tmp_path: Path) -> None:
    """The same, as long as `SECONDS_OF_SOAK` says."""
    assert soaked(tmp_path, LONG) == []
