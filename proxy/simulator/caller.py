"""Who asks the pretend Ads API, as a value. No check lives here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which profile and ads account. What was not sent, or sent empty, is None."""

    user: str
    client_id: str
    scope: str | None
    account: str | None = None
