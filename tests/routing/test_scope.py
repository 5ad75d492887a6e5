"""The Scope rules against Amazon's own specifications, and the choice of the Scope that is sent."""

from __future__ import annotations

import re

import pytest

from proxy.app.rules import make_routing_table
from proxy.http1.target import path_segments
from proxy.routing.operations import PUBLISHED, ScopeRule
from proxy.routing.scope import find_scope_rule, wants_default
from proxy.routing.table import EmptyDirectory
from scripts.make_operations import SCOPE, STRENGTH, strength
from scripts.specifications import Described, read_specifications
from tests.support.deciding import NAMING_AN_ADVERTISER, config, fields, routed
from tests.support.specifications import published_specifications

EITHER_WILL_DO = {f"/adsApi/v1/{verb}/ads" for verb in ("create", "query", "update", "delete")}
"""One file alone requires a Scope here, and knows no account id; others let the account id do instead."""


@pytest.fixture(scope="module")
def published() -> tuple[Described, ...]:
    return read_specifications(published_specifications())


def test_every_published_operation_has_its_rule(published: tuple[Described, ...]) -> None:
    """All 723 operations of Amazon's files are found in the table, with the strongest rule that any file has.

    Four of them are optional though a file says required: a caller of another file has no Scope to send.
    """
    assert len(published) == 723
    rules: dict[tuple[str, str], str] = {}
    for described in published:
        rules[described.key] = max(
            rules.get(described.key, "never"), strength(described, SCOPE), key=STRENGTH.__getitem__
        )
    wrong, softened = [], set()
    for described in published:
        path = re.sub(r"\{[^{}]*\}", "some-Value_1", described.path).encode()
        found = find_scope_rule(described.method.encode(), path)
        if found is ScopeRule.OPTIONAL and rules[described.key] == "required":
            softened.add(described.path)
        elif found.value != rules[described.key] or STRENGTH[found.value] < STRENGTH[strength(described, SCOPE)]:
            wrong.append((described, found))
    assert not wrong
    assert softened == EITHER_WILL_DO


def test_published_operations_are_counted(published: tuple[Described, ...]) -> None:
    """Scope is required on 282 operations of the files, optional on 242, and absent from 199."""
    counts = [sum(strength(each, SCOPE) == rule for each in published) for rule in ("required", "optional", "never")]
    assert counts == [282, 242, 199]


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        (b"GET", b"/v2/profiles", ScopeRule.NEVER),
        (b"HEAD", b"/v2/profiles", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/", ScopeRule.NEVER),
        (b"GET", b"//v2//profiles", ScopeRule.NEVER),
        (b"GET", b"/v2/%70rofiles", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/123", ScopeRule.NEVER),
        (b"GET", b"/v2/profiles/1%2F3", ScopeRule.NEVER),
        (b"GET", b"/V2/profiles", ScopeRule.UNKNOWN),
        (b"get", b"/v2/profiles", ScopeRule.UNKNOWN),
        (b"DELETE", b"/v2/profiles", ScopeRule.UNKNOWN),
        (b"GET", b"/v2/profiles/123/more", ScopeRule.UNKNOWN),
        (b"GET", b"/v2", ScopeRule.UNKNOWN),
        (b"GET", b"/", ScopeRule.UNKNOWN),
        (b"GET", b"", ScopeRule.UNKNOWN),
        (b"GET", b"/never/heard/of", ScopeRule.UNKNOWN),
        (b"GET", b"/{}", ScopeRule.UNKNOWN),
        (b"POST", b"/sp/campaigns/list", ScopeRule.REQUIRED),
        (b"POST", b"/reporting/reports", ScopeRule.OPTIONAL),
        (b"POST", b"/sp/global/targets/keywords/recommendations/list", ScopeRule.REQUIRED),
        (b"POST", b"/v2/dp/audiencemetadata", ScopeRule.NEVER),
        (b"GET", b"/amc/instances", ScopeRule.OPTIONAL),
        (b"POST", b"/amc/instances", ScopeRule.NEVER),
        (b"GET", b"/accounts/ENTITY1/dsp/amazonAdTag", ScopeRule.OPTIONAL),
        (b"GET", b"/managerAccounts", ScopeRule.NEVER),
        (b"POST", b"/adsAccounts/list", ScopeRule.NEVER),
        (b"GET", b"/adsAccounts/list", ScopeRule.NEVER),
        (b"GET", b"/testAccounts", ScopeRule.NEVER),
        (b"GET", b"/partnerOpportunities/summary", ScopeRule.NEVER),
    ],
)
def test_rule_of_an_operation(method: bytes, path: bytes, rule: ScopeRule) -> None:
    """Method and path find their rule, however the path spells its slashes and letters."""
    assert find_scope_rule(method, path) is rule


