"""What is remembered of the tools that the MCP endpoint does not call read-only."""

from __future__ import annotations

import pytest

from proxy.mcp import hints as tool_hints
from proxy.mcp.hints import ToolHints


def test_the_last_list_of_a_login_and_region_counts() -> None:
    """Another login or region has its own; a page tells of its own tools alone."""
    hints = ToolHints()
    assert hints.learn("acme", "na", {"a": False, "b": True, "c": False}) == {"a", "c"}
    assert hints.writers("acme", "na") == {"a", "c"}
    assert not hints.writers("acme", "eu") and not hints.writers("zeta", "na")
    assert hints.learn("acme", "na", {"a": True, "b": False}) == {"b"}
    assert hints.writers("acme", "na") == {"b", "c"}
    assert hints.learn("acme", "na", {"b": False}) == set()
    assert repr(hints) == "<ToolHints of 1 lists>"


def test_the_listed_tools_of_a_login_and_region_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of a list together, the latest first, and no more than a bound."""
    monkeypatch.setattr(tool_hints, "MAX_NAMES", 3)
    hints = ToolHints()
    hints.note_listed("acme", "na", ["a", "b"])
    hints.note_listed("acme", "na", ["c", "b", "d"])
    assert hints.listed("acme", "na") == ("c", "b", "d")
    assert hints.listed("acme", "eu") == hints.listed("zeta", "na") == ()


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In lists and in tools; what was used longest ago goes first."""
    monkeypatch.setattr(tool_hints, "MAX_LISTS", 2)
    monkeypatch.setattr(tool_hints, "MAX_TOOLS", 3)
    hints = ToolHints()
    for account in ("one", "two", "three"):
        hints.learn(account, "na", dict.fromkeys("abcde", False))
    assert hints.writers("one", "na") == set()
    assert len(hints.writers("three", "na")) == 3
