"""What passes, what is read and what is refused of header sections, each way."""

from __future__ import annotations

import tracemalloc

import pytest

from proxy.errors import (
    ExpectationFailed,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    Refused,
    UpstreamMalformed,
)
from proxy.http1.headers import (
    AnswerFacts,
    Facts,
    account_lines,
    examine,
    examine_answer,
    passing_answer_trailers,
    passing_trailers,
    request_head,
    with_length,
    with_location,
)


def facts(*lines: bytes, minor: int = 1, host: bool = True) -> Facts:
    """The facts of a section with these lines, a Host before them."""
    section = b"".join(line + b"\r\n" for line in ((b"Host: h", *lines) if host else lines))
    return examine(section, minor, 100)


def answer(*lines: bytes, minor: int = 1) -> AnswerFacts:
    """The facts of an answer with these lines."""
    return examine_answer(b"".join(line + b"\r\n" for line in lines), minor)


def test_ordinary_lines_pass_byte_for_byte_in_order() -> None:
    """Names keep their case, values their bytes, repetitions their places."""
    lines = (b"aCCept: application/vnd.spCampaign.v3+json", b"X-B: \xff", b"x-b: 2", b"Content-Length: 3")
    assert facts(*lines).passing == b"".join(line + b"\r\n" for line in lines)


@pytest.mark.parametrize(
    "line",
    [
        b"Authorization: Bearer x",
        b"AUTHORIZATION: x",
        b"Amazon-Advertising-API-ClientId: x",
        b"amazon_advertising_api_clientid: x",
        b"Amazon-Ads-ClientId: x",
        b"Amazon_Ads-ClientId: x",
        b"Amazon-Advertising-API-Scope: 1",
        b"Amazon_Advertising_API_Scope: 1",
        b"Cookie: a=b",
        b"X-Ads-Account: acme",
        b"X_Ads_Account: acme",
        b"X-Ads-Region: eu",
        b"X-Ads-Proxy-Key: k",
        b"Via: 1.1 x",
        b"Forwarded: for=x",
        b"X-Forwarded-For: 1.2.3.4",
        b"X_Forwarded_Proto: https",
        b"Connection: close",
        b"Keep-Alive: 5",
        b"Proxy-Connection: x",
        b"Proxy-Authorization: x",
        b"TE: trailers",
        b"Upgrade: websocket",
        b"HTTP2-Settings: x",
        b"Transfer_Encoding: chunked",
        b"Content_Length: 7",
    ],
)
def test_what_never_leaves(line: bytes) -> None:
    """Injected names in every spelling, selectors, keys, cookies, hop-by-hop and forwarding fields."""
    assert facts(line, b"Keep: me").passing == b"Keep: me\r\n"


def test_names_that_connection_lists_do_not_leave() -> None:
    """RFC 9110, 7.6.1; but the length of the body stays, whoever lists it."""
    seen = facts(
        b"Connection: X-Hop, content-length ,close", b"x-hop: 1", b"X_Hop: 2", b"Content-Length: 3", b"Keep: me"
    )
    assert seen.passing == b"Content-Length: 3\r\nKeep: me\r\n"
    assert seen.close
    assert seen.content_length == 3


def test_selectors_keys_and_scopes_are_read() -> None:
    """Each selector comes out as text, the scopes without repetition and without empty ones."""
    seen = facts(
        b"X-Ads-Account: acme",
        b"X-Ads-Region: EU",
        b"X-Ads-Proxy-Key: k",
        b"authorization: Bearer t",
        b"Amazon-Advertising-API-Scope: 1",
        b"Amazon-Advertising-API-Scope: 1",
        b"amazon-advertising-api-scope:",
        b"Amazon-Ads-AccountId: a",
        b"Content-Type: application/json",
        b"Connection: keep-alive",
    )
    assert (seen.account, seen.region, seen.proxy_key, seen.authorization) == ("acme", "eu", b"k", b"Bearer t")
    assert (seen.scopes, seen.names_account, seen.content_type) == ((b"1",), True, b"application/json")
    assert seen.keep_alive and not seen.close
    assert seen.passing == b"Amazon-Ads-AccountId: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("name", [b"amazon-ads-accountid", b"Amazon_Ads_AccountId", b"AMAZON-Advertising_API-EntityId"])
def test_an_account_is_named_in_every_spelling(name: bytes) -> None:
    """One of docs/amazon.md, Accounts, counts however it is spelled: some servers read `_` as `-`."""
    assert facts(name + b": x").names_account


def test_a_header_that_could_change_the_request_is_noticed() -> None:
    """In every spelling; a plain one is not."""
    assert facts(b"X_HTTP-Method-Override: DELETE").overrides
    assert not facts(b"X-HTTP-Method: y", b"X-Other: z").names_account
    assert not facts(b"X-Other: z").overrides


