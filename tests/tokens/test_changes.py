"""Which refresh token is in force, and how it changes: rotation, reload, and what a stop leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from proxy import errors
from proxy.events import (
    AccountRemoved,
    RefreshTokenLost,
    RefreshTokenReplaced,
    TokenRefreshed,
    TokenUnpersisted,
)
from proxy.secret import Secret
from proxy.tokens.credential import Credential
from proxy.tokens.leases import FailedAttempt, Lease, LeaseRequest, LocalLease, LocalLeases, SharedContent, Urgency
from proxy.tokens.store import (
    MemoryStore,
    RefreshTokenChoice,
    RefreshTokenOrigin,
    StoredSource,
    StoredToken,
    choose,
    fingerprint,
)
from proxy.tokens.token_response import Grant
from proxy.tokens.values import TokenSettings, TokenSource
from tests.support.tokens import BrokenStore, RunningManager, ScriptedLogin, grant, source, virtual_time

A, B, NEW = Secret("token-a"), Secret("token-b"), Secret("token-new")


@pytest.mark.parametrize(
    ("configured", "stored", "choice"),
    [
        (None, None, RefreshTokenChoice(None, RefreshTokenOrigin.NONE)),
        (A, None, RefreshTokenChoice(A, RefreshTokenOrigin.CONFIGURATION)),
        (
            A,
            StoredToken(NEW, StoredSource.ROTATED, fingerprint(A), 1.0),
            RefreshTokenChoice(NEW, RefreshTokenOrigin.STORE),
        ),
        (
            A,
            StoredToken(NEW, StoredSource.SIGN_IN, fingerprint(A), 1.0),
            RefreshTokenChoice(NEW, RefreshTokenOrigin.SIGN_IN),
        ),
        (
            B,
            StoredToken(NEW, StoredSource.ROTATED, fingerprint(A), 1.0),
            RefreshTokenChoice(B, RefreshTokenOrigin.CONFIGURATION),
        ),
        (B, StoredToken(NEW, StoredSource.SIGN_IN, "", 1.0), RefreshTokenChoice(B, RefreshTokenOrigin.CONFIGURATION)),
        (None, StoredToken(NEW, StoredSource.SIGN_IN, "", 1.0), RefreshTokenChoice(NEW, RefreshTokenOrigin.SIGN_IN)),
        (
            None,
            StoredToken(NEW, StoredSource.ROTATED, fingerprint(A), 1.0),
            RefreshTokenChoice(NEW, RefreshTokenOrigin.STORE),
        ),
    ],
)
def test_a_stored_token_wins_until_the_configured_one_changes(
    configured: Secret | None, stored: StoredToken | None, choice: RefreshTokenChoice
) -> None:
    """The contract's rule, over every combination."""
    assert choose(configured, stored) == choice


@virtual_time
async def test_a_rotated_token_is_used_next_and_kept() -> None:
    """What came back is sent the next time and found again after a restart."""
    store = MemoryStore()
    async with RunningManager(ScriptedLogin(grant("a", refresh="refresh-1")), store) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await running.manager.refresh_now("acme")
        assert [sent for _, sent in running.login.asked] == ["refresh-0", "refresh-1"]
        assert running.events.of(RefreshTokenReplaced) == [RefreshTokenReplaced("acme", "rotated")]
        assert running.manager.statuses()[0].refresh_token_source == "store"
    async with RunningManager(store=store) as restarted:
        await restarted.manager.start([source()])
        await restarted.manager.get("acme")
        assert [sent for _, sent in restarted.login.asked] == ["refresh-1"]


@virtual_time
async def test_the_same_refresh_token_coming_back_changes_nothing() -> None:
    """The change causes neither an event nor a write."""
    store = BrokenStore()
    async with RunningManager(ScriptedLogin(grant("a", refresh="refresh-0")), store) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        assert running.events.of(RefreshTokenReplaced) == []
        assert store.attempts == 0


@virtual_time
async def test_a_changed_configured_token_beats_the_stored_one() -> None:
    """After a restart with another configured token, that one is used."""
    store = MemoryStore()
    await store.write("acme", StoredToken(NEW, StoredSource.SIGN_IN, fingerprint(A), 1.0))
    async with RunningManager(store=store) as running:
        await running.manager.start([source(refresh="token-b")])
        await running.manager.get("acme")
        assert [sent for _, sent in running.login.asked] == ["token-b"]


