"""The ads account that a request names, and whether a default one is sent. Pure.

What an operation takes says the table of `operations`. Which account and region an ads account leads to, and which one
is the default, is for `route`; which one a client may name is for `access`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import ConflictingAdsAccount
from proxy.routing.operations import AccountRule, Operation, ScopeRule
from proxy.routing.scope import NAMES_ACCOUNT, wants_default

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

ADS_ACCOUNT = frozenset((b"amazon-ads-accountid", b"amazon-ads-account-id"))
"""The header in both of Amazon's spellings; which one an operation takes, the table says (docs/amazon.md, Accounts)."""

_MANAGER = frozenset((b"amazon-ads-manager-accountid", b"amazon-ads-manager-account-id"))
"""The header by which a manager account is named to the MCP endpoint, in both spellings."""

_AMC = b"amc"
"""What is below it holds an account of Amazon Marketing Cloud, which no default can be."""

_BOTH = (ScopeRule.REQUIRED, AccountRule.REQUIRED)


def sent_ads_account(fields: RequestFields) -> bytes:
    """The ads account that the client sent, empty for none. Two values are refused, a list in one field too.

    Either spelling counts on every operation: it is forwarded as it was sent, but it always means this account.
    """
    if ADS_ACCOUNT.isdisjoint(fields.named):
        return b""
    found = {value for name in ADS_ACCOUNT for value in fields.values(name) if value}
    if len(found) > 1 or any(b"," in value for value in found):
        raise ConflictingAdsAccount("Amazon-Ads-AccountId was sent with more than one account; send one.")
    return found.pop() if found else b""


def sent_manager(fields: RequestFields) -> bytes:
    """The manager account that the client sent, empty for none, or for several."""
    found = {value for name, value in fields.every if name in _MANAGER and value}
    return found.pop() if len(found) == 1 else b""


def names_another(fields: RequestFields) -> bool:
    """Whether the client names an account, manager, advertiser or entity by another header; an empty one is absent."""
    if NAMES_ACCOUNT.isdisjoint(fields.noticed):
        return False
    names = NAMES_ACCOUNT - fields.named.keys()
    return any(value and name in names for name, value in fields.every)


def takes_default_ads_account(operation: Operation | None, names_account: bool) -> bool:
    """Whether a default ads account is added to a request that has neither Scope nor ads account of its own.

    Never to what the table does not know. Where it need not be, a client that names another account means that one.
    """
    if operation is None or operation.account is AccountRule.NEVER or operation.segments[:1] == (_AMC,):
        return False
    return operation.account is AccountRule.REQUIRED or not names_account


def takes_default_scope(operation: Operation | None, *, ads_account: bool, names_account: bool) -> bool:
    """Whether a default Scope is added to a request without one; `ads_account` tells that it has an ads account.

    The two go together only where the operation wants both (docs/amazon.md, Scope).
    """
    if ads_account:
        return operation is not None and (operation.scope, operation.account) == _BOTH
    return wants_default(ScopeRule.UNKNOWN if operation is None else operation.scope, names_account)
