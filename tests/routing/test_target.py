"""How a request target is cut into prefix, rest and kind."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.errors import MalformedRequest, Refused, UnknownRoute
from proxy.http1.request_fields import RequestFields
from proxy.http1.target import TargetForm, parse_target, path_segments
from proxy.routing.operations import PUBLISHED
from proxy.routing.target import (
    READ_NAMED_REPORT,
    Destination,
    TargetKind,
    ends_like_mcp,
    find_destination,
    may_be_local,
    summarise,
)
from tests.support.deciding import fields, request, summary


def read(target: bytes) -> Destination:
    """What a target asks for."""
    return find_destination(parse_target(target))


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("target", "name", "region", "prefix", "rest"),
    [
        (b"/v2/profiles", "", "", b"", b"/v2/profiles"),
        (b"/v2/x?a=https://b//c&d=%2f", "", "", b"", b"/v2/x?a=https://b//c&d=%2f"),
        (b"//v2//x", "", "", b"", b"//v2//x"),
        (b"/", "", "", b"", b"/"),
        (b"/?x", "", "", b"", b"/?x"),
        (b"/eu/v2/x?y", "", "eu", b"/eu", b"/v2/x?y"),
        (b"/na//x", "", "na", b"/na", b"//x"),
        (b"/fe", "", "fe", b"/fe", b"/"),
        (b"/fe?x=/eu/", "", "fe", b"/fe", b"/?x=/eu/"),
        (b"/fe/", "", "fe", b"/fe", b"/"),
        (b"/EU/x", "", "", b"", b"/EU/x"),
        (b"/eux/x", "", "", b"", b"/eux/x"),
        (b"/v2/eu/x", "", "", b"", b"/v2/eu/x"),
        (b"/@acme/v2/x", "acme", "", b"/@acme", b"/v2/x"),
        (b"/%40acme/v2/x", "acme", "", b"/%40acme", b"/v2/x"),
        (b"/@ac%6De/v2/x", "acme", "", b"/@ac%6De", b"/v2/x"),
        (b"/@acme/eu/v2/%2F?q=%20", "acme", "eu", b"/@acme/eu", b"/v2/%2F?q=%20"),
        (b"/@acme/eu", "acme", "eu", b"/@acme/eu", b"/"),
        (b"/@acme", "acme", "", b"/@acme", b"/"),
        (b"/@acme?x=1", "acme", "", b"/@acme", b"/?x=1"),
        (b"/@acme/eu?x=/y", "acme", "eu", b"/@acme/eu", b"/?x=/y"),
        (b"/@acme/eu/na/x", "acme", "eu", b"/@acme/eu", b"/na/x"),
        (b"/x/@acme", "", "", b"", b"/x/@acme"),
    ],
)
def test_prefix_is_cut_and_the_rest_is_left_as_it_was(
    target: bytes, name: str, region: str, prefix: bytes, rest: bytes
) -> None:
    """Only the selecting prefix goes; not one other byte changes."""
    found = read(target)
    assert (found.name, found.region, found.prefix, found.target) == (name, region, prefix, rest)
    assert found.path == rest.partition(b"?")[0]
    assert found.authority == b""


@pytest.mark.parametrize(
    ("target", "authority", "prefix", "rest"),
    [
        (b"http://Advertising-API.amazon.com/v2/x?y", b"advertising-api.amazon.com", b"", b"/v2/x?y"),
        (b"HTTP://h:80", b"h:80", b"", b"/"),
        (b"http://h?x", b"h", b"", b"/?x"),
        (b"http://h/?u=http://other/", b"h", b"", b"/?u=http://other/"),
        (b"http://h//x", b"h", b"", b"//x"),
        (b"http://h/@acme/eu/x", b"h", b"/@acme/eu", b"/x"),
    ],
)
def test_absolute_form_becomes_origin_form(target: bytes, authority: bytes, prefix: bytes, rest: bytes) -> None:
    """What is sent on is the target's path and query (RFC 9112, 3.2.1)."""
    found = read(target)
    assert (found.authority, found.prefix, found.target) == (authority, prefix, rest)


@pytest.mark.parametrize(
    ("target", "refusal"),
    [
        (b"http:///x", MalformedRequest),
        (b"http://", MalformedRequest),
        (b"http://user@h/x", MalformedRequest),
        (b"/x#y", MalformedRequest),
        (b"/@/x", UnknownRoute),
        (b"/@", UnknownRoute),
        (b"/@a/@b/x", UnknownRoute),
        (b"/eu/@a/x", UnknownRoute),
        (b"/eu/%40a/x", UnknownRoute),
    ],
)
def test_what_is_no_target_is_refused(target: bytes, refusal: type[Refused]) -> None:
    """Fragments, users, absolute form without a host, and prefixes that cannot be read."""
    with pytest.raises(refusal):
        read(target)


