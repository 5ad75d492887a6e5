"""Whatever an MCP client sends, what may leave calls no forbidden tool, however carelessly a server reads it.

The careless reader takes names without case and punctuation, believes each of several values of one name, and looks for
calls at any depth. That of a limited client's accounts is the simulator's, which shares nothing with the proxy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.access.own_accounts import OwnAccounts
from proxy.errors import ToolNotPermitted
from proxy.mcp.tools import INVOKE, ToolRules
from proxy.routing.operations import PUBLISHED, Access
from proxy.simulator.mcp import find_foreign_account
from proxy.strict_json import JsonBody
from tests.fuzz.depth import at_length, briefly
from tests.fuzz.making import changed
from tests.support.deciding import fields, request

READ = ToolRules("agent", Access.READ, None, PUBLISHED)
GOOD, BAD = "campaign_management-query_campaign", "campaign_management-update_campaign"
NAMES = ("method", "Method", "met_hod", "params", "Params", "name", "Name", "na me", "arguments", "id", "tool")
Pairs = list[tuple[str, Any]]
"""An object whose names may come twice."""


def may_leave(body: bytes, rules: ToolRules = READ) -> bool:
    try:
        rules.check(request(b"POST", b"/mcp", fields(content_type=b"application/json")), JsonBody(body))
    except ToolNotPermitted:
        return False
    return True


def plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def members(pairs: Pairs, wanted: str) -> list[Any]:
    """Each value that a name has, as a careless reader might find it."""
    return [value for name, value in pairs if plain(name) == wanted]


def carelessly_called(content: Any) -> Iterator[str]:
    """The tools that some reader could take a body to call; objects come as lists of pairs in a `Read`."""
    if isinstance(content, Read):
        if any(isinstance(method, str) and plain(method) == "toolscall" for method in members(content.pairs, "method")):
            for params in members(content.pairs, "params"):
                yield from carelessly_named(params)
    elif isinstance(content, list):
        for each in content:
            yield from carelessly_called(each)


def carelessly_named(params: Any) -> Iterator[str]:
    if not isinstance(params, Read):
        return
    for name in members(params.pairs, "name"):
        if name == INVOKE:
            for arguments in members(params.pairs, "arguments"):
                yield from (value for _, value in getattr(arguments, "pairs", ()) if isinstance(value, str))
        elif isinstance(name, str):
            yield name


class Read:
    """An object as it was written."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs


def nothing_forbidden_leaves(body: bytes) -> None:
    if not may_leave(body):
        return
    content = json.loads(body, object_pairs_hook=Read)
    assert BAD not in set(carelessly_called(content))


