"""How long a consent holds, and when its end is announced: decisions on days, over every boundary."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from proxy import errors
from proxy.events import ConsentEnded, ConsentEnding, ConsentRecorded, CredentialStateChanged, RefreshFailed
from proxy.secret import Secret
from proxy.tokens.consent import (
    DAY,
    Consent,
    ConsentLedger,
    ConsentOrigin,
    ConsentPhase,
    ConsentRecord,
    consent_in_force,
    describe,
    explain_refusal,
    mark_reached,
    merge_records,
    next_mark_at,
    phase,
    read_records,
    start_of,
)
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.manager import TokenManager
from proxy.tokens.store import MemoryStore, StoreChange, StoredSource, StoredToken, fingerprint, rotated, signed_in
from proxy.tokens.token_response import Grant
from proxy.tokens.values import Timing, TokenSettings
from tests.support.events import EventRecorder
from tests.support.tokens import BrokenStore, RunningManager, ScriptedLogin, grant, source, virtual_time


class Calendar:
    """A wall clock that a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


async def opened(store: MemoryStore, clock: Calendar) -> tuple[ConsentLedger, EventRecorder]:
    recorder = EventRecorder()
    ledger = ConsentLedger(store, recorder, clock)
    await ledger.load()
    return ledger, recorder


@pytest.mark.integration
async def test_a_simulated_year_announces_every_end_through_restarts() -> None:
    """400 accounts, consents of every day of a year, a restart each 13 days, two looks a day: 30, 7, 1 days before and
    at the end, each once and on its day; a new consent stops the notices about the old end."""
    clock, store = Calendar(start_of(date(2026, 7, 1))), MemoryStore()
    given = {f"account-{number}": clock.now + number % 365 * DAY + number * 60 for number in range(400)}
    renewed = {f"account-{number}" for number in range(0, 400, 3)}
    told: Counter[tuple[str, float, int]] = Counter()
    ledger, recorder = await opened(store, clock)
    for half_day in range(2 * 2 * 365 + 2):
        if half_day % 26 == 25:
            ledger, recorder = await opened(store, clock)
        for name in [name for name, moment in given.items() if name in renewed and clock.now >= moment + 355 * DAY]:
            given[name] = clock.now
            renewed.remove(name)
        seen = {name: Consent(moment, ConsentOrigin.SIGN_IN) for name, moment in given.items() if moment <= clock.now}
        ledger.look(seen)
        await ledger.save()
        for event in recorder.of(ConsentEnding):
            assert event.ends_at - event.days * DAY <= clock.now < event.ends_at - event.days * DAY + DAY / 2
            told[event.account, event.ends_at, event.days] += 1
        for ended in recorder.of(ConsentEnded):
            assert ended.ends_at <= clock.now < ended.ends_at + DAY / 2
            told[ended.account, ended.ends_at, 0] += 1
        recorder.events.clear()
        clock.now += DAY / 2
    assert set(told.values()) == {1}
    for number in range(400):
        name = f"account-{number}"
        end = start_of(date(2026, 7, 1)) + (number % 365 + 365) * DAY + number * 60
        marks = {mark for account, ends_at, mark in told if (account, ends_at) == (name, end)}
        assert marks == ({30} if number % 3 == 0 else {30, 7, 1, 0}), name


async def test_what_came_while_nobody_looked_is_told_by_the_last_mark() -> None:
    """A proxy that was off for a month says once how little is left."""
    clock, store = Calendar(END - 40 * DAY), MemoryStore()
    ledger, recorder = await opened(store, clock)
    consents = {"acme": Consent(GIVEN)}
    assert ledger.look(consents) == END - 30 * DAY
    clock.now = END - 5 * DAY
    assert ledger.look(consents) == END - DAY
    ledger.look(consents)
    assert [event.days for event in recorder.of(ConsentEnding)] == [7]
    assert repr(ledger) == "<ConsentLedger of 1 accounts, unsaved>"


