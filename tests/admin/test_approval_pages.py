"""The pages about approvals: what an approver must see, whatever a client has written."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from proxy.admin.approval_pages import MAX_ENDED, MAX_LIVE, MAX_ROWS, MAX_TEXT, ApprovalPages, Reader, duration, visible
from proxy.events import ApprovalState, SpendRule, SpendViolation, ValueChange
from proxy.spend.approvals import Approval, WriteToApprove

NOW = 1_800_000_000.0
VIOLATION = SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")
CHANGE = ValueChange("campaign/1", "budget.budget", "100", "500")
WRITE = WriteToApprove(
    client="agent",
    digest="d" * 64,
    limits="v",
    operation="PUT /sp/campaigns",
    target="/sp/campaigns",
    account="acme",
    region="na",
    scope="3511",
    violations=(VIOLATION,),
    changes=(CHANGE,),
)
PENDING = Approval("a1b2", WRITE, ApprovalState.PENDING, NOW - 120, NOW + 86000)
ANN = Reader(NOW, "ann", "ann")
GUEST = Reader(NOW)
PAGES = ApprovalPages(lambda text: text.replace("canary", "***"))


def ended(state: ApprovalState, number: int = 0, because: str = "") -> Approval:
    return replace(PENDING, id=f"e{number}", state=state, ended_at=NOW - 60 * number, by="bob", because=because)


class Reading(HTMLParser):
    """What a browser makes of a page: its text, its elements with their attributes, and whether each was closed."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def actions(self) -> list[str]:
        return [str(found["action"]) for tag, found in self.elements if tag == "form"]


def test_an_approver_sees_what_they_decide_about() -> None:
    """Client, account, profile, objects, what is set now and what is asked for, the violated limits, the deadline."""
    text = Reading(PAGES.queue([PENDING], ANN)).text
    for words in (
        *("agent", "acme, na", "3511", "PUT /sp/campaigns", "Waiting for a decision (1)", "Signed in as approver ann"),
        *("2027-01-15 07:58 UTC (2 min ago)", "2027-01-16 07:53 UTC (in 23 h)"),
    ):
        assert words in text
    rows = Reading(PAGES.queue([PENDING], ANN)).words
    assert [word for word in rows if word in {"campaign/1", "budget.budget", "100", "500", "500 USD", "200 USD"}] == [
        *("campaign/1", "budget.budget", "100", "500"),
        *("500 USD", "200 USD"),
    ]


@pytest.mark.parametrize(("before", "words"), [(None, "not known"), ("", "not set"), ('"PAUSED"', '"PAUSED"')])
def test_what_is_set_now_may_not_be_known(before: str | None, words: str) -> None:
    """Then the page says so, and calls no value what is none."""
    write = WRITE._replace(changes=(CHANGE._replace(before=before),))
    assert words in Reading(PAGES.single(replace(PENDING, write=write), ANN)).words


@pytest.mark.parametrize(("before", "words"), [(None, "an object that is not known"), ("", "a new object")])
def test_an_object_without_a_name_is_new_only_if_it_is_made(before: str | None, words: str) -> None:
    """A write may archive an object by an id in a spelling by which none is known."""
    write = WRITE._replace(changes=(CHANGE._replace(object="", before=before),))
    assert words in Reading(PAGES.single(replace(PENDING, write=write), ANN)).words


def test_members_that_stay_as_they_are_stand_back() -> None:
    """A client often sends a whole object to change one member; a value that is not known may be another."""
    same, unknown = ValueChange("campaign/1", "state", '"PAUSED"', '"PAUSED"'), CHANGE._replace(before=None)
    reading = Reading(PAGES.single(replace(PENDING, write=WRITE._replace(changes=(CHANGE, same, unknown))), ANN))
    assert [found.get("class") for tag, found in reading.elements if tag == "tr"][1:4] == [None, "quiet", None]


def test_a_write_of_which_no_member_is_known_says_so() -> None:
    """The violated limits are all that there is to see."""
    page = PAGES.single(replace(PENDING, write=WRITE._replace(changes=())), ANN)
    assert "The proxy does not know which members of which objects this write sets." in Reading(page).text


def test_what_the_proxy_does_not_show_is_said() -> None:
    """An approver of a write with more changes than are kept decides about these, too."""
    page = PAGES.queue([replace(PENDING, write=WRITE._replace(further=37))], ANN)
    assert "Not all of this write is shown. It has 37 more changes," in Reading(page).text
    assert "/approvals/a1b2/approve" in Reading(page).actions()


