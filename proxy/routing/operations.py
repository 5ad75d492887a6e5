"""Amazon's operations: what each takes, what it does, and which of them a request is. Pure.

The table, `operations.tsv`, is made from Amazon's specifications and guides (docs/reference/operations.md) and read
when this module is loaded. What follows from an operation is for others: `scope` for the Scope that is sent, `access`
for what a client may do. An operation without a row is unknown, and counts as a write, unless its method or the scheme
of the unified API says that it reads (`unknown_reads`).
"""

from __future__ import annotations

import enum
import re
from dataclasses import field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Ending = tuple[bytes, tuple[bytes, ...]]
    """A method, and what is left of a template's segments."""
    Endings = dict[Ending, "Operation"]

PLACEHOLDER = b"{}"
_NOTHING = "-"
"""How the table writes an empty cell."""


class ScopeRule(enum.StrEnum):
    """What the specifications say of Amazon-Advertising-API-Scope on one operation."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NEVER = "never"
    UNKNOWN = "unknown"
    """No source tells, or the table does not have the operation: Amazon's list grows faster than any copy of it."""


class AccountRule(enum.StrEnum):
    """What the specifications say of Amazon-Ads-AccountId, in either spelling, on one operation."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NEVER = "never"


class Effect(enum.StrEnum):
    """What an operation does at Amazon. Strict: by it `access` permits and a replay is allowed."""

    __hash__ = str.__hash__  # that of an Enum is written in Python, and each request is counted by it

    READ = "read"
    """The operation provably changes nothing; sending it twice does no harm."""
    REPORT = "report"
    """The operation starts a report, an export or a snapshot, and changes nothing else."""
    WRITE = "write"
    """The operation changes something, or may change something."""


class Administered(enum.StrEnum):
    """What an operation administers. It is above campaigns: who may do what in whose name, and who pays."""

    NOTHING = "nothing"
    USERS = "users"
    """Users, their roles, and who is invited."""
    ACCOUNTS = "accounts"
    """Advertising and manager accounts, and who is associated with them."""
    BILLING = "billing"
    TERMS = "terms"
    """Which of Amazon's terms are accepted."""
    STUDIES = "studies"
    """Studies and surveys that cost money."""


class Access(enum.StrEnum):
    """How much a client may do. Each permits what those before it permit, too."""

    READ = "read"
    REPORT = "report"
    WRITE = "write"
    """All but what administers something."""
    ADMIN = "admin"
    """Everything: no limit."""

    def permits(self, effect: Effect, *, administers: bool = False) -> bool:
        """Whether a client with this access may send what has this effect, and may administer something."""
        return effect in PERMITTED_EFFECTS[self] and (self is Access.ADMIN or not administers)


PERMITTED_EFFECTS = {
    Access.READ: frozenset((Effect.READ,)),
    Access.REPORT: frozenset((Effect.READ, Effect.REPORT)),
    Access.WRITE: frozenset(Effect),
    Access.ADMIN: frozenset(Effect),
}


