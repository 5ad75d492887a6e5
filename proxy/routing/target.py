"""What a request's target asks for here: selecting prefix, what is left to send, and which kind of thing it is. Pure.

Reads a `Target` that `http1` has split. Names are only cut out; whether there is such an account, route or host is for
`route` and `access`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from proxy.errors import UnknownRoute
from proxy.events import UNKNOWN
from proxy.http1.target import Target, path_segments, percent_decoded
from proxy.regions import REGION_NAMES, HostUse
from proxy.routing.api import ADS_API, MCP
from proxy.routing.operations import AccountRule, Effect, Operation, ScopeRule, unknown_reads
from proxy.routing.overrides import find_override
from proxy.unchanging import unchanging

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.api import Api
    from proxy.routing.operations import Operations


# --- The inputs of a decision ---------------------------------------------------------------------------------


class RequestSummary(NamedTuple):
    """The parts of a request that decide where it goes. Equal summaries of one client that its policy judges alike get
    equal decisions; path and query are for the policy alone, which reads the `Destination`.

    `kind`, `name`, `region`, `prefix` and `authority` are those of the destination. `operation` is the table's row.
    Where that is None, `unknown_path` is the path, else it is empty. `overrides` tells that a header or a query
    parameter may stand for another request line.
    """

    method: bytes
    fields: RequestFields
    kind: TargetKind
    name: str
    region: str
    prefix: bytes
    authority: bytes
    operation: Operation | None
    unknown_path: bytes
    overrides: bool

    @property
    def api(self) -> Api | None:
        """The API that it is for; None for a path of the proxy's own, and for what is never forwarded."""
        return _APIS.get(self.kind)

    @property
    def segments(self) -> tuple[bytes, ...]:
        """The segments of its operation's template; without an operation those of its path, percent-decoded once."""
        return self.operation.segments if self.operation is not None else path_segments(self.unknown_path)

    @property
    def effect(self) -> str:
        """What its operation does at Amazon, or `unknown`. One that the table lacks may still be known to read."""
        if self.overrides:
            return UNKNOWN
        if self.operation is not None:
            return self.operation.effect.value
        reads = self.kind is TargetKind.API and unknown_reads(self.method, self.unknown_path)
        return Effect.READ.value if reads else UNKNOWN


def summarise(method: bytes, fields: RequestFields, destination: Destination, operations: Operations) -> RequestSummary:
    """The summary of a request to this destination."""
    kind, query = destination.kind, destination.query
    api = _APIS.get(kind)
    if api is None:
        operation = _OWN_OPERATIONS.get(kind)
    else:
        operation = None if api.takes_messages else operations.find(method, destination.segments)
    return RequestSummary(
        method,
        fields,
        kind,
        destination.name,
        destination.region,
        destination.prefix,
        destination.authority,
        operation,
        destination.path if operation is None else b"",
        fields.overrides or (query != b"" and find_override(query)),
    )


# --- Reading the target ---------------------------------------------------------------------------------------

TOKEN_PATH = b"/auth/o2/token"

_REGION_PREFIXES = {b"/" + region.encode(): region for region in REGION_NAMES}
_PREFIXES = (b"/@", b"/%40", *_REGION_PREFIXES)
_SIGN_IN = (b"auth", b"ap")
_WELL_KNOWN = b"/.well-known/"
_METADATA = frozenset((b"oauth-protected-resource", b"oauth-authorization-server", b"openid-configuration"))
_OAUTH_ENDPOINTS = frozenset((b"/register", b"/authorize", b"/token"))
"""Where MCP clients go on that found no metadata, with a login of their own."""
_OWN_SEGMENT = b"-"
"""The first of a path that is the proxy's own."""
_APPROVALS = b"approvals"
"""The second of a path below which the proxy tells the states of approvals."""
_LOCAL_ENDINGS = tuple(_OAUTH_ENDPOINTS)
"""The endings of paths that the proxy answers itself; the token endpoint's path has one of them, too."""
_MAX_REMEMBERED_BYTES = 1024
_DECODINGS = 3
"""How often a path is percent-decoded in search of a sign-in path: one more than any server is known to do."""
_PLAIN = re.compile(rb"(?!/*(?i:%b)(?:/|\Z))[A-Za-z0-9_/-]*" % b"|".join(_SIGN_IN))
"""A path that every server reads in the same way, and not as one of `_SIGN_IN`."""
_NAME_ENDS = re.compile(rb"[;?#\x00.]")
"""Where a server may end a segment's name: parameters, an encoded query, a terminator, a suffix."""


class TargetKind(StrEnum):
    """What a path asks for."""

    __hash__ = str.__hash__  # that of an Enum is written in Python, and each request's kind is hashed

    API = "api"
    MCP = "mcp"
    TOKEN = "token"  # noqa: S105 - a kind of target, no secret
    """The local token endpoint."""
    SIGN_IN = "sign-in"
    """`/auth/*` and `/ap/*`, in any spelling: never forwarded."""
    LOGIN = "login"
    """What an MCP client asks before a login of its own (RFC 9728, RFC 8414, OpenID Connect Discovery): never
    forwarded."""
    REPORTS = "reports"
    """`/-/*`, where the proxy has paths of its own, as for named reports: never forwarded."""
    APPROVALS = "approvals"
    """`/-/approvals/*`, where the proxy has paths of its own: never forwarded."""


