"""What the named reports of a configuration order. Reads the files that orders are in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.app.rules import make_operations
from proxy.errors import ConfigurationError
from proxy.reports.plan import NamedReport
from proxy.reports.presets import PRESETS, find_problems, make_configuration
from proxy.reports.templates import Version1Template, Version3Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config import Config
    from proxy.config.model.reports import NamedReportConfig, OrderConfig, ReportsSection
    from proxy.reports.templates import OrderTemplate


def refuse_misfits(config: Config) -> None:
    """Raise `ConfigurationError` for all that is wrong in valid sections: operations that do not fit the table, and
    named reports that Amazon would refuse."""
    problems = list[str]()
    for check in (make_operations, _check_reports):
        try:
            check(config)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(tuple(problems))


def _check_reports(config: Config) -> None:
    if config.reports is not None:
        make_named_reports(config.reports)


def make_named_reports(section: ReportsSection) -> dict[str, NamedReport]:
    """All named reports. Reads the files of their orders. Raises `ConfigurationError` with everything that is wrong."""
    reports, problems = {}, list[str]()
    for name, entry in section.named.items():
        try:
            reports[name] = _report(name, entry, _template_of(entry.order))
        except _Faulty as error:
            problems += [f"reports.named.{name}.{key}: {words}" for key, words in error.problems]
    if problems:
        raise ConfigurationError(tuple(problems))
    return reports


class _Faulty(Exception):
    """A report that cannot be ordered: each key, and what is wrong with its value."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__()
        self.problems = problems


def _report(name: str, entry: NamedReportConfig, template: OrderTemplate) -> NamedReport:
    """Raises `_Faulty`."""
    if entry.days > template.most_days:
        raise _Faulty(("days", f"is more than such an order can cover; write at most {template.most_days}"))
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
            raise _Faulty(("order.file", str(error))) from None
    name, unit = str(order.preset), order.time_unit.upper()
    problems = find_problems(name, unit, order.columns)
    if problems:
        raise _Faulty(*((f"order.{key}", words) for key, words in problems))
    return Version3Template(make_configuration(name, unit, order.columns))


def read_order_file(path: Path) -> OrderTemplate:
    """The order of a file, in version 1 or 3. Raises `ValueError`, which says what to write."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON; {_WRITE}") from None
    found = content if isinstance(content, dict) else {}
    if found.keys() & {"reports", "accessRequestedAccounts"}:
        return Version1Template(_read_version_1(found))
    return Version3Template(_read_version_3(found))


_WRITE = "write an order for POST /reporting/reports or for POST /adsApi/v1/create/reports"


# --- Version 1 ---------------------------------------------------------------------------------------------------

_FORMATS_1 = ("GZIP_JSON", "PARTITIONED_GZIP_JSON")


def _read_version_1(order: Mapping[str, Any]) -> Mapping[str, Any]:
    """The report that an order asks for, without its period. Raises `ValueError`."""
    reports, accounts = order.get("reports"), order.get("accessRequestedAccounts")
    if not isinstance(reports, list) or len(reports) != 1 or not isinstance(reports[0], dict):
        raise ValueError("has no list of one report at reports; write each further one as a named report of its own")
    named = accounts if isinstance(accounts, list) else []
    if any(isinstance(each, dict) and "managerAccountId" in each for each in named):
        raise ValueError(
            "names a managerAccountId; remove accessRequestedAccounts, which become the ads accounts of the profiles"
        )
    report = {name: value for name, value in reports[0].items() if name != "periods"}
    problem = next(_problems_of_version_1(report), None)
    if problem is not None:
        raise ValueError(problem)
    return report


def _problems_of_version_1(report: Mapping[str, Any]) -> Iterator[str]:
    if report.get("format") not in _FORMATS_1:
        yield f"has another reports[0].format than {' or '.join(_FORMATS_1)}, which are those that are read"
    query = report.get("query")
    fields: Any = query.get("fields") if isinstance(query, dict) else None
    if not _is_list_of_texts(fields):
        yield "has no list of texts at reports[0].query.fields"
    elif len(set(fields)) < len(fields):
        yield "lists a field twice at reports[0].query.fields; remove one"
    if isinstance(query, dict) and not isinstance(query.get("filter", {}), dict):
        yield "has no object at reports[0].query.filter; write it as Amazon does"


# --- Version 3 ---------------------------------------------------------------------------------------------------


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
    columns = tuple(configuration["columns"])
    if preset is not None and configuration["groupBy"] == [preset.group_by]:
        yield from (words for _, words in find_problems(preset.name, unit, columns))
    elif len(set(columns)) < len(columns):
        yield "lists a column twice at configuration.columns; remove one"


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
