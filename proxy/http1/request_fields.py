"""What a request's header section says, and which of its lines may pass. Pure: bytes in, a value out.

Framing is judged here, and every doubt is a refusal (RFC 9112, 6). Which names mean something beyond HTTP comes as
`RequestFieldRules`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from proxy.errors import ExpectationFailed, HeadTooLarge, MalformedRequest, NotImplementedHere
from proxy.http1.fields import (
    HOP_BY_HOP,
    LENGTH,
    NO_OPTIONS,
    Fields,
    connection_options,
    join_fields,
    plain_name,
    read_fields,
)
from proxy.secret import mask_keys
from proxy.unchanging import unchanging
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REQUEST_ID = b"x-request-id"
_READ = frozenset((b"host", b"content-length", b"expect", REQUEST_ID))
"""Read here, in addition to the framing fields."""
_USER_AGENT = b"user-agent"
_MAX_USER_AGENT = 256
_FRAMING = frozenset(b"content-length content-encoding content-range content-type expect trailer".split())
"""Fields that may not be trailers (RFC 9110, 6.5.1), in addition to the dropped ones."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_ACCEPT_ENCODING = re.compile(rb"(?i)(?<=\n)accept[-_]encoding[ \t]*:[^\n]*\n")
_NONE: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class RequestFieldRules:
    """Names that mean something beyond HTTP; all in lower case, with hyphens.

    `dropped` never pass, in whatever spelling (`_` for `-` too), nor does what begins with one of `dropped_prefixes`.
    Those of `dropped_if_empty` pass with a value only.
    `single` and `repeated` are given on by value: of a `single` one several different values are refused. Of `noticed`
    names it is told that they are there.
    `not_in_trailers` are further names that may not stand behind a body, and so are those of which `barred` is true.
    A section says whether it holds a name that `overrides`, so that it may stand for another request line.
    """

    overrides: Callable[[bytes], bool]
    dropped: frozenset[bytes] = frozenset()
    dropped_prefixes: tuple[bytes, ...] = ()
    dropped_if_empty: frozenset[bytes] = frozenset()
    single: frozenset[bytes] = frozenset()
    repeated: frozenset[bytes] = frozenset()
    noticed: frozenset[bytes] = frozenset()
    not_in_trailers: frozenset[bytes] = frozenset()
    barred: Callable[[bytes], bool] | None = None

    @cached_property
    def read(self) -> frozenset[bytes]:
        """Every name whose values are looked at."""
        return HOP_BY_HOP | _READ | self.single | self.repeated | {_USER_AGENT}

    @cached_property
    def never_passing(self) -> frozenset[bytes]:
        """Every name that no request of ours carries: Host is rewritten, hop-by-hop fields end here."""
        return HOP_BY_HOP | self.dropped | {b"host"}

    @cached_property
    def not_behind_a_body(self) -> frozenset[bytes]:
        """Every name that a trailer section may not hold."""
        return self.never_passing | _FRAMING | self.read - {_USER_AGENT} | self.noticed | self.not_in_trailers

    def drops_behind_a_body(self, plain: bytes) -> bool:
        """Whether a field of this plain name never passes in a trailer section."""
        if self.drops(plain) or plain in self.not_behind_a_body:
            return True
        return self.barred is not None and self.barred(plain)

    def drops(self, plain: bytes) -> bool:
        """Whether a field of this plain name never passes."""
        return plain in self.never_passing or plain.startswith(self.dropped_prefixes)


@unchanging
class RequestFields:
    """A request's header section. Its hash is that of the object, since equal sections are read once and kept.

    `passing` holds the field lines that may leave, byte for byte and in order, each with its CRLF. `every` are all
    fields as they came, names in plain spelling; `noticed` are the rules' `noticed` names that are among them. `named`
    holds the values of the names that the rules list. `request_id` is a well-formed X-Request-Id, else empty.
    `overrides` tells that one of them may stand for another request line. `user_agent` is the beginning of the first
    User-Agent. `size` is that of the section in bytes.
    """

    passing: bytes
    host: bytes
    content_length: int | None
    chunked: bool
    close: bool
    keep_alive: bool
    expects_continue: bool
    request_id: str
    named: Mapping[bytes, tuple[bytes, ...]]
    noticed: frozenset[bytes]
    every: tuple[tuple[bytes, bytes], ...]
    overrides: bool = False
    user_agent: str = ""
    size: int = 0

    __hash__ = object.__hash__

    @property
    def held_bytes(self) -> int:
        """About how much memory the section takes once it is read: each field has a name and a value of its own."""
        return 500 + 3 * self.size + 150 * len(self.every)

    def value(self, name: bytes) -> bytes:
        """The value of a `single` name, empty where it is absent."""
        values = self.named.get(name)
        return values[0] if values else b""

    def values(self, name: bytes) -> tuple[bytes, ...]:
        """The values of a listed name."""
        return self.named.get(name, _NONE)


def asking_identity(fields: RequestFields) -> RequestFields:
    """Make a header section ask for a response without content coding (RFC 9110, 12.5.3), as the proxy will read it."""
    passing = _ACCEPT_ENCODING.sub(b"", b"\n" + fields.passing)[1:]
    return replace(fields, passing=passing + b"Accept-Encoding: identity\r\n")


NO_FIELDS = RequestFields(b"", b"", None, False, False, False, False, "", {}, frozenset(), ())
"""The fields of a request whose header section could not be read."""


