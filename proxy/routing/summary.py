"""Everything of a request that a decision about it may read, as one value. Pure.

Admission, routing and a client's policy take this value and nothing else of the request. So two requests with equal
summaries are decided alike, and the summary is what decisions are remembered by. Where a decision reads the path or the
query, they are part of it, byte for byte; where none does, they are left empty, so that they make no difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from proxy.http1.target import path_segments
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.operations import Operation, Operations
    from proxy.routing.target import Destination

_API = TargetKind.API


class PathReading(NamedTuple):
    """Which parts of a target the decisions about a client's requests read, beside its operation."""

    path: bool
    query: bool


EVERYTHING = PathReading(path=True, query=True)


class RequestSummary(NamedTuple):
    """See the module's docstring.

    `kind`, `name`, `region`, `prefix` and `authority` are those of a `Destination`. `operation` is the table's row,
    None where it has none. `path` is without the selecting prefix, and `query` holds its question mark. Both are empty
    where nothing reads them; the path of a request without an operation is always read.
    """

    method: bytes
    fields: RequestFields
    kind: TargetKind
    name: str
    region: str
    prefix: bytes
    authority: bytes
    operation: Operation | None
    path: bytes
    query: bytes

    @property
    def segments(self) -> tuple[bytes, ...]:
        """The parts of `path`, percent-decoded once."""
        return path_segments(self.path)


def summarise(
    method: bytes, fields: RequestFields, destination: Destination, operations: Operations, reading: PathReading
) -> RequestSummary:
    """The summary of a request to this destination, whose client's requests are decided by what `reading` says."""
    kind, path = destination.kind, destination.path
    operation = operations.find(method, destination.segments) if kind is _API else None
    query = destination.target[len(path) :] if reading.query else b""
    if operation is not None and not reading.path:
        path = b""
    name, region, prefix, authority = destination.name, destination.region, destination.prefix, destination.authority
    return RequestSummary(method, fields, kind, name, region, prefix, authority, operation, path, query)