async def test_a_clock_that_is_not_set_yet_makes_no_consent_endless() -> None:
    """After a boot without a battery, the first sight counts from the day on which the clock is set."""
    clock, store = Calendar(CUT_OFF - 365 * DAY), MemoryStore()
    ledger, _ = await opened(store, clock)
    seen = ledger.consent("acme", Secret("a"), None, None)
    assert phase(seen, GIVEN) is ConsentPhase.UNKNOWN
    await ledger.save()
    clock.now = GIVEN
    assert ledger.consent("acme", Secret("a"), None, None).first_seen == GIVEN
    await ledger.save()
    clock.now += DAY
    ledger, _ = await opened(store, clock)
    assert ledger.consent("acme", Secret("a"), None, None).first_seen == GIVEN


async def test_a_sight_that_a_wrong_clock_left_is_replaced_for_good() -> None:
    """What the store has of it does not pass for the earlier of two sights when it is read again."""
    clock, store = Calendar(GIVEN), MemoryStore()
    token = Secret("a")
    wrong = {"lineage": fingerprint(token), "first_seen": CUT_OFF - 365 * DAY, "ends_at": None, "mark": None}
    await store.write_document("consents", {"acme": wrong})
    ledger, _ = await opened(store, clock)
    assert ledger.consent("acme", token, None, None).first_seen == GIVEN
    await ledger.load()
    clock.now += DAY
    assert ledger.consent("acme", token, None, None).first_seen == GIVEN


async def test_a_store_that_fails_is_written_again() -> None:
    """What was announced is kept as soon as the disk takes it."""

    class FullDisk(BrokenStore):
        async def write_document(self, name: str, data: object) -> None:
            if self.broken:
                raise errors.StateError("The disk is full.")
            await super().write_document(name, data)

    clock, store = Calendar(END - DAY), FullDisk()
    ledger, _ = await opened(store, clock)
    ledger.look({"acme": Consent(GIVEN)})
    await ledger.save()
    store.broken = False
    await ledger.save()
    again, recorder = await opened(store, clock)
    again.look({"acme": Consent(GIVEN)})
    assert recorder.of(ConsentEnding) == []


async def test_a_configured_token_is_known_since_it_was_first_seen() -> None:
    """A restart keeps the day of the first sight; another token starts again, and an account that left is forgotten."""
    clock, store = Calendar(GIVEN), MemoryStore()
    ledger, _ = await opened(store, clock)
    assert ledger.consent("acme", Secret("a"), None, None) == Consent(first_seen=GIVEN)
    await ledger.save()
    clock.now += DAY
    ledger, _ = await opened(store, clock)
    assert ledger.consent("acme", Secret("a"), None, None).first_seen == GIVEN
    assert ledger.consent("acme", Secret("b"), None, None).first_seen == clock.now
    assert ledger.consent("other", None, None, None) == Consent()
    ledger.look({})
    assert repr(ledger) == "<ConsentLedger of 0 accounts, unsaved>"


async def test_a_consent_follows_whatever_decides_it() -> None:
    """The answer is kept for ten thousand accounts, and only as long as it holds: another sign-in, another day in the
    configuration, an earlier sight by another replica, and the account's end all give another one."""
    clock, store = Calendar(GIVEN), MemoryStore()
    ledger, _ = await opened(store, clock)
    token, stored = Secret("a"), signed_in(Secret("b"), Secret("a"), GIVEN + DAY)
    first = ledger.consent("acme", token, None, None)
    clock.now += DAY
    assert ledger.consent("acme", token, None, None) is first
    assert ledger.consent("acme", token, stored, None).origin is ConsentOrigin.SIGN_IN
    assert ledger.consent("acme", token, None, date(2026, 7, 3)).origin is ConsentOrigin.CONFIGURATION
    assert ledger.consent("acme", token, None, None) == first
    await ledger.save()
    document = await store.read_document("consents")
    assert isinstance(document, dict)
    await store.write_document("consents", {"acme": {**document["acme"], "first_seen": GIVEN - DAY}})
    await ledger.load()
    assert ledger.consent("acme", token, None, None).first_seen == GIVEN - DAY
    ledger.look({})
    assert not ledger._known
    assert ledger.consent("acme", token, None, None).first_seen == clock.now


