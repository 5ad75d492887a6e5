"""What a header section says, and which of its lines pass, each way. Pure: bytes in, values out.

A section is examined in one pass into `Facts` (requests) or `AnswerFacts`. The outgoing head is joined from parts
that are made once: the passing lines, the account's lines (once per access token) and the region's Host line.
Which names never leave: design, contract ("Injected upstream"); hop-by-hop fields: RFC 9110, 7.6.1; framing:
RFC 9112, 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import ExpectationFailed, HeadTooLarge, MalformedRequest, NotImplementedHere, UpstreamMalformed
from proxy.http1.message import Fields, read_answer_fields, read_fields

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Facts:
    """What the proxy needs to know of a request's header section.

    `passing` holds the field lines that may leave, byte for byte and in order, each with its CRLF: no Host, no
    hop-by-hop field, no injected name in any spelling, no selector, no key, no Cookie. Texts are empty where the
    field is absent. `scopes` are the distinct non-empty values of Amazon-Advertising-API-Scope that the client sent.
    """

    passing: bytes
    host: bytes
    content_length: int | None
    chunked: bool
    close: bool
    keep_alive: bool
    expects_continue: bool
    has_origin: bool
    fetch_site: bytes
    authorization: bytes
    proxy_key: bytes
    account: str
    region: str
    scopes: tuple[bytes, ...]
    names_account: bool
    """One of the account, manager, advertiser or entity headers of fact 12 is there."""
    overrides: bool
    """A header that some servers take for another method or path than the request line's is there."""
    request_id: str
    """The client's X-Request-Id where it is well formed, else empty."""
    content_type: bytes


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What the proxy needs to know of an answer's header section; `passing` as in `Facts`.

    `close` tells that the connection cannot be used again. `retry_after` is in seconds, None where absent or a date.
    """

    passing: bytes
    content_length: int | None
    chunked: bool
    close: bool
    amazon_request_id: str
    retry_after: float | None
    location: bytes
    content_type: bytes
    content_encoding: bytes
    dated: bool
    """It has a Date."""


HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate te transfer-encoding upgrade "
    b"http2-settings proxy-authentication-info".split()
)
INJECTED = frozenset(
    b"authorization amazon-advertising-api-clientid amazon-ads-clientid amazon-advertising-api-scope".split()
)
_OURS = frozenset(b"host cookie x-ads-account x-ads-region x-ads-proxy-key via forwarded".split())
_NAMES_ACCOUNT = frozenset(
    name.lower()
    for name in (
        b"Amazon-Ads-AccountId Amazon-Ads-Account-ID Amazon-Ads-Manager-AccountId Amazon-Ads-Manager-Account-ID "
        b"Amazon-Advertising-API-Manager-Account Amazon-Advertising-API-MarketplaceId "
        b"Amazon-Advertising-API-AdvertiserId Amazon-Advertising-API-EntityId Amazon-Advertising-API-Entity-Id "
        b"Amazon-Advertising-API-Account-ID Amazon-Advertising-Advertiser-Id "
        b"Amazon-Marketing-Cloud-Audience-InstanceId"
    ).split()
)
_OVERRIDES = frozenset(
    b"x-http-method-override x-http-method x-method-override x-original-url x-original-uri x-rewrite-url".split()
)
_READ = frozenset(
    b"content-length expect origin sec-fetch-site x-request-id content-type accept-encoding trailer".split()
)
"""Read here, and passed on unless said otherwise below."""

_DROPPED = HOP_BY_HOP | INJECTED | _OURS
_TRAILERS_REFUSED = (
    _DROPPED | _NAMES_ACCOUNT | _OVERRIDES | _READ | frozenset(b"content-encoding content-range trailer".split())
)
_ANSWER_DROPPED = HOP_BY_HOP | frozenset((b"proxy-status", b"x-request-id"))

_NO_OPTIONS: frozenset[bytes] = frozenset()

_LENGTH = re.compile(rb"[0-9]{1,18}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


def _plain(name: bytes) -> bytes:
    """A field name in the one spelling that rules are written in: lower case, hyphens for underscores."""
    return name.lower().replace(b"_", b"-")


def _is_dropped(plain: bytes) -> bool:
    return plain in _DROPPED or plain.startswith(b"x-forwarded-")


def examine(section: bytes, minor: int, most: int) -> Facts:
    """Read a request's header section. `most` is how many fields it may have. Raises `Refused` for what is wrong."""
    fields = read_fields(section)
    if len(fields) > most:
        raise HeadTooLarge(f"The request has {len(fields)} header fields; at most {most} are accepted.", close=True)
    known: dict[bytes, list[bytes]] = {}
    names_account = overrides = False
    for name, value in fields:
        lower = name.lower()
        if lower in _DROPPED or lower in _READ:
            known.setdefault(lower, []).append(value)
        elif (plain := _plain(name)) in _NAMES_ACCOUNT:
            names_account = True
        elif plain in _OVERRIDES:
            overrides = True
    options = _options(known)
    length, chunked = _request_framing(known, minor)
    identifier = _request_id(known)
    return Facts(
        passing=_passing(fields, options, _unfit(known, identifier, minor)),
        host=_host(known, minor),
        content_length=length,
        chunked=chunked,
        close=b"close" in options,
        keep_alive=b"keep-alive" in options,
        expects_continue=_expects_continue(known, minor),
        has_origin=b"origin" in known,
        fetch_site=b",".join(known.get(b"sec-fetch-site", ())).lower(),
        authorization=_single(known, b"authorization"),
        proxy_key=_single(known, b"x-ads-proxy-key"),
        account=_single(known, b"x-ads-account").decode("latin-1"),
        region=_single(known, b"x-ads-region").decode("latin-1").lower(),
        scopes=tuple(dict.fromkeys(filter(None, known.get(b"amazon-advertising-api-scope", ())))),
        names_account=names_account,
        overrides=overrides,
        request_id=identifier,
        content_type=known.get(b"content-type", [b""])[0],
    )


