"""Named reports and profiles for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from proxy.reports.plan import NamedReport, ReportProfile
from proxy.reports.presets import make_configuration
from proxy.reports.templates import Version3Template

US = ReportProfile("11", "na", "US", "USD", "America/Los_Angeles")
DE = ReportProfile("22", "eu", "DE", "EUR", "Europe/Berlin")
JP = ReportProfile("33", "fe", "JP", "JPY", "Asia/Tokyo")


def make_report(**changes: Any) -> NamedReport:
    """`sp-daily` of the account `main`, every six hours if nothing else is said."""
    given: dict[str, Any] = {
        "name": "sp-daily",
        "account": "main",
        "template": Version3Template(make_configuration("spCampaigns", "DAILY", ("date", "campaignId", "cost"))),
        "every": None if "at" in changes else 21_600.0,
    }
    return NamedReport(**{**given, **changes})


def moment(text: str) -> float:
    """An ISO time in UTC as wall-clock seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