def test_a_damaged_record_counts_as_lost() -> None:
    """Nothing breaks, whatever the document holds."""
    assert read_records(["x"]) == {}
    assert read_records({"a": 3}) == {}
    kept = read_records({"a": {"lineage": "f", "first_seen": "soon", "ends_at": True, "mark": "7"}})["a"]
    assert (kept.lineage, kept.first_seen, kept.ends_at, kept.mark) == ("f", None, None, None)


def managed(running: RunningManager, wall: float) -> TokenManager:
    """A manager whose wall clock shows `wall` at the loop's zero."""
    timing = Timing(running.clock, lambda: wall + running.clock() - 1000.0, lambda: 0.0)
    return TokenManager(running.login, running.store, running.events, TokenSettings(), timing)


@virtual_time
async def test_a_running_manager_announces_an_end_when_it_comes_near() -> None:
    """A consent that a sign-in gave, a year later: recorded at the start, announced at the mark, not before."""
    store = MemoryStore()
    await store.write("acme", signed_in(Secret("refresh-0"), None, GIVEN))
    running = RunningManager(store=store)
    manager = managed(running, END - 7 * DAY - 3600)
    await manager.start([source(refresh=None)])
    assert running.events.of(ConsentRecorded) == [ConsentRecorded("acme", "2026-07-01", "sign-in", END)]
    assert [event.days for event in running.events.of(ConsentEnding)] == [30]
    await asyncio.sleep(3601)
    assert [event.days for event in running.events.of(ConsentEnding)] == [30, 7]
    await manager.stop()


class SlowStore(MemoryStore):
    """Takes a second to write a document."""

    async def write_document(self, name: str, data: object) -> None:
        await asyncio.sleep(1)
        await super().write_document(name, data)


@virtual_time
async def test_a_stop_while_announcements_are_written_forgets_none() -> None:
    """The next start announces nothing again."""
    store, announced = SlowStore(), []
    await store.write("acme", signed_in(Secret("refresh-0"), None, GIVEN))
    for _ in range(2):
        running = RunningManager(store=store)
        manager = managed(running, END - 7 * DAY)
        await manager.start([source(refresh=None)])
        await asyncio.sleep(0.5)
        await manager.stop()
        announced.append(len(running.events.of(ConsentEnding)))
    assert announced == [1, 0]


class BusyStore(MemoryStore):
    """Some account changes twice a second, as among many thousands."""

    async def changes(self) -> AsyncIterator[StoreChange]:
        while True:
            await asyncio.sleep(0.5)
            yield StoreChange(account="busy")


@virtual_time
async def test_an_end_is_announced_however_often_other_accounts_change() -> None:
    store = BusyStore()
    await store.write("acme", signed_in(Secret("refresh-0"), None, GIVEN))
    running = RunningManager(store=store)
    manager = managed(running, END - 7 * DAY - 3600)
    await manager.start([source(refresh=None), source("busy")])
    await asyncio.sleep(3660)
    assert [event.days for event in running.events.of(ConsentEnding)] == [30, 7]
    await manager.stop()


@virtual_time
async def test_a_sign_in_begins_a_new_consent_and_costs_no_request() -> None:
    """With a working token, one follows the other without a moment in which there is none."""
    running = RunningManager()
    manager = managed(running, END - DAY)
    await manager.start([source(refresh="refresh-0")])
    await manager.get("acme")
    await manager.adopt("acme", grant("new", refresh="refresh-1"))
    assert running.events.of(CredentialStateChanged)[-1].new == "valid"
    assert (await manager.get("acme")).value == Secret("new")
    recorded = running.events.of(ConsentRecorded)
    assert [event.given_on for event in recorded] == ["", "2027-06-30"]
    await manager.stop()


class LoginOfAYear(ScriptedLogin):
    """Grants whatever refresh token rests on a consent that still holds; `ends` knows when each is over."""

    def __init__(self, calendar: Calendar, ends: dict[str, float]) -> None:
        super().__init__()
        self._calendar, self._ends = calendar, ends

    async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
        granted = await super().refresh(token_url, credentials, refresh_token)
        if self._calendar.now >= self._ends[refresh_token.reveal()]:
            raise errors.RefreshTokenRevoked("It was refused.")
        return granted