def test_only_who_decides_has_buttons() -> None:
    """A reader without a key gets the form for it; the admin key may decide without a session."""
    assert Reading(PAGES.queue([PENDING], ANN)).actions() == [
        *("/approvals/session/end", "/approvals/a1b2/approve", "/approvals/a1b2/deny"),
    ]
    assert Reading(PAGES.queue([PENDING], GUEST)).actions() == ["/approvals/session"]
    admin = Reading(PAGES.queue([PENDING], Reader(NOW, decides_as="admin")))
    assert admin.actions() == ["/approvals/a1b2/approve", "/approvals/a1b2/deny"]
    assert "You decide as admin." in admin.text
    nobody = Reading(PAGES.queue([PENDING], Reader(NOW, has_approvers=False)))
    assert nobody.actions() == []
    assert "No approver is configured" in nobody.text


def test_an_approved_write_can_be_taken_back_until_it_is_sent() -> None:
    """An approved write can be denied, and not be approved once more; an ended one has no buttons."""
    approved = replace(PENDING, state=ApprovalState.APPROVED, by="bob", decided_at=NOW - 5)
    reading = Reading(PAGES.queue([approved], ANN))
    assert reading.actions() == ["/approvals/session/end", "/approvals/a1b2/deny"]
    assert "Approved, not sent yet (1)" in reading.text
    for state in (ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.USED, ApprovalState.VOID):
        assert Reading(PAGES.single(ended(state), ANN)).actions() == ["/approvals/session/end"]


def test_no_link_decides() -> None:
    """Previews of messages follow links: every decision is a form that is posted."""
    approved = replace(PENDING, id="c3d4", state=ApprovalState.APPROVED, by="bob")
    for page in (PAGES.queue([PENDING, approved], ANN), PAGES.single(PENDING, ANN)):
        elements = Reading(page).elements
        links = {str(found["href"]) for tag, found in elements if tag == "a"}
        assert not {link for link in links if "approve" in link.removeprefix("/approvals") or "deny" in link}
        assert {found.get("method") for tag, found in elements if tag == "form"} == {"post"}


HOSTILE = "<script>alert(1)</script>\"'></td><img src=x onerror=alert(1)> \u202eDSU 5\u202c canary \x00\u200b&lt;"


def test_texts_of_clients_are_only_texts() -> None:
    """Markup stays text, secrets are masked, and what would reorder or hide other characters is shown as a code."""
    write = WriteToApprove(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, (VIOLATION._replace(path=HOSTILE),)
    )._replace(changes=(ValueChange(HOSTILE, HOSTILE, HOSTILE, HOSTILE),))
    live = replace(PENDING, write=write, by=HOSTILE, because=HOSTILE)
    past = replace(live, id="e1", state=ApprovalState.DENIED, ended_at=NOW)
    reader = Reader(NOW, HOSTILE, HOSTILE)
    about = [PAGES.queue([live, past], reader, past), PAGES.single(live, reader), PAGES.ended_before(past, reader)]
    for page in (*about, PAGES.ask_key(HOSTILE, HOSTILE)):
        reading = Reading(page)
        assert {"script", "img"} & {tag for tag, _ in reading.elements} == set()
        assert not [found for _, found in reading.elements if any(name.startswith("on") for name in found)]
    assert not re.search("[\u202e\u202c\u200b\x00]|canary", "".join(about))
    assert "\\u202eDSU 5" in Reading(PAGES.single(live, reader)).text


def test_long_lists_are_cut_with_their_numbers() -> None:
    """The queue has the first approvals of many, and the first rows of one; buttons are where all rows are."""
    many = [replace(PENDING, id=f"p{number}") for number in range(MAX_LIVE + 3)]
    past = [ended(ApprovalState.EXPIRED, number) for number in range(MAX_ENDED + 4)]
    reading = Reading(PAGES.queue([*many, *past], ANN))
    assert "Waiting for a decision (53)" in reading.text
    assert "3 more are not shown" in reading.text
    assert "4 more are not shown" in reading.text
    assert sum(action.endswith("/approve") for action in reading.actions()) == MAX_LIVE
    changes = tuple(ValueChange(f"campaign/{number}", "state", None, '"ENABLED"') for number in range(MAX_ROWS + 1))
    long = replace(PENDING, write=WRITE._replace(changes=changes))
    queue, single = Reading(PAGES.queue([long], ANN)), Reading(PAGES.single(long, ANN))
    assert "What it changes (10 of 11 are shown)" in queue.text
    assert "Look at all 11 changes and 1 violations, then decide" in queue.text
    assert "campaign/10" not in queue.text
    assert not [action for action in queue.actions() if "a1b2" in action]
    assert "campaign/10" in single.text
    assert "/approvals/a1b2/approve" in single.actions()


