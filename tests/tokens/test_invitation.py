"""Links that ask for consent: what they hold, who can make them, and what ends them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from proxy.errors import StateError
from proxy.secret import Secret
from proxy.tokens.invitation import (
    MADE,
    USED,
    Invitation,
    InvitationClaim,
    InvitationLedger,
    InvitationState,
    is_signed,
    link,
    read_claim,
    sign,
    signing_key,
    state_of,
)
from proxy.tokens.store import MemoryStore
from tests.support.tokens import virtual_time

KEY = signing_key(Secret("s"))
INVITATION = Invitation("id-1", "acme", 100.0, 200.0, "Example Ltd")


def test_a_link_says_what_it_is_for_under_its_signature() -> None:
    """Account and end can be read from it, and only the application's secret can make one."""
    token = link("https://consent.test", INVITATION, KEY).removeprefix("https://consent.test/invite/")
    assert read_claim(token) == InvitationClaim("id-1", "acme", 200)
    assert is_signed(token, KEY)
    assert not is_signed(token, signing_key(Secret("another")))


@pytest.mark.parametrize("changes", [{"id": "id-2"}, {"account": "other"}, {"expires_at": 201.0}])
def test_a_signature_holds_for_its_own_link_alone(changes: dict[str, object]) -> None:
    """Another account, another id or a later end needs another signature."""
    signature = sign(INVITATION, KEY).partition(".")[2]
    changed = sign(replace(INVITATION, **changes), KEY).partition(".")[0]  # type: ignore[arg-type]  # each of its own type
    assert not is_signed(f"{changed}.{signature}", KEY)


@pytest.mark.parametrize(
    "token", ["", ".", "x", "e30.", "bnVsbA.x", "WzEsMiwzXQ.x", "WyJhIiwiYiIsdHJ1ZV0.x", "é.é", "W" * 2000, "=.=", "[]"]
)
def test_what_is_no_link_says_nothing(token: str) -> None:
    """Nothing breaks and nothing is believed, whatever the address holds."""
    assert read_claim(token) is None
    assert not is_signed(token, KEY)


@pytest.mark.parametrize(
    ("invitation", "now", "state"),
    [
        (None, 0.0, InvitationState.UNKNOWN),
        (INVITATION, 199.9, InvitationState.OPEN),
        (INVITATION, 200.0, InvitationState.EXPIRED),
        (replace(INVITATION, revoked=True), 150.0, InvitationState.REVOKED),
        (replace(INVITATION, used_at=120.0), 150.0, InvitationState.USED),
        (replace(INVITATION, used_at=120.0, revoked=True), 250.0, InvitationState.USED),
    ],
)
def test_a_link_ends_by_use_time_or_being_taken_back(
    invitation: Invitation | None, now: float, state: InvitationState
) -> None:
    """The first cause that ended the link is the one that is reported."""
    assert state_of(invitation, now) is state


async def test_what_became_of_links_is_remembered() -> None:
    """By another process too: one used, one revoked by its account, one by its id, one open; old ones are forgotten."""
    store, now = MemoryStore(), [1000.0]
    ledger = InvitationLedger(store, lambda: now[0])
    used, revoked, by_id, left = [await ledger.make(name, 50, "Us") for name in ("a", "b", "c", "d")]
    await ledger.use(used.id)
    other = InvitationLedger(store, lambda: now[0])
    assert [each.id for each in await other.revoke("b")] == [revoked.id]
    assert [each.id for each in await other.revoke(by_id.id)] == [by_id.id]
    assert await other.revoke("a") == ()
    states = {each.account: state_of(each, now[0]) for each in await other.all()}
    assert states == {"a": "used", "b": "revoked", "c": "revoked", "d": "open"}
    assert (await other.find(left.id), await other.find("none")) == (left, None)
    assert repr(ledger) == "<InvitationLedger: 1 used since the start>"
    now[0] += 91 * 86400
    await other.make("e", 50, "Us")
    await other.use("e")
    assert [each.account for each in await other.all()] == ["e"]
    assert list(json.loads(json.dumps(await store.read_document(USED)))) == ["e"]


@virtual_time
@pytest.mark.parametrize("seconds", [0, 70])
async def test_a_use_that_the_store_does_not_take_is_written_later(seconds: float) -> None:
    """At a stop, or as soon as the store takes it: the link must not be good again after a restart."""

    class Broken(MemoryStore):
        is_broken = False

        async def write_document(self, name: str, data: object) -> None:
            if self.is_broken:
                raise StateError("The disk is full.")
            await super().write_document(name, data)

    store = Broken()
    ledger = InvitationLedger(store, lambda: 1000.0)
    ledger.begin()
    made = await ledger.make("a", 50, "Us")
    store.is_broken = True
    with pytest.raises(StateError):
        await ledger.use(made.id)
    await asyncio.sleep(seconds / 2)
    store.is_broken = False
    await asyncio.sleep(seconds)
    if not seconds:
        await ledger.stop()
    found = await InvitationLedger(store, lambda: 1000.0).find(made.id)
    assert state_of(found, 1000.0) is InvitationState.USED
    await ledger.stop()


async def test_a_link_is_known_for_90_days_after_its_end() -> None:
    """The link is forgotten no later."""
    store, now = MemoryStore(), [1000.0]
    ledger = InvitationLedger(store, lambda: now[0])
    link = await ledger.make("a", 50, "Us")
    now[0] = link.expires_at + 90 * 86400 - 1
    await ledger.make("b", 50, "Us")
    assert await ledger.find(link.id) is not None
    now[0] += 1
    await ledger.make("c", 50, "Us")
    assert await ledger.find(link.id) is None


async def test_links_made_at_once_are_all_kept() -> None:
    """Within a process nothing is lost between reading and writing."""
    ledger = InvitationLedger(MemoryStore(), lambda: 0.0)
    await asyncio.gather(*(ledger.make(str(number), 50, "Us") for number in range(8)))
    assert len(await ledger.all()) == 8


@pytest.mark.parametrize("damaged", [{"a": 1}, [1, {}, {"id": "x"}], "x"])
async def test_a_damaged_document_counts_as_lost(damaged: object) -> None:
    """Links that cannot be read are not known."""
    store = MemoryStore()
    await store.write_document(MADE, damaged)
    await store.write_document(USED, damaged)
    assert await InvitationLedger(store, lambda: 0.0).all() == ()
