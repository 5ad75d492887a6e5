"""A request target, split once: form, authority, path, query, segments (RFC 9112, 3.2; RFC 3986, 3). Pure.

The only place that takes a target apart. Nothing is normalised: `path` and `query` are the bytes that came, and what
is sent is cut from them. What a path means here is for `routing.target`.
"""

from __future__ import annotations

import re
from enum import StrEnum

from proxy.errors import MalformedRequest
from proxy.unchanging import unchanging

_HEX = b"0123456789ABCDEFabcdef"
_QUERY_OR_FRAGMENT = re.compile(rb"[?#]")
_CODE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES = {b"%c%c" % (high, low): bytes.fromhex(chr(high) + chr(low)) for high in _HEX for low in _HEX}


class TargetForm(StrEnum):
    """The forms of RFC 9112, 3.2. `AUTHORITY` is everything that is none of the others, too."""

    ORIGIN = "origin"
    ABSOLUTE = "absolute"
    AUTHORITY = "authority"
    ASTERISK = "asterisk"


_ORIGIN = TargetForm.ORIGIN


@unchanging
class Target:
    """A target in its parts. Its hash is that of the object, since equal heads are read once and kept.

    `raw` is what came. `scheme` and `authority` are lower case, empty but in absolute form. `origin_form` is path and
    query. It begins with a slash in origin and absolute form, and is empty otherwise.
    """

    raw: bytes
    form: TargetForm
    scheme: bytes
    authority: bytes
    origin_form: bytes
    path: bytes

    __hash__ = object.__hash__

    @property
    def segments(self) -> tuple[bytes, ...]:
        """What stands between the path's slashes, percent-decoded once, the empty ones left out."""
        return path_segments(self.path)

    @property
    def shown(self) -> bytes:
        """What a log says of it: its path, or what is no secret of another form."""
        return self.path or _without_secrets(self.raw)


def parse_target(raw: bytes) -> Target:
    """Split a target. Raises `MalformedRequest` for one with a fragment, or whose absolute form has no plain host."""
    if b"#" in raw:
        raise MalformedRequest("A request target has no fragment; leave out '#' and what follows it.", close=True)
    if raw.startswith(b"/"):
        return Target(raw, _ORIGIN, b"", b"", raw, raw.partition(b"?")[0])
    if raw == b"*":
        return Target(raw, TargetForm.ASTERISK, b"", b"", b"", b"")
    scheme, separator, after = raw.partition(b"://")
    if not separator:
        return Target(raw, TargetForm.AUTHORITY, b"", b"", b"", b"")
    end = min(at for at in (after.find(b"/"), after.find(b"?"), len(after)) if at >= 0)
    authority, left = after[:end].lower(), after[end:]
    if not authority or b"@" in authority:
        raise MalformedRequest(
            "The request target has no host, or a user before it; send http://HOST/PATH.", close=True
        )
    origin_form = left if left.startswith(b"/") else b"/" + left
    return Target(raw, TargetForm.ABSOLUTE, scheme.lower(), authority, origin_form, origin_form.partition(b"?")[0])


def path_segments(path: bytes) -> tuple[bytes, ...]:
    """A path's segments, percent-decoded once, without the empty ones (`//`, a closing `/`)."""
    segments = filter(None, path.split(b"/"))
    return tuple(map(percent_decoded, segments) if b"%" in path else segments)


def unread_target(raw: bytes) -> Target:
    """What can be said of a target whose request could not be read: its path, as it came."""
    path = _without_secrets(raw)
    return Target(raw, TargetForm.ORIGIN, b"", b"", path, path)


def _without_secrets(raw: bytes) -> bytes:
    """A target that may not be valid, without query and fragment, and without a user and password before its host."""
    shown = _QUERY_OR_FRAGMENT.split(raw, maxsplit=1)[0]
    return shown if shown.startswith(b"/") else shown.rpartition(b"@")[2]


def percent_decoded(text: bytes) -> bytes:
    """A path, a query, or a part of one, decoded once. A '%' that begins no code stays."""
    if b"%" not in text:
        return text
    parts = _CODE.split(text)
    parts[1::2] = map(_BYTES.__getitem__, parts[1::2])
    return b"".join(parts)


def query_parameters(query: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Names and values of a query, percent-decoded, `+` as a blank; what stands between `&` or `;` is one of them.

    `query` may begin with its question mark. A parameter without `=` has an empty value.
    """
    pairs = [part.partition(b"=") for part in query.removeprefix(b"?").replace(b";", b"&").split(b"&") if part]
    return tuple((_form_decoded(name), _form_decoded(value)) for name, _, value in pairs)


def _form_decoded(text: bytes) -> bytes:
    return percent_decoded(text.replace(b"+", b" ")) if text else b""
