"""The values of labels that are known before anything happens, so that their series begin at zero."""

from __future__ import annotations

from typing import Final

from proxy import errors

REGIONS: Final = ("na", "eu", "fe")
OPERATION_CLASSES: Final = ("read", "report", "write", "unknown")
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"})
STATES: Final = ("pending", "valid", "degraded", "expired", "revoked", "misconfigured")
REFRESH_RESULTS: Final = (
    ("success", "ok"),
    ("permanent_error", "invalid_grant"),
    ("permanent_error", "invalid_client"),
    ("permanent_error", "rejected"),
    ("transient_error", "throttled"),
    ("transient_error", "server_error"),
    ("transient_error", "network"),
    ("transient_error", "timeout"),
    ("transient_error", "malformed"),
)
REPLAY_REASONS: Final = ("unauthorized", "connection", "throttled", "silence")
REPLAY_OUTCOMES: Final = ("recovered", "failed", "impossible")
RELOAD_RESULTS: Final = ("success", "failure")


def refusal_slugs() -> frozenset[str]:
    """The slugs of all the refusals there are, so that each is counted from zero."""
    found: set[str] = set()
    waiting: list[type[errors.Refused]] = [errors.Refused]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.startswith(f"{errors.__name__}."):
            found.add(kind.slug)
        waiting.extend(kind.__subclasses__())
    return frozenset(found - {errors.Refused.slug})