@virtual_time
async def test_a_failing_disk_is_retried_and_loses_nothing() -> None:
    """The new token is used from memory, the trouble is visible, and the write holds as soon as it can."""
    store = BrokenStore()
    async with RunningManager(ScriptedLogin(grant("a", refresh="refresh-1")), store) as running:
        await running.manager.start([source()])
        await asyncio.sleep(300)
        assert running.manager.statuses()[0].unpersisted
        assert store.attempts > 8
        await running.manager.refresh_now("acme")
        assert running.login.asked[-1][1] == "refresh-1"
        store.broken = False
        await asyncio.sleep(31)
        assert not running.manager.statuses()[0].unpersisted
        kept = await store.read("acme")
        assert kept is not None
        assert kept.refresh_token.reveal() == "refresh-1"
        assert running.events.of(TokenUnpersisted) == [
            TokenUnpersisted("acme", True, "The disk is full."),
            TokenUnpersisted("acme", False, ""),
        ]


@virtual_time
async def test_only_the_newest_token_is_written_after_trouble() -> None:
    """Two rotations while the disk fails leave the second one."""
    store = BrokenStore()
    login = ScriptedLogin(grant("a", refresh="refresh-1"), grant("b", refresh="refresh-2"))
    async with RunningManager(login, store) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await running.manager.refresh_now("acme")
        store.broken = False
        await asyncio.sleep(31)
        kept = await store.read("acme")
        assert kept is not None
        assert kept.refresh_token.reveal() == "refresh-2"


async def kept_after_a_stop(login: ScriptedLogin) -> str:
    """The refresh token in the store of a manager that is stopped while its first token request is under way."""
    store = MemoryStore()
    running = RunningManager(login, store)
    await running.manager.start([source()])
    await asyncio.sleep(0.05)
    await running.manager.stop()
    kept = await store.read("acme")
    assert kept is not None
    return kept.refresh_token.reveal()


@virtual_time
async def test_stopping_waits_for_a_rotation_under_way() -> None:
    """A refresh that is in flight when the program stops still has its new refresh token kept."""
    assert await kept_after_a_stop(ScriptedLogin(grant("a", refresh="refresh-1"))) == "refresh-1"


@virtual_time
async def test_stopping_waits_for_a_token_request_as_long_as_one_may_take() -> None:
    """One that answers slowly, but in time, is not cut short: its refresh token is the only good one by now."""

    async def slowly() -> Grant:
        await asyncio.sleep(7.5)
        return grant("a", refresh="refresh-1")

    assert await kept_after_a_stop(ScriptedLogin(slowly)) == "refresh-1"


@virtual_time
async def test_stopping_tries_the_store_to_the_end() -> None:
    """Attempts that had moved far apart are made at once: a disk that works again in time takes the token."""
    store = BrokenStore()
    running = RunningManager(ScriptedLogin(grant("a", refresh="refresh-1")), store)
    await running.manager.start([source()])
    await asyncio.sleep(200)
    stopping = asyncio.create_task(running.manager.stop())
    await asyncio.sleep(9.5)
    store.broken = False
    await stopping
    kept = await store.read("acme")
    assert kept is not None
    assert kept.refresh_token.reveal() == "refresh-1"
    assert running.events.of(RefreshTokenLost) == []
    assert not running.events.of(TokenUnpersisted)[-1].unpersisted


@virtual_time
async def test_a_refresh_token_that_is_lost_is_told_with_what_to_do() -> None:
    """The loss is reported once, at the end; an account whose token is written is not named."""
    store = BrokenStore()
    running = RunningManager(ScriptedLogin(grant("a", refresh="refresh-1")), store)
    await running.manager.start([source(), source("other", refresh="refresh-other")])
    await asyncio.sleep(1)
    before = running.clock()
    await running.manager.stop(3.0)
    assert running.clock() - before == pytest.approx(3.0)
    (lost,) = running.events.of(RefreshTokenLost)
    assert (lost.account, lost.detail) == ("acme", "The disk is full.")
    assert "ads-proxy login acme" in lost.advice


@virtual_time
async def test_a_hurried_stop_tells_what_is_lost() -> None:
    """A hurried stop waits neither for the store nor for the running token request, and reports each lost token."""

    async def hang() -> Grant:
        await asyncio.sleep(1e6)
        raise AssertionError("no test waits so long")

    running = RunningManager(ScriptedLogin(grant("a", refresh="refresh-1"), hang), BrokenStore())
    await running.manager.start([source()])
    await asyncio.sleep(1)
    button = asyncio.create_task(running.manager.refresh_now("acme"))
    await asyncio.sleep(1)
    stopping = asyncio.create_task(running.manager.stop())
    await asyncio.sleep(1)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert [event.account for event in running.events.of(RefreshTokenLost)] == ["acme"]
    button.cancel()


