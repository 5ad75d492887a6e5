"""Rows of the table of operations as an operator mends them, where it and Amazon differ. Pure.

`find_misfits` says what is wrong with them, in words that follow a key's path; `amend` makes the table that then holds.
How they are written in a configuration is for `config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.routing.operations import AccountRule, Effect, Operation, Operations, ScopeRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_METHOD = re.compile(r"GET|PUT|POST|DELETE|PATCH")
_TEMPLATE = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+|\{[A-Za-z0-9_-]+\}))+/?")
_ACCOUNT_HEADERS = ("Amazon-Ads-AccountId", "Amazon-Ads-Account-ID")


@dataclass(frozen=True, slots=True)
class Amendment:
    """What an operator says of one operation; what is None stays as the table has it.

    `path` is a template as the specifications write them; the names in its braces do not count. An operation that the
    table lacks is added: without account header and as a write, unless said otherwise.
    """

    method: str
    path: str
    scope: ScopeRule | None = None
    account: AccountRule | None = None
    account_header: str | None = None
    effect: Effect | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with the amendment at an index: the field, and a sentence without a subject."""

    index: int
    key: str
    reason: str


def find_misfits(table: Operations, amendments: Sequence[Amendment]) -> tuple[Misfit, ...]:
    """Everything that is wrong with amendments of a table, in their order; empty where they can be applied."""
    return tuple(
        Misfit(index, key, reason)
        for index, amendment in enumerate(amendments)
        for key, reason in (*_wrong_by_itself(amendment), *_wrong_beside(table, amendments[:index], amendment))
    )


def amend(table: Operations, amendments: Sequence[Amendment]) -> Operations:
    """A table with these rows mended or added. Raises `ValueError` for amendments of which `find_misfits` complains."""
    if misfits := find_misfits(table, amendments):
        raise ValueError(f"amendment {misfits[0].index}: {misfits[0].key} {misfits[0].reason}")
    rows = {(row.method, row.segments): row for row in table}
    for amendment in amendments:
        key = _key(amendment)
        rows[key] = _mended(rows.get(key) or _unsaid(amendment), amendment)
    return Operations(rows.values())


def _key(amendment: Amendment) -> tuple[str, tuple[bytes, ...]]:
    row = _unsaid(amendment)
    return row.method, row.segments


def _unsaid(amendment: Amendment) -> Operation:
    """An operation that the table lacks, before anything is said of it."""
    return Operation(
        method=amendment.method,
        template=amendment.path,
        name=f"{amendment.method} {amendment.path}",
        scope=ScopeRule.NEVER,
        account=AccountRule.NEVER,
        account_header="",
        effect=Effect.WRITE,
    )


def _mended(row: Operation, amendment: Amendment) -> Operation:
    account = amendment.account or row.account
    header = amendment.account_header or row.account_header or _ACCOUNT_HEADERS[0]
    return replace(
        row,
        name=amendment.name or row.name,
        scope=amendment.scope or row.scope,
        account=account,
        account_header="" if account is AccountRule.NEVER else header,
        effect=amendment.effect or row.effect,
    )


def _wrong_by_itself(amendment: Amendment) -> Iterator[tuple[str, str]]:
    if not _METHOD.fullmatch(amendment.method):
        yield "method", "must be GET, PUT, POST, DELETE or PATCH"
    if not _TEMPLATE.fullmatch(amendment.path):
        yield "path", "must be a path such as /sp/campaigns/{campaignId}, without query, `//` and percent signs"
    if amendment.scope is ScopeRule.UNKNOWN:
        yield "scope", "must be required, optional or never"
    if amendment.account_header is not None and amendment.account_header not in _ACCOUNT_HEADERS:
        yield "account_header", f"must be {' or '.join(_ACCOUNT_HEADERS)}"
    said = (amendment.scope, amendment.account, amendment.account_header, amendment.effect, amendment.name)
    if all(each is None for each in said):
        yield "path", "is named, but nothing is said of it; say scope, account_id, account_header, effect or name"


def _wrong_beside(table: Operations, before: Sequence[Amendment], amendment: Amendment) -> Iterator[tuple[str, str]]:
    """What is wrong with an amendment beside the table's rows and the amendments before it."""
    key = _key(amendment)
    row = next((row for row in table if (row.method, row.segments) == key), None)
    if any(_key(other) == key for other in before):
        yield "path", "is amended twice with this method; say everything in one place"
    if row is None and amendment.scope is None:
        yield "scope", "is missing: the table does not have this operation, so it has to be said"
    account = amendment.account or (row.account if row is not None else AccountRule.NEVER)
    if amendment.account_header is not None and account is AccountRule.NEVER:
        yield "account_header", "is the header of an operation that takes no account id; say account_id as well"
    names = {other.name for other in table if other is not row} | {other.name for other in before}
    if amendment.name is not None and amendment.name in names:
        yield "name", "is another operation's; take one of its own"
