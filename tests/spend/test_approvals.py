"""The approvals of a client: each state and what leads to another, what is found, kept, forgotten and read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import LedgerUnavailable, UnknownApproval
from proxy.events import ApprovalState, SpendRule, SpendViolation, ValueChange
from proxy.spend.approval_questions import AbsentApprovals
from proxy.spend.approvals import (
    CLOCK_SKEW,
    FROZEN,
    FURTHER,
    KEPT_SECONDS,
    LIMITS_CHANGED,
    MAX_CHARACTERS,
    MAX_SHOWN,
    MOST_ENDED,
    MOST_ENDED_CHARACTERS,
    SET_BACK,
    USUAL_CHARACTERS,
    Approval,
    ApprovalBook,
    ApprovalOver,
    ApprovalTerms,
    ApproverDecision,
    Circumstances,
    FreezeChanges,
    WriteToApprove,
    can_be_shown,
    read_approval,
    write_approval,
)
from proxy.spend.judge import MAX_VIOLATIONS

NOW = 1_800_000_000.0
TERMS = ApprovalTerms(valid_for=3600, pending_for=86400, max_pending=3)
AT = Circumstances(NOW, "p.1", TERMS, "v1")
WRITE = WriteToApprove(
    "agent",
    "d1",
    "v1",
    "POST /sp/campaigns",
    "/sp/campaigns",
    "acme",
    "eu",
    "123",
    (SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "EUR", "180"),),
    (ValueChange("campaign/1", "budget.budget", "100", "500"), ValueChange("", "name", None, '"x"')),
    2,
)
PENDING, APPROVED, DENIED, EXPIRED, USED, VOID = ApprovalState
[OF_BUDGET] = WRITE.violations
OF_HOURS = SpendViolation(SpendRule.HOURS, "", "2027-01-15 18:00", "", "mon-fri 08:00-17:00")
OF_DAY = SpendViolation(SpendRule.BUDGET_PER_DAY, "", "900", "EUR", "800")


def at(seconds: float, mark: str = "p.2", **changes: Any) -> Circumstances:
    return replace(AT, now=NOW + seconds, change=mark, **changes)


def asked(identifier: str = "a1", write: WriteToApprove = WRITE, when: Circumstances = AT) -> ApprovalBook:
    return ApprovalBook().ask(identifier, write, when)


def decided(state: ApprovalState, because: str = "") -> ApprovalBook:
    return asked().decide("a1", ApproverDecision(state, "anna", because), at(10))


def in_state(state: ApprovalState) -> ApprovalBook:
    """A book whose approval `a1` is in this state."""
    match state:
        case ApprovalState.PENDING:
            return asked()
        case ApprovalState.APPROVED | ApprovalState.DENIED:
            return decided(state)
        case ApprovalState.EXPIRED:
            return asked().settle(at(86400))
        case ApprovalState.USED:
            return decided(APPROVED).use("a1", at(20))
        case ApprovalState.VOID:
            return decided(APPROVED).void("a1", "The objects have changed.", at(20))


def only(book: ApprovalBook) -> Approval:
    [approval] = book.approvals
    return approval


def attempt(change: Callable[[ApprovalBook], ApprovalBook], book: ApprovalBook) -> ApprovalBook:
    """The book after a change, which is the same where it was refused."""
    try:
        return change(book)
    except ApprovalOver as over:
        assert over.approval == only(book)
        return book


def ask_again(book: ApprovalBook, *violations: SpendViolation) -> ApprovalBook:
    """A book after its write came again with these violations, without the question that may have followed."""
    return ApprovalBook(book.ask("a2", WRITE._replace(violations=violations), at(30)).approvals[:1])


Change = Callable[[ApprovalBook], ApprovalBook]
APPROVE: Change = lambda book: book.decide("a1", ApproverDecision(APPROVED, "anna"), at(30))  # noqa: E731 - a table's row
DENY: Change = lambda book: book.decide("a1", ApproverDecision(DENIED, "ben", "No."), at(30))  # noqa: E731 - as above
CHANGES: dict[str, tuple[Change, dict[ApprovalState, ApprovalState]]] = {
    "approve": (APPROVE, {PENDING: APPROVED}),
    "deny": (DENY, {PENDING: DENIED, APPROVED: DENIED}),
    "use": (lambda book: book.use("a1", at(30)), {APPROVED: USED}),
    "give back": (lambda book: book.give_back("a1", "p.2", at(30)), {USED: APPROVED}),
    "give back of another": (lambda book: book.give_back("a1", "p.1", at(30)), {}),
    "void": (lambda book: book.void("a1", "Changed.", at(30)), {APPROVED: VOID}),
    "time of a decision": (lambda book: book.settle(at(3610)), {APPROVED: EXPIRED}),
    "time of a question": (lambda book: book.settle(at(86400)), {PENDING: EXPIRED, APPROVED: EXPIRED}),
    "other limits": (lambda book: book.settle(at(30, limits="v2")), {PENDING: VOID, APPROVED: VOID}),
    "no limits": (lambda book: book.settle(at(30, limits="")), {PENDING: VOID, APPROVED: VOID}),
    "limits were others": (
        lambda book: book.settle(at(30, superseded=frozenset({"v1", "v2"}))),
        {PENDING: VOID, APPROVED: VOID},
    ),
    "frozen": (lambda book: book.settle(at(30, is_frozen=True)), {PENDING: VOID, APPROVED: VOID}),
    "was frozen": (
        lambda book: book.settle(at(30, freezes=FreezeChanges(client=5.0))),
        {PENDING: VOID, APPROVED: VOID},
    ),
    "all were frozen": (
        lambda book: book.settle(at(30, freezes=FreezeChanges(all=5.0))),
        {PENDING: VOID, APPROVED: VOID},
    ),
    "a clock set back": (lambda book: book.settle(at(-301)), {PENDING: VOID, APPROVED: VOID}),
    "clocks that differ": (lambda book: book.settle(at(-290)), {}),
    "a moment": (lambda book: book.settle(at(3609.9)), {}),
    "other approvals": (lambda book: book.use("a2", at(30)).give_back("a2", "", at(30)).void("a2", "", at(30)), {}),
    "the same question": (lambda book: ask_again(book, OF_BUDGET), {}),
    "a question with another violation": (
        lambda book: ask_again(book, OF_BUDGET, OF_HOURS),
        {PENDING: VOID, APPROVED: VOID},
    ),
    "a look": (lambda book: book.forget(NOW + 86400), {}),
}


@pytest.mark.parametrize("state", ApprovalState)
@pytest.mark.parametrize("name", CHANGES)
def test_each_change_leads_from_each_state_where_the_table_says(name: str, state: ApprovalState) -> None:
    """To that state, with one change more and the mark of who made it; or nowhere, and nothing is another then."""
    change, leads = CHANGES[name]
    before = in_state(state)
    after = only(attempt(change, before))
    assert only(before).state is state
    if state not in leads:
        assert after == only(before)
        return
    assert (after.state, after.revision, after.change) == (leads[state], only(before).revision + 1, "p.2")
    assert (after.ended_at is None) is after.is_live


def test_every_pair_of_states_is_in_the_table() -> None:
    """The docstring's table has these transitions, and no others."""
    reached = {(before, after) for _, leads in CHANGES.values() for before, after in leads.items()}
    assert reached == {
        *((PENDING, after) for after in (APPROVED, DENIED, EXPIRED, VOID)),
        *((APPROVED, after) for after in (DENIED, EXPIRED, USED, VOID)),
        (USED, APPROVED),
    }