def split_template(template: str) -> tuple[bytes, ...]:
    """The segments of a path template, `PLACEHOLDER` for each parameter."""
    parts = [part for part in template.split("/") if part]
    return tuple(PLACEHOLDER if part.startswith("{") else part.encode() for part in parts)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: a row of the table. Its hash is that of the object, as a table has each row once."""

    method: str
    template: str
    """The path as the specification has it: `/v2/profiles/{profileId}`."""
    name: str
    """Amazon's name for it, no two alike."""
    scope: ScopeRule
    account: AccountRule
    account_header: str
    """The spelling of the account header on this operation; empty where it takes none."""
    effect: Effect
    administers: Administered = Administered.NOTHING

    __hash__ = object.__hash__

    @property
    def segments(self) -> tuple[bytes, ...]:
        """The template's segments, `PLACEHOLDER` for each parameter."""
        return split_template(self.template)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names of the parameters in the path, in order."""
        return tuple(part[1:-1] for part in self.template.split("/") if part.startswith("{"))


@dataclass(slots=True, eq=False, repr=False)
class _Node:
    """All that fits the beginning of a path: the rows that end there, by method, and the nodes of one more segment.

    A template with a placeholder is also behind each literal at its place. So a lookup goes one way and never back.
    """

    rows: dict[bytes, Operation] = field(default_factory=dict)
    literals: dict[bytes, _Node] = field(default_factory=dict)
    other: _Node = field(init=False)


_NOWHERE = _Node()
"""Fits no template, however the path goes on."""
_NOWHERE.other = _NOWHERE


def _grow(endings: Endings) -> _Node:
    """The node of these; the most literal comes first.

    Paths of one length after which the same can follow share a node, and of rows with the same ending only the first
    can be found. Otherwise rows that each have a literal at another place would double the nodes one by one.
    """
    root = _Node()
    level = {tuple(endings.items()): root}
    while level:
        below: dict[tuple[tuple[Ending, Operation], ...], _Node] = {(): _NOWHERE}
        for fitting, node in level.items():
            literals: dict[bytes, Endings] = {}
            others: Endings = {}
            for (method, segments), row in fitting:
                if not segments:
                    node.rows[method] = row
                elif segments[0] == PLACEHOLDER:
                    for left in (others, *literals.values()):
                        left.setdefault((method, segments[1:]), row)
                else:
                    left = literals.setdefault(segments[0], others.copy())
                    left.setdefault((method, segments[1:]), row)
            for segment, left in literals.items():
                node.literals[segment] = below.setdefault(tuple(left.items()), _Node())
            node.other = below.setdefault(tuple(others.items()), _Node())
        del below[()]
        level = below
    return root


class Operations:
    """A table of operations. It never changes; `amend` makes another one. A later row replaces an equal one."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        self._rows = tuple(rows)
        endings = {(row.method.encode(), row.segments): row for row in self._rows}
        by_literalness = sorted(endings, key=lambda ending: [segment == PLACEHOLDER for segment in ending[1]])
        self._root = _grow({ending: endings[ending] for ending in by_literalness})

    def find(self, method: bytes, segments: tuple[bytes, ...]) -> Operation | None:
        """The operation of a request; `segments` are its path's, percent-decoded, without selecting prefix.

        HEAD is found as GET. Where several templates fit, the most literal one that has the method wins: literals beat
        placeholders, left to right. A placeholder takes any segment, one with a slash or dots in it too: permit by the
        row only what can be read in one way. Nothing is remembered, as a lookup costs no more than the memory of it
        would.
        """
        node = self._root
        for segment in segments:
            node = node.literals.get(segment, node.other)
        return node.rows.get(b"GET" if method == b"HEAD" else method)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Operations({len(self._rows)})"


