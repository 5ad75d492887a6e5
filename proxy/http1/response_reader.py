"""One upstream's responses, read as `message.read_response` has it; a head that looks as one before is not read anew.

What is remembered are shapes (`response_shape`): all that is read stands in them literally, so that a head which fits
says what the one said that the shape was made from, but for the length, the request id and the lines that only pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http1.message import Response, read_response
from proxy.http1.response_fields import ResponseFields
from proxy.http1.response_shape import LENGTH, UPSTREAM_ID, ResponseShape, make_response_shape

if TYPE_CHECKING:
    import re

MAX_SHAPES = 16
"""All are forgotten beyond that."""
MAX_TRIES = 64
"""Shapes that are made in a reader's life, as making one takes a while."""
MAX_BEGINNINGS = 512
_MAX_BEGINNING = 4096
"""In bytes: a longer head is read anew each time."""
_RETRY_AFTER = b"\nretry-after"
"""It is read, and a shape leaves a hole for it."""


class KnownHead:
    """What a head says up to the upstream's request id, byte for byte. Its length is -1 where that is said behind it,
    or not at all; `_passing` is the group of the lines there that pass, 0 where they are not one."""

    __slots__ = ("_example", "_id_group", "_length", "_length_group", "_lines", "_passing", "_shape", "match")

    def __init__(self, shape: ResponseShape, found: re.Match[bytes], example: Response) -> None:
        self._shape = shape
        self._example = example
        self._lines = shape.before.lines(found)[len(found.string.partition(b"\r\n")[0]) + 2 :]
        at = shape.before.given.get(LENGTH)
        self._length = int(found[at]) if at is not None else -1
        self._length_group = shape.behind.given.get(LENGTH, 0)
        self._id_group = shape.behind.given.get(UPSTREAM_ID, 0)
        self._passing = shape.behind.passing[0] if len(shape.behind.passing) == 1 else 0
        self.match = shape.behind.pattern.match

    def __repr__(self) -> str:
        return f"<KnownHead of {self._shape.status}>"

    def response(self, behind: re.Match[bytes]) -> Response:
        """The response of a head that begins so, and goes on as `behind` has it."""
        example, length, id_group = self._example, self._length, self._id_group
        fields, passing = example.fields, self._passing
        if length < 0 and self._length_group:
            length = int(behind[self._length_group])
        return Response(
            example.status,
            example.reason,
            1,
            ResponseFields(
                self._lines + (behind[passing] if passing else self._shape.behind.lines(behind)),
                length if length >= 0 else None,
                fields.chunked,
                False,
                behind[id_group].decode("latin-1")[:128] if id_group else "",
                None,
                b"",
                fields.content_type,
                fields.content_encoding,
                fields.dated,
            ),
        )


class ResponseReader:
    """Reads the heads of one upstream, which names its requests by one of `request_ids`; in bounded memory."""

    def __init__(self, request_ids: tuple[bytes, ...]) -> None:
        self._request_ids = request_ids
        self._shapes: list[tuple[ResponseShape, Response]] = []
        self._markers: list[bytes] = []
        self._known: dict[bytes, KnownHead] = {}
        self._tries = 0

    def __repr__(self) -> str:
        return f"<ResponseReader: {len(self._shapes)} shapes>"

    def read(self, data: bytes, end: int) -> Response:
        """The response whose head begins `data`, and whose closing empty line is behind `end`. Raises `Refused`."""
        for marker in self._markers:
            cut = data.find(marker, 0, end + 4) + 2
            known = self._known.get(data[:cut])
            if known is not None:
                behind = known.match(data, cut)
                if behind is not None:
                    return known.response(behind)
        return self._fit(data, end) or self._read(data[: end + 2])

    def _fit(self, data: bytes, end: int) -> Response | None:
        """By the shape that it has, if there is one: its beginning is known from now on."""
        if end > _MAX_BEGINNING:
            return None
        for shape, example in self._shapes:
            cut = data.find(shape.marker, 0, end + 4) + 2
            before = shape.before.pattern.fullmatch(data, 0, cut)
            behind = shape.behind.pattern.match(data, cut) if before is not None else None
            if before is not None and behind is not None:
                if len(self._known) >= MAX_BEGINNINGS:
                    self._known.clear()
                known = self._known[data[:cut]] = KnownHead(shape, before, example)
                return known.response(behind)
        return None

    def _read(self, head: bytes) -> Response:
        """By the rules; a shape is made of it if it may have one."""
        response = read_response(head, self._request_ids)
        fields = response.fields
        usual = (fields.content_length is not None or fields.chunked) and not (fields.close or fields.location)
        if usual and self._tries < MAX_TRIES and _RETRY_AFTER not in head.lower():
            self._tries += 1
            shape = make_response_shape(head, response, self._request_ids)
            if shape is not None:
                self._keep(shape, response)
        return response

    def _keep(self, shape: ResponseShape, example: Response) -> None:
        if len(self._shapes) >= MAX_SHAPES:
            self._shapes.clear()
            self._markers.clear()
            self._known.clear()
        self._shapes.append((shape, example))
        if shape.marker not in self._markers:
            self._markers.append(shape.marker)
