"""What an approval holds for: a digest of exactly one write. Pure.

Two writes have the same digest if Amazon would do the same for both: the same client under the same limits, the same
account, region and advertiser, the same operation, and JSON that means the same (`canonical_json`).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from proxy.http1.fields import read_fields
from proxy.routing.ads_account import names_account
from proxy.spend.canonical_json import canonical_json


class WriteIdentity(NamedTuple):
    """What a write is, apart from its content. `limits` is the version of the client's limits. `method` is `MCP` for
    calls of tools, whose `target` has their names. `login` stands for that of the account in the configuration.
    `addressed` are the fields that choose an advertiser, as they leave, and what is in force where they are left
    out."""

    client: str
    limits: str
    method: str
    target: str
    media_type: str
    account: str
    login: str
    region: str
    addressed: tuple[tuple[str, str], ...]


def digest_of(identity: WriteIdentity, content: Any) -> str:
    """The digest of a write. `content` is decoded JSON with `Decimal` numbers. Raises `RecursionError` for JSON that is
    nested too deeply."""
    text = f"{json.dumps(identity)}\n{canonical_json(content)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def addressing(section: bytes) -> tuple[tuple[str, str], ...]:
    """The header fields that may choose an advertiser at Amazon, sorted. `section` has the lines that leave: a field
    that `Connection` lists does not, and one that is spelled with underscores may be another one to Amazon."""
    fields = ((name.lower(), value) for name, value in read_fields(section))
    chosen = ((name, value) for name, value in fields if name.startswith(b"amazon") or names_account(name))
    return tuple(sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in chosen))
