"""The Scope and the ads account of a request: what it sends, and whether a default one is added. Pure.

What an operation takes is in the table of `operations`: path prefixes would not do, since of the operations under one
prefix some require a Scope, some allow it and some do not know it. Which account and region these lead to, and which
profile and ads account are the defaults, is for `route`; which ones a client may name is for `access`.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.errors import ConflictingAdsAccount, ConflictingScope
from proxy.routing.operations import AccountRule, Operation, ScopeRule
from proxy.routing.overrides import PUNCTUATION
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http1.request_fields import RequestFields


SCOPE = b"amazon-advertising-api-scope"

ADS_ACCOUNT = frozenset((b"amazon-ads-accountid", b"amazon-ads-account-id"))
"""The header in both of Amazon's spellings; which one an operation takes, the table says (docs/development/amazon.md,
Accounts)."""

_MANAGER = frozenset((b"amazon-ads-manager-accountid", b"amazon-ads-manager-account-id"))
"""The header by which a manager account is named to the MCP endpoint, in both spellings."""

NAMES_ACCOUNT = (
    ADS_ACCOUNT
    | _MANAGER
    | frozenset(
        b"amazon-advertising-api-manager-account amazon-advertising-api-marketplaceid "
        b"amazon-advertising-api-advertiserid amazon-advertising-api-entityid amazon-advertising-api-entity-id "
        b"amazon-advertising-api-account-id amazon-advertising-advertiser-id "
        b"amazon-marketing-cloud-audience-instanceid".split()
    )
)
"""Headers that name an account, manager, advertiser or entity (docs/development/amazon.md, Accounts)."""

_AMC = b"amc"
"""What is below it holds an account of Amazon Marketing Cloud, which no default can be."""

_BOTH = (ScopeRule.REQUIRED, AccountRule.REQUIRED)


def sent_scope(fields: RequestFields) -> bytes:
    """The Scope that the client sent, empty for none. Two values are refused, a list in one field counts as two."""
    values = fields.named.get(SCOPE)
    if values is None:
        return b""
    if len(values) == 1 and b"," not in values[0]:
        return values[0]
    found = set(filter(None, values))
    if len(found) > 1 or any(b"," in value for value in found):
        raise ConflictingScope("Amazon-Advertising-API-Scope was sent with more than one profile; send one.")
    return found.pop() if found else b""


def sent_ads_account(fields: RequestFields) -> bytes:
    """The ads account that the client sent, empty for none. Two values are refused, a list in one field too.

    Either spelling counts on every operation: it is forwarded unchanged, but it always means this account.
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

    The two go together only where the operation wants both (docs/development/amazon.md, Scope). `names_account` tells
    that the client sent another account, manager, advertiser or entity header.
    """
    if ads_account:
        return operation is not None and (operation.scope, operation.account) == _BOTH
    rule = ScopeRule.UNKNOWN if operation is None else operation.scope
    return rule is ScopeRule.REQUIRED or (rule is not ScopeRule.NEVER and not names_account)


# --- Headers and parameters that name an account --------------------------------------------------------------

_ALIKE = re.compile(rb"accountid|advertiserid|entityid|manageraccount|instanceid|profileid|marketplaceid")
_PUNCTUATION_IN_LINES = bytes(byte for byte in PUNCTUATION if byte != 10)
_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_BYTES = 128
"""The most bytes of a remembered name: with the number above they bound what a stranger's names make the process
hold."""


class ParameterPlace(enum.StrEnum):
    """The place of a parameter in a request."""

    HEADER = "header"
    PATH = "path"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class AccountParameter:
    """A parameter of Amazon's that names an account, in the spelling of the specifications."""

    place: ParameterPlace
    name: str


def parse_parameters(text: str) -> tuple[AccountParameter, ...]:
    """The parameters of a list's text: a line for the names of the columns, then one for each parameter."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(AccountParameter(ParameterPlace(place), name) for place, name, _ in lines[1:])


def _plain(name: bytes) -> bytes:
    """A name without case, punctuation and bytes beyond ASCII: what the most lenient reader could make of it."""
    return name.lower().translate(None, PUNCTUATION)


PUBLISHED_PARAMETERS = parse_parameters(Path(__file__).with_name("account_names.tsv").read_text("ascii"))
_KNOWN = frozenset(_plain(parameter.name.encode()) for parameter in PUBLISHED_PARAMETERS)


def _find(name: bytes) -> bool:
    plain = _plain(name)
    return plain in _KNOWN or _ALIKE.search(plain) is not None


def any_names_account(names: Iterable[bytes]) -> bool:
    """`names_account` of many names at once, which may be all different; none of them has a line feed."""
    plain = b"\n".join(names).lower().translate(None, _PUNCTUATION_IN_LINES)
    return _ALIKE.search(plain) is not None or not _KNOWN.isdisjoint(plain.split(b"\n"))


_remembered = lru_cache(maxsize=_MAX_REMEMBERED)(_find)


def names_account(name: bytes) -> bool:
    """Whether a header or parameter of this name names an account, known or alike; a query's names come decoded.

    Alike is every name that holds accountid, advertiserid, entityid, manageraccount, instanceid, profileid or
    marketplaceid, whatever its case and whatever stands between its letters: `X-Advertiser_Ids`, `filter[profile.id]`.
    """
    return _remembered(name) if len(name) <= _MAX_REMEMBERED_BYTES else _find(name)
