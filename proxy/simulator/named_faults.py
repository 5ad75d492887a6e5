"""Answers of Amazon's that people have met, each by a name: `{"fault": {"named": "app-not-approved"}}`.

Bodies are Amazon's, as far as they were reported. Nothing here decides when they happen.
"""

from __future__ import annotations

import json
from typing import Any

from proxy.simulator.addressing import NO_RIGHTS, NO_SCOPE, NO_SUCH_SCOPE
from proxy.simulator.faults import Fault

OPENRESTY = (
    b"<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body>\r\n"
    b"<center><h1>429 Too Many Requests</h1></center>\r\n<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
)


def _json(status: int, value: Any, *headers: tuple[str, str], delay: float = 0.0) -> Fault:
    kind = ("Content-Type", "application/json")
    return Fault(status=status, headers=(kind, *headers), body=json.dumps(value).encode(), delay=delay)


NAMED: dict[str, Fault] = {
    "unauthorized": _json(401, {"message": "Unauthorized"}),
    "unauthorized-details": _json(
        401, {"code": "UNAUTHORIZED", "details": "HTTP 401 Unauthorized", "requestId": "PRETEND0000000000001"}
    ),
    "app-not-approved": _json(401, {"code": "401", "details": "Authentication failed"}),
    "scope-missing": _json(401, {"code": "UNAUTHORIZED", "details": NO_SCOPE}),
    "scope-unknown": _json(401, {"code": "UNAUTHORIZED", "details": NO_SUCH_SCOPE}),
    "scope-forbidden": _json(401, {"code": "UNAUTHORIZED", "details": NO_RIGHTS.format(1)}),
    "gateway": _json(
        403, {"message": "not a valid key=value pair (missing equal-sign) in Authorization header: 'Bearer x'."}
    ),
    "program-forbidden": _json(403, {"code": "403", "details": "Advertiser is not authorized for Sponsored Display."}),
    "advertiser-invalid": _json(400, {"code": "400", "detail": "Invalid Advertiser or Marketplace ID."}),
    "entity-missing": _json(400, {"code": "400", "details": "entityId provided is null"}),
    "duplicate-report": _json(
        425, {"code": "425", "detail": "The Request is a duplicate of : 00000000-0000-4000-8000-000000000001"}
    ),
    "throttled": _json(429, {"code": "429", "details": "Too Many Requests"}, ("Retry-After", "3")),
    "throttled-silently": _json(429, {"code": "429", "details": "Too Many Requests"}),
    "throttled-html": Fault(status=429, headers=(("Content-Type", "text/html"),), body=OPENRESTY),
    "unavailable-html": Fault(
        status=503, headers=(("Content-Type", "text/html"),), body=b"<html><body><h1>503</h1></body></html>"
    ),
    "timeout": _json(504, {"message": "Endpoint request timed out"}),
    "timeout-after-30s": _json(504, {"message": "Endpoint request timed out"}, delay=30.0),
}
"""All that there are. `timeout` is what the MCP endpoint says after 30 seconds; here it comes at once."""
