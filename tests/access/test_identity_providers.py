"""What a token says, and whether it is a client's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from proxy.access.identity_providers import (
    MAX_SHOWN,
    MAX_TOKEN_BYTES,
    ClaimPattern,
    IdentityProvider,
    TokenRule,
    check_audience,
    check_times,
    looks_like_token,
    read_token,
    shown,
    subject_of,
)
from proxy.errors import TokenRefused
from tests.support.issuers import encode, part

NOW = 1_800_000_000.0
CLUSTER = IdentityProvider("cluster", "https://kubernetes.default.svc", "ads-proxy", frozenset(("RS256",)))
HEADER = {"alg": "RS256", "kid": "first", "typ": "JWT"}
CLAIMS = {"iss": CLUSTER.issuer, "aud": "ads-proxy", "exp": NOW + 300, "nbf": NOW, "iat": NOW, "sub": "a"}


def token(header: Any = HEADER, claims: Any = CLAIMS, signature: bytes = b"signature") -> bytes:
    return f"{part(header)}.{part(claims)}.{encode(signature)}".encode()


def rule(**claims: tuple[str, ...]) -> TokenRule:
    return TokenRule(CLUSTER, tuple((name, tuple(map(ClaimPattern, texts))) for name, texts in claims.items()))


# --- patterns


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("repo:acme/bidder:ref:refs/heads/main", "repo:acme/bidder:ref:refs/heads/main", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/bidder:ref:refs/heads/main", True),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/bidder:ref:refs/heads/mainline", False),
        ("repo:acme/*", "repo:acme/bidder:ref:refs/heads/main", False),
        ("repo:acme/*:*", "repo:acme/bidder:pull_request", True),
        ("repo:acme/*:*", "repo:acme/x:ref:refs/heads/main", False),
        ("repo:acme*/bidder:environment:production", "repo:acme-evil/bidder:environment:production", True),
        ("repo:acme/*:environment:production", "repo:acme/x:pull_request:environment:production", False),
        ("spiffe://example.org/ads/*", "spiffe://example.org/ads/nightly", True),
        ("spiffe://example.org/*", "spiffe://example.org/ads/nightly", False),
        ("spiffe://example.org/ads/night*ly-*", "spiffe://example.org/ads/nightly-1", True),
        ("system:serviceaccount:ads:nightly", "system:serviceaccount:ads:Nightly", False),
        ("system:serviceaccount:ads:nightly", "system:serviceaccount:ads:nightly ", False),
        ("system:serviceaccount:ads:nightly", "system/serviceaccount/ads/nightly", False),
        ("*", "a.b-c?d", True),
        ("*", "a:b", False),
        ("*", "\ud800", True),
        ("a?c", "abc", False),
    ],
)
def test_a_star_matches_within_one_segment(pattern: str, value: str, matches: bool) -> None:
    """Segments end at a colon and at a slash; all else is literal."""
    assert ClaimPattern(pattern).matches(value) is matches


@pytest.mark.parametrize(
    ("claims", "misfit"),
    [
        ({"sub": "a", "role": "x"}, ""),
        ({"sub": "a", "role": "y"}, ""),
        ({"sub": "a", "role": ["z", "y"]}, ""),
        ({"sub": "b", "role": "x"}, "sub"),
        ({"sub": "a", "role": "z"}, "role"),
        ({"sub": "a", "role": []}, "role"),
        ({"sub": "a", "role": {"x": 1}}, "role"),
        ({"sub": "a", "role": [["x"]]}, "role"),
        ({"sub": "a", "role": True}, "role"),
        ({"sub": "a", "role": None}, "role"),
        ({"sub": "a"}, "role"),
        ({}, "sub"),
    ],
)
def test_every_claim_has_to_fit(claims: dict[str, Any], misfit: str) -> None:
    """One of several texts suffices, on either side; only texts fit."""
    assert rule(sub=("a",), role=("x", "y")).find_misfit(claims) == misfit


def test_rules_differ_by_all_that_they_say() -> None:
    """A placeholder that was issued by one rule is none of another."""
    other = TokenRule(IdentityProvider("cluster", "https://other", "ads-proxy", frozenset()), rule(sub=("a",)).claims)
    rules = (rule(sub=("a",)), rule(sub=("b",)), rule(sub=("a", "b")), rule(role=("a",)), other)
    assert len({each.digest for each in rules}) == len(rules)
    assert rule(sub=("a",)).digest == rule(sub=("a",)).digest


# --- form


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        (token(), True),
        (b"e30.e30.", True),
        (b"e30.e30.x", True),
        (b"e30.e30", False),
        (b"e30..x", False),
        (b".e30.x", False),
        (b"a.b.c.d.e", False),
        (b"e3+.e30.x", False),
        (b"e30.e30.x=", False),
        (b"e30.e30.x\n", False),
        (b"key-of-bidder", False),
        (b"", False),
    ],
)
def test_a_token_is_told_by_its_form(text: bytes, looks: bool) -> None:
    """All else is a key, or nothing."""
    assert looks_like_token(text) is looks


def test_a_token_is_read() -> None:
    """Pointers to keys are no part of what is read (RFC 8725, 3.10)."""
    pointers = {"jku": "https://evil.example/jwks", "x5u": "https://evil.example/x", "jwk": {"kty": "oct"}, "x5c": [""]}
    for header in (HEADER, {**HEADER, "typ": "at+jwt"}, {**HEADER, "typ": "jwt"}, {**HEADER, **pointers}):
        read = read_token(token(header))
        assert (read.algorithm, read.key_id, read.issuer, read.claims) == ("RS256", "first", CLUSTER.issuer, CLAIMS)
        assert (read.signed, read.signature) == (token(header).rpartition(b".")[0], b"signature")
    assert read_token(token({"alg": "RS256"})).key_id == ""


NESTED = json.dumps("e30.e30.x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (token(claims={**CLAIMS, "padding": "x" * MAX_TOKEN_BYTES}), "longer than 8192 bytes"),
        (token({**HEADER, "typ": "secevent+jwt"}), "of a type"),
        (token({**HEADER, "typ": "dpop+jwt"}), "of a type"),
        (token({**HEADER, "typ": 1}), "of a type"),
        (token({**HEADER, "crit": ["exp"]}), "member crit"),
        (token({**HEADER, "b64": False}), "member b64"),
        (token({**HEADER, "zip": "DEF"}), "member zip"),
        (token({**HEADER, "cty": "JWT"}), "member cty"),
        (token({**HEADER, "enc": "A128GCM"}), "member enc"),
        (token({"kid": "first"}), "alg or a kid"),
        (token({**HEADER, "alg": ["RS256"]}), "alg or a kid"),
        (token({**HEADER, "kid": {"x": 1}}), "alg or a kid"),
        (token([HEADER]), "header .* one unambiguous JSON object"),
        (token(claims="e30.e30.x"), "payload .* one unambiguous JSON object"),
        (token(claims=[CLAIMS]), "payload .* one unambiguous JSON object"),
        (token(claims={"sub": "a"}), "no issuer"),
        (token(claims={**CLAIMS, "iss": [CLUSTER.issuer]}), "no issuer"),
        (b"e30a0.e30.x", "not base64url|one unambiguous JSON object"),
        (b"e30.e30.xxxxx", "of a type|alg or a kid|base64url"),
        (token().rpartition(b".")[0] + b".xxxxx", "not base64url"),
    ],
)
def test_odd_tokens_are_refused(text: bytes, words: str) -> None:
    """What two readers could understand differently, and what is not implemented, is refused before it is verified."""
    with pytest.raises(TokenRefused, match=words):
        read_token(text)


@pytest.mark.parametrize("where", [0, 1, 2])
def test_each_part_has_one_spelling(where: int) -> None:
    """The bits of the last character that encode nothing are zero (RFC 4648, 3.5)."""
    header, claims = (json.dumps(each).encode() for each in (HEADER, CLAIMS))
    spelled = [encode(each + b" " * ((1 - len(each)) % 3)) for each in (header, claims, b"signature ")]
    assert read_token(".".join(spelled).encode()).signature == b"signature "
    last = spelled[where][-1]
    other = chr(ord(last) + 1)
    assert base64.urlsafe_b64decode(spelled[where][:-1] + other + "==") == base64.urlsafe_b64decode(
        spelled[where] + "=="
    )
    spelled[where] = spelled[where][:-1] + other
    with pytest.raises(TokenRefused, match="not base64url"):
        read_token(".".join(spelled).encode())


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize(
    "json_text",
    [
        '{"alg":"RS256","alg":"none","iss":"a","iss":"b"}',
        '{"alg":"RS256","iss":"a","x":{"y":1,"y":2}}',
        '{"alg":"RS256","iss":"a","exp":NaN}',
        '{"alg":"RS256","iss":"a","exp":1e999}',
        '\ufeff{"alg":"RS256","iss":"a"}',
        '{"alg":"RS256","iss":"a"} {}',
        "[" * 5000,
        '{"exp":' + "9" * 5000 + "}",
    ],
)
def test_json_with_two_meanings_is_refused(where: int, json_text: str) -> None:
    """Duplicate members, at any depth, are the best known kind (RFC 8725, 2.6)."""
    parts = [part(HEADER), part(CLAIMS), "c2ln"]
    parts[where] = encode(json_text.encode())
    with pytest.raises(TokenRefused, match="unambiguous"):
        read_token(".".join(parts).encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    """JSON is UTF-8 (RFC 8259, 8.1)."""
    parts = [part(HEADER), encode(b'{"iss":"\xff"}'), "c2ln"]
    with pytest.raises(TokenRefused, match="payload"):
        read_token(".".join(parts).encode())


# --- times


def test_a_token_is_accepted_with_a_minute_of_leeway() -> None:
    """Clocks of two machines differ."""
    claims = {"exp": NOW, "nbf": NOW - 10.5, "iat": NOW - 10}
    assert check_times(claims, NOW + 59) == NOW + 60
    with pytest.raises(TokenRefused, match="expired at Fri, 15 Jan 2027 08:00:00 GMT"):
        check_times(claims, NOW + 60)
    assert check_times({"exp": NOW + 300, "nbf": NOW + 60, "iat": NOW + 60}, NOW)
    with pytest.raises(TokenRefused, match="not valid before"):
        check_times({"exp": NOW + 300, "nbf": NOW + 61, "iat": NOW}, NOW)
    with pytest.raises(TokenRefused, match="in the future"):
        check_times({"exp": NOW + 300, "nbf": NOW, "iat": NOW + 61}, NOW)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [..., None, "1800000000", True, -1, 1e300, 10**400, [NOW], 253402300800])
def test_each_time_is_required_as_a_number(name: str, value: Any) -> None:
    """A token that never expires is refused as one that expired is."""
    claims = {"exp": NOW + 300, "nbf": NOW, "iat": NOW, name: value}
    with pytest.raises(TokenRefused, match=f"no time {name}"):
        check_times({key: value for key, value in claims.items() if value is not ...}, NOW)


def test_a_provider_may_leave_nbf_out() -> None:
    """What is there has to be right nevertheless."""
    claims = {"exp": NOW + 300, "iat": NOW}
    assert check_times(claims, NOW, requires_nbf=False) == NOW + 360
    for begins, words in ((NOW + 61, "not valid before"), (None, "no time nbf"), ("x", "no time nbf")):
        with pytest.raises(TokenRefused, match=words):
            check_times({**claims, "nbf": begins}, NOW, requires_nbf=False)
    with pytest.raises(TokenRefused, match="no time iat"):
        check_times({"exp": NOW + 300}, NOW, requires_nbf=False)


# --- audience, and what is shown


@pytest.mark.parametrize("audience", ["ads-proxy", ["ads-proxy"], ["other", "ads-proxy"]])
def test_one_of_several_audiences_suffices(audience: Any) -> None:
    """One audience of several suffices (RFC 7519, 4.1.3)."""
    check_audience({"aud": audience}, "ads-proxy")


@pytest.mark.parametrize(
    ("audience", "words"),
    [
        ("other", "another audience"),
        ("Ads-Proxy", "another audience"),
        ("ads-proxy/", "another audience"),
        (["other", "third"], "another audience"),
        ([], "no audience"),
        (None, "no audience"),
        ({"ads-proxy": True}, "no audience"),
        (["ads-proxy", 1], "no audience"),
        ([["ads-proxy"]], "no audience"),
    ],
)
def test_other_audiences_are_refused_without_telling_ours(audience: Any, words: str) -> None:
    """The answer says what is wrong, not what would be right."""
    with pytest.raises(TokenRefused, match=words) as refused:
        check_audience({"aud": audience}, "ads-proxy")
    assert "ads-proxy" not in refused.value.detail


def test_a_subject_is_shown_in_plain_characters() -> None:
    """Whatever an issuer signs, a line of the log stays one line."""
    assert subject_of({"sub": "repo:acme/bidder"}) == "repo:acme/bidder"
    assert subject_of({"sub": "a\nb\x1b[0m\u202e\ud800"}) == "a?b?[0m\\u202e\\ud800"
    assert subject_of({"sub": "x" * 500}) == "x" * MAX_SHOWN + "..."
    assert subject_of({"sub": 1}) == subject_of({}) == ""
    assert shown(["a"]) == '["a"]'


def test_padding_is_no_part_of_a_token() -> None:
    """The signature covers the text as it was sent."""
    assert base64.urlsafe_b64decode(encode(b"ab") + "=") == b"ab"
    assert not looks_like_token(token() + b"=")
