"""`logs`: Show a JSON log of the proxy for people, with filters.

Give a filter several times to show more; different filters narrow the result. --follow works across log rotation.

Example: ads-proxy logs -f proxy.log --status 4xx --status 5xx
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import deque
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from rich.text import Text

from proxy.commands.completion import account_names, client_names
from proxy.commands.consoles import answers
from proxy.commands.terminal import FAILED, OK, complain, printable
from proxy.config.model.kinds import AccessField
from proxy.observability.plain_lines import as_read
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


INTERVAL = 0.25
"""Seconds between looks at a file that is followed."""
LAST_LINES = 20
"""Shown before what comes, where a file is followed."""


def logs(  # noqa: PLR0913 - each is an option of the command
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The log. Default: standard input.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines as they are written.")] = False,
    last: Annotated[
        int | None,
        typer.Option("--last", "-n", min=1, metavar="LINES", help="Start this many lines before the end."),
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only requests of this client.", autocompletion=client_names),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only lines about this account.", autocompletion=account_names),
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="STATUS", help="Only requests with this status: 404, 4xx or 500-504.")
    ] = None,
    operation: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only these operations, such as '*Campaigns'.")
    ] = None,
    level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Only lines of this level or above.")
    ] = "debug",
    day: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="Only lines of this day in UTC: 2026-11-24, today or yesterday."),
    ] = None,
) -> int:

    if follow and file is None:
        raise typer.BadParameter("needs FILE; standard input is always followed", param_hint="--follow")
    try:
        statuses = tuple(map(parse_statuses, status or ()))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--status") from None
    try:
        days = tuple(parse_day(text, datetime.now(UTC).date()) for text in day or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--day") from None
    wanted = LogFilter(tuple(client or ()), tuple(account or ()), statuses, tuple(operation or ()), level, days)
    return print_logs(file, wanted, follow=follow, last=last)


def print_logs(
    path: Path | None,
    wanted: LogFilter,
    *,
    follow: bool,
    last: int | None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Print the wanted lines of a file, or of standard input without a path. `last`: only so many of the present
    ones."""
    try:
        if path is None:
            _print((line.decode("utf-8", "replace") for line in sys.stdin.buffer), wanted, last)
        else:
            with closing(LogFile(path)) as lines:
                begun = lines.read() if follow else lines.read_whole()
                _print(begun, wanted, LAST_LINES if follow and not last else last)
                while follow:
                    pause(INTERVAL)
                    _print(lines.read(), wanted)
    except KeyboardInterrupt:
        return OK
    except OSError as error:
        complain(f"{path or 'standard input'}: {error.strerror or error}")
        return FAILED
    return OK


def _print(texts: Iterable[str], wanted: LogFilter, last: int | None = None) -> None:
    """Print the wanted lines as they come; with `last`, the last ones once all are there."""
    console = answers(reader_may_leave=True)
    found: Iterable[Text] = (shown for text in texts if (shown := pick(text, wanted)) is not None)
    for shown in found if last is None else deque(found, last):
        console.print(shown, soft_wrap=True)


def pick(text: str, wanted: LogFilter) -> Text | None:
    """A line as it is shown, if it is asked for. What is no line of the log is shown as it is, where all are."""
    line = read_line(text)
    if line is None:
        return Text(printable(text.rstrip("\n"))) if wanted.asks_for_nothing else None
    return show(line) if wanted.passes(line) else None


def parse_day(text: str, today: date) -> str:
    """`2026-11-24`, `today` or `yesterday`, as a date is written. Raises `ValueError` for anything else."""
    if text in ("today", "yesterday"):
        return str(today - timedelta(days=text == "yesterday"))
    try:
        return str(date.fromisoformat(text))
    except ValueError:
        raise ValueError("is not a day; write 2026-11-24, today or yesterday") from None


class LogFile:
    """A file that grows, and that may be replaced (rotated) or emptied meanwhile: whole lines, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._rest = b""

    def __repr__(self) -> str:
        return f"<LogFile {self._path.name} at {self._file.tell()}>"

    def close(self) -> None:
        self._file.close()

    def read(self) -> Iterator[str]:
        """What came since the last time. The end of a file that was replaced comes first."""
        yield from self._lines()
        if self._is_other():
            self._file.close()
            self._file, self._rest = self._path.open("rb"), b""
            yield from self._lines()

    def read_whole(self) -> Iterator[str]:
        """All of it, a last line without its end as well."""
        yield from self._lines()
        if self._rest:
            yield self._rest.decode("utf-8", "replace")

    def _lines(self) -> Iterator[str]:
        if self._file.seekable() and os.fstat(self._file.fileno()).st_size < self._file.tell():  # a pipe has no place
            self._file.seek(0)
            self._rest = b""
        while piece := self._file.read(1 << 20):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")

    def _is_other(self) -> bool:
        """Whether another file has this name by now. None at all is a rotation that is not over yet."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


# --- Log lines for people --------------------------------------------------------------------------------

