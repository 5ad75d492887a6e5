"""What the named reports of a configuration order. Reads the files that orders are in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.errors import ConfigurationError
from proxy.reports.plan import NamedReport
from proxy.reports.presets import PRESETS, find_problems, make_configuration
from proxy.reports.templates import Version3Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config import Config
    from proxy.config.model.reports import NamedReportConfig, OrderConfig, ReportsSection
    from proxy.reports.templates import OrderTemplate


def check_reports(config: Config) -> None:
    """Raise `ConfigurationError` for named reports that Amazon would refuse."""
    if config.reports is not None:
        make_named_reports(config.reports)


def make_named_reports(section: ReportsSection) -> dict[str, NamedReport]:
    """All named reports. Reads the files of their orders. Raises `ConfigurationError` with everything that is wrong."""
    reports, problems = {}, list[str]()
    for name, entry in section.named.items():
        try:
            reports[name] = _report(name, entry, _template_of(entry.order))
        except _Faulty as error:
            problems += [f"reports.named.{name}.order.{key}: {words}" for key, words in error.problems]
    if problems:
        raise ConfigurationError(tuple(problems))
    return reports


class _Faulty(Exception):
    """An order that cannot be sent: each key, and what is wrong with its value."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__()
        self.problems = problems


def _report(name: str, entry: NamedReportConfig, template: OrderTemplate) -> NamedReport:
    return NamedReport(
        name=name,
        account=entry.account,
        template=template,
        days=entry.days,
        region=entry.region,
        profiles=None if entry.profiles == "all" else tuple(entry.profiles),
        at=entry.at,
        every=entry.every,
    )


def _template_of(order: OrderConfig) -> OrderTemplate:
    """The template of an order. Raises `_Faulty`."""
    if order.file is not None:
        try:
            return read_order_file(order.file)
        except (OSError, ValueError) as error:
            raise _Faulty(("file", str(error))) from None
    name, unit = str(order.preset), order.time_unit.upper()
    problems = find_problems(name, unit, order.columns)
    if problems:
        raise _Faulty(*problems)
    return Version3Template(make_configuration(name, unit, order.columns))


def read_order_file(path: Path) -> OrderTemplate:
    """The order of a file. Raises `ValueError`, which says what to write."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON; {_WRITE}") from None
    found = content if isinstance(content, dict) else {}
    if found.keys() & {"reports", "accessRequestedAccounts"}:
        raise ValueError("is an order of version 1, which named reports cannot send yet; write one of version 3")
    return Version3Template(_read_version_3(found))


_WRITE = "write an order for POST /reporting/reports"


def _read_version_3(order: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `configuration` of an order. Raises `ValueError`."""
    configuration = order.get("configuration")
    if not isinstance(configuration, dict):
        raise ValueError(f"has no configuration; {_WRITE}")  # noqa: TRY004 - the value is wrong, not the type of an argument
    problem = next(_problems_of_version_3(configuration), None)
    if problem is not None:
        raise ValueError(problem)
    return configuration


def _problems_of_version_3(configuration: Mapping[str, Any]) -> Iterator[str]:
    for name in ("adProduct", "reportTypeId", "timeUnit"):
        if not isinstance(configuration.get(name), str):
            yield f"has no configuration.{name}; write it as Amazon does"
    for name in ("columns", "groupBy"):
        if not _is_list_of_texts(configuration.get(name)):
            yield f"has no list of texts at configuration.{name}"
    if configuration.get("format") != "GZIP_JSON":
        yield "has another configuration.format than GZIP_JSON, which is the one that is read"
    preset, unit = PRESETS.get(configuration["reportTypeId"]), configuration["timeUnit"]
    if preset is not None and configuration["groupBy"] == [preset.group_by]:
        columns = tuple(configuration["columns"])
        yield from (words for _, words in find_problems(preset.name, unit, columns))


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
