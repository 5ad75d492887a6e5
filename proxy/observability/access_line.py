"""The JSON lines of requests, from a format that is prepared once for all requests of a kind.

What does not change from one to the next stands in the format, escaped and cleaned of secrets once; what changes is put
in. Which members a line has is chosen here, by `fields`; which requests are worth a line, and what becomes of one that
is too long, is for `logs`.
"""

from __future__ import annotations

import time
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final, get_args

from proxy.config import AccessField

if TYPE_CHECKING:
    from proxy.events import RequestFinished
    from proxy.observability.redaction import Redaction
    from proxy.observability.request_record import RequestKind, RequestOutcome

MAX_REMEMBERED: Final = 4096
"""Formats, and texts: all are forgotten beyond that, as a plain dictionary is the one memory that costs nothing."""
_MAX_REMEMBERED_TEXT: Final = 512
_MAX_AGENTS: Final = 256

ACCESS_FIELDS: Final[tuple[str, ...]] = get_args(AccessField)
"""All members beside time, level and event, in their order."""
OFTEN_EMPTY: Final = frozenset({"profile", "ads_account", "user_agent", "mcp_tools", "refusal", "detail", "fault"})
"""Members that a line has only where they say something; of the last three all or none."""
_SHARED: Final = ("client", "account", "region", "profile", "ads_account", "method", "operation", "operation_class")
"""The members of a `RequestKind`."""
_TROUBLE: Final = ("refusal", "detail", "fault")
_VARYING: Final = {
    "bytes_in": "%d",
    "bytes_out": "%d",
    "duration_ms": "%.3f",
    "upstream_ms": "%.3f",
    "overhead_ms": "%.3f",
    "attempts": "%d",
}
_LEFT_OUT: Final = "%.0s"
"""Takes a value, and writes nothing: a format without a member is filled with the same values."""

Fields = frozenset[str]


class Timestamps:
    """The present second as lines have it (RFC 3339), written out once: `text` ends before the milliseconds."""

    __slots__ = ("second", "text")

    def __init__(self) -> None:
        self.second, self.text = -1, ""

    def __repr__(self) -> str:
        return f"<Timestamps at {self.text or 'nothing yet'}>"

    def turn(self, second: int) -> None:
        """Another second began."""
        self.second, self.text = second, time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))

    def now(self) -> str:
        """The present moment, to the millisecond."""
        now = time.time()
        second = int(now)
        if second != self.second:
            self.turn(second)
        return f"{self.text}{int((now - second) * 1000):03d}Z"


class AccessLine:
    """The line of requests of one kind that ended in one way. `template` is a format for twelve values."""

    __slots__ = ("_template",)

    def __init__(self, template: str) -> None:
        self._template = template

    def __repr__(self) -> str:
        return f"<AccessLine {self._template!r}>"

    def render(self, clock: Timestamps, outcome: RequestOutcome, text: str, last: str = "") -> str:
        """The line of this moment, with its line end. `text` and `last` are members that stand in it as they are, each
        with a comma before it."""
        now = time.time()
        second = int(now)
        if second != clock.second:
            clock.turn(second)
        return self._template % (
            clock.text,
            (now - second) * 1000,
            quoted(outcome.request_id),
            text,
            quoted(outcome.amazon_request_id),
            outcome.bytes_in,
            outcome.bytes_out,
            outcome.duration * 1000,
            outcome.upstream * 1000,
            outcome.overhead * 1000,
            outcome.attempts,
            last,
        )


class AccessLines:
    """All of them, and the texts that stand in them: remembered within bounds."""

    def __init__(self, redaction: Redaction, fields: Fields = frozenset(ACCESS_FIELDS)) -> None:
        self._redaction = redaction
        self._fields = fields
        self._lines: dict[tuple[RequestKind, int, int, str], AccessLine] = {}
        self._texts: dict[tuple[str, str], str] = {}
        self._agents: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<AccessLines: {len(self._lines)} formats, {len(self._texts)} texts>"

    def choose(self, fields: Fields) -> None:
        """From now on lines have these members."""
        self._fields = fields
        self.forget()

    def forget(self) -> None:
        """What was prepared may hold what is a secret now."""
        self._lines.clear()
        self._texts.clear()
        self._agents.clear()

    def line(self, kind: RequestKind, status: int, upstream_status: int, level: str) -> AccessLine:
        found = self._lines.get((kind, status, upstream_status, level))
        if found is None:
            if len(self._lines) >= MAX_REMEMBERED:
                self._lines.clear()
            found = AccessLine(self._template(kind, status, upstream_status, level))
            self._lines[kind, status, upstream_status, level] = found
        return found

    def text(self, path: str, user_agent: str) -> str:
        """The members of a line that these make, without secrets."""
        found = self._texts.get((path, user_agent))
        if found is None:
            found = self._member("path", path) + self._agent(user_agent)
            if len(self._texts) >= MAX_REMEMBERED:
                self._texts.clear()
            if len(path) <= _MAX_REMEMBERED_TEXT:
                self._texts[path, user_agent] = found
        return found

    def _agent(self, user_agent: str) -> str:
        """What a User-Agent makes of a line: there are few, and paths without end."""
        found = self._agents.get(user_agent)
        if found is None:
            found = self._member("user_agent", user_agent) if user_agent else ""
            if len(self._agents) >= _MAX_AGENTS:
                self._agents.clear()
            self._agents[user_agent] = found
        return found

    def last(self, event: RequestFinished) -> str:
        """The members that few lines have: which tools were called, and what went wrong, if anything did."""
        tools = ",".join(quoted(self._redaction.clean(tool)) for tool in event.mcp_tools)
        called = f',"mcp_tools":[{tools}]' if tools and "mcp_tools" in self._fields else ""
        if not (event.refusal or event.fault or event.detail):
            return called
        return called + "".join(self._member(name, getattr(event, name)) for name in _TROUBLE)

    def members(self, event: RequestFinished) -> dict[str, object]:
        """What the line of a request holds, as values: those that were chosen, in their order, not cleaned."""
        troubled = bool(event.refusal or event.fault or event.detail)
        found: dict[str, object] = {}
        for name in ACCESS_FIELDS:
            if name in self._fields:
                value = getattr(event, name.removesuffix("_ms"))
                value = round(value * 1000, 3) if name.endswith("_ms") else value
                if value or name not in OFTEN_EMPTY or (troubled and name in _TROUBLE):
                    found[name] = value
        return found

    def _member(self, name: str, value: str) -> str:
        return f',"{name}":{quoted(self._redaction.clean(value))}' if name in self._fields else ""

    def _template(self, kind: RequestKind, status: int, upstream_status: int, level: str) -> str:
        parts = [f'{{"timestamp":"%s%03dZ","level":"{level}","event":"request"', self._varying("request_id", "%s")]
        for name, value in zip(_SHARED, kind, strict=True):
            if value or name not in OFTEN_EMPTY:
                parts.append(self._member(name, value).replace("%", "%%"))
        parts.append("%s")
        for name, number in (("status", status), ("upstream_status", upstream_status)):
            if name in self._fields:
                parts.append(f',"{name}":{number}')
        parts.append(self._varying("amazon_request_id", "%s"))
        parts += (self._varying(name, directive) for name, directive in _VARYING.items())
        return "".join((*parts, "%s}\n"))

    def _varying(self, name: str, directive: str) -> str:
        return f',"{name}":{directive}' if name in self._fields else _LEFT_OUT
