"""Addresses in Amazon's answers, a Location or the JSON `location` of a few operations, led back to the proxy. Pure."""

from __future__ import annotations

import json
import re

_ABSOLUTE = re.compile(rb"(?:https?:)?//([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(?=[/?]|\Z)", re.IGNORECASE)
_JSON = re.compile(rb"application/(?:[a-z0-9.+_-]+\+)?json\s*(?:;|\Z)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]*")
_VERSIONS = frozenset((b"v1", b"v2", b"sp", b"sb", b"sd", b"hsa"))
_KINDS = frozenset((b"report", b"reports", b"snapshot", b"snapshots"))
_DECODER = json.JSONDecoder()


def hands_out_locations(method: bytes, segments: tuple[bytes, ...]) -> bool:
    """Whether the body of an answer may hold a `location` that must be looked at: v2 reports and snapshots."""
    if len(segments) < 2 or segments[0] not in _VERSIONS or _KINDS.isdisjoint(segments):
        return False
    return method in (b"GET", b"POST")


def may_hold_location(status: int, content_type: bytes) -> bool:
    """Whether this answer's body does, where such answers may: a success, as JSON."""
    return 200 <= status < 300 and _JSON.match(content_type) is not None


def rewrite_location(value: bytes, api_hosts: frozenset[bytes], base: bytes, prefix: bytes) -> bytes:
    """A Location's value, led back through the proxy if it is at an API host.

    `api_hosts` holds `host` or `host:port`, lower case. `base` is the proxy's own origin as the client knows it,
    `prefix` what leads to the request's account and region. A path alone is at the API host, too.
    """
    if value.startswith(b"/") and not value.startswith(b"//"):
        return prefix + value
    found = _ABSOLUTE.match(value)
    if found is None or not _is_api_host(found, api_hosts):
        return value
    rest = value[found.end() :]
    return base + prefix + (rest if rest.startswith(b"/") else b"/" + rest)


def _is_api_host(found: re.Match[bytes], api_hosts: frozenset[bytes]) -> bool:
    host, port = found[1].lower(), found[2] or b""
    return host + port in api_hosts or (port in (b":443", b":80") and host in api_hosts)


def rewrite_body(body: bytes, api_hosts: frozenset[bytes], base: bytes, prefix: bytes) -> bytes:
    """A JSON body in which a `location` of the outermost object is led back; only the bytes of that value change.

    A body that is no JSON object comes back as it is.
    """
    if b"location" not in body:
        return body
    try:
        text = body.decode()
        spans = _locations(text)
    except (ValueError, RecursionError):
        return body
    for start, end, value in reversed(spans):
        old = value.encode("utf-8", "surrogatepass")
        new = old if old.startswith(b"/") else rewrite_location(old, api_hosts, base, prefix)
        if new != old:
            text = text[:start] + json.dumps(new.decode("utf-8", "surrogatepass")) + text[end:]
    return text.encode()


def _locations(text: str) -> list[tuple[int, int, str]]:
    """The places of the values of `location` in an object's text, and the values. `ValueError` for no object."""
    found: list[tuple[int, int, str]] = []
    at = _expect(text, _skip(text, 0), "{")
    while True:
        key, at = _DECODER.raw_decode(text, _skip(text, at))
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        value, at = _DECODER.raw_decode(text, start)
        if key == "location" and isinstance(value, str):
            found.append((start, at, value))
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            _expect(text, at, "}")
            return found
        at += 1


def _skip(text: str, at: int) -> int:
    """The next place that is no white space."""
    space = _SPACE.match(text, at)
    return space.end() if space is not None else at


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"no {sign!r} at {at}")
    return at + 1
