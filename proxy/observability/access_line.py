"""The JSON lines of requests, from a format that is prepared once for all requests of a kind.

What does not change from one to the next stands in the format, escaped once; what changes is put in. Which requests are
worth a line, and what becomes of one that is too long, is for `logs`.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.events import RequestFinished
    from proxy.observability.redaction import Redaction
    from proxy.observability.request_record import RequestKind, RequestOutcome

MAX_REMEMBERED: Final = 4096
"""Formats, and texts: all are forgotten beyond that, as a plain dictionary is the one memory that costs nothing."""
_MAX_REMEMBERED_TEXT: Final = 512


class AccessLine:
    """The line of requests of one kind that were answered with one status."""

    __slots__ = ("_format",)

    def __init__(self, kind: RequestKind, status: int, level: str) -> None:
        names = ("client", "account", "region", "method")
        shared = "".join(f',"{name}":{quoted(getattr(kind, name))}' for name in names).replace("%", "%%")
        self._format = (
            f'{{"timestamp":"%s","level":"{level}","event":"request","request_id":%s{shared}%s,"status":{status}'
            ',"amazon_request_id":%s,"bytes_in":%d,"bytes_out":%d,"duration_ms":%.3f,"upstream_ms":%.3f'
            ',"overhead_ms":%.3f,"attempts":%d%s}\n'
        )

    def __repr__(self) -> str:
        return f"<AccessLine {self._format!r}>"

    def render(self, timestamp: str, outcome: RequestOutcome, text: str, trouble: str = "") -> str:
        """The line, with its line end. `text` and `trouble` are members that stand in it as they are, each with a
        comma before it."""
        return self._format % (
            timestamp,
            quoted(outcome.request_id),
            text,
            quoted(outcome.amazon_request_id),
            outcome.bytes_in,
            outcome.bytes_out,
            outcome.duration * 1000,
            outcome.upstream * 1000,
            outcome.overhead * 1000,
            outcome.attempts,
            trouble,
        )


class AccessLines:
    """All of them, and the texts that stand in them: remembered within bounds."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._lines: dict[tuple[RequestKind, int, str], AccessLine] = {}
        self._texts: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<AccessLines: {len(self._lines)} formats, {len(self._texts)} texts>"

    def forget_texts(self) -> None:
        """There are new secrets, and old texts may hold them."""
        self._texts.clear()

    def line(self, kind: RequestKind, status: int, level: str) -> AccessLine:
        found = self._lines.get((kind, status, level))
        if found is None:
            if len(self._lines) >= MAX_REMEMBERED:
                self._lines.clear()
            found = self._lines[kind, status, level] = AccessLine(kind, status, level)
        return found

    def text(self, path: str) -> str:
        """The member of a line that a path makes, without secrets."""
        found = self._texts.get(path)
        if found is None:
            found = f',"path":{quoted(self._redaction.clean(path))}'
            if len(self._texts) >= MAX_REMEMBERED:
                self._texts.clear()
            if len(path) <= _MAX_REMEMBERED_TEXT:
                self._texts[path] = found
        return found

    def trouble(self, event: RequestFinished) -> str:
        """The members that say what went wrong, if anything did."""
        if not (event.refusal or event.fault or event.detail):
            return ""
        return (
            f',"refusal":{quoted(event.refusal)},"detail":{quoted(self._redaction.clean(event.detail))}'
            f',"fault":{quoted(event.fault)}'
        )
