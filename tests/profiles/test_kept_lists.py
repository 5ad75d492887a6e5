"""Lists that outlast the program."""

from __future__ import annotations

import asyncio

from proxy.profiles.ads_accounts import AdsAccount
from proxy.profiles.index import DOCUMENTS, ProfileIndex, ProfileListing, document_of
from proxy.profiles.kept_lists import KeptLists
from proxy.profiles.pacing import Pacing
from proxy.profiles.reach import DOCUMENTS as DOCUMENTS_OF_REACH
from proxy.profiles.reach import Reach, ReachIndex
from proxy.profiles.source import ProfileSource
from tests.support.listings import DocumentStore


async def test_a_stop_writes_what_changed_last() -> None:
    """And nothing else: only the document that holds the account's lists."""
    store, index = DocumentStore(), ProfileIndex()
    kept = KeptLists(store, index, ReachIndex(), Pacing())
    kept.begin()
    index.put("zeta", "na", ProfileListing("https://a.test app", (), "", 5.0))
    kept.changed(document_of("zeta"))
    assert repr(kept) == "<KeptLists: 1 changes, 1 documents to write>"
    await kept.stop()
    assert repr(kept) == "<KeptLists: 1 changes, 0 documents to write>"
    assert set(store.others) == {document_of("zeta")} < set(DOCUMENTS)


async def test_readings_of_the_version_before_are_kept_by_account() -> None:
    """They all were in one document, which is empty from then on: a change writes a part of them anew."""
    store, before, after = DocumentStore(), ReachIndex(), ReachIndex()
    accounts = ("acme", "zeta")
    for account in accounts:
        before.put(account, "na", Reach("https://a.test app", ads_accounts=(AdsAccount(f"of-{account}"),)))
    store.others["ads-accounts"] = before.to_document()
    kept = KeptLists(store, ProfileIndex(), after, Pacing())
    urls = {"na": "https://a.test"}
    await kept.load({account: ProfileSource(account, "app", urls, pins_first=False) for account in accounts})
    kept.begin()
    await kept.stop()
    assert [after.counts(name) for name in ("acme", "zeta")] == [{"na": 1}, {"na": 1}]
    assert store.others.pop("ads-accounts") == {"version": 1, "readings": []}
    assert set(store.others) == {document_of(account, DOCUMENTS_OF_REACH) for account in accounts}
    again = ReachIndex()
    kept = KeptLists(store, ProfileIndex(), again, Pacing())
    await kept.load({"zeta": ProfileSource("zeta", "app", urls, pins_first=False)})
    assert [again.counts(name) for name in ("acme", "zeta")] == [{}, {"na": 1}]


async def test_the_longer_it_takes_to_write_the_less_often_it_is_done() -> None:
    """Else a program with ten thousand accounts, whose lists arrive one by one, would do little but write."""
    moment, pauses, written = 0.0, list[float](), asyncio.Event()
    index = ProfileIndex()

    class SlowStore(DocumentStore):
        """One that takes three seconds."""

        async def write_document(self, name: str, data: object) -> None:
            nonlocal moment
            await super().write_document(name, data)
            moment += 3.0
            written.set()

    async def pause(seconds: float, _: asyncio.Event) -> None:
        pauses.append(seconds)

    kept = KeptLists(SlowStore(), index, ReachIndex(), Pacing(pause=pause, clock=lambda: moment))
    kept.begin()
    for _ in range(2):
        kept.changed(document_of("zeta"))
        await written.wait()
        written.clear()
    await kept.stop()
    assert pauses == [2.0, 60.0]
