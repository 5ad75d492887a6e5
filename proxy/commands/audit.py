"""`audit`: Verify and show the audit stream; undo approved writes.

Example: ads-proxy audit verify audit.jsonl
"""

from __future__ import annotations

import re
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from proxy.audit.chain import MAX_BREAKS, OPENED, Examination, read_link
from proxy.audit.file import MAX_LINE_BYTES, SavedHead, head_path, read_head, reason
from proxy.audit.records import BEGUN, HELD_BACK, NOT_SENT, WRITE, is_refused, is_refused_read, name_of, part
from proxy.commands.asking import members_of
from proxy.commands.cli_options import ConfigOption, EnvFileOption, ListenOption
from proxy.commands.consoles import answers, plain_table
from proxy.commands.logs import parse_day
from proxy.commands.terminal import FAILED, OK, complain, printable, say, tell
from proxy.config import audit_file, environment
from proxy.errors import ConfigurationError
from proxy.observability.plain_lines import change_in_words, violation_in_words
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("verify")
def verify_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files, the oldest first.")],
    head: Annotated[
        str, typer.Option(metavar="DIGEST", help="A digest that you noted earlier. A line must have it.")
    ] = "",
    first: Annotated[int, typer.Option("--first", min=1, metavar="NUMBER", help="The number of the first record.")] = 1,
) -> int:
    """Verify that the files of the audit stream are unchanged.

    It names changed, missing and moved lines. The exit code is then 1, also if the stream reports lost records.
    FILE.head next to the last file shows missing lines at the very end. Without FILE.head, give the digest of the last
    line with --head.

    Example: ads-proxy audit verify audit.jsonl.1 audit.jsonl
    """
    return verify(files, first, head)


def verify(files: Sequence[Path], first: int = 1, head: str = "") -> int:
    """Say what is wrong with the files, in the order they were written, and where; 0 where nothing is, else 1. `first`
    is the number that they begin with, `head` a digest that was noted."""
    wanted = head.strip().lower()
    if wanted and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigurationError(("--head: must be the 64 hexadecimal digits of a line's SHA-256",))
    last = files[-1]
    beside = read_head(last)
    found = Examination(first, _noted(wanted, beside))
    for file in files:
        _examine(found, file, lambda _: None)
    problems = [*_told(found), *_missing(found, wanted, beside, last)]
    if problems:
        complain("\n".join(problems))
        return FAILED
    numbers = f"numbers {found.began_at} to {found.head.sequence}" if found.records else "none"
    say(f"{found.records} records, {numbers}, nothing changed between them; the last has the digest")
    say(found.head.digest)
    if found.torn:
        tell(f"{found.torn} lines were torn by a crash; the records after them report it.")
    if found.uncertain:
        tell(
            f"{found.uncertain} times the proxy ended unexpectedly (audit-opened with unclosed; up to version 0.2 also "
            "worker-lost): records of its last moments may be missing."
        )
    if beside is not None and not beside.closed:
        tell(
            "The stream is open: the proxy is running, or it was killed, and records of its last second may be missing."
        )
    return OK


def _noted(wanted: str, beside: SavedHead | None) -> frozenset[str]:
    return frozenset(digest for digest in (wanted, beside.line.digest if beside is not None else "") if digest)


def _examine(found: Examination, file: Path, look: Callable[[bytes], None]) -> None:
    """Read a file, and have a look at each of its lines."""

    def lines() -> Iterator[bytes]:
        with file.open("rb") as opened:
            while line := opened.readline(MAX_LINE_BYTES):
                look(line)
                yield line

    try:
        found.feed(str(file), lines())
    except OSError as error:
        why = "it does not exist; correct its name" if isinstance(error, FileNotFoundError) else reason(error)
        raise ConfigurationError((f"{file}: cannot be read: {why}",)) from None


def _told(found: Examination) -> Iterator[str]:
    """What is wrong within the files."""
    for each in found.breaks[:MAX_BREAKS]:
        yield f"{each.file}, line {each.line} {each.text}"
    if len(found.breaks) > MAX_BREAKS:
        yield f"and {len(found.breaks) - MAX_BREAKS} more"