SIGN_IN = [
    b"/auth/o2/tokeninfo",
    b"/auth",
    b"/auth/",
    b"/auth?x",
    b"/ap/oa",
    b"/AP/oa",
    b"/Auth/o2/token",
    b"//auth/o2/token",
    b"/./auth/o2/token",
    b"/x/../auth/o2/token",
    b"/../auth/x",
    b"/auth/../v2/profiles",
    b"/%61uth/o2/token",
    b"/%61%75%74%68/o2/token",
    b"/%2561uth/o2/token",
    b"/x%2f..%2fauth/o2/token",
    b"/x/%2e%2e/auth/o2/token",
    b"/.%2fauth/x",
    b"/auth;v=1/o2/token",
    b"/auth%3Bv=1/o2/token",
    b"/\\auth\\o2\\token",
    b"/auth%20/o2/token",
    b"/auth%00/o2/token",
    b"/auth%3f/o2",
    b"/auth%23",
    b"/ap.json",
    b"/%252561uth/o2/token",
    b"/auth/o2/token/",
    b"/auth//o2/token",
    b"/@acme/ap/oa",
    b"/@acme/eu/%61p/oa",
    b"/eu//ap/oa",
]


@pytest.mark.parametrize("target", SIGN_IN)
def test_sign_in_paths_are_known_in_every_spelling(target: bytes) -> None:
    """No spelling of /auth/* and /ap/* looks like a path of the API."""
    assert read(target).kind is TargetKind.SIGN_IN


@pytest.mark.parametrize(
    "target",
    [b"/authors", b"/apps", b"/v2/auth/x", b"/x/ap", b"/a%75/x", b"/%25252561uth", b"/v2/x/..", b"/v2/x/../auth"],
)
def test_paths_that_only_resemble_sign_in_pass(target: bytes) -> None:
    """The rule is about the first segment, as whole."""
    assert read(target).kind is TargetKind.API


@pytest.mark.parametrize("target", [b"/mcp", b"/mcp/", b"/mcp/lite", b"/mcp?x", b"/@acme/eu/mcp"])
def test_mcp_is_a_kind_of_its_own(target: bytes) -> None:
    """`/mcp` and `/mcp/lite` lead to the hosted MCP endpoint."""
    assert read(target).kind is TargetKind.MCP


@pytest.mark.parametrize("target", [b"/mcp/other", b"/mcpx", b"/x/mcp"])
def test_other_paths_are_not_mcp(target: bytes) -> None:
    """Only the two paths of Amazon's endpoint are MCP."""
    assert read(target).kind is TargetKind.API


@pytest.mark.parametrize(
    "target",
    [
        b"/.well-known/oauth-protected-resource",
        b"/.well-known/oauth-protected-resource/mcp",
        b"/.well-known/oauth-protected-resource/@acme/eu/mcp",
        b"/.well-known/oauth-authorization-server",
        b"/.well-known/oauth-authorization-server/mcp?x",
        b"/.well-known/openid-configuration/mcp/lite",
        b"/mcp/.well-known/openid-configuration",
        b"/@acme/eu/mcp/.well-known/oauth-authorization-server",
        b"/register",
        b"/authorize?client_id=x",
        b"/@acme/token",
    ],
)
def test_a_login_of_a_tools_own_is_a_kind_of_its_own(target: bytes) -> None:
    """What MCP clients ask before a login, and where they go on without an answer; told before anything is decoded."""
    assert read(target).kind is TargetKind.LOGIN
    assert may_be_local(parse_target(target))


@pytest.mark.parametrize(
    "target",
    [b"/.well-known/other", b"/well-known/oauth-protected-resource", b"/v2/register", b"/tokens", b"/register/x"],
)
def test_other_paths_are_no_login(target: bytes) -> None:
    """Only the names in the specifications are sign-in paths."""
    assert read(target).kind is TargetKind.API


def test_a_sign_in_path_stays_one() -> None:
    """Metadata of a path below /auth is no other kind."""
    assert read(b"/auth/.well-known/openid-configuration").kind is TargetKind.SIGN_IN


@pytest.mark.parametrize(
    ("target", "own"),
    [
        (b"/-/reports", True),
        (b"/-", True),
        (b"/@acme/eu/-/x", True),
        (b"/%2d/reports", True),
        (b"//-/reports", True),
        (b"/-/auth/o2/token", True),
        (b"/-/.well-known/openid-configuration", True),
        (b"/--/reports", False),
        (b"/v2/-/reports", False),
        (b"/v2?/-/reports", False),
        (b"/", False),
    ],
)
def test_named_reports_have_paths_of_their_own(target: bytes, own: bool) -> None:
    """Whatever is behind `/-`, and only where there are named reports; log and policy know it as a read."""
    found = find_destination(parse_target(target), with_own_paths=True)
    assert (found.kind is TargetKind.REPORTS) is own
    assert read(target).kind is not TargetKind.REPORTS
    if own:
        asked = summarise(b"POST", fields(), found, PUBLISHED)
        assert asked.operation is READ_NAMED_REPORT


