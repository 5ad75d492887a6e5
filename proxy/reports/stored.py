"""Unfinished reports that outlast the program, and are told to other replicas: which order made which.

Read from the store's document at a start, and written a moment after a change. Losing them is harmless: an identical
order gets a 425 then, which is answered with the report that it names.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy.errors import StateError
from proxy.reports.sharing import MadeReport
from proxy.tokens.delayed_writer import DelayedWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.reports.sharing import KnownReports

DOCUMENT: Final = "reports"
MAX_STORED: Final = 1000
"""Reports that are written: those that were made last."""
_NAMES: Final = {field.name: field.type for field in fields(MadeReport)}
_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "float | None": (int, float, type(None)),
}


class ReportDocuments(Protocol):
    """Where the document is kept: see `proxy.tokens.store.Store`."""

    async def read_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...


def write_made(order: str, made: MadeReport) -> dict[str, Any]:
    """An order and its report, as JSON has them."""
    return {"order": order, **asdict(made)}


def read_made(entry: object) -> tuple[str, MadeReport] | None:
    """What `write_made` wrote; None for anything else, as of another version."""
    if not isinstance(entry, dict) or entry.keys() != {"order", *_NAMES} or not isinstance(entry["order"], str):
        return None
    values = {name: entry[name] for name in _NAMES}
    if not all(isinstance(values[name], _KINDS[str(kind)]) for name, kind in _NAMES.items()):
        return None
    return entry["order"], MadeReport(**values)


class StoredReports:
    """Keeps what is in `reports`. `load`, `begin` and `stop` are called one after another; `wall` is its clock."""

    def __init__(self, documents: ReportDocuments, reports: KnownReports, wall: Callable[[], float]) -> None:
        self._documents, self._reports, self._wall = documents, reports, wall
        self._writer = DelayedWriter(self._write)

    def __repr__(self) -> str:
        return f"<StoredReports: {self._writer!r}, {self._reports!r}>"

    async def load(self) -> None:
        """Take what the store knows, if it can still be used."""
        with contextlib.suppress(StateError):
            entries = await self._documents.read_document(DOCUMENT)
            for entry in entries if isinstance(entries, list) else ():
                found = read_made(entry)
                if found is not None and found[1].is_reusable(0.0, self._wall()):
                    self._reports.put(found[1], found[0])

    def begin(self) -> None:
        """Write what changes from now on."""
        self._reports.changed = self._writer.changed
        self._writer.begin()

    async def stop(self) -> None:
        """Write what is not written yet."""
        await self._writer.stop()

    async def _write(self) -> None:
        newest = sorted(self._reports.known(self._wall()), key=lambda each: each[1].made_at)[-MAX_STORED:]
        await self._documents.write_document(DOCUMENT, [write_made(*each) for each in newest])
