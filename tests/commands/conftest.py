"""What each test of a command begins with."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_options_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Advice repeats the options of the command that runs in this process: none of an earlier test's."""
    monkeypatch.setattr("proxy.advice.options_in_use", {})
