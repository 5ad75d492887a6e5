"""Which header fields mean something to this proxy: what it injects, selects by, keeps to itself, and never passes.

The one list behind `http1.request_fields`. A new rule on a request's header belongs here, and in docs/routing.md.
"""

from __future__ import annotations

from proxy.access.admission import FETCH_SITE, ORIGIN
from proxy.access.clients import AUTHORIZATION, PROXY_KEY
from proxy.access.policy import may_override
from proxy.access.token_endpoint import CONTENT_TYPE
from proxy.http1.request_fields import RequestFieldRules
from proxy.routing.ads_account import ADS_ACCOUNT, NAMES_ACCOUNT, SCOPE, names_account
from proxy.routing.route import REGION
from proxy.routing.selection import ACCOUNT

INJECTED = frozenset((AUTHORIZATION, b"amazon-advertising-api-clientid", b"amazon-ads-clientid", SCOPE))
"""Written by the proxy, so that the tool's own never leave."""
_KEPT = frozenset((b"cookie", b"via", b"forwarded", PROXY_KEY, ACCOUNT, REGION))
"""Read here or of no business to Amazon."""

REQUEST_FIELDS = RequestFieldRules(
    dropped=INJECTED | _KEPT,
    dropped_prefixes=(b"x-forwarded-",),
    dropped_if_empty=ADS_ACCOUNT,
    single=frozenset((AUTHORIZATION, PROXY_KEY, ACCOUNT, REGION)),
    repeated=frozenset((SCOPE, ORIGIN, FETCH_SITE, CONTENT_TYPE)) | ADS_ACCOUNT,
    noticed=NAMES_ACCOUNT,
    not_in_trailers=frozenset((b"accept-encoding",)),
    barred=lambda name: names_account(name) or may_override(name) or name.startswith(b"mcp-"),
)