LEVELS = ("debug", "info", "warning", "error", "critical")
"""The levels from the quietest to the loudest."""
_STYLES = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
_SHOWN_APART = frozenset({"timestamp", "level", "event"})
_OF_REQUESTS = frozenset(get_args(AccessField))


@dataclass(frozen=True, slots=True)
class StatusRange:
    """Statuses from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What a line must have; what is empty asks for nothing. Of several values of one kind, one is enough."""

    clients: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    statuses: tuple[StatusRange, ...] = ()
    operations: tuple[str, ...] = ()
    level: str = LEVELS[0]
    days: tuple[str, ...] = ()
    """The days, such as `2026-11-24`, in UTC, like the lines' timestamps."""

    @property
    def asks_for_nothing(self) -> bool:
        """Whether every line passes, those included that are no JSON."""
        return self == LogFilter()

    def passes(self, line: Mapping[str, Any]) -> bool:
        """Whether a line is asked for. A level that is not known counts as the loudest."""
        if str(line.get("level")) in LEVELS[: LEVELS.index(self.level)]:
            return False
        if self.days and str(line.get("timestamp", ""))[:10] not in self.days:
            return False
        if self.clients and str(line.get("client", "")) not in self.clients:
            return False
        if self.accounts and str(line.get("account", "")) not in self.accounts:
            return False
        asked = [str(line.get("operation", "")), *map(str, line.get("mcp_tools") or ())]
        if self.operations and not any(fnmatchcase(name, pattern) for name in asked for pattern in self.operations):
            return False
        status = line.get("status")
        within = isinstance(status, int) and any(wanted.first <= status <= wanted.last for wanted in self.statuses)
        return within or not self.statuses


def parse_statuses(text: str) -> StatusRange:
    """`404`, `4xx` or `400-499`. Raises `ValueError` for anything else."""
    if found := re.fullmatch(r"([1-5])xx", text, re.IGNORECASE):
        return StatusRange(int(found[1]) * 100, int(found[1]) * 100 + 99)
    if found := re.fullmatch(r"(\d{3})(?:-(\d{3}))?", text):
        return StatusRange(int(found[1]), int(found[2] or found[1]))
    raise ValueError("is not a status; write 404, 4xx or 400-499")


def read_line(text: str) -> Mapping[str, Any] | None:
    """A line of the log, or None where it is something else."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and "event" in line else None


def show(line: Mapping[str, Any]) -> Text:
    """A line as people read it: time, what happened, and everything else that it says."""
    request = line.get("event") == "request"
    shown = _request(line) if request else [printable(line["event"])]
    left = [key for key in line if key not in _SHOWN_APART and not (request and key in _OF_REQUESTS)]
    words = " ".join([*shown, *(f"{key}={_value(as_read(key, line[key]))}" for key in left if key != "traceback")])
    text = Text(f"{_time(line)} ", "dim").append(words, _style(line))
    for trace in str(line.get("traceback", "")).splitlines():
        text.append(f"\n    {printable(trace)}", "dim")
    return text


def _request(line: Mapping[str, Any]) -> list[str]:
    """Status and request first, then whose it was, how long it took, and what went wrong."""
    asked = f"{line.get('status', '-')} {line.get('method', '-')} {line.get('path', '-')}"
    tools = line.get("mcp_tools")
    words = [printable(asked), _value(tools) if tools else printable(line.get("operation", ""))]
    if line.get("upstream_status") not in (None, 0, line.get("status")):
        words.append(printable(f"(Amazon said {line['upstream_status']})"))
    whose = "/".join(printable(line[key]) for key in ("account", "region") if line.get(key))
    words.append(" for ".join(part for part in (printable(line.get("client", "")), whose) if part))
    named = (("profile", "profile"), ("ads account", "ads_account"))
    words += [printable(f"{kind} {line[key]}") for kind, key in named if line.get(key)]
    duration, attempts = line.get("duration_ms"), line.get("attempts")
    if isinstance(duration, int | float):
        words.append(f"{duration:.1f} ms")
    if isinstance(attempts, int) and attempts > 1:
        words.append(f"{attempts} attempts")
    judged = line.get("spend")
    words += [printable(f"spend={judged.get('verdict', '-')}")] if isinstance(judged, dict) else []
    words += [printable(f"{key}={line[key]}") for key in ("refusal", "fault") if line.get(key)]
    words += [printable(line["detail"])] if line.get("detail") else []
    words += [printable(f"[{line['request_id']}]")] if line.get("request_id") else []
    return [word for word in words if word]


def _time(line: Mapping[str, Any]) -> str:
    """The time of day, with the day before it: logs are read days later."""
    stamp = printable(line.get("timestamp", "-"))
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d\.\d{3})\d*Z", stamp)
    return f"{found[1]} {found[2]}" if found else stamp


def _style(line: Mapping[str, Any]) -> str:
    status = line.get("status")
    refused = isinstance(status, int) and 400 <= status < 500
    return _STYLES.get(str(line.get("level")), "yellow" if refused else "")


def _value(value: object) -> str:
    if isinstance(value, list):
        return printable(", ".join(map(str, value)))
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
