"""What the named reports of a configuration order. Reads the files that orders are in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.errors import ConfigurationError
from proxy.reports.plan import NamedReport
from proxy.reports.presets import PRESETS, find_problems, make_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config import Config
    from proxy.config.model.reports import NamedReportConfig, OrderConfig, ReportsSection


def check_reports(config: Config) -> None:
    """Raise `ConfigurationError` for named reports that Amazon would refuse."""
    if config.reports is not None:
        make_named_reports(config.reports)


def make_named_reports(section: ReportsSection) -> dict[str, NamedReport]:
    """All named reports. Reads the files of their orders. Raises `ConfigurationError` with everything that is wrong."""
    reports, problems = {}, list[str]()
    for name, entry in section.named.items():
        configuration, found = _order_of(entry.order)
        problems += [f"reports.named.{name}.order.{key}: {words}" for key, words in found]
        reports[name] = _report(name, entry, configuration)
    if problems:
        raise ConfigurationError(tuple(problems))
    return reports


def _report(name: str, entry: NamedReportConfig, configuration: Mapping[str, Any]) -> NamedReport:
    return NamedReport(
        name=name,
        account=entry.account,
        configuration=configuration,
        days=entry.days,
        region=entry.region,
        profiles=None if entry.profiles == "all" else tuple(entry.profiles),
        at=entry.at,
        every=entry.every,
    )


def _order_of(order: OrderConfig) -> tuple[Mapping[str, Any], tuple[tuple[str, str], ...]]:
    """An order's `configuration`, and what is wrong with it."""
    if order.file is not None:
        try:
            return read_order_file(order.file), ()
        except (OSError, ValueError) as error:
            return {}, (("file", str(error)),)
    name, unit = str(order.preset), order.time_unit.upper()
    problems = find_problems(name, unit, order.columns)
    return ({} if problems else make_configuration(name, unit, order.columns)), problems


def read_order_file(path: Path) -> Mapping[str, Any]:
    """The `configuration` of an order of version 3. Raises `ValueError`, which says what to write."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError("is not JSON; write an order for POST /reporting/reports") from None
    found = content if isinstance(content, dict) else {}
    if {"reports", "accessRequestedAccounts"} & found.keys():
        raise ValueError("is an order of version 1, which named reports cannot send yet; write one of version 3")
    configuration = found.get("configuration")
    if not isinstance(configuration, dict):
        raise ValueError("has no configuration; write an order for POST /reporting/reports")  # noqa: TRY004 - the value is wrong, not the type of an argument
    problem = next(_problems_of(configuration), None)
    if problem is not None:
        raise ValueError(problem)
    return configuration


def _problems_of(configuration: Mapping[str, Any]) -> Iterator[str]:
    for name in ("adProduct", "reportTypeId", "timeUnit"):
        if not isinstance(configuration.get(name), str):
            yield f"has no configuration.{name}; write it as Amazon does"
    for name in ("columns", "groupBy"):
        given = configuration.get(name)
        if not isinstance(given, list) or not given or not all(isinstance(each, str) for each in given):
            yield f"has no list of texts at configuration.{name}"
    if configuration.get("format") != "GZIP_JSON":
        yield "has another configuration.format than GZIP_JSON, which is the one that is read"
    preset, unit = PRESETS.get(configuration["reportTypeId"]), configuration["timeUnit"]
    if preset is not None and configuration["groupBy"] == [preset.group_by]:
        columns = tuple(configuration["columns"])
        yield from (words for _, words in find_problems(preset.name, unit, columns))