@virtual_time
async def test_stopping_is_bounded() -> None:
    """Neither a hanging request nor a failing disk holds the program back for long."""

    async def hang() -> Grant:
        await asyncio.sleep(1e6)
        return grant("never")

    store = BrokenStore()
    login = ScriptedLogin(grant("a", refresh="refresh-1"), hang)
    running = RunningManager(login, store, TokenSettings(refresh_timeout=30))
    await running.manager.start([source()])
    await running.manager.get("acme")
    button = asyncio.create_task(running.manager.refresh_now("acme"))
    await asyncio.sleep(1)
    before = running.clock()
    await running.manager.stop()
    assert running.clock() - before <= 10.1
    with pytest.raises(asyncio.CancelledError):
        await button


@virtual_time
async def test_unchanged_accounts_keep_token_and_timer() -> None:
    """A reload that changes nothing asks nothing."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        for _ in range(100):
            await running.manager.reconfigure([source()], settings=TokenSettings(request_wait=3))
        await asyncio.sleep(60)
        assert running.manager.current("acme") is token
        assert len(running.login.asked) == 1


@virtual_time
async def test_accounts_come_and_go() -> None:
    """An added account gets its token by itself; a removed one ends, and its waiting requests are told."""
    async with RunningManager(ScriptedLogin(errors.TokenThrottled("wait", retry_after=8.0))) as running:
        await running.manager.start([source("old")])
        await asyncio.sleep(1)
        waiting = asyncio.create_task(running.manager.get("old"))
        await asyncio.sleep(0)
        await running.manager.reconfigure([source("new")])
        with pytest.raises(errors.NoUsableToken, match="no longer configured"):
            await waiting
        assert running.events.of(AccountRemoved) == [AccountRemoved("old")]
        assert (await running.manager.get("new")).account == "new"
        assert [status.account for status in running.manager.statuses()] == ["new"]


@virtual_time
async def test_a_reload_does_not_wait_for_the_token_request_of_a_removed_account() -> None:
    """The rest of the new configuration, such as a key that is revoked, is in force at once."""

    async def hang() -> Grant:
        await asyncio.sleep(1e6)
        raise AssertionError("no test waits so long")

    async with RunningManager(ScriptedLogin(hang)) as running:
        await running.manager.start([source("old")])
        await asyncio.sleep(1)
        before = running.clock()
        await running.manager.reconfigure([source("new")])
        assert running.clock() == before
        assert running.manager.accounts() == ("new",)
        assert running.events.of(AccountRemoved) == []
        await asyncio.sleep(10)
        assert running.events.of(AccountRemoved) == [AccountRemoved("old")]


@virtual_time
@pytest.mark.parametrize("added_again", [True, False])
async def test_the_token_request_of_a_removed_account_still_brings_its_refresh_token(added_again: bool) -> None:
    """By then it is the only good one: the account waits for it where it is added again, and so does a stop."""

    async def slowly() -> Grant:
        await asyncio.sleep(7)
        return grant("a", refresh="refresh-1")

    store = MemoryStore()
    running = RunningManager(ScriptedLogin(slowly), store)
    await running.manager.start([source()])
    await asyncio.sleep(1)
    await running.manager.reconfigure([])
    if added_again:
        await running.manager.reconfigure([source()])
        await running.manager.get("acme")
        assert [sent for _, sent in running.login.asked] == ["refresh-0", "refresh-1"]
    await running.manager.stop()
    kept = await store.read("acme")
    assert kept is not None
    assert kept.refresh_token.reveal() == "refresh-1"


@virtual_time
async def test_an_account_is_added_again_also_if_its_former_end_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is a defect and is reported; the reload that waited for the end continues."""
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(repr(context["exception"])))
    async with RunningManager() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        removed = running.manager._credentials["acme"]

        async def fail(grace: float) -> None:
            await Credential.stop(removed, grace)
            await asyncio.sleep(1)
            raise ValueError("An observer failed.")

        monkeypatch.setattr(removed, "stop", fail)
        await running.manager.reconfigure([])
        await running.manager.reconfigure([source()])
        assert (await running.manager.get("acme")).value.reveal() == "access-2"
        assert reported == ["ValueError('An observer failed.')"]


