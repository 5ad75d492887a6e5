"""Coverage of what plain tests run: only while one is called, not during its fixtures, and not for property tests."""

from __future__ import annotations

import importlib
from collections.abc import Generator

import pytest
from coverage import Coverage


class PlainCoverage:
    """A plugin of pytest that traces plain tests. To trace pytest itself, too, takes a quarter of the CPU time of a
    run."""

    def __init__(self, coverage: Coverage, modules: list[str]) -> None:
        """Import the modules at these paths, which runs their outermost lines; then trace no more."""
        self._coverage = coverage
        for path in modules:
            importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        coverage.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Trace a plain test.

        A line must not count as tested because a property test reached it by chance. Of the two event loops, one
        counts.
        """
        if not getattr(getattr(item, "obj", None), "is_hypothesis_test", False) and "[uvloop" not in item.name:
            self._coverage.start()
        try:
            return (yield)
        finally:
            self._coverage.stop()
