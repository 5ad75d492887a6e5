"""Whether an operation takes a profile's Scope, and whether a default one is sent. Pure.

What the specifications say is in the table of `operations`; path prefixes would not do, since of the operations under
one prefix some require a Scope, some allow it and some know none. Which profile is the default one is for `route`; what
a client may name is for `access`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from proxy.http1.target import path_segments
from proxy.routing.operations import PUBLISHED, ScopeRule, find_operation
from proxy.routing.templates import Templates

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


def find_scope_rule(method: bytes, path: bytes) -> ScopeRule:
    """`scope_rule` without its memory."""
    operation = find_operation(method, path_segments(path))
    return ScopeRule.UNKNOWN if operation is None else operation.scope


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
    operation = find_operation(method, parts)
    if operation is not None:
        return operation.scope is ScopeRule.NEVER
    bare = _bare(parts)
    never = _NEVER_IN_ANY_SPELLING.find(b"", bare)
    return never if never is not None else not bare or _family(bare) in _FAMILIES_WITHOUT_SCOPE


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


def _never_in_any_spelling() -> Templates[bool]:
    """Lower-case paths, whatever the method: whether any method's operation never takes a Scope."""
    never: dict[tuple[bytes, ...], bool] = {}
    for operation in PUBLISHED:
        path = tuple(part.lower() for part in operation.segments)
        never[path] = never.get(path, False) or operation.scope is ScopeRule.NEVER
    return Templates((b"", path, value) for path, value in never.items())


def _families_without_scope() -> frozenset[bytes]:
    """The families of which no operation takes a Scope, and the hosted MCP endpoints' in any spelling."""
    takes: dict[bytes, bool] = {}
    for operation in PUBLISHED:
        family = _family(tuple(part.lower() for part in operation.segments))
        takes[family] = takes.get(family, False) or operation.scope is not ScopeRule.NEVER
    return frozenset((b"mcp", *(family for family, any_takes in takes.items() if not any_takes)))


_NEVER_IN_ANY_SPELLING = _never_in_any_spelling()
_FAMILIES_WITHOUT_SCOPE = _families_without_scope()


def wants_default(rule: ScopeRule, names_account: bool) -> bool:
    """Whether a default Scope is added to a request that has none of its own (docs/amazon.md, Scope).

    `names_account` tells that the client sent another account, manager, advertiser or entity header.
    """
    if rule is ScopeRule.REQUIRED:
        return True
    return rule is not ScopeRule.NEVER and not names_account
