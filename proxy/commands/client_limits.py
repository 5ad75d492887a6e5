"""What `client edit` and `client allow` change in a configuration file: the limits of one client, not its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.commands.keys import find_client
from proxy.commands.terminal import OK, tell
from proxy.commands.yaml_edits import change_list, changed_list, remove_entry, set_value
from proxy.config.model.key_names import did_you_mean, shown_names
from proxy.errors import ConfigurationError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.commands.configuration_file import ConfigurationFile

LISTS: Final = {
    "accounts": "--account",
    "profiles": "--profile",
    "account_ids": "--account-id",
    "unscoped_paths": "--unscoped-path",
    "methods": "--method",
    "paths": "--path",
    "mcp_tools": "--mcp-tool",
    "reports": "--report",
}
"""Keys of a client that are lists, and the option for an item of each."""
_TO_ADVERTISERS: Final = ("profiles", "account_ids")
"""What makes a client a limited one."""
_NONE_WITHOUT: Final = ("unscoped_paths", "reports", *_TO_ADVERTISERS)
"""Keys that, where a limited client lacks them, permit nothing. Others permit all."""


@dataclass(frozen=True, slots=True)
class LimitChanges:
    """What takes the place of what a client has: texts by key, an empty `access` for the present one, and the keys that
    go."""

    lists: Mapping[str, list[str]]
    access: str = ""
    unset: tuple[str, ...] = ()

    @classmethod
    def of(cls, lists: Mapping[str, list[str] | None], access: str | None, unset: Iterable[str]) -> LimitChanges:
        """The changes of a command line. Raises `ConfigurationError` for those that make no sense."""
        changes = cls({key: values for key, values in lists.items() if values}, access or "", tuple(unset))
        problems = []
        for key in changes.unset:
            if key not in LISTS:
                advice = did_you_mean(key, LISTS) or f"; the limits are: {shown_names(LISTS)}"
                problems.append(f"client edit: --unset: unknown limit{advice}")
            elif key in changes.lists:
                problems.append(f"client edit: --unset {key} and {LISTS[key]}: give one of them")
        if not (changes.lists or changes.access or changes.unset):
            problems.append("client edit: nothing to change; give an option, such as --access report")
        if problems:
            raise ConfigurationError(tuple(problems))
        return changes


def edit_client(file: ConfigurationFile, name: str, changes: LimitChanges, dry_run: bool) -> int:
    """Change its limits. Raises `StartupError`, and then the file is as it was."""
    number, entry = _entry_of(file, name)
    after = {key: value for key, value in entry.items() if key not in changes.unset}
    after |= {key: changed_list(entry.get(key) or (), wanted) for key, wanted in changes.lists.items()}
    if changes.access and changes.access != entry.get("access", "write"):
        after["access"] = changes.access
    return _put(file, number, (entry, after), dry_run)


def allow_client(file: ConfigurationFile, name: str, more: Mapping[str, list[str]], dry_run: bool) -> int:
    """Add to its limits. Raises `StartupError`, and then the file is as it was."""
    if not more:
        raise ConfigurationError((f"{file.command}: nothing to permit; give an option, such as --account NAME",))
    number, entry = _entry_of(file, name)
    problems = tuple(f"{file.command}: {problem}" for key in more if (problem := _find_problem(entry, name, key)))
    if problems:
        raise ConfigurationError(problems)
    after = {**entry, **{key: allowed(entry, key, values) for key, values in more.items()}}
    return _put(file, number, (entry, after), dry_run)


def allowed(entry: Mapping[str, Any], key: str, more: Iterable[str]) -> list[Any]:
    """A list of a client's entry with more items. Pure."""
    present = entry.get(key) or ()
    return changed_list(present, [*map(str, present), *more])


def _find_problem(entry: Mapping[str, Any], name: str, key: str) -> str:
    """Why an item more of a list would permit less, empty if it permits more."""
    if entry.get(key):
        return ""
    is_limited = any(entry.get(each) for each in _TO_ADVERTISERS)
    if is_limited and key in _NONE_WITHOUT:
        return ""
    if key == "unscoped_paths":
        return f"{name} has neither profiles nor account_ids, so it may use every path without them already"
    limit = f"`ads-proxy client edit {name} {LISTS[key]} ...` limits it to some"
    return f"{name} has no `{key}`, so it may use all already; {limit}"


def _entry_of(file: ConfigurationFile, name: str) -> tuple[int, dict[str, Any]]:
    """A client's place in the file, and what is there. Raises `ConfigurationError`."""
    file.refuse_variables("clients")
    number = find_client(file.command, file.config, name)
    return number, dict(file.values["clients"][number])


def _put(file: ConfigurationFile, number: int, entries: tuple[dict[str, Any], dict[str, Any]], dry_run: bool) -> int:
    """Write a client's entry, from what it was to what it is to be."""
    before, after = entries
    name = before["name"]
    if before == after:
        tell(f"Unchanged: client {name} has these limits already.")
        return OK
    clients = [*file.values["clients"]]
    clients[number] = after

    def edit(text: str) -> str:
        at = "clients", number
        for key in LISTS:
            if after.get(key) != before.get(key):
                place, wanted = (*at, key), [*map(str, after.get(key) or ())]
                text = change_list(text, place, wanted) if wanted else remove_entry(text, place)
        if after.get("access") != before.get("access"):
            text = set_value(text, at, "access", after["access"])
        return text

    file.finish(file.edited(edit, {**file.values, "clients": clients}), dry_run=dry_run, answers=True)
    if not dry_run:
        tell(f"Changed: client {name}. A running proxy applies it within 5 seconds.")
        if any(before.get(key) for key in _TO_ADVERTISERS) and not any(after.get(key) for key in _TO_ADVERTISERS):
            tell(f"note: client {name} is not limited to advertisers now: it may use every profile of its accounts.")
    return OK
