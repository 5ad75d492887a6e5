"""A test that hangs ends the run, and the traceback of each thread is shown, after pytest's own `faulthandler_timeout`.

pytest begins a thread for each test, and waits until it has ended, which takes longer than most tests do. Here one is
for all tests of a minute.
"""

from __future__ import annotations

import faulthandler
import time

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

EACH = 60.0
"""Seconds."""


class Watch:
    """Ends a run whose test takes `timeout` seconds, or up to a minute less."""

    def __init__(self, timeout: float, stderr: int) -> None:
        self._timeout, self._stderr = timeout, stderr
        self._until = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if (now := time.monotonic()) >= self._until:
            self._until = now + min(EACH, self._timeout / 2)
            faulthandler.dump_traceback_later(self._timeout, file=self._stderr, exit=True)

    def pytest_enter_pdb(self) -> None:
        self._until = 0.0
        faulthandler.cancel_dump_traceback_later()

    def pytest_unconfigure(self) -> None:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Watch in place of pytest's plugin, which has opened what is written to."""
    config.pluginmanager.unregister(name="faulthandler")
    timeout = float(config.getini("faulthandler_timeout"))
    config.pluginmanager.register(Watch(timeout, config.stash[fault_handler_stderr_fd_key]))
