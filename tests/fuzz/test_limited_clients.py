"""A limited client against every operation that Amazon's specifications have, in every spelling, with every header.

What is right says a table made from the specifications alone (`specified`), never the program's own.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from proxy.access.policy import Policy
from proxy.app.rules import make_policy, make_routing_table
from proxy.config.model.clients import Client
from proxy.errors import Refused
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import RequestFields, read_request_fields
from proxy.http1.target import parse_target
from proxy.routing.api import MCP
from proxy.routing.overrides import may_override
from proxy.routing.route import Route, route
from proxy.routing.table import EmptyDirectory, RoutingTable
from proxy.routing.target import find_destination
from tests.fuzz.depth import at_length, briefly
from tests.fuzz.making import METHODS, spelled
from tests.fuzz.specified import Own, Specified, all_own, governs, governs_unknown, may_be, specified
from tests.fuzz.test_decisions import readings
from tests.support.deciding import config, judged, summary

Lines = list[tuple[bytes, bytes]]
SCOPE_NAME, ACCOUNT_NAME, OTHER_NAME = (
    b"Amazon-Advertising-API-Scope",
    b"Amazon-Ads-AccountId",
    b"Amazon-Ads-Account-ID",
)
OWN = Own(frozenset({b"11"}), frozenset({b"amzn1.own", b"77"}))
UNSCOPED = ("/v2/profiles", "/mcp", "/amc/instances", "/new/thing")
TABLES = [
    make_routing_table(config({"acme": {"default_profile": each}}), EmptyDirectory()) for each in (None, "11", "99")
]


def client(with_profiles: bool, with_account_ids: bool, *unscoped: str) -> tuple[Policy, Own]:
    """A limited client, and what the oracle knows of it."""
    policy = make_policy(
        Client(
            name="tool",
            key_sha256="0" * 64,
            profiles=("11",) if with_profiles else None,
            account_ids=("amzn1.own", "77") if with_account_ids else None,
            unscoped_paths=unscoped,
        )
    )
    none: frozenset[bytes] = frozenset()
    return policy, Own(OWN.profiles if with_profiles else none, OWN.account_ids if with_account_ids else none)


CLIENTS = [client(True, False), client(False, True), client(True, True), client(True, True, *UNSCOPED)]


@lru_cache(maxsize=64)
def read(lines: tuple[tuple[bytes, bytes], ...]) -> RequestFields:
    """Read these fields as those of a request."""
    section = b"Host: localhost\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines)
    return read_request_fields(section, 1, 128, REQUEST_FIELDS)


def sent(
    method: bytes, target: bytes, lines: Lines, table: RoutingTable, policy: Policy
) -> tuple[Request, Route] | None:
    """A request and its route if the policy lets it through, else None."""
    try:
        request = Request(method, parse_target(target), 1, read(tuple(lines)), "id-1")
        chosen = route(summary(request, table.operations), table)
    except Refused:
        return None
    return None if judged(policy, request, chosen).refusal is not None else (request, chosen)


WAYS: list[Lines] = [
    [],
    [(SCOPE_NAME, b"11")],
    [(SCOPE_NAME, b"99")],
    *([(name, value)] for name in (ACCOUNT_NAME, OTHER_NAME) for value in (b"amzn1.own", b"77", b"99", b"")),
    *([(SCOPE_NAME, scope), (ACCOUNT_NAME, b"77")] for scope in (b"11", b"99")),
    [(SCOPE_NAME, b"11"), (ACCOUNT_NAME, b"99")],
    [(SCOPE_NAME, b"11"), (OTHER_NAME, b"77")],
    [(SCOPE_NAME, b"11"), (b"AdvertiserId", b"99")],
]


def test_there_are_as_many_operations_as_the_specifications_have() -> None:
    """No operation is left out."""
    assert len(specified()) == 743


@pytest.mark.long
@pytest.mark.parametrize("which", range(len(CLIENTS)))
def test_every_operation_is_reached_exactly_where_something_of_the_clients_governs_it(which: int) -> None:
    """A plain request, in each way to name a profile or an account, is permitted if and only if the oracle permits
    it."""
    policy, own = CLIENTS[which]
    wrong = []
    for row in specified():
        for lines in WAYS:
            scope = next((value for name, value in lines if name == SCOPE_NAME), b"")
            right = all_own(own, scope, lines) and (
                row.example() in policy.unscoped_paths or governs(row, own, scope, lines)
            )
            if (sent(row.method, row.example(), lines, TABLES[0], policy) is not None) is not right:
                wrong.append((row, lines, right))
    assert not wrong


@pytest.mark.long
@pytest.mark.parametrize("which", range(len(CLIENTS)))
def test_no_other_method_of_a_known_path_is_reached(which: int) -> None:
    """What the specifications do not have is closed, whatever is sent along."""
    policy, _ = CLIENTS[which]
    known = {(row.method, row.example()) for row in specified()}
    for path in sorted({row.example() for row in specified()} - policy.unscoped_paths):
        for method in METHODS:
            judged_as = b"GET" if method == b"HEAD" else method
            if (judged_as, path) in known or may_be(method, path):
                continue
            for lines in WAYS:
                assert sent(method, path, lines, TABLES[0], policy) is None, (method, path, lines)


# --- in every spelling

_INSERTED = (
    *(
        b"/",
        b"/.",
        b"/..",
        b"%2f",
        b"%2F",
        b";x",
        b"%3b",
        b".",
        b"%2e",
        b" ",
        b"%20",
        b"+",
        b"%00",
        b"%25",
        b"\\",
        b"%5c",
    ),
    *(b"%3f", b"?", b"%23", b"*", b"\xc3\xbc", b"%c3%bc", b"%e2%80%8b", b"@", b"{}", b".json", b"%u002e", b"1"),
)
_NAMES = (
    *(b"Amazon-Ads-AccountId", b"Amazon-Ads-AccountId", b"Amazon-Ads-Account-ID", b"Amazon-Ads-Manager-AccountId"),
    *(b"AdvertiserId", b"Amazon-Advertising-API-EntityId", b"X-ProfileIds", b"Amazon-Advertising-API-MarketplaceId"),
)
_VALUES = (
    b"amzn1.own",
    b"amzn1.own",
    b"77",
    b"11",
    b"99",
    b"",
    b"77,99",
    b"77, amzn1.own",
    b"77 99",
    b"AMZN1.OWN",
    b"\xff",
)
_PARAMETERS = (
    b"a",
    b"advertiserId",
    b"accountIds",
    b"profileId",
    b"%61ccountId",
    b"entity%49d",
    b"%2561ccountId",
    b"filter[profile.id]",
)


@st.composite
def disguises(draw: st.DrawFn, path: bytes) -> bytes:
    """A path after a few accidents: letters encoded once or often, in the other case, odd signs put in; a prefix."""
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(1, len(path)))
        match draw(st.integers(0, 3)):
            case 0:
                path = path[:at] + draw(st.sampled_from(_INSERTED)) + path[at:]
            case 1:
                letter = path[at : at + 1]
                if letter:
                    path = path[:at] + b"%" + b"25" * draw(st.integers(0, 2)) + b"%02x" % letter[0] + path[at + 1 :]
            case 2:
                path = path[:at] + path[at : at + 3].swapcase() + path[at + 3 :]
            case _:
                path = path[:at] + path[at + 1 :]
    return (
        draw(st.sampled_from((b"", b"", b"", b"/@acme", b"/eu", b"/@acme/na", b"http://advertising-api.amazon.com")))
        + path
    )


scopes = st.sampled_from((b"11", b"11", b"11", b"99", b"", b"11,99"))
fields = st.lists(
    st.one_of(
        st.tuples(st.just(SCOPE_NAME), scopes),
        st.tuples(spelled(SCOPE_NAME), scopes),
        st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)),
        st.tuples(st.sampled_from(_NAMES).flatmap(spelled), st.sampled_from(_VALUES)),
        st.tuples(st.just(b"Connection"), st.sampled_from((b"Amazon-Ads-AccountId", b"amazon-ads-account-id, close"))),
        st.tuples(st.just(b"X_HTTP-Method-Override"), st.just(b"GET")),
    ),
    max_size=2,
)
rarely = st.integers(0, 2).map(lambda number: number == 0)
queries = st.lists(
    st.tuples(st.sampled_from(_PARAMETERS), st.sampled_from((b"77", b"11", b"99", b"", b"77%2C99"))), max_size=2
)
separators = st.sampled_from((b"&", b"&", b";", b"%26", b"%2526"))
unknown_paths = st.sampled_from((b"/v2/profiles", b"/mcp", b"/mcp/lite", b"/new/thing", b"/", b"/adsApi/v1/new/things"))


@st.composite
def questions(draw: st.DrawFn) -> tuple[bytes, bytes, Lines]:
    """A method, a target and header lines, near some operation of the specifications."""
    row: Specified = draw(st.sampled_from(specified()))
    path = draw(unknown_paths) if draw(rarely) and draw(rarely) else row.example()
    target = draw(disguises(path)) if draw(rarely) else path
    method = draw(st.sampled_from(METHODS)) if draw(rarely) else row.method
    lines = [(SCOPE_NAME, b"11")] if row.takes_scope and not draw(rarely) else []
    lines += [(name, b"77") for name in sorted(row.account_headers) if not draw(rarely)]
    lines += draw(fields) if draw(rarely) else []
    query = draw(separators).join(b"%b=%b" % pair for pair in draw(queries)) if draw(rarely) else b""
    return method, target + (b"?" + query if query else b""), lines


def parameters(query: bytes) -> Lines:
    """What some server may take for the parameters of a query, decoded up to three times."""
    found: Lines = []
    for _ in range(4):
        parts = query.replace(b";", b"&").split(b"&")
        found += [
            (unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in (p.partition(b"=") for p in parts)
        ]
        query = unquote_to_bytes(query)
    return found


def nothing_but_its_own_is_reached(question: tuple[bytes, bytes, Lines], which: int, table: int) -> None:
    """Whatever some server makes of what leaves: it is the client's own, by each of its readings."""
    policy, own = CLIENTS[which]
    method, target, lines = question
    assume(not set(target) & set(b" #"))
    found = sent(method, target, lines, TABLES[table], policy)
    event("permitted" if found is not None else "refused")
    if found is None:
        return
    request, chosen = found
    leaving = [
        (name, value) for name, _, value in (line.partition(b": ") for line in request.fields.passing.split(b"\r\n"))
    ]
    path, _, query = chosen.target(find_destination(request.target)).partition(b"?")
    assert all_own(own, chosen.profile, [*lines, *parameters(query)])
    assert not any(may_override(name) for name, _ in leaving)
    if path in policy.unscoped_paths or chosen.api is MCP:
        return  # what of MCP leaves is decided by `fix_account` and each message
    if not may_be(method, unquote_to_bytes(path)):
        assert governs_unknown(method, path, own, chosen.profile, leaving), path
    for reading in readings(path):
        rows = may_be(method, reading)
        assert all(governs(row, own, chosen.profile, leaving) for row in rows), (reading, rows)


@briefly
@given(questions(), st.integers(0, len(CLIENTS) - 1), st.integers(0, len(TABLES) - 1))
def test_no_spelling_reaches_what_is_not_the_clients(
    question: tuple[bytes, bytes, Lines], which: int, table: int
) -> None:
    """Operations, spellings, headers, queries, defaults of chance."""
    nothing_but_its_own_is_reached(question, which, table)


@at_length
@given(questions(), st.integers(0, len(CLIENTS) - 1), st.integers(0, len(TABLES) - 1))
def test_no_spelling_reaches_what_is_not_the_clients_at_length(
    question: tuple[bytes, bytes, Lines], which: int, table: int
) -> None:
    """No spelling reaches a foreign account with many more examples."""
    nothing_but_its_own_is_reached(question, which, table)
