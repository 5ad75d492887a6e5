"""A named report that `report add` writes to a configuration file, or `report remove` takes out of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.commands.terminal import OK, tell
from proxy.commands.yaml_edits import Flow, add_entry, remove_entry, without_entry
from proxy.config import load
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.errors import ConfigurationError
from proxy.reports.presets import DAILY, find_problems
from proxy.reports.store import ReportFolder, ReportFolderError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.commands.configuration_file import ConfigurationFile
    from proxy.config import Config

AT = "06:00"
"""When a report runs each day if nothing else is asked for, in each profile's time zone."""


@dataclass(frozen=True, slots=True)
class NewReport:
    """A named report to be added. Empty members are left to their defaults; `account` is the only one then."""

    preset: str
    name: str = ""
    account: str = ""
    profiles: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    time_unit: str = ""
    days: int = 0
    at: str = ""
    every: str = ""
    keep: str = ""


def add_report(file: ConfigurationFile, wanted: NewReport, dry_run: bool) -> int:
    """Add it. Raises `StartupError`, and then the file is as it was."""
    file.refuse_variables("reports", "named")
    _check(file, wanted)
    name, values = wanted.name or default_name(wanted.preset), file.values
    present = values.get("reports") or {}
    if name in (present.get("named") or {}):
        raise ConfigurationError((f"{file.command}: --name: {name} is the name of a report already; choose another",))
    entry = report_entry(wanted, _account(file, wanted.account))
    keep = {"keep": Flow({"dir": wanted.keep})} if wanted.keep else {}
    named = {"named": {**(present.get("named") or {}), name: entry}}

    def edit(text: str) -> str:
        if keep:
            text = add_entry(text, ("reports",), "keep", keep["keep"])
        return add_entry(text, ("reports", "named"), name, entry)

    text = file.edited(edit, {**values, "reports": {**present, **keep, **named}})
    file.finish(text, dry_run=dry_run, answers=True)
    if not dry_run:
        for line in next_steps(load(file.path, file.environ), name, is_first=file.config.reports is None):
            tell(line)
    return OK


def remove_report(file: ConfigurationFile, name: str, dry_run: bool) -> int:
    """Remove it. Raises `StartupError`, and then the file is as it was."""
    file.refuse_variables("reports", "named")
    named = file.config.reports.named if file.config.reports is not None else {}
    if name not in named:
        advice = did_you_mean(name, named) or f"; the reports are: {shown_names(named)}"
        raise ConfigurationError((f"{file.command}: unknown report{advice}",))
    place, values = ("reports", "named", name), file.values
    text = file.edited(lambda text: remove_entry(text, place), without_entry(values, place))
    file.finish(text, dry_run=dry_run, answers=True)
    if dry_run:
        return OK
    tell(f"Removed: report {name}. A running proxy removes its results within seconds.")
    if naming := [client.name for client in file.config.clients if name in (client.reports or ())]:
        tell(f"note: `reports` of these clients still names it: {', '.join(naming)}")
    if "reports" not in without_entry(values, place):
        tell("note: `reports:` is no longer in the file: orders that Amazon throttles no longer wait in the proxy.")
    return OK


def default_name(preset: str) -> str:
    """`spCampaigns` becomes `sp-campaigns`. Pure."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", preset).lower()


def report_entry(wanted: NewReport, account: str) -> dict[str, Any]:
    """The entry of the configuration. Pure."""
    order = Flow({"preset": wanted.preset})
    if wanted.time_unit:
        order["time_unit"] = wanted.time_unit
    if wanted.columns:
        order["columns"] = [*wanted.columns]
    schedule = {"every": wanted.every} if wanted.every else {"at": wanted.at or AT}
    return {
        "account": account,
        **({"profiles": [*wanted.profiles]} if wanted.profiles else {}),
        "order": order,
        **({"days": wanted.days} if wanted.days else {}),
        **schedule,
    }


def next_steps(config: Config, name: str, *, is_first: bool) -> Iterator[str]:
    """What happens now, what may be in the way, and what to type."""
    yield f"Added: report {name}. A running proxy orders it within seconds; Amazon takes minutes, or hours."
    if is_first:
        yield "note: `reports:` is new in the file: while Amazon throttles orders, they now wait in the proxy."
    if config.reports is not None:
        try:
            ReportFolder(config.reports.keep.dir).check_before_start((name,))
        except ReportFolderError as error:
            yield f"note: {error}"
    yield from ("", "Next:", f"  ads-proxy report {name} --dry-run", f"  ads-proxy report {name} --wait")


def _check(file: ConfigurationFile, wanted: NewReport) -> None:
    """Raise `ConfigurationError` for options that make no report, before the file is looked at."""
    problems = [
        f"{'PRESET' if key == 'preset' else '--column'}: {words}"
        for key, words in find_problems(wanted.preset, wanted.time_unit.upper() or DAILY, wanted.columns)
    ]
    if wanted.at and wanted.every:
        problems.append("--at and --every: give one of them")
    if wanted.keep and file.config.reports is not None and "keep" in (file.values.get("reports") or {}):
        problems.append(f"--keep-dir: reports.keep is in {file.path} already; change it there")
    if problems:
        raise ConfigurationError(tuple(f"{file.command}: {problem}" for problem in problems))


def _account(file: ConfigurationFile, named: str) -> str:
    accounts = [*file.config.accounts]
    if named in accounts or (not named and len(accounts) == 1):
        return named or accounts[0]
    why = "unknown account" if named else "missing, and there are several"
    raise ConfigurationError((f"{file.command}: --account: {why}; the accounts are: {shown_names(accounts)}",))
