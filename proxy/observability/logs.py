"""The observer that writes: one structured line for each event, JSON or for a terminal, without secrets.

Which event is worth which level, and how a line looks, is decided here. Measuring is not done here, and writing itself
is the sink's business. The line of a request takes a path of its own, since there is one for every request.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from dataclasses import fields
from time import time
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from proxy import events
from proxy.advice import ready_to_paste
from proxy.events import (
    AdminRefused,
    AuditFailed,
    AuditOpened,
    AuditRecovered,
    ClientKeysInForce,
    Event,
    RequestFinished,
    RequestKind,
    RequestStarted,
)
from proxy.observability.access_line import ACCESS_FIELDS, MAX_LINE_BYTES, AccessLines, Timestamps
from proxy.observability.plain_lines import COLUMNS, render_plain
from proxy.observability.request_record import record_of
from proxy.observability.sink import Sink
from proxy.redaction import Redaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.observability.request_record import LineRenderer
    from proxy.secret import Secret


LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
Format = Literal["json", "console", "auto"]
LEAST_COLUMNS: Final = 60
"""A terminal that is narrower wraps the lines itself."""
_OWN_WORDS: Final = frozenset({"timestamp", "level", "event"})

_STATE_LEVELS: Final = {"degraded": "warning", "expired": "error", "revoked": "error", "misconfigured": "error"}
_RUN_LEVELS: Final = {"success": "info", "partial": "warning", "failure": "error"}
_NOTICE_LEVELS: Final = {
    events.NoticeOutcome.SENT: "info",
    events.NoticeOutcome.DELAYED: "warning",
    events.NoticeOutcome.LOST: "error",
}
_ALWAYS: Final[dict[type[Event], str]] = {
    events.AmazonThrottled: "warning",
    events.FamilyHeldBack: "warning",
    events.OrdersPaced: "warning",
    events.SignInNeeded: "warning",
    events.ConsentEnding: "warning",
    events.ConsentEnded: "error",
    events.AccessTokenRefused: "error",
    events.OlderRefreshTokenUsed: "warning",
    events.RefreshTokenLost: "error",
    events.SharedListDamaged: "warning",
    events.ProfilesFailed: "warning",
    events.AdsAccountsFailed: "warning",
    events.DefaultProfileChanged: "warning",
    events.ToolHintsContradicted: "warning",
    events.HostRefused: "warning",
    events.WritesFrozen: "warning",
    events.ApprovalRequested: "warning",
    events.ProviderKeysFailed: "warning",
    events.AuthorityDistrusted: "warning",
    AdminRefused: "warning",
    events.ApproverRefused: "warning",
    ClientKeysInForce: "debug",
    AuditFailed: "error",
    events.ReportFileUnreadable: "error",
    events.DefectMet: "error",
}
"""The levels of events that are not `info`."""
_BY_VALUE: Final[dict[type[Event], Callable[[Any], str]]] = {
    RequestFinished: lambda e: "warning" if e.status >= 500 or e.fault else "info",
    events.RefreshFailed: lambda e: "error" if e.permanent else "warning",
    events.CredentialStateChanged: lambda e: _STATE_LEVELS.get(e.new, "info"),
    events.TokenUnpersisted: lambda e: "warning" if e.unpersisted else "info",
    events.StoredTokenDamaged: lambda e: "warning" if e.restored else "error",
    AuditRecovered: lambda e: "error" if e.lost else "info",
    AuditOpened: lambda e: "error" if e.trouble else "info",
    events.ServerStopped: lambda e: "warning" if e.cut else "info",
    events.StateStoreChanged: lambda e: "warning" if e.degraded else "info",
    events.TraceDeliveryChanged: lambda e: "warning" if e.failing else "info",
    events.AuthorityLoaded: lambda e: "warning" if e.note else "info",
    events.ConfigReloaded: lambda e: "info" if e.success else "error",
    events.SecretCommandRan: lambda e: "error" if e.problem else "info",
    events.ReportRunFinished: lambda e: _RUN_LEVELS.get(e.result, "error"),
    events.NoticeTold: lambda e: _NOTICE_LEVELS[e.outcome],
    events.SignInFinished: lambda e: "info" if e.outcome is events.SignInOutcome.CONNECTED else "warning",
}
_NAMES: Final[dict[type[Event], str]] = {RequestFinished: "request"}


def level_of(event: Event) -> str:
    """How loud an event is: its trouble for an operator, not its rarity."""
    decide = _BY_VALUE.get(type(event))
    return decide(event) if decide else _ALWAYS.get(type(event), "info")


def is_news(event: Event) -> bool:
    """Whether an event is worth a line at all: the state that an account begins with is not, nor each that
    waits behind others, nor an interval that shrinks, nor a command without a complaint, nor what is only counted."""
    if isinstance(event, events.CredentialStateChanged):
        return event.old != event.new
    if isinstance(event, events.FamilyHeldBack):
        return event.first
    if isinstance(event, events.SecretCommandRan):
        return bool(event.problem or event.stderr or event.recovered)
    if isinstance(event, events.OrdersPaced):
        return event.slower or not event.interval
    return not isinstance(event, RequestStarted | events.CounterRaised | events.ApprovalsCounted)


def name_of(kind: type[Event]) -> str:
    """`RefreshFailed` is `refresh_failed` in the log."""
    return _NAMES.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()


def fields_of(event: Event) -> dict[str, object]:
    """The fields of an event that is no request's, as a line holds them: empty ones left out."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    kept = {name: value for name, value in values.items() if value not in ("", None, ())}
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in kept.items()}