def _options(known: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    """The names in `Connection`, in plain spelling."""
    return frozenset(
        _plain(option.strip(b" \t")) for value in known.get(b"connection", ()) for option in value.split(b",")
    )


def _unfit(known: dict[bytes, list[bytes]], identifier: str, minor: int) -> frozenset[bytes]:
    """Names that pass as a rule, but not from this request.

    An X-Request-Id that is not well formed, and an Expect of HTTP/1.0, which is to be ignored (RFC 9110, 10.1.1).
    """
    unfit = set()
    if b"x-request-id" in known and not identifier:
        unfit.add(b"x-request-id")
    if b"expect" in known and minor == 0:
        unfit.add(b"expect")
    return frozenset(unfit)


def _passing(fields: Fields, options: frozenset[bytes], unfit: frozenset[bytes]) -> bytes:
    """The lines that may leave. Content-Length stays even where Connection lists it: it frames the body."""
    lines: list[bytes] = []
    for name, value in fields:
        plain = _plain(name)
        if _is_dropped(plain) or plain in unfit or (plain in options and plain != b"content-length"):
            continue
        if plain == b"content-length" and b"_" in name:
            continue
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


def _request_framing(known: dict[bytes, list[bytes]], minor: int) -> tuple[int | None, bool]:
    """Content-Length and whether the body is chunked (RFC 9112, 6.1 and 6.3); every doubt is a refusal."""
    codings, lengths = known.get(b"transfer-encoding"), known.get(b"content-length")
    if codings is None:
        if lengths is None:
            return None, False
        if len(lengths) > 1:
            raise MalformedRequest("Content-Length was sent more than once.", close=True)
        if _LENGTH.fullmatch(lengths[0]) is None:
            raise MalformedRequest("Content-Length is not a plain decimal number.", close=True)
        return int(lengths[0]), False
    if lengths is not None:
        raise MalformedRequest("Transfer-Encoding and Content-Length were both sent; send one of them.", close=True)
    if minor == 0:
        raise MalformedRequest("HTTP/1.0 has no Transfer-Encoding; send Content-Length or HTTP/1.1.", close=True)
    coding = b",".join(codings).lower()
    if coding == b"chunked":
        return None, True
    names = [part.strip(b" \t") for part in coding.split(b",")]
    if len(codings) > 1 or names.count(b"chunked") > 1 or not all(names):
        raise MalformedRequest(
            "Transfer-Encoding was sent twice or holds an empty coding; send `chunked` once.", close=True
        )
    raise NotImplementedHere("The only transfer coding spoken here is `chunked`.", close=True)


def _expects_continue(known: dict[bytes, list[bytes]], minor: int) -> bool:
    expectations = known.get(b"expect")
    if expectations is None or minor == 0:
        return False
    if len(expectations) == 1 and expectations[0].lower() == b"100-continue":
        return True
    raise ExpectationFailed("The only expectation that can be met is `100-continue`.", close=True)


def _host(known: dict[bytes, list[bytes]], minor: int) -> bytes:
    hosts = known.get(b"host", [])
    if len(hosts) > 1:
        raise MalformedRequest("Host was sent more than once.", close=True)
    if hosts and not hosts[0]:
        raise MalformedRequest("The Host header is empty; an http address has a host.", close=True)
    if not hosts and minor == 1:
        raise MalformedRequest("There is no Host header; HTTP/1.1 requires one.", close=True)
    return hosts[0] if hosts else b""


def _single(known: dict[bytes, list[bytes]], name: bytes) -> bytes:
    values = known.get(name)
    if values is None:
        return b""
    if len(values) > 1 and len(set(values)) > 1:
        raise MalformedRequest(f"{name.decode()} was sent more than once, with different values.")
    return values[0]


def _request_id(known: dict[bytes, list[bytes]]) -> str:
    values = known.get(b"x-request-id", ())
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return ""


def passing_trailers(section: bytes) -> bytes:
    """The lines of a request's trailer section that may leave.

    Nothing that frames, routes, authenticates or names an account may arrive behind the body (RFC 9110, 6.5.1).
    """
    if not section:
        return b""
    return _join(
        (name, value)
        for name, value in read_fields(section)
        if not _is_dropped(_plain(name)) and _plain(name) not in _TRAILERS_REFUSED
    )


def _join(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])