@virtual_time
async def test_a_stop_during_a_reload_ends_the_accounts_that_it_removes() -> None:
    """What of theirs is not written yet is tried, and told, as of all others."""

    class Slow(BrokenStore):
        """Answers a second later."""

        async def read(self, account: str) -> StoredToken | None:
            await asyncio.sleep(1)
            return await super().read(account)

    running = RunningManager(ScriptedLogin(grant("a", refresh="refresh-1"), grant("b")), Slow())
    await running.manager.start([source("old"), source("other")])
    await running.manager.get("old")
    reload = asyncio.create_task(running.manager.reconfigure([source("other", refresh="changed")]))
    await asyncio.sleep(0.5)
    reload.cancel()
    await running.manager.stop()
    assert [event.account for event in running.events.of(RefreshTokenLost)] == ["old"]


@virtual_time
async def test_a_changed_secret_is_tried_at_once() -> None:
    """A misconfigured application recovers the moment its secret is right; meanwhile the cached token serves."""
    login = ScriptedLogin(grant("a"), errors.AppMisconfigured("Refused."))
    async with RunningManager(login) as running:
        await running.manager.start([source()])
        await asyncio.sleep(3310)
        assert running.state() == "misconfigured"
        await running.manager.reconfigure([source(secret="right")])
        assert running.state() == "degraded"
        assert running.manager.current("acme") is not None
        await asyncio.sleep(0.2)
        assert running.state() == "valid"
        assert login.credentials[-1].client_secret.reveal() == "right"
        assert running.events.of(TokenRefreshed)[-1].trigger == "credentials-changed"


@virtual_time
async def test_a_changed_refresh_token_revives_a_revoked_account() -> None:
    """A new secret file revives an account without a restart."""
    async with RunningManager(ScriptedLogin(errors.RefreshTokenRevoked("dead"))) as running:
        await running.manager.start([source(refresh="dead")])
        await asyncio.sleep(1)
        await running.manager.reconfigure([source(refresh="alive")])
        assert running.state() == "pending"
        assert (await running.manager.get("acme")).generation == 1
        assert running.login.asked[-1][1] == "alive"
        assert RefreshTokenReplaced("acme", "configuration") in running.events.events


@virtual_time
async def test_another_application_drops_the_token_in_hand() -> None:
    """A token of one client id is never sent with another's."""
    async with RunningManager() as running:
        await running.manager.start([source(client="one")])
        assert (await running.manager.get("acme")).client_id == "one"
        await running.manager.reconfigure([source(client="two")])
        assert running.manager.current("acme") is None
        token = await running.manager.get("acme")
        assert (token.value.reveal(), token.client_id) == ("access-2", "two")


@virtual_time
async def test_an_answer_for_another_application_is_dropped() -> None:
    """A token that was asked for before a reload never serves under the client id that came with it."""
    async with RunningManager(ScriptedLogin(grant("stale", refresh="stale-refresh"))) as running:
        await running.manager.start([source(client="one")])
        await asyncio.sleep(0.05)
        await running.manager.reconfigure([source(client="two")])
        token = await running.manager.get("acme")
        assert (token.value.reveal(), token.client_id) == ("access-2", "two")
        assert [sent for _, sent in running.login.asked] == ["refresh-0", "refresh-0"]


@virtual_time
async def test_a_sign_in_for_another_application_is_refused() -> None:
    """The client id changed during a sign-in: neither of the two tokens is of use, and the person is told."""
    async with RunningManager() as running:
        await running.manager.start([source(client="two")])
        before = await running.manager.get("acme")
        with pytest.raises(errors.ApplicationChanged, match="sign in again"):
            await running.manager.adopt("acme", grant("signed", refresh="refresh-s", client="one"))
        assert running.manager.current("acme") is before
        await running.manager.refresh_now("acme")
        assert running.login.asked[-1][1] == "refresh-0"


@virtual_time
async def test_an_answer_for_old_credentials_is_dropped() -> None:
    """What was in flight for another refresh token neither serves nor counts."""
    login = ScriptedLogin(grant("stale", refresh="stale-refresh"), grant("fresh"))
    async with RunningManager(login) as running:
        await running.manager.start([source(refresh="old")])
        await asyncio.sleep(0.05)
        await running.manager.reconfigure([source(refresh="new")])
        assert (await running.manager.get("acme")).value.reveal() == "fresh"
        assert [sent for _, sent in login.asked] == ["old", "new"]


@virtual_time
async def test_a_failure_for_old_credentials_is_dropped() -> None:
    """The refusal of the old refresh token does not mark the new one."""
    login = ScriptedLogin(errors.RefreshTokenRevoked("old one"), grant("fresh"))
    async with RunningManager(login) as running:
        await running.manager.start([source(refresh="old")])
        await asyncio.sleep(0.05)
        await running.manager.reconfigure([source(refresh="new")])
        assert (await running.manager.get("acme")).value.reveal() == "fresh"