def test_web_pages_are_recognised() -> None:
    """Origin, even empty, and Sec-Fetch-Site are seen."""
    seen = facts(b"Origin:", b"Sec-Fetch-Site: Cross-Site")
    assert seen.has_origin
    assert seen.fetch_site == b"cross-site"


@pytest.mark.parametrize(
    ("value", "kept"),
    [(b"abc-1.2_x:/+=@", "abc-1.2_x:/+=@"), (b"with space", ""), (b"", ""), (b"x" * 129, ""), (b"\xff", "")],
)
def test_a_request_id_passes_only_if_it_is_well_formed(value: bytes, kept: str) -> None:
    """What would not be safe in a log is neither logged nor forwarded."""
    seen = facts(b"X-Request-Id: " + value)
    assert seen.request_id == kept
    assert (b"X-Request-Id" in seen.passing) is bool(kept)


@pytest.mark.parametrize(
    ("lines", "minor", "error"),
    [
        ((b"Content-Length: 1", b"Content-Length: 1"), 1, MalformedRequest),
        ((b"Content-Length: +1",), 1, MalformedRequest),
        ((b"Content-Length: 1, 1",), 1, MalformedRequest),
        ((b"Content-Length: 0x1",), 1, MalformedRequest),
        ((b"Content-Length:",), 1, MalformedRequest),
        ((b"Content-Length: 1111111111111111111",), 1, MalformedRequest),
        ((b"Transfer-Encoding: chunked", b"Content-Length: 1"), 1, MalformedRequest),
        ((b"Transfer-Encoding: chunked",), 0, MalformedRequest),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 1, MalformedRequest),
        ((b"Transfer-Encoding: chunked, chunked",), 1, MalformedRequest),
        ((b"Transfer-Encoding:",), 1, MalformedRequest),
        ((b"Transfer-Encoding: gzip, chunked",), 1, NotImplementedHere),
        ((b"Transfer-Encoding: identity",), 1, NotImplementedHere),
        ((b"Transfer-Encoding: xchunked",), 1, NotImplementedHere),
        ((b"Expect: 200-ok",), 1, ExpectationFailed),
        ((b"Expect: 100-continue", b"Expect: 100-continue"), 1, ExpectationFailed),
    ],
)
def test_every_doubt_about_framing_is_a_refusal(lines: tuple[bytes, ...], minor: int, error: type[Refused]) -> None:
    """RFC 9112, 6.1 and 6.3: two readers must not differ; the connection ends."""
    with pytest.raises(error) as caught:
        facts(*lines, minor=minor)
    assert caught.value.close


def test_chunked_is_read_in_any_case() -> None:
    """Coding names are case-insensitive (RFC 9112, 7)."""
    seen = facts(b"Transfer-Encoding: Chunked")
    assert seen.chunked and seen.content_length is None
    assert seen.passing == b""


def test_expect_passes_and_http_1_0_has_none() -> None:
    """A proxy forwards the expectation; from HTTP/1.0 it means nothing (RFC 9110, 10.1.1)."""
    seen = facts(b"Expect: 100-Continue")
    assert seen.expects_continue and seen.passing == b"Expect: 100-Continue\r\n"
    assert not facts(b"Expect: 100-continue", minor=0).expects_continue


def test_host_is_required_once() -> None:
    """HTTP/1.1 needs exactly one Host, HTTP/1.0 at most one (RFC 9112, 3.2)."""
    with pytest.raises(MalformedRequest, match="no Host"):
        facts(host=False)
    with pytest.raises(MalformedRequest, match="more than once"):
        facts(b"host: h")
    with pytest.raises(MalformedRequest, match="empty"):
        facts(b"Host:", host=False)
    assert facts(host=False, minor=0).host == b""


def test_a_single_field_sent_twice_differently_is_refused() -> None:
    """Two keys or two accounts cannot both be meant; twice the same can."""
    with pytest.raises(MalformedRequest, match="x-ads-account"):
        facts(b"X-Ads-Account: a", b"X-Ads-Account: b")
    assert facts(b"X-Ads-Account: a", b"X-Ads-Account: a").account == "a"


def test_too_many_fields_are_refused() -> None:
    """The number of fields is limited."""
    with pytest.raises(HeadTooLarge, match="at most 2"):
        examine(b"Host: h\r\nA: b\r\nC: d\r\n", 1, 2)


