"""What holds for every test: property tests try the same examples each time, and are not held to a stopwatch.

A test run is to say the same twice on the same code, on a noisy machine too; `make fuzz` is where chance has its say.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")