def parse_operations(text: str) -> tuple[Operation, ...]:
    """The rows of a table's text: a line for the names of the columns, then one for each operation."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    return tuple(
        Operation(
            method=row["method"],
            template=row["path"],
            name=row["name"],
            scope=ScopeRule(row["scope"]),
            account=AccountRule(row["account_id"]),
            account_header="" if row["account_header"] == _NOTHING else row["account_header"],
            effect=Effect(row["effect"]),
            administers=Administered(row.get("administers", _NOTHING).replace(_NOTHING, Administered.NOTHING)),
        )
        for row in rows
    )


PUBLISHED = Operations(parse_operations(Path(__file__).with_name("operations.tsv").read_text("ascii")))
"""The operations of Amazon's specifications and guides, as they were when this program was made."""

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""By which nothing is asked to change (RFC 9110, 9.2.1)."""


_READING_METHODS = frozenset((b"GET", b"HEAD"))
"""By which an unknown path is read. OPTIONS is none of them: it asks about a path, and no specification has it."""
_UNIFIED_READ = re.compile(rb"/adsApi/v1/(?:query|retrieve)/[A-Za-z][A-Za-z0-9]*(?:/(?:dsp|sb|sd|sp|st))?")
"""A path of the unified API that reads, whatever its noun, by Amazon's own scheme: with an ad product at most, and
spelled as the specifications spell it."""


def unknown_reads(method: bytes, path: bytes) -> bool:
    """Whether a request that the table lacks only reads. `path` is the raw one, without selecting prefix.

    Nothing but the exact method and the exact bytes of a path count, so that no other spelling makes a write a read.
    """
    return method in _READING_METHODS or (method == b"POST" and _UNIFIED_READ.fullmatch(path) is not None)


_ADMINISTERING = re.compile(
    r"(?P<users>user|invit|permission)|(?P<billing>billing|invoice|payment)|(?P<terms>(?<!search)terms|agreement)"
    r"|(?P<studies>brandlift|survey|measurementstud)"
    r"|(?P<accounts>(?:manager|advertiser|ads|selling|link(?:ed)?|test)account|audiences?connection"
    r"|account(?:link|combination|invit|access|management))"
)
"""The words that tell what a name administers: each group is called as `Administered` has it."""
_SEPARATORS = str.maketrans("", "", "-_./ ")


def may_administer(name: str) -> bool:
    """Whether what has this name, and is in no table, may administer users, accounts, billing, terms or studies."""
    return guess_administered(name) is not Administered.NOTHING


def guess_administered(name: str) -> Administered:
    """What may be administered by what has this name, and is in no table.

    `name` is a decoded path or the name of an MCP tool. Its words decide, whatever their case and separators.
    """
    found = _ADMINISTERING.search(name.lower().translate(_SEPARATORS))
    return Administered.NOTHING if found is None else Administered(str(found.lastgroup))


# --- Families of operations ------------------------------------------------------------------------------

_VERSION = re.compile(rb"v[0-9]+")
_UNIFIED = b"adsApi"
_DONE = frozenset(
    b"list search query retrieve create update delete edit extended associate disassociate apply refresh".split()
)
"""Segments that say what is done with a resource, or in which detail."""
_REMEMBERED = 2048


def _api(segments: tuple[bytes, ...]) -> bytes:
    """The segment that tells which API a path belongs to, empty where none does."""
    return next((part for part in segments if _VERSION.fullmatch(part) is None), b"")


_APIS = {api: "v1" if api == _UNIFIED else api.decode() for api in (_api(row.segments) for row in PUBLISHED)}


def family(operation: Operation | None, method: bytes, segments: tuple[bytes, ...]) -> str:
    """The family of a request. `operation` is its row, None where it has none; `segments` are as for finding it."""
    return _unknown(method, segments) if operation is None else _known(operation)


@lru_cache(maxsize=_REMEMBERED)
def _known(operation: Operation) -> str:
    names = [part for part in operation.segments if part != PLACEHOLDER and _VERSION.fullmatch(part) is None]
    api, *rest = names or [b"other"]
    resource = [part for part in rest if part not in _DONE]
    parts = [_APIS.get(api, api.decode()), *(part.decode() for part in resource[:1])]
    if any(b"recommendation" in part.lower() for part in resource[1:]):
        parts.append("recommendations")
    return f"{'/'.join(parts)}:{operation.effect}"


def _unknown(method: bytes, segments: tuple[bytes, ...]) -> str:
    api = _api(segments)
    if api == b"mcp":
        return "mcp"
    reads = method in SAFE_METHODS or unknown_reads(method, b"/" + b"/".join(segments))
    effect = Effect.READ if reads else Effect.WRITE
    return f"{_APIS[api]}/other:{effect}" if api in _APIS else f"other:{effect}"


# --- An operator's corrections of the table of operations, where it and Amazon differ ---------------

_METHOD = re.compile(r"GET|PUT|POST|DELETE|PATCH")
_TEMPLATE = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]+|\{[A-Za-z0-9_-]+\}))+/?")


@dataclass(frozen=True, slots=True)
class Amendment:
    """What an operator says of one operation; what is None stays as the table has it.

    `path` is a template as the specifications write them; the names in its braces do not count for which row it is. An
    operation that the table lacks is added with them: without account header, as a write, and as one that administers
    what the words of its path say, unless said otherwise.
    """

    method: str
    path: str
    scope: ScopeRule | None = None
    account: AccountRule | None = None
    account_header: str | None = None
    effect: Effect | None = None
    administers: Administered | None = None
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
    """A table with these rows corrected or added. Raises `ValueError` for amendments of which `find_misfits`
    complains."""
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
        administers=guess_administered(amendment.path),
    )


def _mended(row: Operation, amendment: Amendment) -> Operation:
    account = amendment.account or row.account
    header = amendment.account_header or row.account_header or "Amazon-Ads-AccountId"
    return replace(
        row,
        name=amendment.name or row.name,
        scope=amendment.scope or row.scope,
        account=account,
        account_header="" if account is AccountRule.NEVER else header,
        effect=amendment.effect or row.effect,
        administers=amendment.administers or row.administers,
    )


def _wrong_by_itself(amendment: Amendment) -> Iterator[tuple[str, str]]:
    if not _METHOD.fullmatch(amendment.method):
        yield "method", "must be GET, PUT, POST, DELETE or PATCH"
    if not _TEMPLATE.fullmatch(amendment.path):
        yield "path", "must be a path such as /sp/campaigns/{campaignId}, without query, `//` and percent signs"
    if all(getattr(amendment, field.name) is None for field in fields(Amendment)[2:]):
        yield "path", "has no property; set scope, account_id, account_header, effect, administers or name"


def _wrong_beside(table: Operations, before: Sequence[Amendment], amendment: Amendment) -> Iterator[tuple[str, str]]:
    """What is wrong with an amendment, given the table's rows and the earlier amendments."""
    key = _key(amendment)
    row = next((row for row in table if (row.method, row.segments) == key), None)
    if any(_key(other) == key for other in before):
        yield "path", "appears twice with this method; merge both entries"
    if row is None and amendment.scope is None:
        yield "scope", "is missing; an operation that is not in the table needs it"
    account = amendment.account or (row.account if row is not None else AccountRule.NEVER)
    if amendment.account_header is not None and account is AccountRule.NEVER:
        yield "account_header", "is set, but the operation takes no account id; set account_id too"
    names = {other.name for other in table if other is not row} | {other.name for other in before}
    if amendment.name is not None and amendment.name in names:
        yield "name", "is the name of another operation; choose another"
