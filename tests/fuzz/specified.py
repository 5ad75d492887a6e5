"""The oracle of limited clients: a table made from Amazon's specifications, and what it says of a request.

It shares nothing with the policy but the specifications: no table of the program's, no decision of its. Nothing is
asserted here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from proxy.commands.specifications import read_specifications, shape
from tests.support.specifications import published_specifications

SCOPE = b"amazon-advertising-api-scope"
_ACCOUNT_IDS = (b"amazon-ads-accountid", b"amazon-ads-account-id")
_DOCUMENTED = Path(__file__).resolve().parents[2] / "scripts" / "operations_documented.tsv"
_WORDS = re.compile(rb"accountid|advertiserid|entityid|manageraccount|instanceid|profileid|marketplaceid")


def names_an_account(name: bytes) -> bool:
    """Whether a name holds one of the words, without case and punctuation."""
    return _WORDS.search(re.sub(rb"[^a-z0-9]", b"", name.lower())) is not None


@dataclass(slots=True)
class Specified:
    """What all files together say of one operation: which headers it takes, and whether its path names an account."""

    method: bytes
    path: bytes
    headers: set[bytes] = field(default_factory=set)
    closed: bool = False

    @property
    def takes_scope(self) -> bool:
        return SCOPE in self.headers

    @property
    def account_headers(self) -> set[bytes]:
        return self.headers.intersection(_ACCOUNT_IDS)

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Paths of this operation, as a server reads them that ignores case."""
        return re.compile(re.sub(rb"\\\{\\\}", rb"[^/]+", re.escape(self.path.rstrip(b"/"))), re.IGNORECASE)

    def example(self) -> bytes:
        """A path of this operation."""
        return self.path.replace(b"{}", b"Value_1-a")


@cache
def specified() -> tuple[Specified, ...]:
    """Every operation of the specifications, and of what Amazon documents elsewhere."""
    found: dict[tuple[str, str], Specified] = {}
    for described in read_specifications(published_specifications()):
        row = found.setdefault(described.key, Specified(described.method.encode(), shape(described.path).encode()))
        for parameter in described.parameters:
            name = parameter.name.encode()
            if parameter.place == "header":
                row.headers.add(name.lower())
            elif parameter.place == "path" and names_an_account(name):
                row.closed = True
        if described.path.split("/")[1].lower() in ("amc", "accounts", "mcp"):
            row.closed = True
    for line in _DOCUMENTED.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) > 7 and cells[1].startswith("/"):
            method, path, scope, account, header = cells[:5]
            row = Specified(method.encode(), shape(path).encode())
            row.headers.update(
                [SCOPE] if scope != "never" else [], [header.lower().encode()] if account != "never" else []
            )
            names = re.findall(r"{([^}]*)}", path)
            row.closed = (
                scope == "unknown" or path.split("/")[1] == "amc" or any(names_an_account(n.encode()) for n in names)
            )
            found[method, shape(path)] = row
    return tuple(found.values())


_SCHEME = re.compile(rb"/adsApi/v1/(query|retrieve)/[A-Za-z0-9]+(/(dsp|sb|sd|sp|st))?")


def governs_unknown(method: bytes, path: bytes, own: Own, scope: bytes, lines: list[tuple[bytes, bytes]]) -> bool:
    """Whether a path that nothing documents is read, for one of the client's own, and names no other."""
    reads = method in (b"GET", b"HEAD") or (method == b"POST" and _SCHEME.fullmatch(path) is not None)
    if not reads or re.search(rb"[^A-Za-z0-9/]|[0-9]{2}|account|advertiser|profile|user|billing", path, re.IGNORECASE):
        return False
    sent = [value for name, value in lines if name.lower() == _ACCOUNT_IDS[0]]
    bound = scope in own.profiles and not path.startswith(b"/adsApi/")
    return bound or (len(sent) == 1 and sent[0] in own.account_ids)


@dataclass(frozen=True, slots=True)
class Own:
    """What a limited client may use."""

    profiles: frozenset[bytes] = frozenset()
    account_ids: frozenset[bytes] = frozenset()


def governs(row: Specified, own: Own, scope: bytes, lines: list[tuple[bytes, bytes]]) -> bool:
    """Whether what leaves keeps an operation to the client's own: a Scope or one account id that it takes."""
    if row.closed:
        return False
    if row.takes_scope and scope in own.profiles:
        return True
    return any(
        len(values) == 1 and values[0] in own.account_ids
        for values in ([value for name, value in lines if name.lower() == taken] for taken in row.account_headers)
    )


def all_own(own: Own, scope: bytes, named: list[tuple[bytes, bytes]]) -> bool:
    """Whether the Scope, and every account that a header or parameter names, is the client's."""
    if scope and scope not in own.profiles:
        return False
    mine = own.profiles | own.account_ids
    parts = [part.strip(b" \t") for name, value in named if names_an_account(name) for part in value.split(b",")]
    return all(part in mine for part in parts if part)


@cache
def _of_method(method: bytes) -> tuple[tuple[re.Pattern[bytes], Specified], ...]:
    wanted = b"GET" if method == b"HEAD" else method
    return tuple((row.pattern, row) for row in specified() if row.method == wanted)


@lru_cache(maxsize=8192)
def may_be(method: bytes, path: bytes) -> tuple[Specified, ...]:
    """Every operation that some server may take a path for."""
    return tuple(row for pattern, row in _of_method(method) if pattern.fullmatch(path.rstrip(b"/") or b"/"))