def test_a_literal_segment_beats_a_parameter_unless_the_rest_does_not_fit() -> None:
    """`/adsAccounts/list` is its own operation for POST; for GET it is an account of that name."""
    assert {"/adsAccounts/list", "/adsAccounts/{advertisingAccountId}"} <= {row.template for row in PUBLISHED}
    assert find_scope_rule(b"GET", b"/adsAccounts/list") is find_scope_rule(b"GET", b"/adsAccounts/7")


def test_segments_are_decoded_after_the_path_was_split() -> None:
    """An encoded slash does not make two segments of one."""
    assert path_segments(b"/a//b%2Fc/%64/") == (b"a", b"b/c", b"d")


OPERATIONS = {
    ScopeRule.REQUIRED: (b"POST", b"/sp/campaigns/list"),
    ScopeRule.OPTIONAL: (b"POST", b"/reporting/reports"),
    ScopeRule.UNKNOWN: (b"GET", b"/no/such/operation"),
    ScopeRule.NEVER: (b"GET", b"/v2/profiles"),
}


def sent_scope(rule: ScopeRule, own: bytes, names_account: bool, default: str | None) -> bytes:
    """The Scope with which a request leaves: an operation of this rule, an account with this default profile."""
    method, path = OPERATIONS[rule]
    assert find_scope_rule(method, path) is rule
    table = make_routing_table(config({"acme": {"default_profile": default}}), EmptyDirectory())
    lines = (NAMING_AN_ADVERTISER,) if names_account else ()
    return routed(method, path, fields(*lines, scopes=(own,) if own else ()), table).profile


@pytest.mark.parametrize(
    ("rule", "own", "names_account", "sent"),
    [
        (ScopeRule.REQUIRED, b"", False, b"9"),
        (ScopeRule.REQUIRED, b"", True, b"9"),
        (ScopeRule.REQUIRED, b"1", False, b"1"),
        (ScopeRule.OPTIONAL, b"", False, b"9"),
        (ScopeRule.OPTIONAL, b"", True, b""),
        (ScopeRule.OPTIONAL, b"1", True, b"1"),
        (ScopeRule.UNKNOWN, b"", False, b"9"),
        (ScopeRule.UNKNOWN, b"", True, b""),
        (ScopeRule.UNKNOWN, b"1", True, b"1"),
        (ScopeRule.NEVER, b"", False, b""),
        (ScopeRule.NEVER, b"", True, b""),
        (ScopeRule.NEVER, b"1", True, b"1"),
    ],
)
def test_scope_that_is_sent(rule: ScopeRule, own: bytes, names_account: bool, sent: bytes) -> None:
    """The client's own always passes; the default one goes where the operation wants it and nothing contradicts it."""
    assert sent_scope(rule, own, names_account, "9") == sent
    if not own:
        assert wants_default(rule, names_account) is (sent == b"9")


@pytest.mark.parametrize("rule", ScopeRule)
def test_without_a_default_no_scope_is_invented(rule: ScopeRule) -> None:
    """An account without a default profile sends none, whatever the operation wants."""
    assert sent_scope(rule, b"", False, None) == b""