@pytest.mark.parametrize(
    ("target", "bound"),
    [
        (b"/auth/o2/token", ""),
        (b"/auth/o2/token?x=1", ""),
        (b"/eu/auth/o2/token", ""),
        (b"/@brand-eu/auth/o2/token", "brand-eu"),
        (b"/%40acme/na/auth/o2/token", "acme"),
        (b"/v2/profiles", None),
        (b"/x?u=/auth/o2/token", None),
        (b"/x/auth/o2/token", None),
        (b"/auth/o2/token/x", None),
    ],
)
def test_token_endpoint_is_found_and_a_prefix_binds(target: bytes, bound: str | None) -> None:
    """The exact path is the local token endpoint, behind a prefix too."""
    found = read(target)
    assert (found.name if found.kind is TargetKind.TOKEN else None) == bound


PIECES = st.sampled_from(
    [b"/", b"@", b"%40", b"eu", b"/na", b"?", b"auth", b"ap", b"%2f", b"..", b"\\", b";", b"http://h", b"mcp"]
)


@UNHURRIED
@given(st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=12).map(b"".join))
def test_any_target_is_cut_without_losing_a_byte_or_refused(target: bytes) -> None:
    """Prefix and rest are the target again, save for the slash that an empty rest needs."""
    try:
        split = parse_target(target)
        found = find_destination(split)
    except Refused:
        return
    if split.form not in (TargetForm.ORIGIN, TargetForm.ABSOLUTE):
        return
    if not found.authority:
        assert found.prefix + found.target in (target, found.prefix + b"/" + target[len(found.prefix) :])
    assert found.target.startswith(b"/") and found.path == found.target.partition(b"?")[0]
    assert (found.prefix == b"") == (not found.name and not found.region)
    assert found.segments == path_segments(found.path)


READ = fields(scopes=(b"7",))


def test_a_summary_holds_what_chooses_account_region_and_operation() -> None:
    """The parts of the target without its prefix, and the table's row."""
    asked = summary(request(b"GET", b"/@acme/eu/v2/profiles/7?a=1", READ))
    assert (asked.method, asked.fields, asked.kind) == (b"GET", READ, TargetKind.API)
    assert (asked.name, asked.region, asked.prefix, asked.authority) == ("acme", "eu", b"/@acme/eu", b"")
    assert asked.operation is not None and asked.operation.name == "getProfileById"
    assert (asked.unknown_path, asked.segments) == (b"", (b"v2", b"profiles", b"{}"))


@pytest.mark.parametrize("target", [b"/v2/profiles/8?a=1", b"/v2/profiles/7?a=2", b"/v2/profiles/7"])
def test_parts_that_no_decision_reads_make_no_difference(target: bytes) -> None:
    """Two targets of one operation have one summary."""
    assert summary(request(b"GET", b"/v2/profiles/7?a=1", READ)) == summary(request(b"GET", target, READ))


@pytest.mark.parametrize("target", [b"/v2/unheard/of", b"/mcp"])
def test_the_path_of_a_request_without_an_operation_is_always_read(target: bytes) -> None:
    """Nothing else tells it from others."""
    asked = summary(request(b"POST", target, READ))
    assert (asked.operation, asked.unknown_path) == (None, target)
    assert asked.segments == tuple(target.split(b"/")[1:])


@pytest.mark.parametrize(
    ("method", "target", "read"),
    [
        (b"POST", b"/v2/profiles", READ),
        (b"GET", b"/eu/v2/profiles", READ),
        (b"GET", b"/@acme/v2/profiles", READ),
        (b"GET", b"http://127.0.0.1:8080/v2/profiles", READ),
        (b"GET", b"/v2/profiles", fields(scopes=(b"8",))),
    ],
)
def test_every_part_that_a_decision_reads_makes_a_difference(method: bytes, target: bytes, read: RequestFields) -> None:
    """Method, prefix, region, authority and header section."""
    first = summary(request(b"GET", b"/v2/profiles", READ))
    assert summary(request(method, target, read)) != first


@pytest.mark.parametrize(
    ("target", "ends"),
    [(b"/mcp", True), (b"/@nobody/mcp/lite", True), (b"/@acme/eu/mcp", True), (b"/v2/mcpx", False), (b"/", False)],
)
def test_a_target_ends_like_the_mcp_endpoint(target: bytes, ends: bool) -> None:
    """Whatever stands before it, an unknown prefix too."""
    assert ends_like_mcp(parse_target(target)) is ends
