"""Whether an operation takes a profile's Scope, and which one is sent. Pure: a table made from Amazon's specifications.

The table (`scope_table.txt`, made by `scripts/make_scope_table.py`) holds method and path template; path prefixes would
not do (docs/amazon.md, Scope). Which profile is the default one is for `route`; what a client may name for `access`.
"""

from __future__ import annotations

import enum
import re
from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from proxy.http1.target import path_segments

if TYPE_CHECKING:
    from collections.abc import Iterable


class ScopeRule(enum.Enum):
    """What the specifications say of Amazon-Advertising-API-Scope on one operation."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NEVER = "never"
    UNKNOWN = "unknown"
    """The table does not have the operation: Amazon's list grows faster than any copy of it."""


SCOPE = b"amazon-advertising-api-scope"
NAMES_ACCOUNT = frozenset(
    b"amazon-ads-accountid amazon-ads-account-id amazon-ads-manager-accountid amazon-ads-manager-account-id "
    b"amazon-advertising-api-manager-account amazon-advertising-api-marketplaceid "
    b"amazon-advertising-api-advertiserid amazon-advertising-api-entityid amazon-advertising-api-entity-id "
    b"amazon-advertising-api-account-id amazon-advertising-advertiser-id "
    b"amazon-marketing-cloud-audience-instanceid".split()
)
"""Headers that name an account, manager, advertiser or entity (docs/amazon.md, Accounts)."""

_VERSION = re.compile(rb"v[0-9]+")
_ODD = re.compile(rb"[^a-z0-9_-]")
_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_BYTES = 512
"""In bytes: together with the number above it bounds what a stranger's paths can make the process hold."""


class _Node:
    """A segment of the trie: the segments below it, and the rules of the path that ends here."""

    __slots__ = ("literals", "parameter", "rules")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] = {}
        self.parameter: _Node | None = None
        self.rules: dict[bytes, ScopeRule] = {}

    def grow(self, segments: Iterable[bytes]) -> _Node:
        node = self
        for segment in segments:
            if segment == b"{}":
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        return node

    def find(self, method: bytes, segments: tuple[bytes, ...]) -> ScopeRule | None:
        """The rule of the most literal template that has the method: literals beat parameters, left to right."""
        if not segments:
            return self.rules.get(method)
        literal = self.literals.get(segments[0])
        found = literal.find(method, segments[1:]) if literal is not None else None
        if found is None and self.parameter is not None:
            found = self.parameter.find(method, segments[1:])
        return found


def parse_table(text: str) -> tuple[tuple[ScopeRule, tuple[bytes, ...], bytes], ...]:
    """The table's lines as (rule, methods, path template)."""
    rows = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            rule, methods, template = line.split(" ")
            rows.append((ScopeRule(rule), tuple(methods.encode().split(b",")), template.encode()))
    return tuple(rows)


@cache
def _table() -> tuple[tuple[ScopeRule, tuple[bytes, ...], bytes], ...]:
    return parse_table(resources.files("proxy.routing").joinpath("scope_table.txt").read_text(encoding="ascii"))


@cache
def _trie() -> _Node:
    root = _Node()
    for rule, methods, template in _table():
        root.grow(path_segments(template)).rules.update(dict.fromkeys(methods, rule))
    return root


def find_scope_rule(method: bytes, path: bytes) -> ScopeRule:
    """`scope_rule` without its memory: reads the table's trie each time."""
    return _trie().find(b"GET" if method == b"HEAD" else method, path_segments(path)) or ScopeRule.UNKNOWN


_remembered_scope_rule = lru_cache(maxsize=_MAX_REMEMBERED)(find_scope_rule)


def scope_rule(method: bytes, path: bytes) -> ScopeRule:
    """The rule of an operation; `path` has neither query nor selecting prefix. HEAD is judged as GET is."""
    if len(path) > _MAX_REMEMBERED_BYTES:
        return find_scope_rule(method, path)
    return _remembered_scope_rule(method, path)


def goes_without_scope(method: bytes, path: bytes) -> bool:
    """Whether an operation may reach data that no Scope governs; the cautious reading, for clients limited to profiles.

    Beside the operations that never take one: what the table does not know, but looks like one of them in another
    spelling, with a suffix, with another method, or as a neighbour.
    """
    if len(path) > _MAX_REMEMBERED_BYTES:
        return _find_without_scope(method, path)
    return _remembered_without_scope(method, path)


def _find_without_scope(method: bytes, path: bytes) -> bool:
    parts = tuple(part.partition(b";")[0] for part in path_segments(path))
    rule = _trie().find(b"GET" if method == b"HEAD" else method, parts)
    if rule is not None:
        return rule is ScopeRule.NEVER
    bare = _bare(parts)
    rule = _cautious_trie().find(b"", bare)
    if rule is None:
        return not bare or _family(bare) in _families_without_scope()
    return rule is ScopeRule.NEVER


_remembered_without_scope = lru_cache(maxsize=_MAX_REMEMBERED)(_find_without_scope)


def names_account_in_path(path: bytes) -> bool:
    """Whether the path itself names an account: `/accounts/{accountId}/...`."""
    return _bare(path_segments(path)[:1]) == (b"accounts",)


def _bare(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Segments as the most lenient server might read them: lower case, and only what stands before any odd sign.

    `/V2/Profiles.json` and `/v2/profiles%20` become `/v2/profiles`.
    """
    return tuple(filter(None, (_ODD.split(part.lower(), maxsplit=1)[0] for part in parts)))


def _family(parts: tuple[bytes, ...]) -> bytes:
    """The first segment that is no version: `profiles` of `/v2/profiles/1`."""
    return parts[1] if len(parts) > 1 and _VERSION.fullmatch(parts[0]) else parts[0]


@cache
def _cautious_trie() -> _Node:
    """Lower-case paths with one rule for all methods: never, if it is any method's."""
    root = _Node()
    for rule, _, template in _table():
        rules = root.grow(path_segments(template.lower())).rules
        if rules.get(b"") is not ScopeRule.NEVER:
            rules[b""] = rule
    return root


@cache
def _families_without_scope() -> frozenset[bytes]:
    """The families of which no operation takes a Scope, and the hosted MCP endpoints' in any spelling."""
    takes: dict[bytes, bool] = {}
    for rule, _, template in _table():
        family = _family(path_segments(template.lower()))
        takes[family] = takes.get(family, False) or rule is not ScopeRule.NEVER
    return frozenset((b"mcp", *(family for family, any_takes in takes.items() if not any_takes)))


def wants_default(rule: ScopeRule, names_account: bool) -> bool:
    """Whether a default Scope is added to a request that has none of its own (docs/amazon.md, Scope).

    `names_account` tells that the client sent another account, manager, advertiser or entity header.
    """
    if rule is ScopeRule.REQUIRED:
        return True
    return rule is not ScopeRule.NEVER and not names_account
