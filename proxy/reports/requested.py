"""What a request below `/-/` asks for: which named report, in which form, and under which conditions. Pure.

Whether the client may read it is for `access`; what it gets is for `responses`.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from proxy.errors import OnlyReadable, UnknownParameter, UnknownReport
from proxy.reports.store import Form
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.http1.message import Request
    from proxy.routing.target import Destination


class ReadForm(StrEnum):
    """The forms in which a result is read, as the path's ending has it."""

    CSV = "csv"
    JSON = "json"
    """One array, made from the lines of `JSONL`."""
    JSONL = "jsonl"

    @property
    def stored(self) -> Form:
        """The stored form that it is made from."""
        return Form.CSV if self is ReadForm.CSV else Form.JSONL

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ReadForm.CSV: "text/csv; charset=utf-8",
    ReadForm.JSON: "application/json",
    ReadForm.JSONL: "application/x-ndjson",
}
LIST_PATH = b"/-/reports"
_RESULT_PATH = re.compile(rb"/-/reports/([A-Za-z0-9._-]+)\.(csv|json|jsonl)")
"""Letter by letter: no other spelling leads to a result."""
_REFRESH = b"?refresh=1"
_READ_METHODS = (b"GET", b"HEAD")


@dataclass(frozen=True, slots=True)
class ReportAsked:
    """One report in one form; `name` is empty for the list of all. `refresh` asks for a run, too."""

    name: str = ""
    form: ReadForm = ReadForm.JSON
    refresh: bool = False


def read_asked(method: bytes, destination: Destination, readable: frozenset[str]) -> ReportAsked:
    """The report that a request asks for. Raises `OnlyReadable`, `UnknownReport` or `UnknownParameter`.

    A report that the client may not read gets what an unknown one gets, whatever else is wrong with the request.
    """
    if method not in _READ_METHODS:
        raise OnlyReadable("Named reports are only read; send GET or HEAD.")
    query = destination.target[len(destination.path) :]
    found = None if destination.prefix else _RESULT_PATH.fullmatch(destination.path)
    if found is not None and (name := found[1].decode()) in readable:
        if query not in (b"", b"?", _REFRESH):
            raise UnknownParameter("A named report takes no parameter but refresh=1; leave out the others.")
        return ReportAsked(name, ReadForm(found[2].decode()), query == _REFRESH)
    if destination.prefix or destination.path != LIST_PATH:
        raise UnknownReport("This path leads to no report that the client may read; GET /-/reports lists those.")
    if query not in (b"", b"?"):
        raise UnknownParameter("The list of named reports takes no parameters; leave them out.")
    return ReportAsked()


# --- Conditions (RFC 9110, 13) and codings (RFC 9110, 12.5.3) ------------------------------------------------

_QUALITY = re.compile(rb"0(?:\.0{0,3})?")
"""The quality of a coding that is not accepted."""


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """What the client has already, and whether it takes gzip. `etags` may hold `*`; `since` is in wall-clock seconds,
    None where nothing readable was sent."""

    etags: frozenset[bytes] = frozenset()
    has_etags: bool = False
    since: float | None = None
    takes_gzip: bool = False

    def are_met(self, etag: bytes, modified: float) -> bool:
        """Whether the client has the newest already: it gets a 304. If-Modified-Since counts only without
        If-None-Match."""
        if self.has_etags:
            return etag in self.etags or b"*" in self.etags
        return self.since is not None and int(modified) <= self.since


def read_conditions(request: Request) -> ReadConditions:
    """The conditions in a request's header section."""
    etags = b",".join(_values(request, b"if-none-match"))
    known = frozenset(each.strip().removeprefix(b"W/") for each in etags.split(b",")) - {b""}
    return ReadConditions(
        etags=known,
        has_etags=bool(known),
        since=_moment(_values(request, b"if-modified-since")),
        takes_gzip=_takes_gzip(b",".join(_values(request, b"accept-encoding"))),
    )


def _values(request: Request, name: bytes) -> list[bytes]:
    return [value for sent, value in request.fields.every if sent == name]


def _moment(values: list[bytes]) -> float | None:
    """The moment of an HTTP date; None for several, or for what is none."""
    if len(values) != 1:
        return None
    try:
        return parsedate_to_datetime(values[0].decode("ascii")).timestamp()
    except (ValueError, OverflowError):
        return None


def _takes_gzip(accepted: bytes) -> bool:
    """Whether gzip is accepted by name, or by `*`."""
    codings: dict[bytes, bool] = {}
    for each in accepted.lower().split(b","):
        coding, _, parameters = each.partition(b";")
        quality = parameters.replace(b" ", b"").removeprefix(b"q=")
        codings[coding.strip()] = not _QUALITY.fullmatch(quality)
    return codings.get(b"gzip", codings.get(b"x-gzip", codings.get(b"*", False)))
