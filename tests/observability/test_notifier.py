"""Telling people once, again until it arrives, across restarts, and without anybody waiting for it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from proxy.errors import StateError
from proxy.events import (
    ApprovalRequested,
    CredentialStateChanged,
    Event,
    NoticeKind,
    NoticeOutcome,
    NoticeTold,
    SignInNeeded,
    WritesFrozen,
)
from proxy.observability.delivery import DeliveryFailed
from proxy.observability.notices import MAX_ATTEMPTS, REPEAT_AFTER, Notice
from proxy.observability.notifier import MAX_PENDING, Notifier
from proxy.tokens.store import MemoryStore
from tests.support.tokens import virtual_time

REVOKED = CredentialStateChanged("acme", "valid", "revoked")
VALID = CredentialStateChanged("acme", "revoked", "valid")


@dataclass
class FakeChannel:
    """A way that fails as often as it is told to, and keeps what arrived."""

    name: str = "webhook"
    failures: int = 0
    arrived: list[Notice] = field(default_factory=list)
    attempts: int = 0
    hangs: bool = False

    async def deliver(self, notice: Notice) -> None:
        self.attempts += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.attempts <= self.failures:
            raise DeliveryFailed("It answered 503.")
        self.arrived.append(notice)


class ForgetfulStore(MemoryStore):
    """Takes nothing, gives nothing."""

    async def read_document(self, name: str) -> object | None:
        raise StateError("unreadable")

    async def write_document(self, name: str, data: object) -> None:
        raise StateError("unwritable")


@dataclass
class Office:
    """A notifier, the clock that it looks at, and what it told."""

    now: float = 1_800_000_000.0
    told: list[Event] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.notifier = Notifier(self.told.append, lambda text: text.replace("canary", "***"), lambda: self.now)

    async def start(self, *channels: FakeChannel) -> None:
        await self.notifier.start(self.store, channels)

    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.told if isinstance(event, NoticeTold)]


async def settled() -> None:
    """Virtual hours later, everything that will happen has happened."""
    await asyncio.sleep(36_000)


@virtual_time
async def test_news_are_told_once_by_every_way() -> None:
    """However often it happens within a day; each way gets it."""
    office, webhook, command = Office(), FakeChannel(), FakeChannel("command")
    await office.start(webhook, command)
    for _ in range(3):
        office.notifier.observe(REVOKED)
        office.notifier.observe(REVOKED)
        await settled()
    assert [len(channel.arrived) for channel in (webhook, command)] == [1, 1]
    assert office.outcomes() == ["sent", "sent"]
    office.now += REPEAT_AFTER + 1
    office.notifier.observe(REVOKED)
    await settled()
    assert len(webhook.arrived) == 2
    await office.notifier.stop()


@virtual_time
async def test_trouble_that_was_over_is_news_again() -> None:
    """The account worked in between; another account's recovery changes nothing."""
    office, channel = Office(), FakeChannel()
    await office.start(channel)
    for event in (REVOKED, CredentialStateChanged("other", "revoked", "valid"), REVOKED, VALID, REVOKED):
        office.notifier.observe(event)
    await settled()
    assert len(channel.arrived) == 2
    await office.notifier.stop()


@virtual_time
async def test_what_fails_is_tried_again_until_it_arrives() -> None:
    """The first failure is reported, then the arrival; no other work waited meanwhile."""
    office, channel = Office(), FakeChannel(failures=5)
    await office.start(channel)
    office.notifier.observe(REVOKED)
    assert channel.attempts == 0
    await settled()
    assert (channel.attempts, len(channel.arrived)) == (6, 1)
    assert office.outcomes() == ["delayed", "sent"]
    assert repr(office.notifier) == "<Notifier webhook, 0 on their way>"
    await office.notifier.stop()


@virtual_time
async def test_what_never_arrives_is_given_up() -> None:
    """After so many attempts, with the reason."""
    office, channel = Office(), FakeChannel(failures=1000)
    await office.start(channel)
    office.notifier.observe(REVOKED)
    await settled()
    assert channel.attempts == MAX_ATTEMPTS
    last = office.told[-1]
    assert isinstance(last, NoticeTold)
    assert (last.outcome, last.detail, last.account, last.way) == (
        NoticeOutcome.LOST,
        "It answered 503.",
        "acme",
        "webhook",
    )
    await office.notifier.stop()


@virtual_time
async def test_one_that_hangs_holds_up_no_other() -> None:
    """Each is on its way by itself."""
    office, hanging, quick = Office(), FakeChannel(hangs=True), FakeChannel("command")
    await office.start(hanging, quick)
    office.notifier.observe(REVOKED)
    await settled()
    assert (len(quick.arrived), len(hanging.arrived)) == (1, 0)
    began = asyncio.get_running_loop().time()
    await office.notifier.stop()
    assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)