def read_request_fields(section: bytes, minor: int, max_fields: int, rules: RequestFieldRules) -> RequestFields:
    """Read a header section of HTTP/1.`minor`. Raises the `Refused` that names what is wrong."""
    check_field_count(section, max_fields)
    fields = read_fields(section)
    known: dict[bytes, list[bytes]] = {}
    every = []
    for name, value in fields:
        lower = name.lower()
        if lower in rules.read:
            known.setdefault(lower, []).append(value)
        every.append((lower.replace(b"_", b"-"), value))
    options = connection_options(known[b"connection"]) if b"connection" in known else NO_OPTIONS
    length, chunked = _framing(known, minor)
    identifier = _request_id(known)
    return RequestFields(
        passing=_passing(fields, [plain for plain, _ in every], rules, options | _unfit(known, identifier, minor)),
        host=_host(known, minor),
        content_length=length,
        chunked=chunked,
        close=b"close" in options,
        keep_alive=b"keep-alive" in options,
        expects_continue=_expects_continue(known, minor),
        request_id=identifier,
        named=_named(known, rules),
        noticed=rules.noticed.intersection(plain for plain, _ in every),
        every=tuple(every),
        overrides=any(rules.overrides(plain) for plain, _ in every),
        user_agent=known.get(_USER_AGENT, (b"",))[0][:_MAX_USER_AGENT].decode("latin-1"),
        size=len(section),
    )


def check_field_count(section: bytes, max_fields: int) -> None:
    """Refuse a section of too many lines before any of them is read; it need not be complete."""
    count = section.count(b"\r\n")
    if count > max_fields:
        raise HeadTooLarge(f"The request has {count} header fields; at most {max_fields} are accepted.", close=True)


def _named(known: dict[bytes, list[bytes]], rules: RequestFieldRules) -> dict[bytes, tuple[bytes, ...]]:
    named: dict[bytes, tuple[bytes, ...]] = {}
    for name, values in known.items():
        if name in rules.single:
            if len(values) > 1 and len(set(values)) > 1:
                raise MalformedRequest(f"{name.decode()} was sent more than once, with different values; send one.")
            named[name] = (values[0],)
        elif name in rules.repeated:
            named[name] = tuple(values)
    return named


def _unfit(known: dict[bytes, list[bytes]], identifier: str, minor: int) -> frozenset[bytes]:
    """Names that pass as a rule, but not from this request.

    An X-Request-Id that is not well formed, and an Expect of HTTP/1.0, which is to be ignored (RFC 9110, 10.1.1).
    """
    unfit = set()
    if REQUEST_ID in known and not identifier:
        unfit.add(REQUEST_ID)
    if b"expect" in known and minor == 0:
        unfit.add(b"expect")
    return frozenset(unfit)


def _passing(fields: Fields, plain_names: list[bytes], rules: RequestFieldRules, dropped: frozenset[bytes]) -> bytes:
    """The lines that may leave. Content-Length stays even where Connection lists it: it frames the body."""
    lines: list[bytes] = []
    for (name, value), plain in zip(fields, plain_names, strict=True):
        if plain == b"content-length":
            if b"_" in name:
                continue
        elif rules.drops(plain) or plain in dropped or (not value and plain in rules.dropped_if_empty):
            continue
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


def _framing(known: dict[bytes, list[bytes]], minor: int) -> tuple[int | None, bool]:
    """Content-Length and whether the body is chunked (RFC 9112, 6.1 and 6.3); every doubt is a refusal."""
    codings, lengths = known.get(b"transfer-encoding"), known.get(b"content-length")
    if codings is None:
        if lengths is None:
            return None, False
        if len(lengths) > 1:
            raise MalformedRequest("Content-Length was sent more than once; send one.", close=True)
        if LENGTH.fullmatch(lengths[0]) is None:
            raise MalformedRequest("Content-Length is not a plain decimal number; correct it.", close=True)
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
    raise NotImplementedHere("The only supported transfer coding is `chunked`.", close=True)


def _expects_continue(known: dict[bytes, list[bytes]], minor: int) -> bool:
    expectations = known.get(b"expect")
    if expectations is None or minor == 0:
        return False
    if len(expectations) == 1 and expectations[0].lower() == b"100-continue":
        return True
    raise ExpectationFailed("The only supported expectation is `100-continue`; send no other.", close=True)


def _host(known: dict[bytes, list[bytes]], minor: int) -> bytes:
    hosts = known.get(b"host", [])
    if len(hosts) > 1:
        raise MalformedRequest("Host was sent more than once; send one.", close=True)
    if hosts and not hosts[0]:
        raise MalformedRequest("The Host header is empty; send the name of the proxy.", close=True)
    if not hosts and minor == 1:
        raise MalformedRequest("The Host header is missing; HTTP/1.1 requires one.", close=True)
    return hosts[0] if hosts else b""


def _request_id(known: dict[bytes, list[bytes]]) -> str:
    values = known.get(REQUEST_ID, ())
    if len(values) != 1 or not _REQUEST_ID.fullmatch(values[0]):
        return ""
    text = values[0].decode("ascii")
    return text if mask_keys(text) == text else ""  # log, audit and traces write it as it is


def passing_trailers(section: bytes, rules: RequestFieldRules) -> bytes:
    """The lines of a request's trailer section that may leave.

    Nothing that frames, routes, authenticates or names an account may arrive behind the body (RFC 9110, 6.5.1).
    """
    if not section:
        return b""
    return join_fields(
        (name, value) for name, value in read_fields(section) if not rules.drops_behind_a_body(plain_name(name))
    )
