"""What several tests of forwarding share: a clock of the connections to Amazon that does not move."""

from __future__ import annotations

import pytest


@pytest.fixture
def still_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection to Amazon rests or grows old, however slow the machine is."""
    monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 1000.0)
