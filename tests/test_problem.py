"""Reason phrases of problem documents."""

from __future__ import annotations

import pytest

from proxy.problem import reason_phrase


@pytest.mark.parametrize(("status", "phrase"), [(200, "OK"), (503, "Service Unavailable"), (599, ""), (0, "")])
def test_a_status_has_its_phrase_or_none(status: int, phrase: str) -> None:
    """RFC 9112, 4 lets the phrase be absent: no status is refused for having none."""
    assert reason_phrase(status) == phrase
