"""Counts of a day in a document of the store: what is granted, what is kept, and what a damaged file means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.errors import StateError, StateFileDamaged
from proxy.secret import Secret
from proxy.tokens.day_counts import MOST, CountAnswer, CountedDay, CountRequest, DocumentCounts, changed, oldest_day
from proxy.tokens.file_store import FileStore
from proxy.tokens.store import MemoryStore

NOW = 1_800_000_000.0
"""2027-01-15 in UTC."""
DAY = CountedDay("agent", "2027-01-15")
OTHER = CountedDay("other", "2027-01-15")
KEY = (Secret("0123456789abcdef"),)


def ask(amount: int, limit: int | None = None, key: CountedDay = DAY) -> CountRequest:
    return CountRequest(key, {"created": amount}, {} if limit is None else {"created": limit})


def answer(granted: bool, before: int | None) -> CountAnswer:
    return CountAnswer(granted, {} if before is None else {"created": before})


def counts_in(directory: Path, now: Callable[[], float] = lambda: NOW) -> DocumentCounts:
    """The counts of a program that has just started."""
    return DocumentCounts(FileStore.open(str(directory), KEY), now)


async def test_requests_share_a_step_and_are_decided_in_their_order() -> None:
    """Each sees what those before it took, and a smaller one still fits after one that did not."""
    counts = DocumentCounts(MemoryStore(), lambda: NOW)
    answers = await counts.take([ask(2, 3), ask(2, 3), ask(1, 3), ask(1, 3), ask(-1), ask(1, 3), ask(5)])
    assert answers == [
        answer(True, None),
        answer(False, 2),
        answer(True, 2),
        answer(False, 3),
        answer(True, 3),
        answer(True, 2),
        answer(True, 3),
    ]
    assert await counts.totals() == {DAY: {"created": 8}}


async def test_days_and_names_are_counted_apart() -> None:
    """A limit of one is used up by none of the others."""
    counts = DocumentCounts(MemoryStore(), lambda: NOW)
    keys = DAY, OTHER, CountedDay("agent", "2027-01-16")
    assert all(each == answer(True, None) for each in await counts.take([ask(1, 1, key) for key in keys]))
    assert await counts.take([ask(1, 1, key) for key in keys]) == [answer(False, 1)] * 3


async def test_what_a_program_granted_outlives_it(tmp_path: Path) -> None:
    """The next program finds it, and so does one that runs at the same time."""
    first, second = counts_in(tmp_path / "s"), counts_in(tmp_path / "s")
    await first.take([ask(2, 3)])
    assert await second.take([ask(1, 3)]) == [answer(True, 2)]
    assert await first.take([ask(1, 3)]) == [answer(False, 3)]
    assert await counts_in(tmp_path / "s").take([ask(1, 3)]) == [answer(False, 3)]


async def test_a_program_gives_back_what_is_its_own(tmp_path: Path) -> None:
    """More than it took it cannot give back."""
    first, second = counts_in(tmp_path / "s"), counts_in(tmp_path / "s")
    await first.take([ask(2)])
    await second.take([ask(1), ask(-3)])
    assert await first.totals() == {DAY: {"created": 2}}


async def test_a_document_that_is_taken_away_is_written_again(tmp_path: Path) -> None:
    """The running program knows what it granted."""
    counts = counts_in(tmp_path / "s")
    await counts.take([ask(2, 3)])
    for path in (tmp_path / "s").glob("document-*"):
        path.unlink()
    assert await counts.take([ask(2, 3), ask(0)]) == [answer(False, 2), answer(True, 2)]
    assert await counts_in(tmp_path / "s").totals() == {DAY: {"created": 2}}


async def test_old_days_are_forgotten(tmp_path: Path) -> None:
    """Two days after its date in UTC a day is gone, from the document too."""
    now = NOW
    counts = counts_in(tmp_path / "s", lambda: now)
    await counts.take([ask(2)])
    now += 2 * 86400
    await counts.take([ask(1, key=OTHER)])
    assert await counts.totals() == {DAY: {"created": 2}, OTHER: {"created": 1}}
    now += 86400
    later = CountedDay("agent", "2027-01-18")
    assert await counts.take([ask(1, key=later), ask(-2)]) == [answer(True, None), answer(True, None)]
    assert await counts.totals() == {later: {"created": 1}}
    assert oldest_day(now) == "2027-01-16"


async def test_a_damaged_document_counts_nothing(tmp_path: Path) -> None:
    """The document is not taken for a day on which nothing was spent, and stays as it is."""
    await counts_in(tmp_path / "s").take([ask(2)])
    path = next((tmp_path / "s").glob("document-*"))
    path.write_bytes(path.read_bytes()[:-9])
    damaged = path.read_bytes()
    counts = counts_in(tmp_path / "s")
    (found,) = await counts.take([ask(1, 3)])
    assert isinstance(found, StateFileDamaged)
    with pytest.raises(StateFileDamaged):
        await counts.totals()
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "document", [[], {"2027-01-15": 1}, {"2027-01-15": {"agent": {"x": {"created": -1}}}}, {"d": {"a": {"x": 1}}}, 5]
)
async def test_a_document_of_another_form_counts_nothing(document: object) -> None:
    """A later version may write another form."""
    store = MemoryStore()
    await store.write_document("spent", document)
    (found,) = await DocumentCounts(store, lambda: NOW).take([ask(1, 3)])
    assert isinstance(found, StateError)


async def test_a_document_of_another_name_is_no_count(tmp_path: Path) -> None:
    """A file that somebody gave the name of the document is not taken for it."""
    store = FileStore.open(str(tmp_path / "s"), KEY)
    await store.counts.take([ask(1)])
    path = next((tmp_path / "s").glob("document-*"))
    await store.write_document("other", {})
    (other,) = set((tmp_path / "s").glob("document-*")) - {path}
    other.replace(path)
    (found,) = await store.counts.take([ask(1)])
    assert isinstance(found, StateFileDamaged)


async def test_what_could_not_be_written_was_not_granted(tmp_path: Path) -> None:
    """The share stays as it was, and the next step puts it so, whether the disk has the change or not."""

    class Disk(MemoryStore):
        """Writes, and then says that it could not, as long as it is `broken`."""

        broken = False

        async def write_document(self, name: str, data: object) -> None:
            await super().write_document(name, data)
            if self.broken:
                raise StateError("The disk is full.")

    store = Disk()
    counts = DocumentCounts(store, lambda: NOW)
    await counts.take([ask(1, 3)])
    store.broken = True
    assert [str(each) for each in await counts.take([ask(1, 3), ask(1)])] == ["The disk is full."] * 2
    store.broken = False
    assert await counts.take([ask(2, 3)]) == [answer(True, 1)]


async def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    """A refusal and a look leave the file alone."""
    counts = counts_in(tmp_path / "s")
    await counts.take([ask(3, 3)])
    path = next((tmp_path / "s").glob("document-*"))
    before = path.stat().st_ino
    await counts.take([ask(1, 3), ask(0)])
    assert path.stat().st_ino == before


def test_a_count_has_a_largest_value() -> None:
    """What has no limit stops there, and a change beyond a limit changes nothing."""
    assert changed({"USD": MOST - 1}, CountRequest(DAY, {"USD": 5}, {}), {}) == {"USD": MOST}
    assert changed({"USD": 1}, CountRequest(DAY, {"USD": 5}, {"USD": 5}), {"USD": 1}) is None
    assert changed({"USD": 1}, CountRequest(DAY, {"EUR": 5}, {"EUR": 5}), {"USD": 9}) == {"USD": 1, "EUR": 5}
