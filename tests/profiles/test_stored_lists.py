"""Lists that outlast the program."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from proxy.errors import StateError
from proxy.profiles import stored_lists
from proxy.profiles.index import DOCUMENTS, ProfileIndex, ProfileListing, document_of
from proxy.profiles.listing import LIST_INTERVAL, ListingSchedule, Profile, ProfileSource
from proxy.profiles.reach import DOCUMENTS as DOCUMENTS_OF_REACH
from proxy.profiles.reach import AdsAccount, AlternateId, LinkedAccount, Reach, ReachIndex
from proxy.profiles.stored_lists import ADS_ACCOUNTS, PROFILES, StoredLists, read_list, write_list
from proxy.tokens.delayed_writer import RETRY_DELAY, SAVE_DELAY
from proxy.tokens.leases import LeaseRequest
from tests.support.listings import DocumentStore
from tests.support.tokens import virtual_time


async def test_a_stop_writes_what_changed_last() -> None:
    """Only the document that holds the account's lists is written."""
    store, index = DocumentStore(), ProfileIndex()
    kept = StoredLists(store, index, ReachIndex(), ListingSchedule())
    kept.begin()
    index.put("zeta", "na", ProfileListing("https://a.test app", (), "", 5.0))
    kept.changed(document_of("zeta"))
    assert repr(kept) == "<StoredLists: 1 changes, 1 documents to write>"
    await kept.stop()
    assert repr(kept) == "<StoredLists: 1 changes, 0 documents to write>"
    assert set(store.others) == {document_of("zeta")} < set(DOCUMENTS)


async def test_readings_of_the_version_before_are_kept_by_account() -> None:
    """The earlier version had all in one document, which is empty from then on: a change writes only a part of them
    again."""
    store, before, after = DocumentStore(), ReachIndex(), ReachIndex()
    accounts = ("acme", "zeta")
    for account in accounts:
        before.put(account, "na", Reach("https://a.test app", ads_accounts=(AdsAccount(f"of-{account}"),)))
    store.others["ads-accounts"] = before.to_document()
    kept = StoredLists(store, ProfileIndex(), after, ListingSchedule())
    urls = {"na": "https://a.test"}
    await kept.load({account: ProfileSource(account, "app", urls, pins_first=False) for account in accounts})
    kept.begin()
    await kept.stop()
    assert [after.counts(name) for name in ("acme", "zeta")] == [{"na": 1}, {"na": 1}]
    assert store.others.pop("ads-accounts") == {"version": 1, "readings": []}
    assert set(store.others) == {document_of(account, DOCUMENTS_OF_REACH) for account in accounts}
    again = ReachIndex()
    kept = StoredLists(store, ProfileIndex(), again, ListingSchedule())
    await kept.load({"zeta": ProfileSource("zeta", "app", urls, pins_first=False)})
    assert [again.counts(name) for name in ("acme", "zeta")] == [{}, {"na": 1}]


async def test_only_documents_of_the_wanted_accounts_are_read() -> None:
    """A command about one account does not read a million profiles."""

    class AskedStore(DocumentStore):
        """Remembers which documents were asked for."""

        async def read_document(self, name: str) -> object | None:
            asked.append(name)
            return await super().read_document(name)

    asked: list[str] = []
    source = ProfileSource("acme", "app", {"na": "https://a.test"}, pins_first=False)
    await StoredLists(AskedStore(), ProfileIndex(), ReachIndex(), ListingSchedule()).load({"acme": source})
    own = [document_of("acme"), document_of("acme", DOCUMENTS_OF_REACH)]
    assert asked == ["profiles", own[0], "ads-accounts", own[1]]


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

    kept = StoredLists(SlowStore(), index, ReachIndex(), ListingSchedule(pause=pause, clock=lambda: moment))
    kept.begin()
    for _ in range(2):
        kept.changed(document_of("zeta"))
        await written.wait()
        written.clear()
    await kept.stop()
    assert pauses == [2.0, 60.0]


