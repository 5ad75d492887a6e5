"""A memory of response heads: Amazon's heads differ from response to response in little but a length and request ids.

A `ResponseForm` is a head that was read, without those values. A head that a form matches is, byte for byte, the head
that was read with other values; and each of these is so plain that the head is read in the same way. So a form says
what the head says, and `read_response` stays the one reading. Only usual heads of HTTP/1.1 with a body are remembered.

Forms are looked up by what stands before the first value that varies. Where that begins is found by the name of its
field: Content-Length as a rule. A wrong place costs a reading, and is never taken for the right one, since all bytes of
a form are compared. A value ends where the bytes begin that follow it in the form; it is plain if it holds no blank and
no control character, so it cannot reach over the end of its line.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.bounded_cache import BoundedCache
from proxy.errors import Refused
from proxy.http1.fields import MAX_LENGTH_DIGITS
from proxy.http1.framing import has_no_body
from proxy.http1.message import MAX_REMEMBERED_BYTES, Response, parse_status_line
from proxy.http1.response_fields import (
    MAX_REQUEST_ID,
    ResponseFields,
    match_usual_section,
    read_usual_section,
    varying_values,
)
from proxy.unchanging import unchanging

_LENGTH_NAME = b"\r\nContent-Length: "
_LENGTH_NAME_SIZE: Final = len(_LENGTH_NAME)
_PLAIN = re.compile(rb"[!-~]*")
_NOT_PASSING = re.compile(rb"(?i)\r\n(?:connection|transfer-encoding): [^\r]*(?=\r\n)")
"""The lines of a usual section that do not pass, as in `read_usual_section`."""

_MAX_PREFIXES = 256
_MAX_CACHE_BYTES = 1 << 20
_FORMS_OF_PREFIX = 4
"""Forms that begin with the same bytes: the order of the request ids differs, or what follows them."""
_MAX_NAMES = 8
"""Names, as they are spelled, whose values may be the first that varies; `_LENGTH_NAME` is one more."""


@unchanging
class ResponseForm:
    """What the heads of one form say. `pieces` are the bytes behind each value that varies.

    `lines` are the status line and the passing lines with `%b` for the values; `passes_whole` tells that they are all
    lines. The length and the request id are the values at `length_at` and `id_at`; -1 stands for none.
    """

    status: int
    reason: bytes
    chunked: bool
    content_type: bytes
    content_encoding: bytes
    has_date: bool
    pieces: tuple[bytes, ...]
    lines: bytes
    passes_whole: bool
    length_at: int
    id_at: int

    def response(self, length: int | None, request_id: str, lines: bytes) -> Response:
        """The response that `ResponseReader.recall` told with these values, as `read_response` reads it."""
        fields = ResponseFields(
            lines.partition(b"\r\n")[2],
            length,
            self.chunked,
            False,
            request_id,
            self.content_type,
            self.content_encoding,
            self.has_date,
        )
        return Response(self.status, self.reason, 1, fields)


Recalled = tuple[ResponseForm, int | None, str, bytes]
"""A head's form, its Content-Length, its request id, and its status line and passing lines, each with its CRLF."""


class ResponseReader:
    """Reads heads of usual responses, and remembers their forms, in bounded memory.

    `request_ids` are the names, in lower case, under which the upstream says its own request id; the first that is
    there counts. Responses of the statuses `excluded`, and those without a body, are left to `read_response`.
    """

    def __init__(self, request_ids: tuple[bytes, ...], excluded: frozenset[int] = frozenset()) -> None:
        self._request_ids = request_ids
        self._excluded = excluded
        self._forms: BoundedCache[bytes, tuple[ResponseForm, ...]] = BoundedCache(_MAX_PREFIXES, _MAX_CACHE_BYTES)
        self._names: list[bytes] = []

    def recall(self, data: bytes, end: int) -> Recalled | None:
        """What the head at the beginning of `data` says; its closing empty line is the first, at `end`.

        None for a head that is not usual, or not valid: `read_response` reads it.
        """
        if not 0 < end <= MAX_REMEMBERED_BYTES:
            return None
        begin = data.find(_LENGTH_NAME, 0, end) + _LENGTH_NAME_SIZE
        forms = self._forms.get(data[:begin])
        if forms is None:
            begin, forms = self._find_elsewhere(data, end)
        stop = end + 4
        for form in forms:
            start, values = begin, []
            for piece in form.pieces:
                found = data.find(piece, start, stop)
                if found < 0:
                    break
                values.append(data[start:found])
                start = found + len(piece)
            else:
                joined = b"".join(values)
                if not joined.isalnum() and _PLAIN.fullmatch(joined) is None:
                    continue
                length: int | None = None
                if not form.chunked:
                    digits = values[form.length_at]
                    if not digits.isdigit() or len(digits) > MAX_LENGTH_DIGITS:
                        continue
                    length = int(digits)
                request_id = values[form.id_at][:MAX_REQUEST_ID].decode() if form.id_at >= 0 else ""
                return form, length, request_id, data[: end + 2] if form.passes_whole else form.lines % tuple(values)
        return self._read(data, end)

    def _find_elsewhere(self, data: bytes, end: int) -> tuple[int, tuple[ResponseForm, ...]]:
        """The forms of a head that begins with another value than a length under its usual name, and where that is."""
        for name in self._names:
            begin = data.find(name, 0, end) + len(name)
            forms = self._forms.get(data[:begin])
            if forms is not None:
                return begin, forms
        return 0, ()

    def _read(self, data: bytes, end: int) -> Recalled | None:
        """Read a head that no form matches, and remember its form; None if it has none."""
        head = data[: end + 2]
        line, _, section = head.partition(b"\r\n")
        usual = match_usual_section(section, self._request_ids)
        if usual is None:
            return None
        try:
            status, reason, _ = parse_status_line(line)
            fields = read_usual_section(section, usual)
        except Refused:
            return None
        framed = fields.chunked or fields.content_length is not None
        if not framed or has_no_body(status, to_head=False) or status in self._excluded:
            return None
        length_span, id_spans = varying_values(usual)
        spans = sorted(id_spans if fields.chunked else [length_span, *id_spans])
        values = [section[start:stop] for start, stop in spans]
        if not values or line != b"HTTP/1.1 %d %b" % (status, reason) or _PLAIN.fullmatch(b"".join(values)) is None:
            return None
        texts, at = [], 0
        for start, stop in spans:
            texts.append(section[at:start])
            at = stop
        texts[0] = prefix = line + b"\r\n" + texts[0]
        pieces = *texts[1:], section[at:] + b"\r\n"
        lines = b"%b".join([text.replace(b"%", b"%%") for text in (*texts, section[at:])])
        form = ResponseForm(
            status,
            reason,
            fields.chunked,
            fields.content_type,
            fields.content_encoding,
            fields.has_date,
            pieces,
            _NOT_PASSING.sub(b"", lines),
            len(fields.passing) == len(section),
            -1 if fields.chunked else spans.index(length_span),
            spans.index(id_spans[0]) if id_spans else -1,
        )
        self._keep(prefix, form, 3 * len(head) + 600)
        return form, fields.content_length, fields.request_id, form.lines % tuple(values)

    def _keep(self, prefix: bytes, form: ResponseForm, size: int) -> None:
        name = prefix[prefix.rindex(b"\r\n") :]
        if name != _LENGTH_NAME and name not in self._names:
            if len(self._names) == _MAX_NAMES:
                return
            self._names.append(name)
        self._forms.keep(prefix, (form, *self._forms.get(prefix, ()))[:_FORMS_OF_PREFIX], size)