# --- answers ------------------------------------------------------------------------------------------------


def examine_answer(section: bytes, minor: int) -> AnswerFacts:
    """Read an answer's header section. Raises `UpstreamMalformed` where its framing leaves a doubt."""
    fields = read_answer_fields(section)
    known: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        known.setdefault(name.lower(), []).append(value)
    length, chunked = _answer_framing(known, minor)
    options = _options(known) if b"connection" in known else _NO_OPTIONS
    dropped = _ANSWER_DROPPED | (options - {b"content-length"}) if options else _ANSWER_DROPPED
    passing = fields if dropped.isdisjoint(known) else [(n, v) for n, v in fields if _plain(n) not in dropped]
    return AnswerFacts(
        passing=_join(passing),
        content_length=length,
        chunked=chunked,
        close=b"close" in options or (minor == 0 and b"keep-alive" not in options),
        amazon_request_id=_amazon_request_id(known),
        retry_after=_retry_after(known),
        location=known.get(b"location", [b""])[0],
        content_type=known.get(b"content-type", [b""])[0],
        content_encoding=known.get(b"content-encoding", [b""])[0],
        dated=b"date" in known,
    )


def _answer_framing(known: dict[bytes, list[bytes]], minor: int) -> tuple[int | None, bool]:
    codings, lengths = known.get(b"transfer-encoding"), known.get(b"content-length")
    if codings is None:
        if lengths is None:
            return None, False
        if len(lengths) > 1 or _LENGTH.fullmatch(lengths[0]) is None:
            raise UpstreamMalformed("Amazon's answer has more than one Content-Length, or one that is no number.")
        return int(lengths[0]), False
    if lengths is not None:
        raise UpstreamMalformed("Amazon's answer has both Transfer-Encoding and Content-Length.")
    if minor == 0 or len(codings) > 1 or codings[0].lower() != b"chunked":
        raise UpstreamMalformed("Amazon's answer has a Transfer-Encoding other than `chunked`.")
    return None, True


def _amazon_request_id(known: dict[bytes, list[bytes]]) -> str:
    """Fact 9: `x-amz-rid` as a rule, else one of its elder siblings."""
    for name in (b"x-amz-rid", b"x-amz-request-id", b"x-amzn-requestid"):
        if name in known:
            return known[name][0].decode("latin-1")[:128]
    return ""


def _retry_after(known: dict[bytes, list[bytes]]) -> float | None:
    values = known.get(b"retry-after")
    return float(values[0]) if values and values[0].isdigit() and len(values[0]) < 10 else None


def passing_answer_trailers(section: bytes) -> bytes:
    """The lines of an answer's trailer section that may pass: nothing that frames, nothing hop-by-hop."""
    if not section:
        return b""
    refused = _ANSWER_DROPPED | {b"content-length", b"trailer", b"set-cookie", b"location"}
    return _join(field for field in read_answer_fields(section) if field[0].lower() not in refused)


def with_location(passing: bytes, old: bytes, new: bytes) -> bytes:
    """`passing` with the Location header's value `old` replaced by `new`."""
    return re.sub(rb"(?i)(?<=\nlocation: )" + re.escape(old) + rb"(?=\r\n)", lambda _: new, b"\n" + passing, count=1)[
        1:
    ]


def with_length(passing: bytes, length: int) -> bytes:
    """`passing` with Content-Length set to `length`."""
    return re.sub(rb"(?i)(?<=\ncontent-length: )[0-9]+(?=\r\n)", b"%d" % length, b"\n" + passing, count=1)[1:]


def without_length(facts: AnswerFacts) -> bytes:
    """The passing lines of an answer that may have no Content-Length (RFC 9110, 8.6): 1xx and 204."""
    if facts.content_length is None:
        return facts.passing
    return re.sub(rb"(?i)(?<=\n)content-length: [^\r]*\r\n", b"", b"\n" + facts.passing)[1:]


# --- outgoing -----------------------------------------------------------------------------------------------


def account_lines(access_token: str, client_id: str) -> bytes:
    """The injected lines of one account while one access token lives: made once, sent with every request."""
    return (
        f"Authorization: Bearer {access_token}\r\n"
        f"Amazon-Advertising-API-ClientId: {client_id}\r\n"
        f"Amazon-Ads-ClientId: {client_id}\r\n"
    ).encode("latin-1")


def request_head(start: bytes, host_line: bytes, account: bytes, profile: bytes, facts: Facts) -> bytes:
    """The head that leaves. `start` is `METHOD target`; `host_line` and `account` hold whole lines."""
    return b"".join(
        (
            start,
            b" HTTP/1.1\r\n",
            host_line,
            account,
            b"Amazon-Advertising-API-Scope: %b\r\n" % profile if profile else b"",
            facts.passing,
            b"Transfer-Encoding: chunked\r\n\r\n" if facts.chunked else b"\r\n",
        )
    )
