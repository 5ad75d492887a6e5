"""The JSON lines of requests, from a format that is prepared once for all requests of a kind.

The constant part is in the format, escaped and cleaned of secrets once; what changes is put
in. Which members a line has is chosen here, by `fields`; which requests are worth a line, and what becomes of one that
is too long, is for `logs`.
"""

from __future__ import annotations

import time
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final, get_args

from proxy.advice import with_options_in_use
from proxy.bounded_cache import BoundedCache
from proxy.config import AccessField
from proxy.events import ItemCounts

if TYPE_CHECKING:
    from proxy.events import RequestFinished, RequestKind, WriteOutcome
    from proxy.observability.redaction import Redaction
    from proxy.observability.request_record import RequestOutcome

MAX_REMEMBERED: Final = 4096
"""Formats, and texts."""
_MAX_AGENTS: Final = 256
_MAX_CACHE_BYTES: Final = 4 << 20
"""The most bytes of each of these caches."""
_FORMAT_BYTES: Final = 800
_TEXT_BYTES: Final = 200
"""About how much memory a format or a text takes in addition to its characters."""
_MAX_REMEMBERED_TEXT: Final = 512

ACCESS_FIELDS: Final[tuple[str, ...]] = get_args(AccessField)
"""All members except time, level and event, in their order."""
OFTEN_EMPTY: Final = frozenset(
    {"profile", "ads_account", "user_agent", "mcp_tools", "outcome", "items", "refusal", "detail", "fault"}
)
"""Members that a line has only where they say something; of the last three all or none."""
_SHARED: Final = ("client", "account", "region", "profile", "ads_account", "method", "operation", "operation_class")
"""The members of a `RequestKind`."""
_PROBLEM: Final = ("refusal", "detail", "fault")
_VARYING: Final = {
    "request_id": "%s",
    "amazon_request_id": "%s",
    "bytes_in": "%d",
    "bytes_out": "%d",
    "duration_ms": "%.3f",
    "upstream_ms": "%.3f",
    "overhead_ms": "%.3f",
    "attempts": "%d",
}
"""The members that differ from one request to the next, and have values of their own in a line, in their order."""
_LEFT_OUT: Final = "%.0s"
"""Takes a value, and writes nothing: a format without a member is filled with the same values."""
_THOUSANDTHS: Final = tuple(f"{number:03d}" for number in range(1000))

Fields = frozenset[str]


class Timestamps:
    """The present millisecond as lines have it (RFC 3339, without the Z), written out once: under load many requests
    end within one. `moment` is wall-clock time in milliseconds."""

    __slots__ = ("_second", "moment", "text")

    def __init__(self) -> None:
        self.moment, self.text = -1, ""
        self._second = -1, ""

    def __repr__(self) -> str:
        return f"<Timestamps at {self.text or 'nothing yet'}>"

    def turn(self, moment: int) -> None:
        """Another millisecond began. Threads share this object: none sees a moment before its text is here."""
        second, milliseconds = divmod(moment, 1000)
        known, text = self._second
        if second != known:
            text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second = second, text
        self.text = text + _THOUSANDTHS[milliseconds]
        self.moment = moment

    def now(self) -> str:
        """The present moment, to the millisecond."""
        moment = int(time.time() * 1000)
        if moment != self.moment:
            self.turn(moment)
        return f"{self.text}Z"


def _said(event: RequestFinished, name: str) -> str:
    """What went wrong, as the line tells it. Commands that `detail` suggests to an operator can be typed as they stand;
    that of a refusal was written for the client."""
    text: str = getattr(event, name)
    return with_options_in_use(text) if name == "detail" and event.status >= 500 else text


class AccessLine:
    """The line of requests of one kind that ended in one way, with all members.

    `pieces` are what stands before its values, and behind the last: of moment, request id, text, Amazon's id, both
    sizes, the three times, and attempts with the last members.
    """

    __slots__ = ("_clock", "_pieces")

    def __init__(self, clock: Timestamps, pieces: tuple[str, ...]) -> None:
        self._clock = clock
        self._pieces = pieces

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'...'.join(self._pieces)!r}>"

    def render(self, now: float, outcome: RequestOutcome, text: str, last: str = "") -> str:
        """The line of this moment (wall-clock time), with its line end. `text` and `last` are members that it contains
        unchanged, each with a comma before it.

        Times are written as whole microseconds: of what a request costs, a format for everything took a third more.
        """
        clock, moment = self._clock, int(now * 1000)
        if moment != clock.moment:
            clock.turn(moment)
        duration = int(outcome.duration * 1e6 + 0.5)
        upstream = int(outcome.upstream * 1e6 + 0.5)
        overhead = int(outcome.overhead * 1e6 + 0.5)
        a, b, c, d, e, f, g, h, i, j, k = self._pieces
        return (
            f"{a}{clock.text}{b}{quoted(outcome.request_id)}{c}{text}"
            f"{d}{quoted(outcome.amazon_request_id)}{e}{outcome.bytes_in}{f}{outcome.bytes_out}"
            f"{g}{duration // 1000}.{_THOUSANDTHS[duration % 1000]}"
            f"{h}{upstream // 1000}.{_THOUSANDTHS[upstream % 1000]}"
            f"{i}{overhead // 1000}.{_THOUSANDTHS[overhead % 1000]}{j}{outcome.attempts}{last}{k}"
        )