def test_trailers_carry_nothing_that_a_head_should() -> None:
    """Only harmless names pass behind a body (RFC 9110, 6.5.1)."""
    section = b"X-Sum: 1\r\nAuthorization: x\r\nContent-Length: 5\r\nAmazon_Ads_ClientId: x\r\nHost: y\r\n"
    section += b"Amazon-Ads-AccountId: z\r\n"
    assert passing_trailers(section) == b"X-Sum: 1\r\n"
    assert passing_trailers(b"") == b""


def test_a_request_head_is_joined_from_its_parts() -> None:
    """Start line, Host, the account's lines, the profile, what passes, and the framing if it is chunked."""
    lines = account_lines("Atza|t", "amzn1.x")
    made = request_head(b"POST /a", b"Host: amazon\r\n", lines, b"42", facts(b"Transfer-Encoding: chunked", b"A: b"))
    assert made == (
        b"POST /a HTTP/1.1\r\nHost: amazon\r\nAuthorization: Bearer Atza|t\r\n"
        b"Amazon-Advertising-API-ClientId: amzn1.x\r\nAmazon-Ads-ClientId: amzn1.x\r\n"
        b"Amazon-Advertising-API-Scope: 42\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b"Scope" not in request_head(b"GET /", b"", lines, b"", facts())


def test_an_answers_lines_pass_but_for_the_hop_by_hop_ones() -> None:
    """Proxy-Status and X-Request-Id are the proxy's own; names that Connection lists end here."""
    seen = answer(
        b"Content-Type: a/b",
        b"Connection: x-hop, close",
        b"X-Hop: 1",
        b"Proxy-Status: x",
        b"X-Request-Id: y",
        b"Set-Cookie: a",
        b"Set-Cookie: b",
    )
    assert seen.passing == b"Content-Type: a/b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    assert seen.close


def test_an_answers_framing_is_read() -> None:
    """A length, the chunked coding, or neither."""
    assert answer(b"Content-Length: 5").content_length == 5
    assert answer(b"transfer-encoding: CHUNKED").chunked
    assert (answer().content_length, answer().chunked) == (None, False)
    assert answer(minor=0).close
    assert not answer(b"Connection: keep-alive", minor=0).close


@pytest.mark.parametrize(
    ("lines", "minor"),
    [
        ((b"Content-Length: 1", b"Content-Length: 2"), 1),
        ((b"Content-Length: x",), 1),
        ((b"Content-Length: 1", b"Transfer-Encoding: chunked"), 1),
        ((b"Transfer-Encoding: gzip",), 1),
        ((b"Transfer-Encoding: chunked",), 0),
        ((b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 1),
    ],
)
def test_an_answer_whose_framing_leaves_a_doubt_is_malformed(lines: tuple[bytes, ...], minor: int) -> None:
    """RFC 9112, 6.3: what could be read in two ways is not handed on."""
    with pytest.raises(UpstreamMalformed):
        answer(*lines, minor=minor)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((b"x-amzn-RequestId: c", b"x-amz-rid: a"), "a"),
        ((b"x-amz-request-id: b",), "b"),
        ((b"x-amzn-RequestId: c",), "c"),
        ((), ""),
    ],
)
def test_amazons_request_id_is_found(lines: tuple[bytes, ...], found: str) -> None:
    """x-amz-rid first (docs/amazon.md, Request ids)."""
    assert answer(*lines).amazon_request_id == found


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"7", 7.0), (b"Wed, 21 Oct 2026 07:28:00 GMT", None), (b"", None), (b"9999999999", None)]
)
def test_retry_after_is_read_in_seconds(value: bytes, seconds: float | None) -> None:
    """A date, which Amazon does not send, counts as absent."""
    assert answer(b"Retry-After: " + value).retry_after == seconds
    assert answer().retry_after is None


def test_a_location_and_a_length_are_replaced_in_place() -> None:
    """The other lines stay as they were."""
    passing = b"LOCATION: http://a/\r\nX: Location: http://a/\r\nContent-Length: 10\r\n"
    assert with_location(passing, b"http://a/", rb"http://\1/") == passing.replace(
        b"LOCATION: http://a/", rb"LOCATION: http://\1/"
    )
    assert with_length(passing, 7) == passing.replace(b"10", b"7")


def test_an_answers_trailers_pass_but_for_framing() -> None:
    """What would frame or redirect does not come behind a body."""
    assert passing_answer_trailers(b"X-Sum: 1\r\nContent-Length: 3\r\nLocation: x\r\n") == b"X-Sum: 1\r\n"
    assert passing_answer_trailers(b"") == b""


def test_ever_new_names_are_not_remembered() -> None:
    """Long header names that never come again leave nothing behind: strangers send them, too."""
    tracemalloc.start()
    try:
        for number in range(100):
            examine(b"Host: x\r\nX-%d-%b: 1\r\n" % (number, b"n" * 50_000), 1, 128)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