class LateLeases(LocalLeases[Grant]):
    """Another replica has the lease for a second; so long take its `news`, too. The first lease `ends` as it says."""

    def __init__(self, *ends: LocalLease[Grant], news: SharedContent[Grant] | None = None) -> None:
        self.ends, self.news = list(ends), news

    @contextlib.asynccontextmanager
    async def lease(self, request: LeaseRequest, urgency: Urgency) -> AsyncIterator[Lease[Grant]]:
        await asyncio.sleep(1)
        yield self.ends.pop() if self.ends else LocalLease()

    async def newest(self, request: LeaseRequest) -> SharedContent[Grant] | None:
        news, self.news = self.news, None
        await asyncio.sleep(1)
        return news


SHARED = SharedContent(grant("shared", client="one"), 7, 3600.0)
REFUSED: LocalLease[Grant] = LocalLease(held_back=FailedAttempt("invalid_grant", True, 1, 600.0, 600.0))


@virtual_time
@pytest.mark.parametrize(
    ("end", "changed"),
    [
        (LocalLease(SHARED), source(client="two")),
        (REFUSED, source(client="two")),
        (REFUSED, source(client="one", refresh="new")),
    ],
)
async def test_what_another_replica_did_with_old_credentials_is_dropped(
    end: LocalLease[Grant], changed: TokenSource
) -> None:
    """Another replica had the lease while a reload changed the credentials here: these are tried at once, and not held
    back because of it."""
    store = MemoryStore()
    store.leases = LateLeases(end)
    async with RunningManager(store=store) as running:
        await running.manager.start([source(client="one")])
        await asyncio.sleep(0.5)
        await running.manager.reconfigure([changed])
        token = await running.manager.get("acme")
        assert (token.value.reveal(), token.client_id) == ("access-1", changed.client_id)


@virtual_time
async def test_a_shared_token_that_is_read_across_a_reload_is_dropped() -> None:
    """News of it came before."""
    store = MemoryStore()
    leases = store.leases = LateLeases()
    async with RunningManager(store=store) as running:
        await running.manager.start([source(client="one")])
        await running.manager.get("acme")
        leases.news = SHARED
        reading = asyncio.create_task(running.manager._credentials["acme"].reread_store())
        await asyncio.sleep(0.5)
        await running.manager.reconfigure([source(client="two")])
        await reading
        assert running.manager.current("acme") is None
        assert (await running.manager.get("acme")).client_id == "two"


class SlowStore(MemoryStore):
    """What it has is read first, and told a second later."""

    async def read(self, account: str) -> StoredToken | None:
        entry = await super().read(account)
        await asyncio.sleep(1)
        return entry


@virtual_time
@pytest.mark.parametrize(
    ("first", "configured", "used"),
    [(None, "new", "new"), ("refresh-1", "new", "new"), ("refresh-1", None, "refresh-2")],
)
async def test_a_rotation_while_a_reload_reads_the_store_belongs_to_the_token_before(
    first: str | None, configured: str | None, used: str
) -> None:
    """The rotated token neither replaces the new configured token nor is lost if there is none any more."""
    login = ScriptedLogin(grant("a", refresh=first), grant("b", refresh="refresh-2"))
    async with RunningManager(login, SlowStore()) as running:
        await running.manager.start([source(refresh="old")])
        await running.manager.get("acme")
        button = asyncio.create_task(running.manager.refresh_now("acme"))
        await running.manager.reconfigure([source(refresh=configured)])
        await button
        await running.manager.refresh_now("acme")
        assert login.asked[-1][1] == used


@virtual_time
async def test_no_refresh_token_is_sent_for_the_application_after_it() -> None:
    """The store is read for a second before another login is in force, whose halves only work together."""
    async with RunningManager(store=SlowStore()) as running:
        await running.manager.start([source(client="one")])
        await running.manager.get("acme")
        reload = asyncio.create_task(running.manager.reconfigure([source(client="two", refresh="new")]))
        await asyncio.sleep(0.5)
        await running.manager.refresh_now("acme")
        await reload
        await running.manager.get("acme")
        sent = [token for _, token in running.login.asked]
        used = zip((credentials.client_id for credentials in running.login.credentials), sent, strict=True)
        assert list(used) == [("one", "refresh-0"), ("one", "refresh-0"), ("two", "new")]


@virtual_time
async def test_a_removed_configured_token_ends_the_account() -> None:
    """Without any refresh token the account is pending again."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await running.manager.reconfigure([source(refresh=None)])
        assert running.manager.current("acme") is None
        assert running.state() == "pending"
