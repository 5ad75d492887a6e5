"""Families of operations: what Amazon is likely to throttle together, and what a 429 is therefore kept for. Pure.

Amazon publishes no limits and no scopes of them. What is seen: they differ from one resource to the next, reports have
queues of their own, and reading is not writing. So a family is named `API/resource:effect`:

- the API is the first segment of the path that is no version: `sp`, `sb`, `sd`, `dsp`, `amc`, `reporting`, `billing`;
  `v1` for the unified API;
- the resource is the next segment that is neither a version, a parameter, nor a word for what is done (`list`,
  `delete`, `query`); recommendations about a resource, which Amazon computes, are a family beside it;
- the effect is `read`, `report` or `write`, as the table of operations has it.

So `POST /sp/campaigns/list` is of `sp/campaigns:read`, `PUT /sp/campaigns` and `POST /sp/campaigns/delete` of
`sp/campaigns:write`, `POST /adsApi/v1/query/campaigns` of `v1/campaigns:read`, creating a report of
`reporting/reports:report` and asking for it of `reporting/reports:read`. What kind of report a body asks for is not
seen.

What the table does not know falls to `API/other:read` or `:write`, by method, where the API is known, else to
`other:read` or `:write`; the hosted MCP endpoints are `mcp`. So strangers' paths make no families.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy.routing.operations import PUBLISHED, Effect
from proxy.routing.templates import PLACEHOLDER

if TYPE_CHECKING:
    from proxy.routing.operations import Operation

_VERSION = re.compile(rb"v[0-9]+")
_UNIFIED = b"adsApi"
_DONE = frozenset(
    b"list search query retrieve create update delete edit extended associate disassociate apply refresh".split()
)
"""Segments that say what is done with a resource, or in which detail."""
_READING = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_REMEMBERED = 2048


def _api(segments: tuple[bytes, ...]) -> bytes:
    """The segment that tells which API a path belongs to, empty where none does."""
    return next((part for part in segments if _VERSION.fullmatch(part) is None), b"")


_APIS = {api: "v1" if api == _UNIFIED else api.decode() for api in (_api(row.segments) for row in PUBLISHED)}


def family(operation: Operation | None, method: bytes, segments: tuple[bytes, ...]) -> str:
    """The family of a request. `operation` is its row, None where it has none; `segments` are as for finding it."""
    return _unknown(method, segments) if operation is None else _known(operation)


@lru_cache(maxsize=_REMEMBERED)
def _known(operation: Operation) -> str:
    names = [part for part in operation.segments if part != PLACEHOLDER and _VERSION.fullmatch(part) is None]
    api, *rest = names or [b"other"]
    resource = [part for part in rest if part not in _DONE]
    parts = [_APIS.get(api, api.decode()), *(part.decode() for part in resource[:1])]
    if any(b"recommendation" in part.lower() for part in resource[1:]):
        parts.append("recommendations")
    return f"{'/'.join(parts)}:{operation.effect}"


def _unknown(method: bytes, segments: tuple[bytes, ...]) -> str:
    api = _api(segments)
    if api == b"mcp":
        return "mcp"
    effect = Effect.READ if method in _READING else Effect.WRITE
    return f"{_APIS[api]}/other:{effect}" if api in _APIS else f"other:{effect}"