def columns_of(stream: TextIO | None) -> int:
    """How wide the terminal is now to which a stream leads."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream is not None else 0
    except (OSError, ValueError):
        columns = 0
    return max(LEAST_COLUMNS, columns) if columns else COLUMNS


def _advising(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_advising, value))
    return ready_to_paste(value) if isinstance(value, str) else value


class Logs:
    """Writes events, and what libraries log, to one stream. Made once, by `configure`."""

    def __init__(
        self,
        stream: TextIO | None,
        *,
        form: Format,
        level: str,
        access: bool,
        colours: bool = True,
    ) -> None:
        self.screen = stream
        """What leads to the terminal on which the lines are read, if they are read on one."""
        self.redaction = Redaction()
        self._json = form == "json" or (form == "auto" and not self.on_terminal)
        self._colours = colours and not self._json and self.on_terminal
        self.sink = Sink(stream, self._lost_line)
        self._clock = Timestamps()
        self.stamp = self._clock.at
        self._access_lines = AccessLines(self.redaction)
        self.adjust(level=level, access=access)

    def __repr__(self) -> str:
        level = next(name for name, value in LEVELS.items() if value == self._threshold)
        return f"<Logs: {self.form} from {level}, {self.redaction!r}, {self.sink!r}>"

    @property
    def form(self) -> Format:
        """How lines look: `json` or `console`."""
        return "json" if self._json else "console"

    @property
    def on_terminal(self) -> bool:
        """Whether the lines are read on a terminal."""
        return self.screen is not None and self.screen.isatty()

    def adjust(self, *, level: str, access: bool, access_fields: Iterable[str] | None = None) -> None:
        """What a reload may change. Without `access`, only requests that met trouble have a line; `access_fields` are
        the members that the line of a request has; None for all."""
        self._access_lines.choose(frozenset(ACCESS_FIELDS if access_fields is None else access_fields))
        self._threshold = LEVELS[level]
        info = self._threshold <= LEVELS["info"] and access
        self._request_threshold = LEVELS["info"] if info else max(self._threshold, LEVELS["warning"])

    def redact(self, secrets: Iterable[Secret]) -> None:
        """Mask these values in every line from now on, whatever carries them."""
        self.redaction.know(secrets)
        self._access_lines.forget()

    def observe(self, event: Event) -> None:
        kind = event.__class__
        if kind is RequestFinished:
            self._request(event)  # type: ignore[arg-type]  # `is` is cheaper than isinstance
        elif kind is not RequestStarted and is_news(event):
            self.write(level_of(event), name_of(kind), **fields_of(event))

    def write(self, level: str, event: str, /, **values: object) -> None:
        """One line; from `warning` on it is written at once."""
        severity = LEVELS[level]
        if severity < self._threshold:
            return
        line = self._render(level, event, values)
        if severity >= LEVELS["warning"]:
            self.sink.put_now(line)
        else:
            self.sink.put(line)

    @property
    def lost(self) -> int:
        """Lines that could not be written and were not reported yet."""
        return self.sink.lost

    def flush(self, timeout: float = 1.0) -> bool:
        return self.sink.flush(timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Writes what is left, never waiting longer than `timeout`, and releases the standard logging module."""
        root = logging.getLogger()
        for handler in [each for each in root.handlers if isinstance(each, _Library) and each.logs is self]:
            root.removeHandler(handler)
            logging.captureWarnings(False)
        self.sink.close(timeout)

    # --- requests -------------------------------------------------------------------------------------------

    def tells_requests(self, status: int) -> bool:
        """Whether requests that ended well with this status have a line."""
        return LEVELS["warning" if status >= 500 else "info"] >= self._request_threshold

    def request_line(self, kind: RequestKind, status: int) -> LineRenderer | None:
        """What makes the lines of requests of a kind that ended well, until the configuration changes; they go to the
        sink as they are. None where there is no prepared form: they are told by their events then."""
        if not self._json or status >= 500:
            return None
        return self._access_lines.line(kind, status, status, "info").render

    def _request(self, event: RequestFinished) -> None:
        is_problem = event.status >= 500 or event.fault != ""
        if (LEVELS["warning"] if is_problem else LEVELS["info"]) < self._request_threshold:
            return
        level, lines = "warning" if is_problem else "info", self._access_lines
        if not self._json:
            self.write(level, "request", **lines.members(event))
            return
        line = lines.line(event.kind, event.status, event.upstream_status, level)
        text = line.render(record_of(event), self.stamp(time()), lines.last(event))
        text = text or self._render(level, "request", lines.members(event))
        (self.sink.put_now if is_problem else self.sink.put)(text)

    # --- lines ----------------------------------------------------------------------------------------------

    def _render(self, level: str, event: str, values: dict[str, object]) -> str:
        """A line of at most `MAX_LINE_BYTES`, cleaned first. Commands that it suggests can be typed as they stand."""
        if event != "request":  # most of a request's members are a client's; `AccessLines` has the one that is ours
            values = {name: _advising(value) for name, value in values.items()}
        line = self._clean({"timestamp": self._clock.now(), "level": level, "event": event, **values})
        return fit(line, self._lay_out)

    def _lay_out(self, values: dict[str, object]) -> str:
        if self._json:
            return f"{json.dumps(values, separators=(',', ':'))}\n"
        return f"{render_plain(values, colours=self._colours, columns=columns_of(self.screen))}\n"

    def _lost_line(self, count: int) -> str:
        return self._render("warning", "log_lines_lost", {"count": count, "detail": "The output could not be written."})

    def _clean(self, line: dict[str, object]) -> dict[str, object]:
        """Masks secrets in values; keys and the names of events are our own words."""
        return {key: value if key in _OWN_WORDS else self._cleaned(value) for key, value in line.items()}

    def _cleaned(self, value: object) -> object:
        if isinstance(value, str):
            return self.redaction.clean(value)
        if isinstance(value, tuple | list | set | frozenset):
            return [self._cleaned(item) for item in value]
        if isinstance(value, dict):
            return {str(key): self._cleaned(item) for key, item in value.items()}
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.redaction.clean(repr(value))


