"""What a request beyond a limit is answered: 429 as each part of Amazon says it."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from proxy.simulator.answers import Answer, error_at
from proxy.simulator.limits import asking_of, family_of
from proxy.simulator.named_faults import OPENRESTY

if TYPE_CHECKING:
    from proxy.simulator.caller import Caller
    from proxy.simulator.exchange import Visit

REPORTS = "/reporting/reports"
WORDS = "Too Many Requests"


def throttle(visit: Visit, caller: Caller, counted: str, body: bytes = b"") -> Answer | None:
    """429 if the request is beyond a limit. `counted` is the operation's template or the path."""
    state = visit.state
    if not state.limits.rules:
        return None
    method, agent = visit.request.method, visit.head.first("user-agent") or ""
    family = family_of(counted, report_type(body) if (method, counted) == ("POST", REPORTS) else "")
    asking = asking_of(visit.listener, visit.region or "", (method, visit.path, family), caller, agent)
    limit = state.limits.meet(asking, state.now())
    if limit is None:
        return None
    wait = state.limits.wait_of(limit, asking, state.now())
    answer = refusal_at(visit.listener, visit.path)
    return answer if wait is None else answer.with_headers(("Retry-After", str(wait)))


def refusal_at(listener: str, path: str) -> Answer:
    """The page of the MCP endpoint's gateway, or an error of the operations at `path`."""
    if listener == "mcp":
        return Answer(429, (("Content-Type", "text/html"),), OPENRESTY, "counted")
    return error_at(path, 429, "TOO_MANY_REQUESTS" if path.startswith("/ads") else "429", WORDS)


def report_type(body: bytes) -> str:
    """The type of the report that an order is for, empty if the body does not say."""
    with contextlib.suppress(ValueError, AttributeError):
        return str(json.loads(body).get("configuration", {}).get("reportTypeId", ""))
    return ""