def begun_at(running: RunningManager, wall: float) -> TokenManager:
    """A second manager with a running one's parts, whose wall clock shows `wall` now."""
    begun = running.clock()
    timing = Timing(running.clock, lambda: wall + running.clock() - begun, lambda: 0.0)
    return TokenManager(running.login, running.store, running.events, TokenSettings(), timing)


@pytest.mark.long
@virtual_time
async def test_a_year_of_a_hundred_accounts_costs_no_request() -> None:
    """With a restart each 13 days, accounts whose people consent again in time are served before, meanwhile and after;
    all others get the expired consent as the reason, from the first request after it."""
    calendar, store, ends = Calendar(END), MemoryStore(), dict[str, float]()
    names = [f"account-{number}" for number in range(100)]
    for number, name in enumerate(names):
        given = END - (number + 1) * 3.6 * DAY
        ends[f"{name} first"] = given + 365 * DAY
        await store.write(name, signed_in(Secret(f"{name} first"), None, given))
    late, renewed, over = set(names[::10]), set[str](), set[str]()
    login = LoginOfAYear(calendar, ends)
    for _ in range(29):
        manager = begun_at(RunningManager(login, store), calendar.now)
        await manager.start([source(name, refresh=None) for name in names])
        await asyncio.sleep(5)
        asked = len(login.asked)
        for name in names:
            end = ends[f"{name} first"]
            if name in late and calendar.now >= end:
                with pytest.raises(errors.NoUsableToken, match=r"consent of [\d-]+ expired on"):
                    await manager.get(name)
                over.add(name)
                continue
            assert await manager.get(name)
            if name not in late | renewed and calendar.now >= end - 20 * DAY:
                ends[f"{name} second"] = calendar.now + 365 * DAY
                await manager.adopt(name, grant(f"new {name}", refresh=f"{name} second"))
                assert (await manager.get(name)).value == Secret(f"new {name}")
                renewed.add(name)
        assert len(login.asked) == asked
        await manager.stop()
        calendar.now += 13 * DAY
    assert (over, renewed) == (late, set(names) - late)


@virtual_time
async def test_which_secret_works_is_seen() -> None:
    """Amazon takes only the older secret until one of the two changes; a change of either is tried at once."""
    answers = replace(grant("a"), older_secret=True), grant("b")
    async with RunningManager(ScriptedLogin(*answers)) as running:
        two = replace(source(), older_secret=Secret("older"))
        await running.manager.start([two])
        await running.manager.get("acme")
        assert running.login.credentials[0].older_secret == Secret("older")
        assert running.manager.statuses()[0].older_secret_in_use
        await running.manager.reconfigure([replace(two, older_secret=None)])
        await asyncio.sleep(1)
        assert not running.manager.statuses()[0].older_secret_in_use


@virtual_time
async def test_an_end_by_age_answers_at_once_and_says_so() -> None:
    """The state is `revoked`; clients and people read that the consent has expired, and what to do."""
    running = RunningManager(ScriptedLogin(errors.RefreshTokenRevoked("It was refused.")))
    manager = managed(running, END)
    await manager.start([replace(source(), consented_on=date(2026, 7, 1))])
    await asyncio.sleep(1)
    before = running.clock()
    with pytest.raises(
        errors.NoUsableToken, match=r"consent of 2026-07-01 expired on 2027-07-01.*ads-proxy login " r"acme"
    ):
        await manager.get("acme")
    assert running.clock() == before
    status = manager.statuses()[0]
    assert (status.state, status.consent.ends_at) == ("revoked", END)
    assert running.events.of(RefreshFailed)[0].reason == "invalid_grant"
    assert len(running.events.of(ConsentEnded)) == 1
    await manager.stop()


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        (None, ("a", 200.0), ("a", 200.0)),
        (("a", 200.0), None, ("a", 200.0)),
        (("a", 200.0), ("a", 100.0), ("a", 100.0)),
        (("a", None), ("a", 200.0), ("a", 200.0)),
        (("a", 200.0), ("b", 100.0), ("a", 200.0)),
        (("a", 1.0, 9.0, 30), ("a", 1.0, 9.0, 7), ("a", 1.0, 9.0, 7)),
        (("a", 1.0, 9.0, 1), ("a", 1.0, 9.0), ("a", 1.0, 9.0, 1)),
        (("a", 1.0, 9.0, 1), ("a", 1.0, 8.0, 0), ("a", 1.0, 9.0, 1)),
        (("a", 1.0), ("b", 2.0, 9.0, 0), ("a", 1.0, 9.0, 0)),
    ],
)
def test_records_of_two_replicas_merge(
    ours: tuple[Any, ...] | None, theirs: tuple[Any, ...] | None, merged: tuple[Any, ...]
) -> None:
    """The earliest sight of the same token, the latest mark of the same end; else what is known here."""

    def records(given: tuple[Any, ...] | None) -> dict[str, ConsentRecord]:
        return {"acme": ConsentRecord(*given)} if given is not None else {}

    assert merge_records(records(ours), records(theirs)) == records(merged)


