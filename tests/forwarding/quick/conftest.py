"""What the tests of the quick exchange share: connections that were in use a moment ago, however slow the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def ages_stand_still() -> Iterator[None]:
    """No connection to Amazon rests, or grows old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.upstream.connection.boot_time", lambda: 1000.0)
        yield