def written(value: Any) -> str:
    """JSON text of objects that are lists of pairs in a tuple."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{json.dumps(name)}:{written(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


words = st.sampled_from(("tools/call", "tools/Call", "ping", "initialize", GOOD, BAD, INVOKE, "2.0", 1, None))
objects = st.recursive(
    words,
    lambda inner: st.one_of(
        st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=5).map(tuple), st.lists(inner, max_size=3)
    ),
    max_leaves=14,
)


def call(tool: str, arguments: Any = ()) -> tuple[Any, ...]:
    params = (("name", tool), ("arguments", arguments))
    return (("jsonrpc", "2.0"), ("id", 1), ("method", "tools/call"), ("params", params))


CALL = written(call(GOOD)).encode()
FORBIDDEN = written(call(BAD)).encode()
INVOKED = written(call(INVOKE, (("name", GOOD), ("arguments", (("x", BAD),))))).encode()


@briefly
@given(objects, st.tuples(changed(CALL), changed(FORBIDDEN), changed(INVOKED)))
@example((*call(GOOD), ("Method", "tools/call")), (CALL, FORBIDDEN, INVOKED))
@example([call(GOOD), call(BAD)], (CALL, FORBIDDEN, INVOKED))
@example(call(INVOKE, (("name", GOOD), ("tool", BAD))), (CALL, FORBIDDEN, INVOKED))
@example((("method", "tools/call"), ("params", (("name", GOOD), ("na_me", BAD)))), (CALL, FORBIDDEN, INVOKED))
def test_no_body_carries_a_forbidden_call(made: Any, sent: tuple[bytes, ...]) -> None:
    """Odd structures, and calls with bytes changed anywhere."""
    for body in (written(made).encode(), *sent):
        nothing_forbidden_leaves(body)


@at_length
@given(objects, st.tuples(changed(CALL), changed(FORBIDDEN), changed(INVOKED)))
def test_no_body_carries_a_forbidden_call_at_length(made: Any, sent: tuple[bytes, ...]) -> None:
    """No body carries a forbidden call with many more examples."""
    for body in (written(made).encode(), *sent):
        nothing_forbidden_leaves(body)


def test_the_judge_is_judged() -> None:
    """What is permitted leaves, what is not does not, and the careless reader finds what there is to find."""
    assert may_leave(CALL) and may_leave(INVOKED)
    assert not may_leave(FORBIDDEN)
    assert BAD in set(carelessly_called(json.loads(FORBIDDEN, object_pairs_hook=Read)))
    within = written(call(INVOKE, (("Name", BAD),))).encode()
    assert BAD in set(carelessly_called(json.loads(within, object_pairs_hook=Read)))


# --- accounts

LIMITED = ToolRules("agent", Access.ADMIN, None, PUBLISHED, OwnAccounts(frozenset((b"123",)), frozenset((b"a.1",))))
OWN = frozenset(("123", "a.1"))
_MEMBERS = (
    "profileId",
    "profile_id",
    "ProfileIDs",
    "profile",
    "id",
    "accountId",
    "accessRequestedAccounts",
    "body",
    "x",
)
_VALUES = st.sampled_from(("123", 123, "a.1", "124", 124, 123.0, "a.2", "", None, True, "x"))
arguments = st.recursive(
    _VALUES,
    lambda inner: st.one_of(
        st.lists(st.tuples(st.sampled_from(_MEMBERS), inner), max_size=4).map(tuple),
        st.lists(inner, max_size=3),
        inner.map(written),
    ),
    max_leaves=12,
)
NAMING = written(
    call(GOOD, (("profileId", "123"), ("body", (("accountId", "a.1"), ("note", '{"profileId":"123"}')))))
).encode()
FOREIGN = NAMING.replace(b'"123"', b'"124"', 1)


def no_foreign_account_leaves(body: bytes) -> None:
    if may_leave(body, LIMITED):
        assert find_foreign_account(body, OWN) == ""


@briefly
@given(arguments, st.booleans(), st.tuples(changed(NAMING), changed(FOREIGN)))
def test_no_body_names_a_foreign_account(made: Any, invoked: bool, sent: tuple[bytes, ...]) -> None:
    """Members and values at any depth, in texts, in the arguments of an invoked tool, and with bytes changed."""
    called = call(INVOKE, (("name", GOOD), ("arguments", made))) if invoked else call(GOOD, made)
    for body in (written(called).encode(), *sent):
        no_foreign_account_leaves(body)


@at_length
@given(arguments, st.booleans(), st.tuples(changed(NAMING), changed(FOREIGN)))
def test_no_body_names_a_foreign_account_at_length(made: Any, invoked: bool, sent: tuple[bytes, ...]) -> None:
    """No body names a foreign account with many more examples."""
    called = call(INVOKE, (("name", GOOD), ("arguments", made))) if invoked else call(GOOD, made)
    for body in (written(called).encode(), *sent):
        no_foreign_account_leaves(body)


def test_both_readers_find_accounts() -> None:
    """What names the client's own leaves, what names another does not, and the careless reader finds that, too."""
    assert may_leave(NAMING, LIMITED) and find_foreign_account(NAMING, OWN) == ""
    assert not may_leave(FOREIGN, LIMITED) and find_foreign_account(FOREIGN, OWN) == "124"