GIVEN = start_of(date(2026, 7, 1))
END = start_of(date(2027, 7, 1))
CUT_OFF = start_of(date(2026, 6, 30))


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("consent", "ends_at"),
    [
        (Consent(GIVEN), END),
        (Consent(CUT_OFF), CUT_OFF + 365 * DAY),
        (Consent(CUT_OFF - 1), None),
        (Consent(None, first_seen=GIVEN), None),
        (Consent(), None),
    ],
)
def test_a_consent_ends_a_year_after_it_was_given_unless_it_is_older_than_the_rule(
    consent: Consent, ends_at: float | None
) -> None:
    """365 days from the cut-off on; none before it, and none that can be told where the day is unknown."""
    assert consent.ends_at == ends_at


@pytest.mark.parametrize(
    ("consent", "now", "expected"),
    [
        (Consent(), GIVEN, ConsentPhase.NONE),
        (Consent(first_seen=GIVEN), END + DAY, ConsentPhase.UNKNOWN),
        (Consent(first_seen=CUT_OFF - 1), END, ConsentPhase.ENDLESS),
        (Consent(CUT_OFF - 1), END, ConsentPhase.ENDLESS),
        (Consent(GIVEN), END - 30 * DAY - 1, ConsentPhase.HOLDING),
        (Consent(GIVEN), END - 30 * DAY, ConsentPhase.ENDING),
        (Consent(GIVEN), END - 1, ConsentPhase.ENDING),
        (Consent(GIVEN), END, ConsentPhase.ENDED),
    ],
)
def test_phases_change_at_their_second(consent: Consent, now: float, expected: ConsentPhase) -> None:
    """Thirty days before the end it is near, at the end it is over."""
    assert phase(consent, now) is expected


@pytest.mark.parametrize(
    ("before", "mark", "following"),
    [
        (31 * DAY, None, 30),
        (30 * DAY, 30, 7),
        (7 * DAY + 1, 30, 7),
        (7 * DAY, 7, 1),
        (DAY, 1, 0),
        (1, 1, 0),
        (0, 0, None),
        (-900 * DAY, 0, None),
    ],
)
def test_marks_come_at_30_7_1_and_0_days(before: float, mark: int | None, following: int | None) -> None:
    """The mark that has come, and when the next one comes."""
    assert mark_reached(END, END - before) == mark
    assert next_mark_at(END, END - before) == (None if following is None else END - following * DAY)


def test_the_latest_end_of_a_consent_of_an_unknown_day() -> None:
    """The consent was given no later than it was first seen."""
    assert Consent(first_seen=GIVEN).ends_at_the_latest == END
    assert Consent(GIVEN, first_seen=GIVEN).ends_at_the_latest is None
    assert Consent(first_seen=CUT_OFF - 1).ends_at_the_latest is None


ROTATED = StoredToken(Secret("t"), StoredSource.ROTATED, "", GIVEN)