def test_a_question_lasts_for_pending_for() -> None:
    """A new approval has no approver, and knows the freezes of its moment."""
    freezes = FreezeChanges(3.0, 4.0)
    approval = only(asked(when=at(5, freezes=freezes)))
    assert approval == Approval("a1", WRITE, PENDING, NOW + 5, NOW + 86405, freezes=freezes, change="p.2")
    assert only(asked(when=at(5, freezes=freezes)).settle(at(6, freezes=freezes))).is_live


@pytest.mark.parametrize(
    ("seen", "now", "is_covered"),
    [
        ([OF_BUDGET], [OF_BUDGET], True),
        ([OF_BUDGET, OF_HOURS], [OF_BUDGET], True),
        ([OF_BUDGET], [OF_BUDGET, OF_HOURS], False),
        ([OF_HOURS], [OF_BUDGET], False),
        ([OF_HOURS], [OF_HOURS._replace(value="2027-01-15 19:00")], True),
        ([OF_DAY], [OF_DAY._replace(value="1200")], True),
        ([OF_DAY], [OF_DAY._replace(currency="USD")], False),
        ([OF_BUDGET], [OF_BUDGET._replace(path="campaigns[1].budget.budget")], False),
        ([OF_BUDGET], [OF_BUDGET._replace(rule=SpendRule.BID)], False),
    ],
)
def test_an_approval_covers_the_limits_that_its_approver_saw(
    seen: list[SpendViolation], now: list[SpendViolation], is_covered: bool
) -> None:
    """Rule, place and currency count, not what the day has come to; an approval that covers less ends, and what is
    violated now is asked about."""
    book = asked(write=WRITE._replace(violations=tuple(seen)))
    book = book.decide("a1", ApproverDecision(APPROVED, "anna"), at(10))
    again = book.ask("a2", WRITE._replace(violations=tuple(now)), at(20))
    if is_covered:
        assert again is book
        return
    ended, new = again.approvals
    assert (ended.state, ended.because, ended.ended_at) == (VOID, FURTHER, NOW + 20)
    assert (new.id, new.state, new.write.violations) == ("a2", PENDING, tuple(now))


