"""What the tests of the quick exchange share: it is on, and connections were in use a moment ago on any machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.proxy_bench import Running


@pytest.fixture(scope="session")
def running(running: Running) -> Running:
    """The proxy with the fast path, unless a test switches it off."""
    return partial(running, fast_path=True)


@pytest.fixture(autouse=True, scope="module")
def ages_stand_still() -> Iterator[None]:
    """No connection to Amazon rests, or grows old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.upstream.connection.boot_time", lambda: 1000.0)
        yield