@pytest.mark.parametrize(
    ("stored", "day", "first_seen", "expected"),
    [
        (None, None, GIVEN, Consent(None, ConsentOrigin.UNKNOWN, GIVEN)),
        (None, date(2026, 7, 1), GIVEN + 9, Consent(GIVEN, ConsentOrigin.CONFIGURATION, GIVEN + 9)),
        (ROTATED, None, GIVEN + 9, Consent(None, ConsentOrigin.UNKNOWN, GIVEN)),
        (ROTATED, None, GIVEN - 9, Consent(None, ConsentOrigin.UNKNOWN, GIVEN - 9)),
        (ROTATED, date(2026, 7, 1), GIVEN + 9, Consent(GIVEN, ConsentOrigin.CONFIGURATION, GIVEN)),
        (signed_in(Secret("t"), None, GIVEN), date(2026, 6, 1), GIVEN, Consent(GIVEN, ConsentOrigin.SIGN_IN, GIVEN)),
        (rotated(Secret("t"), None, END, GIVEN), None, GIVEN, Consent(GIVEN, ConsentOrigin.SIGN_IN, GIVEN)),
    ],
)
def test_the_day_is_that_of_the_sign_in_else_the_configured_one(
    stored: StoredToken | None, day: date | None, first_seen: float, expected: Consent
) -> None:
    """A sign-in that was seen wins; a renewal by Amazon prolongs nothing; first seen is the earliest known."""
    assert consent_in_force(stored, day, first_seen) == expected


@pytest.mark.parametrize(
    ("consent", "now", "words"),
    [
        (Consent(), GIVEN, ""),
        (Consent(at("2026-06-29")), GIVEN, "The consent was given before 2026-06-30 and never expires."),
        (Consent(GIVEN), END - 40 * DAY - 5, "The consent of 2026-07-01 expires on 2027-07-01, in 40 days."),
        (Consent(GIVEN), END - DAY, "The consent of 2026-07-01 expires on 2027-07-01, in 1 day."),
        (Consent(GIVEN), END - 5, "The consent of 2026-07-01 expires on 2027-07-01, in less than a day."),
        (Consent(GIVEN), END, "The consent of 2026-07-01 expired on 2027-07-01."),
        (
            Consent(first_seen=GIVEN),
            GIVEN,
            "The day of the consent is not known; first seen on 2026-07-01, it holds until 2027-07-01 at the latest, "
            "unless it was given before 2026-06-30.",
        ),
        (Consent(first_seen=GIVEN), END, "The day of the consent is not known; first seen on 2026-07-01."),
    ],
)
def test_people_are_told_in_a_sentence(consent: Consent, now: float, words: str) -> None:
    """What is known, and nothing beyond it."""
    assert describe(consent, now) == words


REFUSED = errors.RefreshTokenRevoked("It was refused.")


def test_an_end_by_age_is_told_from_a_revocation() -> None:
    """Amazon's words are the same: the day decides. What to do then is said with it."""
    told = explain_refusal(REFUSED, Consent(GIVEN), END)
    assert isinstance(told, errors.ConsentExpired)
    assert "consent of 2026-07-01 expired on 2027-07-01" in told.detail
    assert "ads-proxy login ACCOUNT" in told.advice
    assert explain_refusal(REFUSED, Consent(GIVEN), END - 1) is REFUSED
    assert explain_refusal(REFUSED, Consent(CUT_OFF - 1), END + DAY) is REFUSED


def test_a_refusal_may_be_of_age_where_the_day_is_unknown() -> None:
    """From the first day on which any consent can have ended; before, only a revocation is possible."""
    unknown = Consent(first_seen=GIVEN)
    assert explain_refusal(REFUSED, unknown, at("2027-06-29")) is REFUSED
    told = explain_refusal(REFUSED, unknown, at("2027-06-30"))
    assert not isinstance(told, errors.ConsentExpired)
    assert "It may have expired by age" in str(told)


def test_other_failures_say_nothing_of_a_consent() -> None:
    """A time-out after the end is a time-out."""
    failure = errors.TokenTimeout("Nothing came.")
    assert explain_refusal(failure, Consent(GIVEN), END) is failure