_APIS = {TargetKind.API: ADS_API, TargetKind.MCP: MCP}
_KINDS = {
    TOKEN_PATH: TargetKind.TOKEN,
    **dict.fromkeys(MCP.paths, TargetKind.MCP),
    **dict.fromkeys(_OAUTH_ENDPOINTS, TargetKind.LOGIN),
}
"""The kinds of target with a path of their own."""
_NEVER = ScopeRule.NEVER, AccountRule.NEVER
READ_NAMED_REPORT = Operation("GET", "/-/reports", "readNamedReport", *_NEVER, account_header="", effect=Effect.READ)
"""What a request for named reports is to policy, log and metrics."""
READ_APPROVAL = Operation(
    "GET",
    "/-/approvals/{id}",
    "readApproval",
    ScopeRule.NEVER,
    AccountRule.NEVER,
    account_header="",
    effect=Effect.READ,
)
"""What a request for the state of an approval is to policy, log and metrics."""
_OWN_OPERATIONS = {TargetKind.REPORTS: READ_NAMED_REPORT, TargetKind.APPROVALS: READ_APPROVAL}
OWN_KINDS = frozenset(_OWN_OPERATIONS)
"""The kinds of target that a client with a key finds at the proxy alone."""


@unchanging
class Destination:
    """A target without its selecting prefix; texts are empty where the part is absent.

    `name` is NAME of `/@NAME`, percent-decoded; `region` that of a prefix; `prefix` holds both unchanged.
    `authority` is that of an absolute-form target. `target` is the origin-form to send, byte for byte what came behind
    the prefix: `path`, and `query` with its question mark. `segments` are the path's parts, percent-decoded once.
    """

    kind: TargetKind
    name: str
    region: str
    prefix: bytes
    authority: bytes
    target: bytes
    path: bytes
    query: bytes
    segments: tuple[bytes, ...]


def find_destination(target: Target, *, with_own_paths: bool = False) -> Destination:
    """Take the prefix off a target of origin or absolute form. Raises `UnknownRoute` for a prefix without a name.

    `with_own_paths` tells that `/-/*` is not Amazon's, because the proxy has something there.
    """
    path, origin_form = target.path, target.origin_form
    name = region = ""
    prefix = b""
    if path.startswith(_PREFIXES):
        name, region, path = _split_prefix(path)
        prefix = target.path[: len(target.path) - len(path)]
        origin_form = origin_form[len(prefix) :]
    if not path:
        path, origin_form = b"/", b"/" + origin_form
    segments = path_segments(path)
    if with_own_paths and segments[:1] == (_OWN_SEGMENT,):
        kind = TargetKind.APPROVALS if segments[1:2] == (_APPROVALS,) else TargetKind.REPORTS
    else:
        kind = _KINDS.get(path) or (TargetKind.API if _PLAIN.fullmatch(path) else _kind(path))
    query = origin_form[len(path) :]
    return Destination(kind, name, region, prefix, target.authority, origin_form, path, query, segments)


def is_served(target: Target, use: HostUse) -> bool:
    """Whether Amazon has what a target asks for at its hosts of this use. Raises `UnknownRoute` as `find_destination`
    does."""
    if use is HostUse.API:
        return True
    if use is HostUse.TOKEN:
        return target.path == TOKEN_PATH
    return find_destination(target).kind in (TargetKind.MCP, TargetKind.LOGIN)


def may_be_local(target: Target) -> bool:
    """Whether a target can be the token endpoint's, or belong to a client's own login, which need no key: decided
    without decoding, so that it costs nothing."""
    path = target.path
    return (path.endswith(_LOCAL_ENDINGS) or _WELL_KNOWN in path) and len(path) <= _MAX_REMEMBERED_BYTES


def ends_like_mcp(target: Target) -> bool:
    """Whether a target, behind whatever prefix, is the MCP endpoint's; told without decoding.

    It holds for prefixes that lead nowhere, too, such as `/@UNKNOWN/mcp`.
    """
    return target.path.endswith(MCP.paths)


def _split_prefix(path: bytes) -> tuple[str, str, bytes]:
    """NAME, region and what of the path follows `/@NAME/REGION`."""
    name = region = ""
    rest = path
    if path.startswith((b"/@", b"/%40")):
        segment = b"/" + path[1:].partition(b"/")[0]
        name = percent_decoded(segment).decode("utf-8", "replace")[2:]
        if not name:
            raise UnknownRoute("The name after '/@' is missing; write /@NAME/ with an account or a route.")
        rest = path[len(segment) :]
    if rest[:3] in _REGION_PREFIXES and rest[3:4] in b"/":
        region = _REGION_PREFIXES[rest[:3]]
        rest = rest[3:]
    if rest is not path and rest.startswith((b"/@", b"/%40")):
        raise UnknownRoute("Only one /@NAME is accepted, and it comes before the region: /@NAME/eu/...")
    return name, region, rest


def _kind(path: bytes) -> TargetKind:
    """What a path asks for that is no `_PLAIN` one."""
    if _leads_to_sign_in(path):
        return TargetKind.SIGN_IN
    return TargetKind.LOGIN if _asks_for_metadata(path) else TargetKind.API


def _asks_for_metadata(path: bytes) -> bool:
    """Whether a path is that of OAuth metadata, before or behind that of the resource which it is about."""
    _, well_known, rest = path.partition(_WELL_KNOWN)
    return bool(well_known) and rest.partition(b"/")[0] in _METADATA


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
        decoded = percent_decoded(spelling)
        if decoded == spelling:
            return False
        spelling = decoded
    return False