class ShorterLine(AccessLine):
    """An access line without some of the members that `_VARYING` names."""

    __slots__ = ("_template",)

    def __init__(self, clock: Timestamps, pieces: tuple[str, ...], fields: Fields) -> None:
        super().__init__(clock, pieces)
        request_id, *others = (value if name in fields else _LEFT_OUT for name, value in _VARYING.items())
        values = ("%s", request_id, "%s", *others, "%s")
        before = [piece.replace("%", "%%") for piece in (*pieces[:-1], "", pieces[-1])]
        self._template = "".join(part for pair in zip(before, (*values, ""), strict=True) for part in pair)

    def render(self, now: float, outcome: RequestOutcome, text: str, last: str = "") -> str:
        clock, moment = self._clock, int(now * 1000)
        if moment != clock.moment:
            clock.turn(moment)
        return self._template % (
            clock.text,
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
    """The access lines of all kinds of requests, and their texts: remembered within bounds."""

    def __init__(self, redaction: Redaction, clock: Timestamps, fields: Fields = frozenset(ACCESS_FIELDS)) -> None:
        self._redaction = redaction
        self._clock = clock
        self._fields = fields
        self._lines: BoundedCache[tuple[RequestKind, int, int, str], AccessLine]
        self._lines = BoundedCache(MAX_REMEMBERED, _MAX_CACHE_BYTES)
        self._texts: BoundedCache[tuple[str, str], str] = BoundedCache(MAX_REMEMBERED, _MAX_CACHE_BYTES)
        self._agents: BoundedCache[str, str] = BoundedCache(_MAX_AGENTS, _MAX_CACHE_BYTES)

    def __repr__(self) -> str:
        return f"<AccessLines: {len(self._lines)} formats, {len(self._texts)} texts>"

    def choose(self, fields: Fields) -> None:
        """Choose the members of all lines from now on."""
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
            pieces = self._pieces(kind, status, upstream_status, level)
            whole = self._fields.issuperset(_VARYING)
            found = AccessLine(self._clock, pieces) if whole else ShorterLine(self._clock, pieces, self._fields)
            size = _FORMAT_BYTES + sum(map(len, kind)) + sum(map(len, pieces))
            self._lines.keep((kind, status, upstream_status, level), found, size)
        return found

    def text(self, path: str, user_agent: str) -> str:
        """The members of a line that these make, without secrets."""
        found = self._texts.get((path, user_agent))
        if found is None:
            found = self._member("path", path) + self._agent(user_agent)
            if len(path) <= _MAX_REMEMBERED_TEXT:
                self._texts.keep((path, user_agent), found, _TEXT_BYTES + len(path) + len(user_agent) + len(found))
        return found

    def _agent(self, user_agent: str) -> str:
        """What a User-Agent makes of a line: there are few, and paths without end."""
        found = self._agents.get(user_agent)
        if found is None:
            found = self._member("user_agent", user_agent) if user_agent else ""
            self._agents.keep(user_agent, found, _TEXT_BYTES + len(user_agent) + len(found))
        return found

    def last(self, event: RequestFinished) -> str:
        """The members that few lines have: which MCP tools were called, what became of a write, and what went wrong, if
        anything did."""
        tools = ",".join(quoted(self._redaction.clean(tool)) for tool in event.mcp_tools)
        few = f',"mcp_tools":[{tools}]' if tools and "mcp_tools" in self._fields else ""
        few += self.outcome(event.write)
        if not (event.refusal or event.fault or event.detail):
            return few
        return few + "".join(self._member(name, _said(event, name)) for name in _PROBLEM)

    def outcome(self, write: WriteOutcome | None) -> str:
        """The members that tell what became of a write; none for any other request."""
        if write is None:
            return ""
        found = f',"outcome":"{write.outcome}"' if "outcome" in self._fields else ""
        if (items := write.items) is not None and "items" in self._fields:
            found += f',"items":{{"succeeded":{items.succeeded},"failed":{items.failed}}}'
        return found

    def members(self, event: RequestFinished) -> dict[str, object]:
        """What the line of a request holds, as values: those that were chosen, in their order, not cleaned."""
        has_problem = bool(event.refusal or event.fault or event.detail)
        found: dict[str, object] = {}
        for name in ACCESS_FIELDS:
            if name in self._fields:
                value: Any = _said(event, name) if name in _PROBLEM else getattr(event, name.removesuffix("_ms"))
                value = round(value * 1000, 3) if name.endswith("_ms") else value
                value = value.members if isinstance(value, ItemCounts) else value
                if value or name not in OFTEN_EMPTY or (has_problem and name in _PROBLEM):
                    found[name] = value
        return found

    def _member(self, name: str, value: str) -> str:
        return f',"{name}":{quoted(self._redaction.clean(value))}' if name in self._fields else ""

    def _pieces(self, kind: RequestKind, status: int, upstream_status: int, level: str) -> tuple[str, ...]:
        shared = [
            self._member(name, value)
            for name, value in zip(_SHARED, kind, strict=True)
            if value or name not in OFTEN_EMPTY
        ]
        statuses = (("status", status), ("upstream_status", upstream_status))
        behind_text = "".join(f',"{name}":{number}' for name, number in statuses if name in self._fields)
        request_id, amazon_request_id, *others = (f',"{name}":' if name in self._fields else "" for name in _VARYING)
        return (
            '{"timestamp":"',
            f'Z","level":"{level}","event":"request"{request_id}',
            "".join(shared),
            behind_text + amazon_request_id,
            *others,
            "}\n",
        )