def test_a_question_with_another_violation_needs_a_free_place() -> None:
    """Without one the approval stays as it is; a pending one leaves its own place."""
    terms = replace(TERMS, max_pending=1)
    wider = WRITE._replace(violations=(OF_BUDGET, OF_HOURS))
    full = decided(APPROVED).ask("a2", WRITE._replace(digest="d2"), at(20))
    assert full.ask("a3", wider, at(30, terms=terms)) is full
    states = [(each.id, each.state) for each in asked().ask("a3", wider, at(30, terms=terms)).approvals]
    assert states == [("a1", VOID), ("a3", PENDING)]


def test_an_approval_lasts_for_valid_for() -> None:
    """From the decision on, with the name of who decided."""
    approval = only(decided(APPROVED))
    assert (approval.by, approval.decided_at, approval.expires_at) == ("anna", NOW + 10, NOW + 3610)
    used = only(in_state(USED))
    assert (used.used_at, used.ended_at, used.by) == (NOW + 20, NOW + 20, "anna")


def test_what_is_given_back_is_as_it_was_approved() -> None:
    """The approval expires when it would have, and can be used again by whom it was not used before."""
    back = in_state(USED).give_back("a1", "p.2", at(30))
    assert (only(back).used_at, only(back).expires_at, only(back).by) == (None, NOW + 3610, "anna")
    again = back.use("a1", at(40, "q.1"))
    assert again.give_back("a1", "p.2", at(50)) is again
    assert only(back.settle(at(3610))).state is EXPIRED


def test_a_denial_has_its_reason_and_replaces_an_approval() -> None:
    """The last approver is named."""
    approval = only(decided(APPROVED).decide("a1", ApproverDecision(DENIED, "ben", "Too much."), at(30)))
    assert (approval.by, approval.because, approval.decided_at) == ("ben", "Too much.", NOW + 30)


def test_to_approve_twice_changes_nothing() -> None:
    """The first approver stays; a denial stays too, and says so."""
    book = decided(APPROVED)
    assert book.decide("a1", ApproverDecision(APPROVED, "ben"), at(20)) is book
    with pytest.raises(ApprovalOver) as caught:
        decided(DENIED).decide("a1", ApproverDecision(DENIED, "ben"), at(20))
    assert caught.value.approval.state is DENIED
    with pytest.raises(UnknownApproval):
        book.decide("a2", ApproverDecision(APPROVED, "ben"), at(20))


@pytest.mark.parametrize(
    ("state", "because"),
    [(PENDING, ""), (APPROVED, ""), (DENIED, "No."), (EXPIRED, ""), (USED, ""), (VOID, "The objects have changed.")],
)
def test_why_it_ended_is_kept(state: ApprovalState, because: str) -> None:
    """For limits and freezes, too."""
    book = decided(DENIED, "No.") if state is DENIED else in_state(state)
    assert only(book).because == because
    assert only(asked().settle(at(1, limits="v2"))).because == LIMITS_CHANGED
    assert only(asked().settle(at(1, is_frozen=True))).because == FROZEN
    assert only(asked().settle(at(-301))).because == SET_BACK


def test_a_clock_set_back_doubles_the_life_of_an_approval_at_most() -> None:
    """Set back by more than the age of the approval, the clock ends it; by less, it goes on from the earlier moment."""
    for age in range(0, 3600, 60):
        for back in range(0, 7200, 60):
            book = decided(APPROVED).settle(at(10 + age - back))
            lives_for = age + (3600 - age + back if only(book).is_live else 0)
            assert lives_for <= 2 * 3600 + CLOCK_SKEW


