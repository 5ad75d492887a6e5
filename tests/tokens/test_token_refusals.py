"""How an API says that it refuses a token, and what a 401 says of itself."""

from __future__ import annotations

import gzip

import pytest

from proxy.http1.body_copy import MAX_READ
from proxy.http1.message import Response
from proxy.http1.response_fields import read_response_section
from proxy.tokens.token_refusals import ADS_API_REFUSALS, MCP_REFUSALS

MISSING = b'{"code": "401", "details": "Scope header is missing"}'


@pytest.mark.parametrize(
    ("body", "about_scope"),
    [
        (MISSING, True),
        (b'{"message":"NO MATCHING ADVERTISER FOUND FOR SCOPE: 1"}', True),
        (b'{"details":"Not authorized to access scope 123"}', True),
        (b'{"message":"Unauthorized"}', False),
        (b'{"code":"401","details":"Authentication failed"}', False),
        (b'{"code":"UNAUTHORIZED","details":"HTTP 401 Unauthorized"}', False),
        (b"Scope header is", False),
        (b"", False),
        (b" " * MAX_READ + MISSING, False),
    ],
)
def test_only_three_texts_are_about_the_scope(body: bytes, about_scope: bool) -> None:
    """In any case of letters, in whatever form the error has; everything else can mean the token."""
    assert ADS_API_REFUSALS.refuses(401, body, b"") is not about_scope
    assert ADS_API_REFUSALS.refuses(401, gzip.compress(body), b"GZIP") is not about_scope


def test_what_cannot_be_unzipped_says_nothing() -> None:
    """Nor does a coding that is not known; a beginning is enough, and a bomb is not unpacked."""
    assert ADS_API_REFUSALS.refuses(401, MISSING, b"gzip")
    assert ADS_API_REFUSALS.refuses(401, gzip.compress(MISSING), b"br")
    assert not ADS_API_REFUSALS.refuses(401, gzip.compress(MISSING + bytes(10_000_000))[:1000], b"gzip")


RPC = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Client initialization failed"}}'


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (400, b"no authorization", True),
        (400, RPC, True),
        (403, b'{"message":"client initialization failed"}', True),
        (500, RPC, True),
        (200, RPC, True),
        (400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool"}}', False),
        (400, b"", False),
        (200, b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"client initialization failed"}]}}', False),
        (200, b"client initialization failed", False),
        (200, b'{"error":"client initialization failed"}', False),
        (200, b'{"error":{"code":1}}', False),
        (200, b"[" * MAX_READ, False),
        (200, b"[]", False),
    ],
)
def test_the_mcp_endpoint_says_in_words_that_a_token_was_refused(status: int, body: bytes, refused: bool) -> None:
    """Under several statuses; what a call returned never counts, as it may have done something."""
    assert MCP_REFUSALS.refuses(status, body, b"") is refused
    assert MCP_REFUSALS.refuses(status, gzip.compress(body), b"gzip") is refused


@pytest.mark.parametrize(
    ("status", "kind", "length", "looked_at"),
    [
        (400, b"text/plain", b"Content-Length: 9999\r\n", True),
        (401, b"application/json", b"Content-Length: 2\r\n", False),
        (403, b"text/html", b"", True),
        (500, b"application/json", b"", True),
        (200, b"application/json; charset=utf-8", b"Content-Length: 4096\r\n", True),
        (200, b"application/json", b"Content-Length: 4097\r\n", False),
        (200, b"application/json", b"Transfer-Encoding: chunked\r\n", True),
        (200, b"text/event-stream", b"Content-Length: 10\r\n", False),
        (202, b"application/json", b"Content-Length: 2\r\n", False),
        (404, b"application/json", b"Content-Length: 2\r\n", False),
        (504, b"application/json", b"Content-Length: 2\r\n", False),
    ],
)
def test_only_what_could_say_it_is_held_back(status: int, kind: bytes, length: bytes, looked_at: bool) -> None:
    """No stream of events, nothing that is too large, no 401, which says it by itself, and nothing of the Ads API."""
    section = b"Content-Type: %b\r\n%b" % (kind, length)
    response = Response(status, b"", 1, read_response_section(section, 1))
    assert MCP_REFUSALS.needs_body(response) is looked_at
    assert not ADS_API_REFUSALS.needs_body(response)