class _Library(logging.Handler):
    """What libraries say through the standard logging module, as lines of ours."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self.logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, value in LEVELS.items() if record.levelno <= value), "critical")
        values: dict[str, object] = {"logger": record.name, "detail": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            values["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        self.logs.write(level, "library", **values)


def configure(
    *,
    form: Format = "auto",
    level: str = "info",
    access: bool = True,
    colours: bool = True,
    stream: TextIO | None = sys.stdout,
) -> Logs:
    """Makes the one `Logs` of the program, and sends what libraries log through it."""
    logs = Logs(stream, form=form, level=level, access=access, colours=colours)
    root = logging.getLogger()
    root.addHandler(_Library(logs))
    root.setLevel(logging.DEBUG if level == "debug" else logging.INFO)
    for name, at_least in (
        ("aiohttp.access", logging.CRITICAL),
        ("aiohttp.server", logging.CRITICAL),  # a traceback for each malformed request, which anybody can send
        ("asyncio", logging.INFO),
        ("watchfiles", logging.WARNING),
    ):
        logging.getLogger(name).setLevel(at_least)
    logging.captureWarnings(True)
    return logs


# --- Lines that are too long, made to fit ----------------------------------------------------------------

CUT: Final = "[...]"
_SHORTEST: Final = 24
_WORST_ESCAPE: Final = 6
"""Bytes that one character of a value can take in JSON: a backslash, `u` and four digits."""
_ENDS_COUNT: Final = frozenset({"traceback"})
"""The members whose end says what happened; of all others the beginning does."""

Values = dict[str, object]


def fit(values: Mapping[str, object], render: Callable[[Values], str], limit: int = MAX_LINE_BYTES) -> str:
    """The line that `render` makes of the values, of which the longest are cut until the line fits."""
    kept = dict(values)
    line = render(dict(kept))
    while (excess := len(line.encode("utf-8", "backslashreplace")) - limit) > 0:
        name = max(kept, key=lambda name: _weight(kept[name]))
        if _weight(kept[name]) == 0:
            break
        kept[name] = _shortened(kept[name], excess, from_the_start=name in _ENDS_COUNT)
        line = render(dict(kept))
    return line


def _weight(value: object) -> int:
    """Roughly how much of the line a value takes that can be cut."""
    if isinstance(value, list):
        return sum(_weight(item) + 1 for item in value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    return 0 if value is None or isinstance(value, bool | int | float) else len(str(value))


def _shortened(value: object, excess: int, *, from_the_start: bool) -> object:
    """Shorter by an eighth, or by what is too much where every character takes as many bytes as it can."""
    if isinstance(value, list):
        items = [item for item in value if item != CUT]
        if len(items) > 1:
            return [*items[: -max(1, len(items) // 4)], CUT]
        return [_shortened(item, excess, from_the_start=from_the_start) for item in items]
    if isinstance(value, dict):
        longest = max(value, key=lambda name: _weight(value[name]))
        return {**value, longest: _shortened(value[longest], excess, from_the_start=from_the_start)}
    text = str(value)
    if len(text) <= _SHORTEST:
        return ""
    length = len(text) - max(excess // _WORST_ESCAPE, len(text) // 8, len(CUT) + 1)
    length = max(length, _SHORTEST - len(CUT))
    return CUT + text[-length:] if from_the_start else text[:length] + CUT