class FailingStore(DocumentStore):
    """Calls `trouble` at the first write of a document."""

    def __init__(self, trouble: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._trouble: list[Callable[[], Awaitable[None]]] = [trouble]

    async def write_document(self, name: str, data: object) -> None:
        if self._trouble:
            await self._trouble.pop()()
        await super().write_document(name, data)


@virtual_time
async def test_lists_that_could_not_be_written_are_written_later() -> None:
    """Lists behind the failed one are written later as well: a restart knows which profile was the first."""

    async def fail() -> None:
        raise StateError("the disk is full")

    store, schedule = FailingStore(fail), ListingSchedule(clock=asyncio.get_running_loop().time)
    kept = StoredLists(store, ProfileIndex(), ReachIndex(), schedule)
    kept.begin()
    kept.changed(*DOCUMENTS[:2])
    await asyncio.sleep(SAVE_DELAY + RETRY_DELAY - 1)
    assert store.others == {}
    await asyncio.sleep(2)
    assert set(store.others) == set(DOCUMENTS[:2])
    await kept.stop()


async def test_a_stop_during_a_write_writes_the_rest() -> None:
    """A process of many accounts writes much of the time."""
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def pause(seconds: float, _: asyncio.Event) -> None:
        """End at once."""

    store = FailingStore(hang)
    kept = StoredLists(store, ProfileIndex(), ReachIndex(), ListingSchedule(pause=pause))
    kept.begin()
    kept.changed(*DOCUMENTS[:2])
    await begun.wait()
    await kept.stop()
    assert set(store.others) == set(DOCUMENTS[:2])


FORM = PROFILES
WANTED = LeaseRequest("acme", "https://api.test", "amzn1.app", "f" * 64, 0)


def profiles(count: int) -> ProfileListing:
    """A list of so many, each with an id and a name of its own."""
    common = "US", "USD", "America/Chicago", "seller", "ATVPDKIKX0DER"
    made = (Profile(f"{10**12 + 7919 * each}", f"Brand {each}", *common, f"A{each}") for each in range(count))
    return ProfileListing("https://api.test amzn1.app", tuple(made), f"{10**12}", 5.0)


def test_a_list_comes_back_whole() -> None:
    """The list is of use until the next is due; profiles without a payment method stay so."""
    listing = profiles(3)
    listing = replace(listing, profiles=(*listing.profiles, replace(listing.profiles[0], id="9", valid_payment=False)))
    content, life = FORM.write(WANTED, listing)
    assert life == LIST_INTERVAL
    assert FORM.read(WANTED, content, 1.0) == listing


def test_what_else_is_reached_comes_back_whole() -> None:
    """Ads accounts with their parts, what managers have linked, and hidden profiles."""
    reach = Reach(
        "https://api.test amzn1.app",
        profiles(1).profiles,
        (AdsAccount("amzn1.a", "Brand", "CREATED", ("US",), (AlternateId("US", "ENTITY1", "11"),)),),
        (LinkedAccount("A1", "Shop", "SELLER", "12", "", "M1"),),
    )
    assert ADS_ACCOUNTS.read(WANTED, ADS_ACCOUNTS.write(WANTED, reach)[0], 1.0) == reach
    assert not ADS_ACCOUNTS.is_long(reach)


def test_the_longest_list_of_amazons_is_small() -> None:
    """5,000 profiles, and only such a list is written aside."""
    longest = profiles(5000)
    assert len(FORM.write(WANTED, longest)[0]) < 200_000
    assert (FORM.is_long(longest), FORM.is_long(profiles(3))) == (True, False)


def test_another_refresh_token_is_another_matter() -> None:
    """No damage, and not its list."""
    content, _ = FORM.write(WANTED, profiles(1))
    assert FORM.read(replace(WANTED, lineage="e" * 64), content, 1.0) is None


@pytest.mark.parametrize(
    "other", [replace(WANTED, account="zeta"), replace(WANTED, url="https://b.test"), replace(WANTED, client_id="b")]
)
def test_what_is_anothers_is_refused(other: LeaseRequest) -> None:
    """Account, address and application are within, whatever the key says."""
    content, _ = FORM.write(WANTED, profiles(1))
    with pytest.raises(ValueError, match="another's"):
        FORM.read(other, content, 1.0)


def test_a_list_of_another_kind_is_refused() -> None:
    """Lists of profiles and of ads accounts do not replace each other."""
    with pytest.raises(ValueError, match="another's"):
        read_list(WANTED, "profiles", write_list(WANTED, "ads-accounts", {}))


def test_what_is_damaged_is_refused() -> None:
    """Cut, not compressed, or not what a list holds."""
    content, _ = FORM.write(WANTED, profiles(1))
    for damaged in (content[:-9], b"", b"nonsense", zlib.compress(b"nonsense"), write_list(WANTED, "profiles", {})):
        with pytest.raises((ValueError, KeyError)):
            FORM.read(WANTED, damaged, 1.0)


def test_a_list_is_read_that_is_far_longer_than_any_of_amazons() -> None:
    """Ten megabytes of one, before it is packed; the bound is above that."""
    entry = {"profiles": "x" * 10_000_000}
    assert read_list(WANTED, "profiles", write_list(WANTED, "profiles", entry)) == entry


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small it is before it is unpacked."""
    monkeypatch.setattr(stored_lists, "MAX_LIST", 100)
    with pytest.raises(ValueError, match="too long"):
        FORM.read(WANTED, FORM.write(WANTED, profiles(20))[0], 1.0)


def test_news_are_of_one_account_at_one_address() -> None:
    """A replica that receives the news looks at one list."""
    assert FORM.news(WANTED) == ("profiles", "acme\0https://api.test")