@pytest.mark.parametrize("state", ApprovalState)
def test_the_sender_hears_of_what_is_live_or_denied(state: ApprovalState) -> None:
    """By the digest alone; a denial is remembered for `valid_for`. What is over can be asked again."""
    book = in_state(state)
    told = state in (PENDING, APPROVED, DENIED)
    assert book.find("d1", NOW + 30) == (only(book) if told else None)
    assert book.find("d2", NOW + 30) is None
    if state is DENIED:
        assert book.find("d1", NOW + 3609.9) is not None
        assert book.find("d1", NOW + 3610) is None
    again = book.ask("a2", WRITE, at(30))
    assert [each.id for each in again.approvals] == (["a1"] if told else ["a1", "a2"])
    assert (again is book) is told


def test_no_more_are_pending_than_may_be() -> None:
    """Other writes of the client wait until one is decided."""
    book = ApprovalBook()
    for number in range(4):
        assert book.is_full(TERMS) is (number == 3)
        book = book.ask(f"a{number}", WRITE._replace(digest=f"d{number}"), AT)
    assert [each.id for each in book.approvals] == ["a0", "a1", "a2"]
    book = book.decide("a1", ApproverDecision(DENIED, "anna"), at(1))
    assert book.ask("a3", WRITE._replace(digest="d3"), AT).get("a3") is not None
    assert book.get("a3") is None


def test_an_approval_holds_the_first_changes() -> None:
    """The others are counted, by their number and by their characters as JSON has them."""
    change = WRITE.changes[0]
    many = WRITE.with_changes((change,) * (MAX_SHOWN + 2))
    assert (many.changes, many.further) == ((change,) * MAX_SHOWN, WRITE.further + 2)
    long = ValueChange("campaign/" + "1" * 128, "p" * 256, "\U0001f4b8" * 512, "\x7f" * 512)
    shown = WRITE.with_changes((long,) * MAX_SHOWN)
    assert (len(shown.changes), shown.further) == (1, WRITE.further + MAX_SHOWN - 1)
    assert len(json.dumps(shown.changes)) <= MAX_CHARACTERS
    few = WRITE.with_changes(WRITE.changes)
    assert few == WRITE._replace(size=few.size)


