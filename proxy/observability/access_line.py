"""The JSON lines of requests, from a format that is prepared once for all requests of a kind.

The constant part is in the format, escaped and cleaned of secrets once; what changes is put
in. Which members a line has is chosen here, by `fields`; which requests are worth a line, and what becomes of one that
would be too long, is for `logs`.
"""

from __future__ import annotations

import json
import time
from json.encoder import encode_basestring_ascii as quoted
from math import floor
from typing import TYPE_CHECKING, Any, Final, get_args

from proxy.advice import ready_to_paste
from proxy.bounded_cache import BoundedCache
from proxy.config import AccessField
from proxy.events import ItemCounts, SpendJudgement, SpendMode, SpendVerdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.events import RequestFinished, RequestKind, WriteOutcome
    from proxy.observability.request_record import RequestRecord
    from proxy.redaction import Redaction

MAX_LINE_BYTES: Final = 4096
"""The most bytes of a log line, with its line end. Log collectors split longer lines, or drop them."""
MAX_REMEMBERED: Final = 4096
"""Formats, and texts."""
_MAX_AGENTS: Final = 256
_MAX_CACHE_BYTES: Final = 4 << 20
"""The most bytes of each of these caches."""
_FORMAT_BYTES: Final = 800
_TEXT_BYTES: Final = 200
"""About how much memory a format or a text takes in addition to its characters."""
_MAX_REMEMBERED_TEXT: Final = 512
_MAX_VIOLATIONS: Final = 5
"""Violations of a write that a line has; the audit stream has more of them."""

ACCESS_FIELDS: Final[tuple[str, ...]] = get_args(AccessField)
"""All members except time, level and event, in their order."""
OFTEN_EMPTY: Final = frozenset(
    {
        "profile",
        "ads_account",
        "subject",
        "user_agent",
        "mcp_tools",
        "outcome",
        "items",
        "spend",
        "refusal",
        "detail",
        "fault",
        "retry_after",
        "address",
        "unverified_subject",
    }
)
"""Members that a line has only where they say something; `refusal`, `detail` and `fault` all or none."""
_SHARED: Final = (
    "client",
    "account",
    "region",
    "profile",
    "ads_account",
    "method",
    "operation",
    "operation_class",
    "subject",
)
"""The members of a `RequestKind` that lines have."""
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
_FRACTIONS: Final = tuple(f".{number:03d}" for number in range(1000))
"""The three places behind a whole number, by thousandths."""

_WITHIN: Final = SpendVerdict.WITHIN
"""By a name of its own: to find a member of an Enum takes longer than all else about such a line."""

Fields = frozenset[str]


class Timestamps:
    """Moments of wall-clock time as lines have them (RFC 3339, without the Z), each written out once: under load many
    requests end within one millisecond. Threads share this object: what it knows is replaced as a whole."""

    __slots__ = ("_known", "_second")

    def __init__(self) -> None:
        self._known = self._second = -1, ""

    def __repr__(self) -> str:
        return f"<Timestamps at {self._known[1] or 'nothing yet'}>"

    def at(self, now: float) -> str:
        """A moment, to the millisecond."""
        moment = int(now * 1000)
        known, text = self._known
        if moment != known:
            second, milliseconds = divmod(moment, 1000)
            known, text = self._second
            if second != known:
                text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
                self._second = second, text
            text += _FRACTIONS[milliseconds]
            self._known = moment, text
        return text

    def now(self) -> str:
        """The present moment, with its zone."""
        return f"{self.at(time.time())}Z"


def _said(event: RequestFinished, name: str) -> str:
    """What went wrong, as the line tells it. Commands that `detail` suggests to an operator can be typed as they stand;
    that of a refusal was written for the client."""
    text: str = getattr(event, name)
    return ready_to_paste(text) if name == "detail" and event.status >= 500 else text


def _members_of(judged: SpendJudgement) -> dict[str, object]:
    """What a line holds of a judgement: what the write changes is in its audit record alone."""
    found = judged.members(_MAX_VIOLATIONS)
    found.pop("changes", None)
    return found


