"""The simulator that stands for Amazon: started once for a module's tests, and for each as if it had just been.

A module whose simulator has other options says so by a `simulator` of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.running import SimulatedAmazon, simulated_amazon


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture
def amazon(simulator: SimulatedAmazon) -> SimulatedAmazon:
    """The simulator as at its start."""
    simulator.control("reset")
    return simulator
