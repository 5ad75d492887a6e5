"""The configuration that a checkout is measured with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from benchmarks.checkout import Setting, this_checkout
from benchmarks.processes import Process
from benchmarks.upstream import Upstream

UPSTREAM = Upstream(cast(Process, None), 1, 2, 3, Path("ca.pem"))


@pytest.mark.parametrize("fast_path", [True, False])
def test_an_older_checkout_gets_the_fast_path_that_was_asked_for(fast_path: bool) -> None:
    """The option is written into the configuration as the older version reads it."""
    older = replace(this_checkout(), fast_path=fast_path)
    assert older.configuration(UPSTREAM, Setting(), 4, 5)["fast_path"] is fast_path


def test_this_checkout_gets_no_deprecated_option() -> None:
    """Such an option would cause a note at each start."""
    assert "fast_path" not in this_checkout().configuration(UPSTREAM, Setting(), 4, 5)
