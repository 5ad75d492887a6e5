"""The section about reports: orders that clients share, and named reports that the proxy orders itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from proxy.config.model.kinds import (
    Count,
    DailyTime,
    FilePath,
    FilledText,
    Flag,
    Interval,
    Name,
    ProfileId,
    ReadableFile,
    RegionName,
    Seconds,
)
from proxy.config.model.section import NamedSection, Section
from proxy.config.model.values import lower_case, parse_all_or_list, parse_list, parse_mapping


class OrderConfig(Section):
    """What a named report asks Amazon for: a preset, or a file."""

    preset: Annotated[
        FilledText | None, Field(description="One of Amazon's report types, such as `spCampaigns`; or `file`.")
    ] = None
    file: Annotated[
        ReadableFile | None,
        Field(
            description="The order as JSON, as it would be sent to `POST /reporting/reports` or "
            "`POST /adsApi/v1/create/reports`; its dates and accounts are filled in."
        ),
    ] = None
    time_unit: Annotated[
        Literal["daily", "summary"],
        BeforeValidator(lower_case),
        Field(description="With `preset`: a row for each day, or one for up to 31 days."),
    ] = "daily"
    columns: Annotated[
        tuple[FilledText, ...],
        BeforeValidator(parse_list),
        Field(description="With `preset`: the columns by Amazon's names. Absent: the preset's usual ones."),
    ] = ()


class NamedReportConfig(NamedSection):
    """A report that the proxy orders on a schedule and keeps, for all clients to read."""

    account: Annotated[Name, Field(description="The account whose profiles it covers.")]
    region: Annotated[
        RegionName | None, Field(description="The region whose profiles it covers; absent: all regions.")
    ] = None
    profiles: Annotated[
        Literal["all"] | tuple[ProfileId, ...],
        BeforeValidator(parse_all_or_list),
        Field(description="`all`, or a list of profile ids."),
    ] = "all"
    order: Annotated[OrderConfig, Field(description="What to ask Amazon for.")]
    days: Annotated[
        Count,
        Field(
            ge=1,
            le=730,
            description="How many days it covers, up to yesterday in each profile's time zone: at most 95, and 730 of "
            "an order of version 1.",
        ),
    ] = 30
    at: Annotated[
        DailyTime, Field(description="When it runs each day, in each profile's time zone, such as 06:00; or `every`.")
    ] = None
    every: Annotated[Interval, Field(description="How often it runs instead, such as 6h (s, m, h or d).")] = None


class KeepSection(Section):
    """Where the results of named reports are kept. Advertisers' data lies there, unencrypted."""

    dir: Annotated[FilePath, Field(description="Their directory; replicas of a fleet share it.")] = Path(
        "/var/lib/ads-proxy/reports"
    )
    days: Annotated[
        Count, Field(ge=1, le=3650, description="How long a result is kept without a newer one, in days.")
    ] = 30
    max_bytes: Annotated[
        Count,
        Field(ge=0, le=1 << 50, description="The size of all results; a run beyond it fails. 0: no limit."),
    ] = 0


class ReportsSection(Section):
    """Reports: absent, requests for reports pass like all others."""

    duplicates: Annotated[
        Literal["pass", "reuse"],
        BeforeValidator(lower_case),
        Field(
            description="`reuse`: identical orders share one report, and a 425 becomes its id; `pass`: "
            "all go to Amazon."
        ),
    ] = "pass"
    reuse_for: Annotated[
        Seconds,
        Field(ge=0, le=86400, description="How long after its completion a report answers identical orders."),
    ] = 900.0
    pace: Annotated[
        Flag, Field(description="Whether orders wait in the proxy, in fair turns, while Amazon throttles them.")
    ] = True
    poll_interval: Annotated[
        Seconds,
        Field(
            ge=0,
            le=3600,
            description="Time between two polls of one report at Amazon; those in between get the last answer. 0: all "
            "go to Amazon.",
        ),
    ] = 60.0
    keep: Annotated[KeepSection, Field(description="Where results of named reports are kept.")] = KeepSection()
    named: Annotated[
        dict[Name, NamedReportConfig],
        BeforeValidator(parse_mapping),
        Field(description="Reports that the proxy orders on a schedule, by name."),
    ] = {}

    @field_validator("named")
    @classmethod
    def _named(cls, entries: dict[str, Any]) -> dict[str, Any]:
        return {name: entry.model_copy(update={"name": name}) for name, entry in entries.items()}
