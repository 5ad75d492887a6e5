"""What an approval holds for: a digest of exactly one write. Pure.

Two writes have the same digest if Amazon would do the same for both: the same client under the same limits, the same
account, region and advertiser, the same operation, and JSON that means the same. Members of an object may come in any
order, and numbers in any spelling: `500`, `500.0` and `5e2` are one number. A text is never a number: `"500"` is
another value.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any, NamedTuple

from proxy.http1.fields import read_fields
from proxy.routing.ads_account import names_account


class WriteIdentity(NamedTuple):
    """What a write is, apart from its content. `limits` is the version of the client's limits. `method` is `MCP` for
    calls of tools, whose `target` has their names. `addressed` are the fields that choose an advertiser, as they
    leave, and what is in force where they are left out."""

    client: str
    limits: str
    method: str
    target: str
    media_type: str
    account: str
    region: str
    addressed: tuple[tuple[str, str], ...]


def digest_of(identity: WriteIdentity, content: Any) -> str:
    """The digest of a write. `content` is decoded JSON with `Decimal` numbers. Raises `RecursionError` for JSON that is
    nested too deeply."""
    parts = json.dumps(identity), canonical(content)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def canonical(content: Any) -> str:
    """The same text for the same JSON value, whatever its spelling was. It is itself JSON, but for its numbers."""
    if isinstance(content, str):
        return json.dumps(content)
    if isinstance(content, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{canonical(content[name])}" for name in sorted(content)) + "}"
    if isinstance(content, list):
        return "[" + ",".join(map(canonical, content)) + "]"
    if content is None or isinstance(content, bool):
        return json.dumps(content)
    return _number(Decimal(content))


def addressing(section: bytes) -> tuple[tuple[str, str], ...]:
    """The header fields that may choose an advertiser at Amazon, sorted. `section` has the lines that leave: a field
    that `Connection` lists does not, and one that is spelled with underscores may be another one to Amazon."""
    fields = ((name.lower(), value) for name, value in read_fields(section))
    chosen = ((name, value) for name, value in fields if name.startswith(b"amazon") or names_account(name))
    return tuple(sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in chosen))


def _number(number: Decimal) -> str:
    """A number as its sign, its digits without zeros at the end, and its exponent: exact for any number of digits."""
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return "0"
    assert isinstance(exponent, int), "JSON has no infinite numbers"
    return f"{'-' * sign}{significant}e{exponent + len(text) - len(significant)}"
