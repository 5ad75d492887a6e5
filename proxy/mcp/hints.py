"""Which tools read by their names, but not by what the MCP endpoint said last to each login in each region. Bounded.

What follows from it is decided by `mcp.tools`.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_LISTS = 1024
"""Logins and regions whose tools are remembered: the one that was used longest ago is forgotten beyond that."""
MAX_TOOLS = 1024
"""Tools that are remembered of one list."""
MAX_NAMES = 256
"""Names that are remembered of one list: a misspelt one is compared with all."""
MAX_TOLD = 20
"""Tools that are logged at once."""
_NONE: frozenset[str] = frozenset()


class ToolHints:
    """The memory of what the endpoint said of its tools."""

    def __init__(self) -> None:
        self._writers: LRUCache[tuple[str, str], frozenset[str]] = LRUCache(MAX_LISTS)
        self._listed: LRUCache[tuple[str, str], tuple[str, ...]] = LRUCache(MAX_LISTS)

    def __repr__(self) -> str:
        return f"<ToolHints of {len(self._writers)} lists>"

    def writers(self, account: str, region: str) -> frozenset[str]:
        """The tools that may write by what the endpoint said last to this account's login."""
        return self._writers.get((account, region), _NONE)

    def learn(self, account: str, region: str, reads: Mapping[str, bool]) -> frozenset[str]:
        """A list, or a page of one, says of each of its tools whether it only reads. Returns those that are known to
        write from now on."""
        before = self.writers(account, region)
        named = (name for name, only_reads in reads.items() if not only_reads)
        kept = (name for name in before if name not in reads)
        after = frozenset(map(sys.intern, islice((*named, *kept), MAX_TOOLS)))
        if after != before:
            self._writers[account, region] = after
        return after - before

    def listed(self, account: str, region: str) -> tuple[str, ...]:
        """The tools that the endpoint listed to this account's login, to name one that was misspelt."""
        return self._listed.get((account, region), ())

    def note_listed(self, account: str, region: str, names: Iterable[str]) -> None:
        """The endpoint listed these tools, on one page or all."""
        every = dict.fromkeys((*map(sys.intern, names), *self.listed(account, region)))
        self._listed[account, region] = tuple(islice(every, MAX_NAMES))