@virtual_time
async def test_a_restart_loses_nothing_and_repeats_nothing() -> None:
    """What was on its way arrives in the next run; what was told is known there."""
    office, channel = Office(), FakeChannel(failures=1000)
    await office.start(channel, FakeChannel("command"))
    office.notifier.observe(REVOKED)
    await asyncio.sleep(10)
    await office.notifier.stop()
    later, webhook, command = Office(store=office.store), FakeChannel(), FakeChannel("command")
    await later.start(webhook, command)
    later.notifier.observe(REVOKED)
    await settled()
    assert [notice.account for notice in webhook.arrived] == ["acme"]
    assert command.arrived == []
    await later.notifier.stop()
    last = Office(store=office.store)
    await last.start(webhook)
    await settled()
    assert len(webhook.arrived) == 1
    await last.notifier.stop()


@virtual_time
async def test_a_store_that_fails_keeps_nobody_from_being_told() -> None:
    """A failing store does not stop the notices, and neither does one that holds nonsense."""
    office, channel = Office(store=ForgetfulStore()), FakeChannel()
    await office.start(channel)
    office.notifier.observe(REVOKED)
    await settled()
    assert len(channel.arrived) == 1
    await office.notifier.stop()
    for nonsense in ("x", {"told": 3, "pending": "x"}, {"pending": [3, {"way": "webhook", "notice": {}}]}):
        strange = Office()
        await strange.store.write_document("notices", json.loads(json.dumps(nonsense)))
        await strange.start(channel)
        await strange.notifier.stop()


@virtual_time
async def test_where_nobody_is_to_be_told_nothing_is_kept_as_told() -> None:
    """A receiver that is configured later gets it then; a removed one loses its waiting notices."""
    office, channel = Office(), FakeChannel(failures=1000)
    office.notifier.observe(REVOKED)
    await office.start()
    office.notifier.observe(REVOKED)
    office.notifier.reconfigure([channel])
    office.notifier.observe(REVOKED)
    await asyncio.sleep(10)
    assert channel.attempts > 1
    office.notifier.reconfigure([])
    await settled()
    assert office.outcomes() == ["delayed", "lost"]
    await office.notifier.stop()


@virtual_time
async def test_there_is_a_bound_on_what_is_on_its_way() -> None:
    """Beyond it they are lost, and said to be."""
    office, channel = Office(), FakeChannel(hangs=True)
    await office.start(channel)
    for number in range(MAX_PENDING + 3):
        office.notifier.observe(SignInNeeded(f"account-{number}", ""))
    assert office.outcomes() == ["lost"] * 3
    await office.notifier.stop()


@virtual_time
async def test_what_clients_cause_displaces_no_news_of_accounts() -> None:
    """Each approval that is asked for is told, up to the bound; it leaves the bound of the other notices free."""
    office, channel = Office(), FakeChannel(hangs=True)
    await office.start(channel)
    for number in range(MAX_PENDING + 3):
        office.notifier.observe(ApprovalRequested(f"id-{number}", "agent", "PUT /sp/campaigns", ("bid",), office.now))
    assert office.outcomes() == ["lost"] * 3
    for number in range(MAX_PENDING):
        office.notifier.observe(SignInNeeded(f"account-{number}", ""))
    assert office.outcomes() == ["lost"] * 3
    assert {event.kind for event in office.told if isinstance(event, NoticeTold)} == {NoticeKind.APPROVAL_REQUESTED}
    await office.notifier.stop()


@virtual_time
async def test_each_channel_has_a_bound_of_its_own() -> None:
    """A webhook that hangs does not silence the command."""
    office, hanging, quick = Office(), FakeChannel(hangs=True), FakeChannel("command")
    await office.start(hanging, quick)
    for number in range(MAX_PENDING + 3):
        office.notifier.observe(SignInNeeded(f"account-{number}", ""))
        await asyncio.sleep(0.01)
    assert len(quick.arrived) == MAX_PENDING + 3
    await office.notifier.stop()


@virtual_time
async def test_what_is_always_news_is_not_remembered() -> None:
    """Such news would be remembered for a day without ever being asked for; its link leads to the console."""
    office, channel = Office(), FakeChannel()
    await office.notifier.start(office.store, [channel], "http://localhost:8081")
    office.notifier.observe(ApprovalRequested("a1b2", "agent", "PUT /sp/campaigns", ("bid",), office.now))
    office.notifier.observe(WritesFrozen("agent", "ann@desk", ""))
    await settled()
    assert "http://localhost:8081/approvals/a1b2" in channel.arrived[0].text
    await office.notifier.stop()
    kept = await office.store.read_document("notices")
    assert kept == {"told": {}, "pending": []}


@virtual_time
async def test_a_link_leads_to_the_address_in_force() -> None:
    """A reload that moves the console moves the links of later notices."""
    office, channel = Office(), FakeChannel()
    await office.notifier.start(office.store, [channel], "http://localhost:8081")
    office.notifier.reconfigure([channel], "https://ads.test")
    office.notifier.observe(ApprovalRequested("a1b2", "agent", "PUT /sp/campaigns", ("bid",), office.now))
    await settled()
    assert dict(channel.arrived[0].members)["link"] == "https://ads.test/approvals/a1b2"
    await office.notifier.stop()


@virtual_time
async def test_what_should_not_be_said_is_masked() -> None:
    """Before it leaves."""
    office, channel = Office(), FakeChannel()
    await office.start(channel)
    office.notifier.observe(SignInNeeded("acme", "Open canary."))
    await settled()
    assert "canary" not in channel.arrived[0].text
    await office.notifier.stop()
