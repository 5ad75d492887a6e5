"""A request target, read once: selecting prefix, what is left to send, and which door it knocks at. Pure.

The forms of a target are those of RFC 9112, 3.2. Names are only cut out here; whether there is such an account, route
or host is for `routing` and `admission`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from proxy.errors import MalformedRequest, MethodNotAllowed, UnknownRoute

REGIONS = ("na", "eu", "fe")
TOKEN_PATH = b"/auth/o2/token"

_REGION_PREFIXES = {b"/" + region.encode(): region for region in REGIONS}
_MCP_PATHS = frozenset((b"/mcp", b"/mcp/", b"/mcp/lite", b"/mcp/lite/"))
_SIGN_IN = (b"auth", b"ap")
_REMEMBERED = 2048
_LONGEST_REMEMBERED = 1024
_DECODINGS = 3
"""How often a path is percent-decoded in search of a sign-in path: one more than any server is known to do."""
_NAME_ENDS = re.compile(rb"[;?#\x00.]")
"""Where a server may end a segment's name: parameters, an encoded query, a terminator, a suffix."""


class Door(enum.Enum):
    """What a path asks for."""

    API = "api"
    MCP = "mcp"
    TOKEN = "token"  # noqa: S105 - a door, no secret
    SIGN_IN = "sign-in"
    """`/auth/*` and `/ap/*`, in any spelling: never forwarded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target in its parts; texts are empty where the part is absent.

    `name` is NAME of `/@NAME`, percent-decoded; `region` that of a prefix. `prefix` holds both as they were sent.
    `authority` is that of an absolute-form target. `rest` is the origin-form target to send, `path` the same
    without query.
    """

    name: str
    region: str
    prefix: bytes
    authority: bytes
    rest: bytes
    path: bytes
    door: Door


def find_target(target: bytes) -> Target:
    """`read_target` without its memory."""
    if b"#" in target:
        raise MalformedRequest("A request target has no fragment; leave out '#' and what follows it.", close=True)
    authority = b""
    left = target
    if not target.startswith(b"/"):
        authority, left = _split_absolute(target)
    name, region, rest = _split_prefix(left)
    path = rest.partition(b"?")[0]
    return Target(
        name=name,
        region=region,
        prefix=left[: len(left) - len(rest)] if rest is not left else b"",
        authority=authority,
        rest=rest if rest.startswith(b"/") else b"/" + rest,
        path=path or b"/",
        door=_door(path),
    )


_remembered_target = lru_cache(maxsize=_REMEMBERED)(find_target)


def read_target(target: bytes) -> Target:
    """Read a target of any form but authority-form. Raises `Refused` for one that is no target of ours."""
    return _remembered_target(target) if len(target) <= _LONGEST_REMEMBERED else find_target(target)


def token_binding(target: bytes) -> str | None:
    """The name that a target of the local token endpoint binds to: empty without prefix, None for any other target."""
    if TOKEN_PATH not in target:
        return None
    read = read_target(target)
    return read.name if read.door is Door.TOKEN else None


def is_token_endpoint(target: bytes) -> bool:
    """Whether the local OAuth answer is asked for, behind a prefix or not."""
    return token_binding(target) is not None


def _split_absolute(target: bytes) -> tuple[bytes, bytes]:
    """Authority and origin-form of an absolute-form target (RFC 9112, 3.2.2)."""
    if target == b"*":
        raise MethodNotAllowed("A target of '*' asks about the proxy itself, which has nothing to tell.", close=True)
    scheme, separator, after = target.partition(b"://")
    if scheme.lower() == b"https" and separator:
        raise MalformedRequest(
            "An https:// target cannot be read here: write the tool's base URL with http://.", close=True
        )
    if scheme.lower() != b"http" or not separator:
        raise MalformedRequest("The request target begins neither with '/' nor with http://.", close=True)
    end = min(at for at in (after.find(b"/"), after.find(b"?"), len(after)) if at >= 0)
    authority, left = after[:end].lower(), after[end:]
    if not authority or b"@" in authority:
        raise MalformedRequest("The request target names no host, or a user before it.", close=True)
    return authority, left if left.startswith(b"/") else b"/" + left


def _split_prefix(target: bytes) -> tuple[str, str, bytes]:
    """NAME, region and what follows `/@NAME/REGION`; `target` itself is returned where there is neither."""
    name = region = ""
    rest = target
    if target.startswith((b"/@", b"/%40")):
        segment = _first_segment(target)
        name = unquote_to_bytes(segment).decode("utf-8", "replace")[2:]
        if not name:
            raise UnknownRoute("There is no name behind '/@'; write /@NAME/, an account's or a route's.")
        rest = target[len(segment) :]
    if rest[:3] in _REGION_PREFIXES and rest[3:4] in b"/?":
        region = _REGION_PREFIXES[rest[:3]]
        rest = rest[3:]
    if rest is not target and rest.startswith((b"/@", b"/%40")):
        raise UnknownRoute("Only one /@NAME is read, and it comes before the region: /@NAME/eu/...")
    return name, region, rest


def _first_segment(target: bytes) -> bytes:
    """`/x` of `/x/y` and of `/x?y`."""
    return b"/" + target[1:].partition(b"?")[0].partition(b"/")[0]


def _door(path: bytes) -> Door:
    if path == TOKEN_PATH:
        return Door.TOKEN
    if path in _MCP_PATHS:
        return Door.MCP
    return Door.SIGN_IN if _leads_to_sign_in(path) else Door.API


def _leads_to_sign_in(path: bytes) -> bool:
    """Whether any server could read this path as `/auth/*` or `/ap/*`."""
    spelling = path
    for _ in range(_DECODINGS + 1):
        names = [segment.partition(b";")[0].strip() for segment in spelling.lower().replace(b"\\", b"/").split(b"/")]
        walked: list[bytes] = []
        for name in names:
            if name == b"..":
                del walked[-1:]
            elif name not in (b"", b"."):
                walked.append(name)
                if len(walked) == 1 and _NAME_ENDS.split(name, maxsplit=1)[0].strip() in _SIGN_IN:
                    return True
        decoded = unquote_to_bytes(spelling)
        if decoded == spelling:
            return False
        spelling = decoded
    return False
