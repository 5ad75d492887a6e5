"""The record that a write is about to leave: it is in the file before Amazon gets the write (`AuditStream.begin`).

A later record with the same request id says what became of it. Without one, the process was killed, and the outcome is
unknown. What writes have in common is rendered once, as each write waits for its line.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from proxy.audit.records import MAX_TEXT, begun, cleaned, dated, not_sent, stamp
from proxy.forwarding.accounting import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.audit.stream import AuditStream
    from proxy.events import RequestKind
    from proxy.forwarding.decision import RequestContext

MAX_RENDERED: Final = 1024
"""Kinds of writes whose common part is remembered."""
_quoted: Final = json.encoder.encode_basestring_ascii


class BegunWrites:
    """Puts writes on record before they leave. `clean` masks what is known to be secret in a text; `wall` is the clock
    of records."""

    def __init__(self, stream: AuditStream, clean: Callable[[str], str], wall: Callable[[], float]) -> None:
        self._stream, self._clean, self._wall = stream, clean, wall
        self._second, self._shown = -1.0, ""
        self._parts = lru_cache(MAX_RENDERED)(self._render)

    def __repr__(self) -> str:
        return f"<BegunWrites of {self._stream}>"

    def begin(self, context: RequestContext) -> bool:
        """Put the write on record. Returns False if that is not possible; then it must not leave."""
        event, http, rest = self._parts(kind_of(context))
        now, was_taken = self._wall(), False
        if now // 1 != self._second:
            self._second, self._shown = now // 1, stamp(now)[:-4]
        at = f"{self._shown}{int(now % 1 * 1000):03d}Z"
        path = _quoted(self._clean(context.path)[:MAX_TEXT])

        def line_of(sequence: int, previous: str) -> bytes:
            nonlocal was_taken
            was_taken = True
            return (
                f'{{"@timestamp":"{at}","event":{{"sequence":{sequence},{event}}},'
                f'"http":{{"request":{{"id":{_quoted(context.request_id)},{http}}}}},"url":{{"path":{path}}},'
                f'"ads_proxy":{{"previous":"{previous}",{rest}\n'
            ).encode("ascii")

        if self._stream.begin(line_of):
            return True
        if was_taken:  # the file gets it once it takes something again, and then what became of the write, too
            self._stream.put(dated(not_sent(context.request_id), now), write=True)
        return False

    def _render(self, kind: RequestKind) -> tuple[str, str, str]:
        """What the lines of such writes share: the members of `event` and of `http.request`, and all from the first
        member of `ads_proxy` on."""
        record = cleaned(begun(kind), self._clean)
        event, http, own = record.pop("event"), record.pop("http")["request"], record.pop("ads_proxy")
        inner = [json.dumps(part, separators=(",", ":"))[1:-1] for part in (event, http, own)]
        outer = json.dumps(record, separators=(",", ":"))[1:]
        return inner[0], inner[1], f"{inner[2]}}},{outer}"
