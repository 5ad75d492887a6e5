"""The accounts that a request names in addition to its Scope, and whether they are the client's own. Pure.

Headers, query parameters and members of JSON are looked at by their names: known ones, and similar ones
(docs/reference/operations.md, Names of accounts). Whether a client may send a request at all is for `policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import TooManyParameters
from proxy.http1.target import percent_decoded, query_parameters
from proxy.routing.ads_account import names_account
from proxy.routing.overrides import MAX_PARAMETERS, has_too_many
from proxy.tokens.authorization import AUTHORIZATION_FIELDS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.http1.request_fields import RequestFields

READINGS = 4
"""How often a query is decoded in search of names: more than any server is known to do."""
ORDINARY = frozenset(
    b"host user-agent accept accept-encoding accept-language connection content-type content-length prefer "
    b"amazon-advertising-api-scope x-ads-proxy-key x-request-id".split()
).union(AUTHORIZATION_FIELDS)
"""Headers of nearly every request, none of which names an account: to know them beforehand costs nothing."""
NO_LETTERS = bytes(byte for byte in range(256) if not 97 <= byte <= 122)
_NOBODYS: frozenset[bytes] = frozenset()
SCOPE_ENDING = b"apiscope"
"""How the name of the Scope's header ends, without case and punctuation."""
MAX_NUMBER = 2**53 - 1
"""A larger number is another one to readers that keep numbers as JavaScript does (RFC 8259, 6)."""
_NEVER_OWN = (b"manageraccount", b"instanceid", b"marketplaceid")
"""What such a name names is larger than an account of a client: no value of it is its own."""


@dataclass(frozen=True, slots=True)
class OwnAccounts:
    """What a client may name: its profiles, and its values of Amazon-Ads-AccountId."""

    profiles: frozenset[bytes]
    account_ids: frozenset[bytes]

    def fitting(self, name: bytes) -> frozenset[bytes]:
        """The client's own values for a header or parameter of this name; none for a name that is not clear."""
        plain = name.lower().translate(None, NO_LETTERS)
        if any(word in plain for word in _NEVER_OWN):
            return _NOBODYS
        is_profile = b"profileid" in plain or plain.endswith(SCOPE_ENDING)
        if is_profile and (b"accountid" in plain or b"advertiserid" in plain or b"entityid" in plain):
            return _NOBODYS
        return self.profiles if is_profile else self.account_ids

    def hold_member(self, name: str, value: object) -> bool:
        """Whether the value of a member of JSON is empty, or one of the client's own that its name fits."""
        if value is None or value == "":
            return True
        if isinstance(value, bool) or not isinstance(value, str | int):
            return False
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            return False
        return str(value).encode("utf-8", "surrogatepass") in self.fitting_member(name)

    def fitting_member(self, name: str) -> frozenset[bytes]:
        """The client's own values for a member of JSON of this name; none for a name that is not clear."""
        plain = name.lower().encode("utf-8", "surrogatepass").translate(None, NO_LETTERS)
        if b"manager" in plain:
            return _NOBODYS
        if b"id" in plain or plain.endswith(SCOPE_ENDING):
            return self.fitting(plain)
        if b"profile" in plain:
            return self.profiles
        return self.account_ids if b"advertiser" in plain else self.profiles | self.account_ids

    def hold(self, name: bytes, value: bytes) -> bool:
        """Whether every account in a value, which may be a list with commas, is the client's own; an empty one is."""
        parts = {part for part in (part.strip(b" \t") for part in value.split(b",")) if part}
        return not parts or parts <= self.fitting(name)


def find_foreign_name(own: OwnAccounts, fields: RequestFields, query: bytes) -> str:
    """The first header or query parameter that names an account which is not the client's own; empty for none."""
    for name, value in fields.every:
        if name not in ORDINARY and names_account(name) and not own.hold(name, value):
            return _shown("header", name)
    return _find_in_query(own, query) if query else ""


def _find_in_query(own: OwnAccounts, query: bytes) -> str:
    """The same of a query alone, as servers may read it that decode once, or again and again."""
    harmless: set[bytes] = set()
    for _ in range(READINGS):
        for name, value in checked_parameters(query):
            if name in harmless:
                continue
            if _is_unclear(name):
                return f"{_shown('query parameter', name)}, which can be read in two ways,"
            if not names_account(name) and not _is_scope(name):
                harmless.add(name)
            elif not own.hold(name, value):
                return _shown("query parameter", name)
        decoded = percent_decoded(query)
        if decoded == query:
            return ""
        query = decoded
    return "query, which is encoded again and again,"


def checked_parameters(query: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """`query_parameters` of a query that decides what a client may do. Raises `TooManyParameters`."""
    check_count(query)
    return query_parameters(query)


def check_count(query: bytes) -> None:
    """Raise `TooManyParameters` for a query with more parameters than are looked at."""
    if has_too_many(query):
        raise TooManyParameters(
            f"This client is limited, and its query has more than {MAX_PARAMETERS} parameters; send fewer at once."
        )


def _is_scope(name: bytes) -> bool:
    """Whether a parameter has the name of the Scope's header, which some servers would take for it."""
    return name.lower().translate(None, NO_LETTERS).endswith(SCOPE_ENDING)


def _is_unclear(name: bytes) -> bool:
    """Whether some servers may read another name: by `%u0064`, a backslash, or a letter taken for an ASCII one."""
    return not name.isascii() or b"\\" in name or b"%u" in name.lower()


def _shown(place: str, name: bytes) -> str:
    return f"{place} {name.decode('latin-1')[:64]!r}"


def sent_account_ids(passing: bytes, header: str) -> tuple[bytes, ...]:
    """The values of a header, among the field lines that leave; the name in its own spelling, whatever its case.

    What leaves is looked at, not what came: a field that `Connection` lists is dropped on the way.
    """
    wanted = header.lower().encode()
    return tuple(_values(passing.split(b"\r\n"), wanted))


def _values(lines: Iterable[bytes], wanted: bytes) -> Iterator[bytes]:
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            yield value.strip(b" \t")