def test_a_client_that_asks_often_hides_no_other() -> None:
    """The approvals of each client are a link away, with their number."""
    many = [replace(PENDING, id=f"p{number}") for number in range(MAX_LIVE + 3)]
    rare = replace(PENDING, id="rare", write=WRITE._replace(client="bids & more"))
    all_of_them = Reading(PAGES.queue([*many, rare], ANN))
    assert "Waiting: all clients (54) · agent (53) · bids & more (1)" in all_of_them.text
    links = [found["href"] for tag, found in all_of_them.elements if tag == "a" and "client" in str(found["href"])]
    assert links == ["/approvals?client=agent", "/approvals?client=bids%20%26%20more"]
    assert "/approvals/rare/approve" not in all_of_them.actions()
    one = Reading(PAGES.queue([*many, rare], ANN, client="bids & more"))
    assert [action for action in one.actions() if action.endswith("approve")] == ["/approvals/rare/approve"]
    assert "Waiting:" not in Reading(PAGES.queue([PENDING], ANN)).text


@pytest.mark.parametrize(
    "write",
    [
        WRITE._replace(changes=(CHANGE._replace(after="x" * MAX_TEXT + "tail"),)),
        WRITE._replace(target="x" * MAX_TEXT + "tail"),
        WRITE._replace(scope="x" * MAX_TEXT + "tail"),
    ],
)
def test_a_long_text_is_cut_in_the_queue_and_whole_on_its_page(write: WriteToApprove) -> None:
    """What is left out is counted, and no button is next to it."""
    long = replace(PENDING, write=write)
    queue, single = Reading(PAGES.queue([long], ANN)), Reading(PAGES.single(long, ANN))
    assert "x … (4 more characters)" in queue.text
    assert not [action for action in queue.actions() if "a1b2" in action]
    assert "xtail" in single.text
    assert "/approvals/a1b2/approve" in single.actions()


@pytest.mark.parametrize(
    ("approval", "words"),
    [
        (PENDING, "PUT /sp/campaigns of agent waits for a decision."),
        (
            replace(PENDING, state=ApprovalState.APPROVED, by="bob", decided_at=NOW),
            "bob approved PUT /sp/campaigns of agent on 2027-01-15 08:00 UTC. It passes once, if the client sends it "
            "again by 2027-01-16 07:53 UTC.",
        ),
        (
            ended(ApprovalState.DENIED, because="Too much."),
            "bob denied PUT /sp/campaigns of agent on 2027-01-15 08:00 UTC. Reason: Too much.",
        ),
        (
            ended(ApprovalState.EXPIRED),
            "The approval of PUT /sp/campaigns of agent expired on 2027-01-15 08:00 UTC, and the write was not sent.",
        ),
        (
            ended(ApprovalState.USED),
            "bob approved PUT /sp/campaigns of agent, and the client sent it on 2027-01-15 08:00 UTC.",
        ),
        (
            ended(ApprovalState.VOID, because="The limits have changed."),
            "The approval of PUT /sp/campaigns of agent became void on 2027-01-15 08:00 UTC, and the write was not "
            "sent. Reason: The limits have changed.",
        ),
    ],
    ids=lambda value: value.state.value if isinstance(value, Approval) else "",
)
def test_each_state_is_told_in_words(approval: Approval, words: str) -> None:
    """After a press, and where the press came too late."""
    assert words in Reading(PAGES.queue([approval], ANN, approval)).text
    late = Reading(PAGES.ended_before(approval, ANN)).text
    assert f"Your decision changed nothing. {words}" in late


def test_durations_are_short() -> None:
    """One unit; a day has hours."""
    assert [duration(each) for each in (5, 60, 7199, 7200, 86400, 2 * 86400)] == [
        *("5 s", "1 min", "1 h", "2 h", "24 h", "2 days"),
    ]


def test_every_character_is_seen() -> None:
    """Letters of every alphabet stay; controls and what changes the direction of writing become codes."""
    assert visible("Größe ₿ 漢字") == "Größe ₿ 漢字"
    assert visible("a\u202eb\x07\u200b\n") == "a\\u202eb\\u0007\\u200b\\u000a"