def test_no_violation_hides_behind_others() -> None:
    """An approval has all violations of its write, or nobody is asked: they may be too many, or too long."""
    violation = WRITE.violations[0]
    long = violation._replace(path="p" * (MAX_CHARACTERS // 2))
    assert can_be_shown((violation,) * (MAX_VIOLATIONS - 1))
    assert not can_be_shown((violation,) * MAX_VIOLATIONS)
    assert (can_be_shown((long,)), can_be_shown((long, long))) == (True, False)


def test_a_long_target_or_scope_is_cut() -> None:
    """A client chooses the query and the fields of its write."""
    long = WRITE._replace(target="PUT /sp/campaigns?" + "x" * 60_000, scope="y" * 60_000).with_changes(())
    assert (len(long.target), long.target[-4:]) == (2051, "x...")
    assert (len(long.scope), long.scope[-4:]) == (2051, "y...")


def test_ends_that_were_seen_come_back() -> None:
    """A store that lost its last moments has an earlier state; a later one of somebody else stays."""
    used = in_state(USED)
    seen = {"a1": only(used), "a9": only(used)}
    for earlier in (asked(), decided(APPROVED)):
        assert earlier.restore(seen) == used
    given_back = used.give_back("a1", "p.2", at(30))
    assert given_back.restore(seen) is given_back
    assert used.restore(seen) is used
    assert ApprovalBook().restore(seen).approvals == ()


def test_large_writes_fill_a_book_sooner() -> None:
    """Each change of a book reads and writes all of it, so a client cannot make it as large as it likes."""
    long = ValueChange("campaign/1", "name", None, "x" * 500)
    large = WRITE.with_changes((long,) * MAX_SHOWN)
    assert TERMS.max_pending * USUAL_CHARACTERS < large.size < MAX_CHARACTERS + 1000
    assert not asked().is_full(TERMS)
    book = ApprovalBook().ask("a1", large, AT)
    assert book.is_full(TERMS)
    assert not book.decide("a1", ApproverDecision(APPROVED, "anna"), at(1)).is_full(TERMS)


def test_what_ended_long_ago_is_forgotten() -> None:
    """What is live is kept."""
    book = in_state(USED)
    assert book.forget(NOW + 20 + KEPT_SECONDS) is book
    assert book.forget(NOW + 20.1 + KEPT_SECONDS) == ApprovalBook()
    assert asked().forget(NOW + 10 * KEPT_SECONDS) == asked()


def test_the_last_ends_are_kept() -> None:
    """So many of a client, whatever their age."""
    book = ApprovalBook()
    for number in range(MOST_ENDED + 5):
        when = replace(at(number), terms=replace(TERMS, max_pending=1000))
        book = book.ask(f"a{number}", WRITE._replace(digest=f"d{number}"), when)
        if number:
            book = book.decide(f"a{number}", ApproverDecision(DENIED, "anna"), when)
    kept = [each.id for each in book.forget(NOW + 300).approvals]
    assert kept == ["a0", *(f"a{number}" for number in range(5, MOST_ENDED + 5))]


def test_the_last_large_ends_are_kept() -> None:
    """The newest are kept up to so many characters together, and the last one whatever it has."""
    for size, count in ((MOST_ENDED_CHARACTERS // 3, 3), (MOST_ENDED_CHARACTERS + 1, 1)):
        ends = [
            replace(only(in_state(USED)), id=f"a{number}", ended_at=NOW + number, write=WRITE._replace(size=size))
            for number in range(5)
        ]
        kept = ApprovalBook(tuple(ends)).forget(NOW + 10)
        assert kept == ApprovalBook(tuple(ends[-count:]))


@pytest.mark.parametrize("state", ApprovalState)
def test_a_book_is_read_as_it_was_written(state: ApprovalState) -> None:
    """Through JSON, with everything."""
    book = in_state(state).ask("a2", WRITE._replace(digest="d2", violations=(), changes=()), AT)
    assert ApprovalBook.from_document(json.loads(json.dumps(book.to_document()))) == book
    assert ApprovalBook.from_document(None) == ApprovalBook()


def written() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(write_approval(only(in_state(USED)))))
    return document


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"form": 2, "approvals": []},
        {"form": 1, "approvals": {}},
        {"form": 1, "approvals": [None]},
        {"form": 1, "approvals": [], "more": 1},
    ],
)
def test_other_documents_are_refused(document: object) -> None:
    """Nothing is taken for no approvals but a missing document."""
    with pytest.raises(ValueError, match="kept approval"):
        ApprovalBook.from_document(document)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1},
        {"state": "allowed"},
        {"state": None},
        {"state": "approved"},
        {"ended_at": None},
        {"asked_at": "1"},
        {"asked_at": True},
        {"expires_at": float("inf")},
        {"expires_at": float("nan")},
        {"used_at": "1"},
        {"freezes": [1]},
        {"freezes": [1, None]},
        {"revision": True},
        {"more": 1},
        {"write": {}},
        {"write": {**WRITE._asdict()}},
    ],
)
def test_approvals_of_another_form_are_refused(change: dict[str, Any]) -> None:
    """Every member has its type."""
    with pytest.raises(ValueError):
        read_approval({**written(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"further": "2"},
        {"scope": None},
        {"violations": [["budget", "", "", ""]]},
        {"violations": [["price", "", "", "", None]]},
        {"violations": [["budget", "", "", "", 1]]},
        {"changes": [["campaign/1", "name", None, None]]},
        {"changes": [["campaign/1", "name", 1, ""]]},
    ],
)
def test_writes_of_another_form_are_refused(change: dict[str, Any]) -> None:
    """The same holds for what was asked."""
    document = written()
    document["write"] |= change
    with pytest.raises(ValueError):
        read_approval(document)


def test_a_violation_of_a_missing_limit_is_read() -> None:
    """Its limit is none."""
    document = written()
    document["write"]["violations"] = [["budget", "a", "1", "USD", None]]
    [violation] = read_approval(document).write.violations
    assert violation.limit is None


async def test_where_nobody_can_be_asked_nothing_passes() -> None:
    """Every question fails, and no approval is used."""
    absent = AbsentApprovals()
    with pytest.raises(LedgerUnavailable):
        await absent.find("agent", "d1")
    with pytest.raises(LedgerUnavailable):
        await absent.ask(WRITE)
    assert not await absent.use("agent", "a1")
    absent.give_back("agent", "a1")
    await absent.void("agent", "a1", "Changed.")
    assert await absent.get("agent", "a1") is None
    assert repr(absent) == "<AbsentApprovals>"
