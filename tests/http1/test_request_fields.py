"""What passes, what is read and what is refused of a request's header section, under the proxy's own rules."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from proxy.access.admission import FETCH_SITE, ORIGIN
from proxy.access.clients import AUTHORIZATION, PROXY_KEY
from proxy.access.token_endpoint import CONTENT_TYPE
from proxy.errors import ExpectationFailed, HeadTooLarge, MalformedRequest, NotImplementedHere, Refused
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.request_fields import RequestFields, asking_identity, passing_trailers, read_request_fields
from proxy.routing.ads_account import NAMES_ACCOUNT, SCOPE
from proxy.routing.route import ACCOUNT, REGION


def fields(*lines: bytes, minor: int = 1, host: bool = True) -> RequestFields:
    """A section with these lines, a Host before them."""
    section = b"".join(line + b"\r\n" for line in ((b"Host: h", *lines) if host else lines))
    return read_request_fields(section, minor, 100, REQUEST_FIELDS)


def test_ordinary_lines_pass_byte_for_byte_in_order() -> None:
    """Names keep their case, values their bytes, repetitions their places."""
    lines = (b"aCCept: application/vnd.spCampaign.v3+json", b"X-B: \xff", b"x-b: 2", b"Content-Length: 3")
    assert fields(*lines).passing == b"".join(line + b"\r\n" for line in lines)


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
    assert fields(line, b"Keep: me").passing == b"Keep: me\r\n"


@pytest.mark.parametrize("name", [b"Amazon-Ads-AccountId", b"amazon-ads-account-id", b"Amazon_Ads_AccountId"])
def test_an_ads_account_leaves_with_a_value_only(name: bytes) -> None:
    """An empty one is absent; any other empty field passes."""
    assert fields(name + b":", name + b": \t", b"Empty:").passing == b"Empty: \r\n"
    assert fields(name + b": a").passing == name + b": a\r\n"


def test_names_that_connection_lists_do_not_leave() -> None:
    """Hop-by-hop fields do not pass (RFC 9110, 7.6.1); the length of the body stays, even if it is listed."""
    seen = fields(
        b"Connection: X-Hop, content-length ,close", b"x-hop: 1", b"X_Hop: 2", b"Content-Length: 3", b"Keep: me"
    )
    assert seen.passing == b"Content-Length: 3\r\nKeep: me\r\n"
    assert seen.close
    assert seen.content_length == 3


def test_selectors_keys_and_scopes_are_read() -> None:
    """Each by its name, in whatever case; the Scopes as often as they came."""
    seen = fields(
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
    assert (seen.value(ACCOUNT), seen.value(REGION)) == (b"acme", b"EU")
    assert (seen.value(PROXY_KEY), seen.value(AUTHORIZATION)) == (b"k", b"Bearer t")
    assert (seen.values(SCOPE), seen.value(CONTENT_TYPE)) == ((b"1", b"1", b""), b"application/json")
    assert seen.value(ORIGIN) == b"" and seen.values(ORIGIN) == ()
    assert seen.keep_alive and not seen.close
    assert seen.passing == b"Amazon-Ads-AccountId: a\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("name", [b"amazon-ads-accountid", b"Amazon_Ads_AccountId", b"AMAZON-Advertising_API-EntityId"])
def test_an_account_is_named_in_every_spelling(name: bytes) -> None:
    """However it is spelled: some servers read underscores as hyphens."""
    assert not NAMES_ACCOUNT.isdisjoint(fields(name + b": x").noticed)


def test_web_pages_are_recognised() -> None:
    """Origin, even empty, and Sec-Fetch-Site are seen."""
    seen = fields(b"Origin:", b"Sec-Fetch-Site: Cross-Site")
    assert seen.values(ORIGIN) == (b"",)
    assert seen.value(FETCH_SITE) == b"Cross-Site"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"abc-1.2_x:/+=@", "abc-1.2_x:/+=@"),
        (b"adsproxy_7", "adsproxy_7"),
        (b"with space", ""),
        (b"", ""),
        (b"x" * 129, ""),
        (b"\xff", ""),
        (b"adsproxy_AAAAbbbbCCCCdddd", ""),
        (b"job-1:adsproxy_AAAAbbbbCCCCdddd", ""),
    ],
)
def test_a_request_id_passes_only_if_it_is_well_formed(value: bytes, kept: str) -> None:
    """What would not be safe in a log is neither logged nor forwarded."""
    seen = fields(b"X-Request-Id: " + value)
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
        fields(*lines, minor=minor)
    assert caught.value.close


def test_chunked_is_read_in_any_case() -> None:
    """Coding names are case-insensitive (RFC 9112, 7)."""
    seen = fields(b"Transfer-Encoding: Chunked")
    assert seen.chunked and seen.content_length is None
    assert seen.passing == b""


def test_expect_passes_and_http_1_0_has_none() -> None:
    """A proxy forwards the expectation; from HTTP/1.0 it means nothing (RFC 9110, 10.1.1)."""
    seen = fields(b"Expect: 100-Continue")
    assert seen.expects_continue and seen.passing == b"Expect: 100-Continue\r\n"
    assert not fields(b"Expect: 100-continue", minor=0).expects_continue


def test_host_is_required_once() -> None:
    """HTTP/1.1 needs exactly one Host, HTTP/1.0 at most one (RFC 9112, 3.2)."""
    for lines, host, words in (
        ((), False, "missing"),
        ((b"host: h",), True, "more than once"),
        ((b"Host:",), False, "empty"),
    ):
        with pytest.raises(MalformedRequest, match=words) as caught:
            fields(*lines, host=host)
        assert caught.value.close
    assert fields(host=False, minor=0).host == b""


def test_a_single_field_sent_twice_differently_is_refused() -> None:
    """Two keys or two accounts cannot both be meant; twice the same can."""
    with pytest.raises(MalformedRequest, match="x-ads-account"):
        fields(b"X-Ads-Account: a", b"X-Ads-Account: b")
    assert fields(b"X-Ads-Account: a", b"X-Ads-Account: a").value(ACCOUNT) == b"a"


def test_too_many_fields_are_refused() -> None:
    """The number of fields is limited."""
    with pytest.raises(HeadTooLarge, match="at most 2"):
        read_request_fields(b"Host: h\r\nA: b\r\nC: d\r\n", 1, 2, REQUEST_FIELDS)


def test_trailers_carry_nothing_that_a_head_should() -> None:
    """Only harmless names pass behind a body (RFC 9110, 6.5.1)."""
    section = b"X-Sum: 1\r\nAuthorization: x\r\nContent-Length: 5\r\nAmazon_Ads_ClientId: x\r\nHost: y\r\n"
    section += b"Amazon-Ads-AccountId: z\r\nAdvertiserId: z\r\nX_Profile-Ids: z\r\n"
    section += (
        b"Mcp-Name: z\r\nMCP_Method: z\r\nMcp-Session-Id: z\r\nX-Method: DELETE\r\nX-HTTP-Method-Override: PUT\r\n"
    )
    section += b"User-Agent: x\r\n"
    rules = replace(REQUEST_FIELDS)  # nothing that an earlier test had it find out is remembered
    assert passing_trailers(section, rules) == b"X-Sum: 1\r\nUser-Agent: x\r\n"
    assert passing_trailers(b"", rules) == b""


def test_ever_new_names_are_not_remembered() -> None:
    """Long header names that never come again leave nothing behind: strangers send them, too."""
    tracemalloc.start()
    try:
        for number in range(100):
            read_request_fields(b"Host: x\r\nX-%d-%b: 1\r\n" % (number, b"n" * 50_000), 1, 128, REQUEST_FIELDS)
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_answer_that_is_read_on_its_way_is_asked_for_without_a_coding() -> None:
    """Whatever the client would take, in all spellings; the other lines stay."""
    asked = asking_identity(fields(b"Accept-Encoding: gzip", b"X: Accept-Encoding: br", b"ACCEPT-ENCODING: br"))
    assert asked.passing == b"X: Accept-Encoding: br\r\nAccept-Encoding: identity\r\n"
