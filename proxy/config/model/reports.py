"""The section about reports: orders that clients share, and named reports that the proxy orders itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from proxy.config.model.kinds import (
    AnyCase,
    Count,
    DailyTime,
    FilePath,
    FilledText,
    Flag,
    Interval,
    Listed,
    Name,
    Named,
    ProfileId,
    ReadableFile,
    RegionName,
    Seconds,
)
from proxy.config.model.section import NamedSection, Section
from proxy.config.model.values import parse_all_or_list


class OrderConfig(Section):
    """What a named report asks Amazon for: a preset, or a file."""

    preset: FilledText | None = None
    """One of Amazon's report types, such as `spCampaigns`; or `file`."""
    file: ReadableFile | None = None
    """The order as JSON, as it would be sent to `POST /reporting/reports` or `POST /adsApi/v1/create/reports`; its
    dates and accounts are filled in."""
    time_unit: AnyCase[Literal["daily", "summary"]] = "daily"
    """With `preset`: a row for each day, or one for up to 31 days."""
    columns: Listed[FilledText] = ()
    """With `preset`: the columns by Amazon's names. Absent: the preset's usual ones."""


class NamedReportConfig(NamedSection):
    """A report that the proxy orders on a schedule and keeps, for all clients to read."""

    account: Name
    """The account whose profiles it covers."""
    region: RegionName | None = None
    """The region whose profiles it covers; absent: all regions."""
    profiles: Annotated[Literal["all"] | tuple[ProfileId, ...], BeforeValidator(parse_all_or_list)] = "all"
    """`all`, or a list of profile ids."""
    order: OrderConfig
    """What to ask Amazon for."""
    days: Count = Field(30, ge=1, le=730)
    """How many days it covers, up to yesterday in each profile's time zone: at most 95, and 730 of an order of version
    1."""
    at: DailyTime = None
    """When it runs each day, in each profile's time zone, such as 06:00; or `every`."""
    every: Interval = None
    """How often it runs instead, such as 6h (s, m, h or d)."""


class KeepSection(Section):
    """Where the results of named reports are kept. Advertisers' data lies there, unencrypted."""

    dir: FilePath = Path("/var/lib/ads-proxy/reports")
    """Their directory; replicas of a fleet share it."""
    days: Count = Field(30, ge=1, le=3650)
    """How long a result is kept without a newer one, in days."""
    max_bytes: Count = Field(0, ge=0, le=1 << 50)
    """The size of all results; a run beyond it fails. 0: no limit."""


class ReportsSection(Section):
    """Reports: absent, requests for reports pass like all others."""

    duplicates: AnyCase[Literal["pass", "reuse"]] = "pass"
    """`reuse`: identical orders share one report, and a 425 becomes its id; `pass`: all go to Amazon."""
    reuse_for: Seconds = Field(900.0, ge=0, le=86400)
    """How long after its completion a report answers identical orders."""
    pace: Flag = True
    """Whether orders wait in the proxy, in fair turns, while Amazon throttles them."""
    poll_interval: Seconds = Field(60.0, ge=0, le=3600)
    """Time between two polls of one report at Amazon; those in between get the last answer. 0: all go to Amazon."""
    keep: KeepSection = KeepSection()
    """Where results of named reports are kept."""
    named: Named[NamedReportConfig] = {}
    """Reports that the proxy orders on a schedule, by name."""
