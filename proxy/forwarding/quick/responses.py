"""Heads of responses that one host's were like before: found again by their beginning, else by a shape.

Which statuses a quick exchange may hand on is decided here: those that nobody judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.errors import UpstreamMalformed
from proxy.forwarding import retry
from proxy.forwarding.explanation import EXPLAINED
from proxy.http1.message import read_response
from proxy.http1.response_shape import LENGTH, UPSTREAM_ID, ResponseShape, make_response_shape
from proxy.upstream.connection import REQUEST_IDS

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

MAX_SHAPES = 16
_UNREAD = (408, 413)
"""Statuses of a request that was not read to its end."""
MAX_KNOWN = 512
_MAX_HEAD = 16384


def may_pass(status: int) -> bool:
    """Whether a status is the tool's at once: none that may mean another try, an end, or another address."""
    if status in _UNREAD or status in retry.JUDGED or status in EXPLAINED:
        return False
    return 200 <= status < 300 or 400 <= status < 500


def _no_lines(_found: re.Match[bytes]) -> bytes:
    return b""


class KnownBeginning:
    """What stands before the upstream's request id, byte for byte; `length` is -1 where it is said behind it, or not at
    all, as the body is `chunked`.

    `passing` is the group of the lines behind it that pass, -1 where they are not one: `lines_behind` gives them then.
    """

    __slots__ = (
        *(
            "behind",
            "chunked",
            "dated",
            "id_group",
            "length",
            "length_group",
            "lines",
            "lines_behind",
            "passing",
            "status",
        ),
    )

    def __init__(self, shape: ResponseShape, found: re.Match[bytes]) -> None:
        behind = shape.behind
        self.status = shape.status
        self.dated = shape.dated
        self.chunked = shape.chunked
        self.lines = shape.before.lines(found)
        at = shape.before.given.get(LENGTH)
        self.length = int(found[at]) if at is not None else -1
        self.behind: Callable[[bytes, int], re.Match[bytes] | None] = behind.pattern.match
        self.passing = behind.passing[0] if len(behind.passing) == 1 else -1
        self.lines_behind = behind.lines if behind.passing else _no_lines
        self.length_group = behind.given.get(LENGTH, 0)
        self.id_group = behind.given.get(UPSTREAM_ID, 0)

    def __repr__(self) -> str:
        return f"<KnownBeginning of {self.status}>"


class ResponsePatterns:
    """Those of one host, in bounded memory."""

    def __init__(self) -> None:
        self._shapes: list[ResponseShape] = []
        self._markers: list[bytes] = []
        self._known: dict[bytes, KnownBeginning] = {}

    def __repr__(self) -> str:
        return f"<ResponsePatterns: {len(self._shapes)} shapes>"

    def find(self, data: bytes) -> tuple[KnownBeginning, re.Match[bytes]] | tuple[None, None]:
        """The beginning and the match of what follows it, up to the head's end; None for a head of no known shape."""
        for marker in self._markers:
            cut = data.find(marker, 0, _MAX_HEAD) + 2
            known = self._known.get(data[:cut])
            if known is not None:
                found = known.behind(data, cut)
                if found is not None:
                    return known, found
        return self._fit(data)

    def _fit(self, data: bytes) -> tuple[KnownBeginning, re.Match[bytes]] | tuple[None, None]:
        for shape in self._shapes:
            cut = data.find(shape.marker, 0, _MAX_HEAD) + 2
            before = shape.before.pattern.fullmatch(data, 0, cut)
            if before is None:
                continue
            behind = shape.behind.pattern.match(data, cut)
            if behind is not None:
                known = KnownBeginning(shape, before)
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[data[:cut]] = known
                return known, behind
        return None, None

    def learn(self, data: bytes) -> None:
        """Make a shape of a head that had none, if it is whole, and worth it."""
        end = data.find(b"\r\n\r\n", 0, _MAX_HEAD)
        if end < 0 or len(self._shapes) >= MAX_SHAPES:
            return
        try:
            response = read_response(data[: end + 2], REQUEST_IDS)
        except UpstreamMalformed:
            return
        if not may_pass(response.status):
            return
        shape = make_response_shape(data[: end + 2], response, REQUEST_IDS)
        if shape is not None:
            self._shapes.append(shape)
            if shape.marker not in self._markers:
                self._markers.append(shape.marker)
