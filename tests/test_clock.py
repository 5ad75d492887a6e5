"""The clock that expiry counts on."""

from __future__ import annotations

import sys
import time

import pytest

from proxy.clock import boot_time


def test_it_never_goes_back() -> None:
    """Readings are in order."""
    readings = [boot_time() for _ in range(1000)]
    assert readings == sorted(readings)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such clock")
def test_it_counts_the_time_that_the_machine_was_suspended() -> None:
    """On Linux it is the clock that does."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boot_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)
