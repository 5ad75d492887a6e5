"""Whether an operation takes a profile's Scope, and whether a default one is sent. Pure.

What the specifications say is in the table of `operations`; path prefixes would not do, since of the operations under
one prefix some require a Scope, some allow it and some know none. Which profile is the default one is for `route`; what
a client may name is for `access`.
"""

from __future__ import annotations

from proxy.http1.target import path_segments
from proxy.routing.operations import ScopeRule, find_operation

SCOPE = b"amazon-advertising-api-scope"
NAMES_ACCOUNT = frozenset(
    b"amazon-ads-accountid amazon-ads-account-id amazon-ads-manager-accountid amazon-ads-manager-account-id "
    b"amazon-advertising-api-manager-account amazon-advertising-api-marketplaceid "
    b"amazon-advertising-api-advertiserid amazon-advertising-api-entityid amazon-advertising-api-entity-id "
    b"amazon-advertising-api-account-id amazon-advertising-advertiser-id "
    b"amazon-marketing-cloud-audience-instanceid".split()
)
"""Headers that name an account, manager, advertiser or entity (docs/amazon.md, Accounts)."""
"""In bytes: together with the number above it bounds what a stranger's paths can make the process hold."""


def find_scope_rule(method: bytes, path: bytes) -> ScopeRule:
    """The rule of an operation; `path` has neither query nor selecting prefix. HEAD is judged as GET is."""
    operation = find_operation(method, path_segments(path))
    return ScopeRule.UNKNOWN if operation is None else operation.scope


def wants_default(rule: ScopeRule, names_account: bool) -> bool:
    """Whether a default Scope is added to a request that has none of its own (docs/amazon.md, Scope).

    `names_account` tells that the client sent another account, manager, advertiser or entity header.
    """
    if rule is ScopeRule.REQUIRED:
        return True
    return rule is not ScopeRule.NEVER and not names_account
