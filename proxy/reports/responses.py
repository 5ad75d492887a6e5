"""The responses to requests for named reports: header lines, and a body that is read from its file piece by piece.

Everything here blocks and is for a thread. Who may read what is decided before; the wire is for `forwarding`.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from datetime import UTC, datetime
from email.utils import formatdate
from typing import IO, TYPE_CHECKING, Any, Final

from proxy.errors import ReportNotReady
from proxy.reports.overview import look_at, look_at_all
from proxy.reports.requested import ReadForm
from proxy.reports.store import ReportFolderError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.reports.overview import NamedReports, ReportOverview
    from proxy.reports.requested import ReadConditions, ReportAsked
    from proxy.reports.store import OpenResult

PIECE: Final = 1 << 18
"""Bytes of a body that are in memory at once."""
_READ: Final = 1 << 16
_MAX_STALE_SHOWN: Final = 100
_SOON, _LATEST = 60.0, 3600.0
"""Seconds after which a client should ask again for what is not there yet: at least, and at most."""


@dataclass(frozen=True, slots=True)
class ReportResponse:
    """What a client gets: `lines` are whole header lines without those about framing and connection.

    `length` is the body's in bytes, None where it is not known before. `pieces` make the body; `close` frees what they
    need, and must be called.
    """

    status: int
    lines: bytes
    length: int | None
    pieces: Iterator[bytes]
    file: IO[bytes] | None = None

    def next_piece(self) -> bytes:
        """The next of the body, empty behind the last. Raises `ReportFolderError` where the file ends too early or is
        damaged."""
        try:
            return next(self.pieces, b"")
        except (OSError, EOFError, zlib.error) as error:
            where = self.file.name if self.file is not None else "A result"
            raise ReportFolderError(f"{where} cannot be read: {error}.") from None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def list_reports(reports: NamedReports, names: Iterable[str], now: float) -> ReportResponse:
    """The list of those that the client may read; `now` is wall-clock time."""
    entries = [describe(each) for each in look_at_all(reports, names, now)]
    body = json.dumps({"reports": entries}, indent=1).encode() + b"\n"
    lines = b"Content-Type: application/json\r\nCache-Control: private, no-cache\r\n"
    return ReportResponse(200, lines, len(body), iter((body,)))


def describe(overview: ReportOverview) -> dict[str, Any]:
    """A report as the list has it; times are ISO 8601 in UTC."""
    result = overview.result
    return {
        "name": overview.name,
        "account": overview.account,
        "state": overview.state.value,
        "waitsFor": overview.waits_for,
        "age": None if overview.age is None else int(overview.age),
        "completedAt": _iso(result.completed_at) if result is not None else None,
        "firstDay": result.first_day if result is not None else None,
        "lastDay": result.last_day if result is not None else None,
        "rows": overview.rows,
        "columns": list(result.columns) if result is not None else [],
        "staleProfiles": list(overview.stale),
        "nextRun": _iso(overview.next_run),
        "paths": [f"/-/reports/{overview.name}.{form}" for form in ReadForm],
    }


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def read_report(reports: NamedReports, asked: ReportAsked, has: ReadConditions, now: float) -> ReportResponse:
    """The newest complete result; `now` is wall-clock time. Raises `ReportNotReady`, and `ReportFolderError` where the
    result cannot be read."""
    overview = look_at(reports, asked.name, now)
    if asked.refresh and _may_begin(overview, reports.reuse_for, now):
        with contextlib.suppress(ReportFolderError):  # what there is can be read, and the runner says what is wrong
            reports.folder.ask_for_run(asked.name)
        overview = look_at(reports, asked.name, now)
    opened = reports.open(asked.name, asked.form.stored)
    if opened is None:
        raise _not_ready(overview, now)
    return _response(opened, asked.form, has, _told_lines(overview, opened, now))


def _may_begin(overview: ReportOverview, reuse_for: float, now: float) -> bool:
    """Whether a run may be asked for: none is under way, and the last one, failed or not, was long enough ago."""
    ended = [run.ended_at for run in overview.history[:1]]
    if overview.result is not None:
        ended.append(overview.result.completed_at)
    return not overview.is_under_way and now - max(ended, default=0.0) > reuse_for


def _not_ready(overview: ReportOverview, now: float) -> ReportNotReady:
    wait = _SOON
    if overview.next_run is not None and not overview.is_under_way:
        wait = min(max(overview.next_run - now, _SOON), _LATEST)
    why = overview.waits_for or "Its first run has not ended yet."
    return ReportNotReady(f"{overview.name} has no complete result yet. {why}", retry_after=wait)


def _told_lines(overview: ReportOverview, opened: OpenResult, now: float) -> bytes:
    """What the headers say of a result and of its successor."""
    result = opened.result
    lines = [f"Age: {max(0, int(now - result.completed_at))}"]
    if overview.is_under_way:
        lines.append("X-Ads-Proxy-Report: refreshing")
    if result.stale:
        more = [f"and {len(result.stale) - _MAX_STALE_SHOWN} more"] if len(result.stale) > _MAX_STALE_SHOWN else []
        lines.append(f"X-Ads-Proxy-Report-Stale: {', '.join([*result.stale[:_MAX_STALE_SHOWN], *more])}")
    return _joined(lines)


def _response(opened: OpenResult, form: ReadForm, has: ReadConditions, told: bytes) -> ReportResponse:
    """The result in the form and coding that the client takes, or a 304."""
    result, stored = opened.result, opened.result.files[form.stored]
    as_stored = has.takes_gzip and form is not ReadForm.JSON
    variant = "-gzip" if as_stored else "-json" if form is ReadForm.JSON else ""
    etag = f'"{stored.sha256[:32]}{variant}"'
    lines = [
        f"ETag: {etag}",
        f"Last-Modified: {formatdate(int(result.completed_at), usegmt=True)}",
        "Cache-Control: private, no-cache",
        "Vary: Accept-Encoding",
    ]
    if has.are_met(etag.encode(), result.completed_at):
        return ReportResponse(304, _joined(lines) + told, None, iter(()), opened.file)
    lines += [
        f"Content-Type: {form.media_type}",
        f'Content-Disposition: attachment; filename="{result.report}.{form}"',
        "Accept-Ranges: none",
    ]
    if as_stored:
        lines.append("Content-Encoding: gzip")
        return ReportResponse(
            200, _joined(lines) + told, stored.stored, _counted(_stored(opened.file), stored.stored), opened.file
        )
    length = None if form is ReadForm.JSON else stored.size
    return ReportResponse(200, _joined(lines) + told, length, content_of(opened, form), opened.file)


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")


# --- Bodies, piece by piece ----------------------------------------------------------------------------------


def content_of(opened: OpenResult, form: ReadForm) -> Iterator[bytes]:
    """The rows in a form, without gzip. Raises `EOFError`, `OSError` or `zlib.error` where the file is damaged."""
    content = _counted(_decompressed(opened.file), opened.result.files[form.stored].size)
    return _array(content) if form is ReadForm.JSON else content


def _stored(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _decompressed(file: IO[bytes]) -> Iterator[bytes]:
    """The content of a gzip file, of one member or of several. Raises `EOFError` where it is cut off."""
    unread = file.read(_READ)
    while unread:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            unread = unread or file.read(_READ)
            piece = member.decompress(unread, PIECE)
            if piece:
                yield piece
            elif not unread and not member.eof:
                raise EOFError("its file is cut off")
            unread = member.unconsumed_tail
        unread = member.unused_data or file.read(_READ)


def _counted(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same. Raises `EOFError` where it is another size, before more than that is sent."""
    left = size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise EOFError("its file has another size than its description says")


def _array(lines: Iterator[bytes]) -> Iterator[bytes]:
    """JSON lines as one array: each line but the last ends in a comma."""
    yield b"["
    held = b""
    for piece in lines:
        ends = piece.endswith(b"\n")
        shown = (held + (piece[:-1] if ends else piece)).replace(b"\n", b",\n")
        held = b"\n" if ends else b""
        if shown:
            yield shown
    yield b"]\n"