class AccessTexts(BoundedCache[tuple[str, str], str]):
    """The members of a line that a path and a User-Agent make together, without secrets: made when they are missed, and
    remembered within bounds."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[str, str], str]) -> None:
        super().__init__(MAX_REMEMBERED, _MAX_CACHE_BYTES)
        self._make = make

    def __missing__(self, key: tuple[str, str]) -> str:
        path, user_agent = key
        made = self._make(path, user_agent)
        if len(path) <= _MAX_REMEMBERED_TEXT:
            self.keep(key, made, _TEXT_BYTES + len(path) + len(user_agent) + len(made))
        return made


class AccessLine:
    """The line of requests of one kind that ended in one way, with all members that `_VARYING` names.

    `pieces` are what they share: the level, the members of their kind, and those of their status.
    """

    __slots__ = ("_pieces", "_texts", "_written")

    def __init__(self, lines: AccessLines, pieces: tuple[str, str, str]) -> None:
        self._texts = lines.texts
        self._written = lines.written
        self._pieces = pieces

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'...'.join(self._pieces)!r}>"

    def render(self, record: RequestRecord[object], stamp: str, last: str = "") -> str:
        """The line of a record, with its line end; empty if it were too long. `stamp` is the moment as `Timestamps` has
        it; `last` are members that it contains unchanged, each with a comma before it. Those of a write are
        made here.

        Times are written as whole microseconds: of what a request costs, a format for everything took a third more.
        """
        _, own_id, amazon_id, path, agent, came, went, duration, upstream, overhead, attempts, write, spend = record
        if write is not None or spend is not None:
            last = self._written(write, spend)
        level, kind, status = self._pieces
        whole, waited, own = floor(duration * 1e6 + 0.5), floor(upstream * 1e6 + 0.5), floor(overhead * 1e6 + 0.5)
        line = (
            f'{{"timestamp":"{stamp}Z","level":"{level}","event":"request","request_id":{quoted(own_id)}'
            f'{kind}{self._texts[path, agent]}{status},"amazon_request_id":{quoted(amazon_id)}'
            f',"bytes_in":{came},"bytes_out":{went}'
            f',"duration_ms":{whole // 1000}{_FRACTIONS[whole % 1000]}'
            f',"upstream_ms":{waited // 1000}{_FRACTIONS[waited % 1000]}'
            f',"overhead_ms":{own // 1000}{_FRACTIONS[own % 1000]},"attempts":{attempts}{last}}}\n'
        )
        return line if len(line) <= MAX_LINE_BYTES else ""


class ShorterLine(AccessLine):
    """An access line without some of the members that `_VARYING` names."""

    __slots__ = ("_template",)

    def __init__(self, lines: AccessLines, pieces: tuple[str, str, str], fields: Fields) -> None:
        super().__init__(lines, pieces)
        level, kind, status = (piece.replace("%", "%%") for piece in pieces)
        members = (f',"{name}":{value}' if name in fields else _LEFT_OUT for name, value in _VARYING.items())
        request_id, *others = members
        before = f'{{"timestamp":"%sZ","level":"{level}","event":"request"{request_id}'
        self._template = f"{before}{kind}%s{status}{''.join(others)}%s}}\n"

    def render(self, record: RequestRecord[object], stamp: str, last: str = "") -> str:
        _, own_id, amazon_id, path, agent, came, went, duration, upstream, overhead, attempts, write, spend = record
        line = self._template % (
            stamp,
            quoted(own_id),
            self._texts[path, agent],
            quoted(amazon_id),
            came,
            went,
            duration * 1000,
            upstream * 1000,
            overhead * 1000,
            attempts,
            self._written(write, spend) if write is not None or spend is not None else last,
        )
        return line if len(line) <= MAX_LINE_BYTES else ""


class AccessLines:
    """The access lines of all kinds of requests, and their texts: remembered within bounds."""

    def __init__(self, redaction: Redaction, fields: Fields = frozenset(ACCESS_FIELDS)) -> None:
        self._redaction = redaction
        self._fields = fields
        self._lines: BoundedCache[tuple[RequestKind, int, int, str], AccessLine]
        self._lines = BoundedCache(MAX_REMEMBERED, _MAX_CACHE_BYTES)
        self.texts = AccessTexts(lambda path, user_agent: self._member("path", path) + self._agent(user_agent))
        self._agents: BoundedCache[str, str] = BoundedCache(_MAX_AGENTS, _MAX_CACHE_BYTES)
        self._within: dict[SpendMode, str] = {}

    def __repr__(self) -> str:
        return f"<AccessLines: {len(self._lines)} formats, {len(self.texts)} texts>"

    def choose(self, fields: Fields) -> None:
        """Choose the members of all lines from now on."""
        self._fields = fields
        self.forget()

    def forget(self) -> None:
        """What was prepared may hold what is a secret now."""
        self._lines.clear()
        self.texts.clear()
        self._agents.clear()
        self._within.clear()

    def line(self, kind: RequestKind, status: int, upstream_status: int, level: str) -> AccessLine:
        found = self._lines.get((kind, status, upstream_status, level))
        if found is None:
            pieces = self._pieces(kind, status, upstream_status, level)
            whole = self._fields.issuperset(_VARYING)
            found = AccessLine(self, pieces) if whole else ShorterLine(self, pieces, self._fields)
            size = _FORMAT_BYTES + sum(map(len, kind)) + sum(map(len, pieces))
            self._lines.keep((kind, status, upstream_status, level), found, size)
        return found

    def _agent(self, user_agent: str) -> str:
        """What a User-Agent makes of a line: there are few, and paths without end."""
        found = self._agents.get(user_agent)
        if found is None:
            found = self._member("user_agent", user_agent) if user_agent else ""
            self._agents.keep(user_agent, found, _TEXT_BYTES + len(user_agent) + len(found))
        return found

    def last(self, event: RequestFinished) -> str:
        """The members that few lines have: which MCP tools were called, outcome and judgement of a write, and what
        went wrong, if anything did."""
        tools = ",".join(quoted(self._redaction.clean(tool)) for tool in event.mcp_tools)
        few = f',"mcp_tools":[{tools}]' if tools and "mcp_tools" in self._fields else ""
        few += self.written(event.write, event.spend)
        if event.refusal or event.fault or event.detail:
            few += "".join(self._member(name, _said(event, name)) for name in _PROBLEM)
        if event.retry_after and "retry_after" in self._fields:
            few += f',"retry_after":{event.retry_after}'
        of_unknown = (("address", event.address), ("unverified_subject", event.unverified_subject))
        return few + "".join(self._member(name, value) for name, value in of_unknown if value)

    def written(self, write: WriteOutcome | None, spend: SpendJudgement | None) -> str:
        """The members that tell what became of a write, and what limits say of it; none for any other request."""
        found = ""
        if write is not None:
            found = f',"outcome":"{write.outcome}"' if "outcome" in self._fields else ""
            if (items := write.items) is not None and "items" in self._fields:
                found += f',"items":{{"succeeded":{items.succeeded},"failed":{items.failed}}}'
        return found if spend is None else found + self._judged(spend)

    def _judged(self, spend: SpendJudgement) -> str:
        """The member that tells what limits say of a write. That of writes within them is always the same."""
        if "spend" not in self._fields:
            return ""
        is_within = spend.verdict is _WITHIN and not spend.unread and not spend.violations
        text = self._within.get(spend.mode) if is_within else None
        if text is None:
            text = f',"spend":{json.dumps(self._cleaned(_members_of(spend)), separators=(",", ":"))}'
            if is_within:
                self._within[spend.mode] = text
        return text

    def members(self, event: RequestFinished) -> dict[str, object]:
        """What the line of a request holds, as values: those that were chosen, in their order, not cleaned."""
        has_problem = bool(event.refusal or event.fault or event.detail)
        found: dict[str, object] = {}
        for name in ACCESS_FIELDS:
            if name in self._fields:
                value: Any = _said(event, name) if name in _PROBLEM else getattr(event, name.removesuffix("_ms"))
                value = round(value * 1000, 3) if name.endswith("_ms") else value
                value = value.members if isinstance(value, ItemCounts) else value
                value = _members_of(value) if isinstance(value, SpendJudgement) else value
                if value or name not in OFTEN_EMPTY or (has_problem and name in _PROBLEM):
                    found[name] = value
        return found

    def _cleaned(self, value: Any) -> Any:
        """The members of a judgement without secrets: paths and values are from a client's body."""
        if isinstance(value, str):
            return self._redaction.clean(value)
        if isinstance(value, dict):
            return {name: self._cleaned(item) for name, item in value.items()}
        return [self._cleaned(item) for item in value] if isinstance(value, list) else value

    def _member(self, name: str, value: str) -> str:
        return f',"{name}":{quoted(self._redaction.clean(value))}' if name in self._fields else ""

    def _pieces(self, kind: RequestKind, status: int, upstream_status: int, level: str) -> tuple[str, str, str]:
        shared = [
            self._member(name, value)
            for name, value in zip(_SHARED, kind[: len(_SHARED)], strict=True)
            if value or name not in OFTEN_EMPTY
        ]
        statuses = (("status", status), ("upstream_status", upstream_status))
        shown = [f',"{name}":{number}' for name, number in statuses if name in self._fields]
        return level, "".join(shared), "".join(shown)