def _missing(found: Examination, wanted: str, beside: SavedHead | None, last: Path) -> Iterator[str]:
    """Which noted digests no line has: what was written up to them was changed, or cut off. Without `FILE.head`, only
    the digest of the last line, noted elsewhere, shows that nothing followed it."""
    at = f"the last is number {found.head.sequence}" if found.records else "there is none"
    if wanted and not found.holds(wanted):
        yield f"--head: no line has this digest: lines were cut off, or changed ({at})"
    if beside is None and found.records and wanted != found.head.digest:
        yield (
            f"{head_path(last)} is missing or cannot be read: lines may have been cut off at the end ({at}); "
            "restore it, or give the digest of the last line, noted elsewhere, with --head"
        )
    if beside is not None and not found.holds(beside.line.digest):
        told = f"{head_path(last)} is about number {beside.line.sequence}"
        yield f"{told}, and no line is it: lines were cut off, or changed ({at})"


# --- Who changed what ------------------------------------------------------------------------------------


@app.command("show")
def show_files(  # noqa: PLR0913 - each is an option of the command
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="The files, in the order they were written. Default: audit.file."),
    ] = None,
    day: Annotated[
        str, typer.Option(metavar="DAY", help="Only this day's, in UTC: 2026-11-24, today or yesterday.")
    ] = "",
    client: Annotated[str, typer.Option(metavar="NAME", help="Only this client's.")] = "",
    object_: Annotated[
        str, typer.Option("--object", metavar="KIND/ID", help="Only what names this object, such as campaign/123.")
    ] = "",
    member: Annotated[str, typer.Option(metavar="NAME", help="Only what sets this member, such as state.")] = "",
    over: Annotated[bool, typer.Option("--over", help="Only writes that are not within spend limits.")] = False,
    approved: Annotated[
        bool, typer.Option("--approved", help="Only approved writes: who asked, who approved, before and after.")
    ] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Show who changed what, when, and what became of it.

    It lists writes to Amazon, writes that spend limits held back, sign-ins, consents, invitations, keys and reloads.
    Objects and members of writes are recorded with `audit.objects: true`, values with `audit.values`. The files are
    verified as they are read: exit code 1 if they were changed or cut.

    Example: ads-proxy audit show --day yesterday --member state audit.jsonl
    """
    try:
        chosen = parse_day(day, datetime.now(UTC).date()) if day else ""
        wanted = ChangeFilter(chosen, client, object_, member, over, approved)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--day") from None
    if object_ and not re.fullmatch(r"[a-z-]+/[^/\s]+", object_):
        raise typer.BadParameter("is not KIND/ID, such as campaign/123", param_hint="--object")
    opened, names_objects = _files_of("show", files, config, env_file)
    return show(opened, wanted, names_objects=names_objects)


def _files_of(
    command: str, files: list[Path] | None, config: Path | None, env_file: Path | None
) -> tuple[tuple[Path, ...], bool]:
    """The named files, or that of the configuration; and whether it is known to record objects now. Raises
    `ConfigurationError`."""
    if files:
        return tuple(files), False
    file, names_objects = audit_file(config, environment(env_file))
    if file is None:
        problem = f"audit.file: is not set; set it, or name the files: `ads-proxy audit {command} FILE`"
        raise ConfigurationError((problem,))
    return (file,), names_objects


PARAGRAPHS_BELOW = 120
"""Columns of a terminal on which a table of eight columns would be a column of letters."""
_WRITES = frozenset({WRITE, HELD_BACK})
_NO_CHANGES = frozenset(
    {
        *("", "server-started", "server-stopped", "worker-lost", "audit-opened", "audit-lost", "client-keys-in-force"),
        *(BEGUN, NOT_SENT),
    }
)
"""Actions of records that describe the program and its stream, and of those that `UnfinishedWrites` reads."""


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """The wanted changes; an empty member asks for nothing. `day` is such as `2026-11-24`. `over` asks for writes that
    are not within their client's spend limits, `approved` for those that an approver approved."""

    day: str = ""
    client: str = ""
    object: str = ""
    member: str = ""
    over: bool = False
    approved: bool = False

    def takes(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is one of a change that is wanted."""
        own = part(record, "ads_proxy")
        return (
            _action(record) not in _NO_CHANGES
            and not is_refused_read(record)
            and str(record.get("@timestamp", "")).startswith(self.day)
            and self.client in ("", part(record, "user").get("name"))
            and (not self.object or self.object in _list(own, "objects") or self.object in changed_objects(own))
            and (not self.member or self.member in _list(own, "members") or self.member in changed_members(own))
            and (not self.over or part(own, "spend").get("verdict", "within") != "within")
            and (not self.approved or part(own, "spend").get("verdict") == "approved")
        )

    def may_take(self, record: Mapping[str, Any]) -> bool:
        """Whether a record could be wanted if it held everything: some of its objects or members are not recorded."""
        own = part(record, "ads_proxy")
        objects, members = self.object and own.get("further_objects"), self.member and own.get("further_members")
        names_nothing = _action(record) == WRITE and not own.keys() & {"objects", "members"}
        if not (own.get("unread") or objects or members or names_nothing):
            return False
        rest = ChangeFilter(self.day, self.client, over=self.over, approved=self.approved)
        return rest.takes(record) and not self.takes(record)


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A record as it is shown; `-` stands for what it does not have."""

    at: str
    client: str
    account: str
    whom: str
    operation: str
    outcome: str
    objects: str
    members: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> ShownChange:
        """The time, the actor, the account, the action and the outcome of a record. Pure."""
        own = part(record, "ads_proxy")
        cells = (
            str(record.get("@timestamp", ""))[:19].replace("T", " "),
            str(part(record, "user").get("name", "")),
            str(own.get("account", "")),
            str(own.get("profile") or own.get("ads_account") or ""),
            *(_written(record, own) if _action(record) in _WRITES else _told_change(record, own)),
        )
        return cls(*(printable(cell) or "-" for cell in cells))


HEADINGS = ("at", "client", "account", "for", "operation", "outcome", "objects", "members")


def show(files: tuple[Path, ...], wanted: ChangeFilter, *, names_objects: bool = False) -> int:
    """Print the changes that are wanted; 0 if the files are as they were written, else 1. `names_objects` tells that
    `audit.objects` is on by now."""
    found: list[ShownChange] = []
    gaps, incomplete, approved = RecordedGaps(wanted.member, names_objects=names_objects), 0, ApprovedWrites()
    unfinished = UnfinishedWrites()

    def look(record: Mapping[str, Any]) -> None:
        nonlocal incomplete
        approved.look(record)
        unfinished.look(record)
        if wanted.takes(record):
            found.append(ShownChange.of(record))
            (approved.take if wanted.approved else gaps.look)(record)
        incomplete += wanted.may_take(record)

    problems = _read_all(files, look)
    begun = [ShownChange.of(record) for record in unfinished.records() if wanted.takes(record)]
    if begun:
        found = sorted([*found, *begun], key=lambda change: change.at)
    incomplete += sum(map(wanted.may_take, unfinished.records()))
    if wanted.approved:
        for line in approved.lines():
            say(line)
    elif found:
        _print(found)
    if not found:
        tell("No change was found.")
    if incomplete and (wanted.object or wanted.member):
        tell(f"{incomplete} further writes may be among them: not all that they name is recorded.")
    for sentence in gaps.told():
        tell(sentence)
    complain("\n".join(problems))
    return FAILED if problems else OK


def _read_all(files: tuple[Path, ...], look: Callable[[Mapping[str, Any]], None]) -> list[str]:
    """Look at each record of the files, and tell what is wrong with these."""
    beside = read_head(files[-1])
    examined = Examination(_first_number(files[0]), _noted("", beside))
    for file in files:
        _examine(examined, file, lambda line: look(members_of(line)))
    return [*_told(examined), *_missing(examined, "", beside, files[-1])]


class UnfinishedWrites:
    """Writes that are on record as begun, and of which no later record says what became of them."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"<UnfinishedWrites: {len(self._begun)}>"

    def look(self, record: Mapping[str, Any]) -> None:
        """Take note of what began and what ended."""
        action = _action(record)
        if action == OPENED:  # what had begun in the program before will never have an end
            for each in self._begun.values():
                each["event"]["outcome"] = "unknown: the proxy was killed"
            return
        identifier = str(part(part(record, "http"), "request").get("id", ""))
        if action == BEGUN:
            event = {**part(record, "event"), "action": WRITE, "outcome": "no answer yet"}
            self._begun[identifier] = {**record, "event": event}
        elif action == NOT_SENT and identifier in self._begun:
            self._begun[identifier]["event"]["outcome"] = "not sent"
        else:
            self._begun.pop(identifier, None)

    def records(self) -> Iterator[Mapping[str, Any]]:
        """As records of writes with an outcome in words."""
        yield from self._begun.values()


class ApprovedWrites:
    """Approved writes, each with when it was asked for and decided, as far as the files have that."""

    def __init__(self) -> None:
        self._moments: dict[tuple[str, str], str] = {}
        self._records: list[Mapping[str, Any]] = []

    def __repr__(self) -> str:
        return f"<ApprovedWrites: {len(self._records)}>"

    def look(self, record: Mapping[str, Any]) -> None:
        """Take note of what became of an approval."""
        action = _action(record)
        if action in ("approval-requested", "approval-decided"):
            self._moments[action, str(part(record, "ads_proxy").get("approval"))] = _moment(record)

    def take(self, record: Mapping[str, Any]) -> None:
        """Keep the record of an approved write, to be shown."""
        self._records.append(record)

    def lines(self) -> Iterator[str]:
        """A paragraph for each write."""
        for number, record in enumerate(self._records):
            if number:
                yield ""
            yield from map(printable, self._paragraph(record))

    def _paragraph(self, record: Mapping[str, Any]) -> Iterator[str]:
        own = part(record, "ads_proxy")
        spend, shown = part(own, "spend"), ShownChange.of(record)
        approval = str(spend.get("approval", ""))
        asked, decided = (self._moments.get((f"approval-{what}", approval), "") for what in ("requested", "decided"))
        yield f"record {part(record, 'event').get('sequence', '-')}: {shown.operation}, {shown.outcome}"
        yield f"    asked by {shown.client}{_at(asked)}: approval {approval}"
        yield f"    approved by {spend.get('approver', '-')}{_at(decided)}"
        yield f"    sent at {shown.at} for {shown.account}, {shown.whom}"
        for each in _list(spend, "violations"):
            if isinstance(each, dict):
                yield f"    over: {violation_in_words(each)}"
        for each in _list(spend, "changes"):
            if isinstance(each, dict):
                yield f"    {change_in_words(each)}"
        yield from (f"    {text}" for text in _further(spend, "further_changes"))


def _moment(record: Mapping[str, Any]) -> str:
    return str(record.get("@timestamp", ""))[:19].replace("T", " ")


def _at(moment: str) -> str:
    return f" at {moment}" if moment else ""


def changed_objects(own: Mapping[str, Any]) -> set[str]:
    """The objects that an approved write has changed."""
    return {str(each.get("object")) for each in _list(part(own, "spend"), "changes") if isinstance(each, dict)}


def changed_members(own: Mapping[str, Any]) -> set[str]:
    """The members that an approved write has set: their names, and their paths."""
    paths = {str(each.get("member")) for each in _list(part(own, "spend"), "changes") if isinstance(each, dict)}
    return paths | {re.split(r"[.\[]", path, maxsplit=1)[0] for path in paths}


def _print(found: Sequence[ShownChange]) -> None:
    """Print a table, or a paragraph for each change where a table has no room."""
    console = answers(reader_may_leave=True)
    if console.width < PARAGRAPHS_BELOW:
        for change in found:
            console.print(Text("  ".join((change.at, change.client, change.operation, change.outcome))))
            for heading, cell in zip(HEADINGS, astuple(change), strict=True):
                if heading in ("account", "for", "objects", "members") and cell != "-":
                    console.print(Padding(Text(f"{heading}: {cell}"), (0, 0, 0, 4)))
        return
    table = plain_table(*HEADINGS)
    for change in found:
        table.add_row(*astuple(change))
    console.print(table)


class RecordedGaps:
    """What the shown writes lack because a configuration key is off. `member` is the one that was asked for."""

    def __init__(self, member: str, *, names_objects: bool = False) -> None:
        self._member, self._names_objects = member, names_objects
        self._without_objects = 0
        self._has_values = False
        self._without_value: set[str] = set()

    def __repr__(self) -> str:
        return f"<RecordedGaps: {self._without_objects} writes, {len(self._without_value)} members>"

    def look(self, record: Mapping[str, Any]) -> None:
        """Take note of a record that is shown."""
        own = part(record, "ads_proxy")
        if _action(record) != WRITE:
            return
        if not own.keys() & {"objects", "members", "unread"}:
            self._without_objects += 1
        valued = {str(each.get("member")) for each in _list(own, "values") if isinstance(each, dict)}
        self._has_values = self._has_values or bool(valued)
        self._without_value |= {*map(str, _list(own, "members"))} - valued

    def told(self) -> Iterator[str]:
        """A sentence for each key that would have filled a gap."""
        if self._without_objects:
            advice = "" if self._names_objects else " To record them, set `audit.objects: true` and restart the proxy."
            yield (
                f"{self._without_objects} writes have no objects and members (-): they name none, or `audit.objects` "
                f"was off.{advice}"
            )
        lacking = self._without_value & {self._member} if self._has_values else self._without_value
        if lacking:
            names = ", ".join(sorted(map(printable, lacking)))
            yield f"No values are recorded of {names}. To record them, list these members in `audit.values`."


# --- Undoing an approved write ---------------------------------------------------------------------------


@app.command("undo")
def undo_record(  # noqa: PLR0913 - each is an option of the command
    record: Annotated[
        int, typer.Argument(metavar="RECORD", min=1, help="The number that `audit show --approved` prints.")
    ],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="The files. Default: audit.file.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Send it, as a write of the client with the key.")] = False,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="A client's key, for --send.")
    ] = None,
    listen: ListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Print the write that restores what an approved write changed.

    It sets the values from before, as the audit record has them, and says what it does not restore: new and archived
    objects, and values that are not known. --send sends it through the proxy as a new write of the client whose key is
    in --key-file, under that client's limits.

    Example: ads-proxy audit undo 1284 audit.jsonl
    """
    from proxy.commands.undoing import ProxyAddress, print_undo, send_undo

    chosen, _ = _files_of(f"undo {record}", files, config, env_file)
    found, problems = find_record(chosen, record)
    if found is None:
        complain(
            "\n".join(problems)
            or f"undo: no record has the number {record}; `ads-proxy audit show --approved` lists them"
        )
        return FAILED
    proxy = ProxyAddress.of(config, environment(env_file), listen, key_file)
    if not send:
        code = print_undo(found, proxy)
        complain("\n".join(problems))
        return FAILED if problems else code
    if problems:
        complain("\n".join((*problems, "undo: nothing was sent, as the files are not as they were written")))
        return FAILED
    return send_undo(found, proxy)


def find_record(files: tuple[Path, ...], number: int) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The record of this number, None if the files have no such record or several; and what is wrong with the files."""
    found: list[Mapping[str, Any]] = []

    def look(record: Mapping[str, Any]) -> None:
        if part(record, "event").get("sequence") == number:
            found.append(record)

    problems = _read_all(files, look)
    return found[0] if len(found) == 1 else None, problems


def _first_number(file: Path) -> int:
    """The number of the first record: what came before it may be in a file that is gone."""
    try:
        with file.open("rb") as opened:
            link = read_link(opened.readline(MAX_LINE_BYTES).removesuffix(b"\n"))
    except OSError:
        return 1  # it is reported when the file is read
    return link.sequence if link is not None else 1


def _list(own: Mapping[str, Any], name: str) -> list[Any]:
    found = own.get(name)
    return found if isinstance(found, list) else []


def _action(record: Mapping[str, Any]) -> str:
    return str(part(record, "event").get("action", ""))


def _written(record: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Operation, outcome, objects and members of a write; with members stands what its limits say of it."""
    items, judged = part(own, "items"), part(own, "spend")
    outcome = "held back" if _action(record) == HELD_BACK else str(part(record, "event").get("outcome", ""))
    if is_refused(record):
        outcome = f"refused ({part(record, 'http', 'response').get('status_code')})"
    total = sum(count for count in items.values() if isinstance(count, int))
    said = [f"{outcome} ({items.get('succeeded')} of {total})" if items else outcome]
    unread = [f"({name} not read)" for name in map(str, _list(own, "unread"))]
    members = [_member(str(name), own) for name in _list(own, "members")]
    if judged.get("verdict", "within") != "within":
        said.append(str(judged["verdict"]))
        members += _reasons(judged)
    return (
        " ".join(map(str, _list(own, "mcp_tools"))) or name_of(record),
        ", ".join(said),
        " ".join([*map(str, _list(own, "objects")), *_further(own, "further_objects"), *unread]),
        " ".join([*members, *_further(own, "further_members")]),
    )


def _reasons(judged: Mapping[str, Any]) -> list[str]:
    """Why a write is not within its limits, in words."""
    violations = [f"{violation_in_words(each)};" for each in _list(judged, "violations") if isinstance(each, dict)]
    further = _further(judged, "further_violations")
    return [*violations, *further, *map(str, _list(judged, "unread")), *_further(judged, "further_unread")]


def _further(own: Mapping[str, Any], name: str) -> list[str]:
    """How many more a record leaves out."""
    return [f"and {own[name]} more"] if own.get(name) else []


def _told_change(record: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Action, outcome, details and an empty column: those of a change that is no write."""
    event = part(record, "event")
    said = {
        "reason": event.get("reason"),
        **{name: value for name, value in own.items() if name not in ("account", "previous")},
        "address": part(record, "source").get("ip"),
        "error": part(record, "error").get("message"),
    }
    flat = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in said.items()}
    words = (f"{name}={value}" for name, value in flat.items() if value)
    return _action(record), str(event.get("outcome", "")), " ".join(words), ""


def _member(name: str, own: Mapping[str, Any]) -> str:
    """A member with the values that were recorded of it."""
    values = [
        each.get("value") for each in _list(own, "values") if isinstance(each, dict) and each.get("member") == name
    ]
    return f"{name}={','.join(dict.fromkeys(map(str, values)))}" if values else name
