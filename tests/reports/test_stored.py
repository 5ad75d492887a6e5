"""Unfinished reports that outlast the program."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import StateError
from proxy.reports.sharing import KnownReports, MadeReport
from proxy.reports.stored import DOCUMENT, MAX_STORED, StoredReports, read_made, write_made
from proxy.tokens.store import MemoryStore
from tests.support.tokens import virtual_time

NOW = 1_800_000_000.0
MADE = MadeReport("key", "report-1", 200, "{}", NOW, NOW)


def stored(documents: Any, reports: KnownReports) -> StoredReports:
    return StoredReports(documents, reports, lambda: NOW)


@virtual_time
async def test_the_next_start_knows_what_was_unfinished() -> None:
    """What is complete, or too old, is not kept."""
    store, reports = MemoryStore(), KnownReports()
    keeping = stored(store, reports)
    keeping.begin()
    reports.put(MADE, "order")
    reports.put(replace(MADE, key="done", completed_at=NOW), "done")
    reports.put(replace(MADE, key="old", made_at=NOW - 90_000), "old")
    await asyncio.sleep(3)
    assert await store.read_document(DOCUMENT) == [write_made("order", MADE)]
    again = KnownReports()
    await stored(store, again).load()
    assert again.of_order("order") == MADE
    await keeping.stop()


@virtual_time
async def test_the_last_change_is_written_at_the_end() -> None:
    """Also one a moment before."""
    store, reports = MemoryStore(), KnownReports()
    keeping = stored(store, reports)
    keeping.begin()
    reports.put(MADE, "order")
    assert repr(keeping) == "<StoredReports: <DelayedWriter: unsaved>, <KnownReports: 1 of 1 orders>>"
    await keeping.stop()
    assert await store.read_document(DOCUMENT) == [write_made("order", MADE)]


@virtual_time
async def test_a_poll_of_an_unfinished_report_writes_nothing() -> None:
    """Its completion does."""
    store, reports = MemoryStore(), KnownReports()
    keeping = stored(store, reports)
    reports.put(MADE, "order")
    keeping.begin()
    reports.put(replace(MADE, seen_at=NOW + 60))
    await asyncio.sleep(3)
    assert await store.read_document(DOCUMENT) is None
    reports.put(replace(MADE, completed_at=NOW + 60))
    await asyncio.sleep(3)
    assert await store.read_document(DOCUMENT) == []
    await keeping.stop()


@virtual_time
async def test_the_newest_are_kept() -> None:
    """So many."""
    store, reports = MemoryStore(), KnownReports()
    keeping = stored(store, reports)
    keeping.begin()
    for number in range(MAX_STORED + 1):
        reports.put(replace(MADE, key=f"key {number}", made_at=NOW - MAX_STORED + number), f"order {number}")
    await keeping.stop()
    kept = await store.read_document(DOCUMENT)
    assert isinstance(kept, list)
    assert len(kept) == MAX_STORED
    assert kept[0]["order"] == "order 1"


@virtual_time
async def test_a_store_in_trouble_costs_no_request_anything() -> None:
    """The reports stay known here."""

    class Broken:
        async def read_document(self, name: str) -> object | None:
            raise StateError("gone")

        async def write_document(self, name: str, data: object) -> None:
            raise StateError("gone")

    reports = KnownReports()
    keeping = stored(Broken(), reports)
    await keeping.load()
    keeping.begin()
    reports.put(MADE, "order")
    await keeping.stop()
    assert reports.of_order("order") == MADE


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {},
        {**write_made("order", MADE), "order": 5},
        {**write_made("order", MADE), "status": "200"},
        {**write_made("order", MADE), "made_at": None},
        {**write_made("order", MADE), "more": 1},
    ],
)
def test_what_another_version_wrote_is_not_taken(entry: object) -> None:
    """Nor what is damaged."""
    assert read_made(entry) is None


def test_what_was_written_is_read() -> None:
    """As it was."""
    assert read_made(write_made("order", MADE)) == ("order", MADE)
