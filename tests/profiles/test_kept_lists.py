"""Lists that outlast the program."""

from __future__ import annotations

from proxy.profiles.index import DOCUMENTS, ProfileIndex, ProfileListing, document_of
from proxy.profiles.kept_lists import KeptLists
from proxy.profiles.pacing import Pacing
from proxy.profiles.reach import ReachIndex
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
