"""The notices for people, and their signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from proxy.events import (
    ApprovalDecided,
    ApprovalEnded,
    ApprovalRequested,
    ApprovalState,
    ConsentEnded,
    ConsentEnding,
    CredentialStateChanged,
    Event,
    NoticeKind,
    RequestStarted,
    SignInNeeded,
    WritesFrozen,
    WritesUnfrozen,
)
from proxy.observability.notices import (
    MAX_ATTEMPTS,
    MAX_DELAY,
    Notice,
    as_kept,
    body_of,
    delay,
    notice_of,
    read_notice,
    read_told,
    recovered_account,
    signature,
)

NOW = 1_800_000_000.0
END = 1_802_592_000.0


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (SignInNeeded("acme", "Open http://localhost:8081/login/acme."), "sign-in-needed", "Open http://localhost"),
        (CredentialStateChanged("acme", "valid", "revoked"), "account-revoked", "ads-proxy login acme"),
        (ConsentEnding("acme", END, 30, "Ask them."), "consent-ending", "expires on 2027-02-14. Ask them."),
        (ConsentEnded("acme", END, "Ask them."), "consent-ended", "expired on 2027-02-14. Ask them."),
    ],
)
def test_what_a_person_must_fix_is_a_notice(event: Event, kind: str, words: str) -> None:
    """The notice begins with the account and ends with the advice."""
    notice = notice_of(event, "id-1", NOW)
    assert notice is not None
    assert (notice.id, notice.kind, notice.account, notice.at) == ("id-1", kind, "acme", NOW)
    assert notice.text.startswith("acme: ")
    assert words in notice.text


@pytest.mark.parametrize(
    ("event", "kind", "text"),
    [
        (
            WritesFrozen("agent", "ann@desk", "It raises bids"),
            "writes-frozen",
            "ann@desk froze all writes of client agent through the proxy: It raises bids. Reads go on. `ads-proxy "
            "unfreeze agent` lets writes pass again.",
        ),
        (
            WritesFrozen("", "ann@desk", ""),
            "writes-frozen",
            "ann@desk froze all writes through the proxy. Reads go on. `ads-proxy unfreeze` lets writes pass again.",
        ),
        (
            WritesUnfrozen("agent", "bob@desk", "Limits are set."),
            "writes-unfrozen",
            "bob@desk unfroze all writes of client agent through the proxy: Limits are set.",
        ),
        (WritesUnfrozen("", "bob@desk", ""), "writes-unfrozen", "bob@desk unfroze all writes through the proxy."),
    ],
)
def test_a_freeze_and_its_end_are_notices(event: WritesFrozen | WritesUnfrozen, kind: str, text: str) -> None:
    """Each is news, also the second one of a day; only where a person did it."""
    notice, again = (notice_of(event, identity, NOW) for identity in ("id-1", "id-2"))
    assert notice is not None and again is not None
    assert (notice.kind, notice.account, notice.client, notice.text) == (kind, "", event.client, text)
    assert notice.key != again.key
    assert json.loads(body_of(notice)).get("client", "") == event.client
    assert read_notice(json.loads(json.dumps(as_kept(notice)))) == notice
    assert notice_of(replace(event, heard=True), "id-1", NOW) is None


WRITE = ("a1b2", "agent", "PUT /sp/campaigns")
LINK = "http://localhost:8081/approvals/a1b2"


@pytest.mark.parametrize(
    ("event", "kind", "state", "text"),
    [
        (
            ApprovalRequested(*WRITE, ("budget", "states"), END),
            "approval_requested",
            "pending",
            "PUT /sp/campaigns of client agent waits for approval: over its limits (budget, states). Approve or deny "
            f"it by 2027-02-14T08:00:00Z. {LINK}",
        ),
        (
            ApprovalDecided(*WRITE, ApprovalState.APPROVED, "ann", ""),
            "approval_decided",
            "approved",
            "ann approved PUT /sp/campaigns of client agent. It passes once, if the client sends it again in time. "
            f"{LINK}",
        ),
        (
            ApprovalDecided(*WRITE, ApprovalState.DENIED, "ann", "Too much."),
            "approval_decided",
            "denied",
            f"ann denied PUT /sp/campaigns of client agent: Too much. {LINK}",
        ),
        (
            ApprovalEnded(*WRITE, ApprovalState.EXPIRED),
            "approval_expired",
            "expired",
            f"The approval of PUT /sp/campaigns of client agent has expired. The client may ask again. {LINK}",
        ),
        (
            ApprovalEnded(*WRITE, ApprovalState.VOID, "The limits have changed."),
            "approval_expired",
            "void",
            "The approval of PUT /sp/campaigns of client agent is void: The limits have changed. The client may ask "
            f"again. {LINK}",
        ),
    ],
)
def test_an_approval_that_needs_a_person_is_a_notice(event: Event, kind: str, state: str, text: str) -> None:
    """With a link to its page, where the console has an address; also an approval that ended without its write."""
    notice = notice_of(event, "id-1", NOW, "http://localhost:8081")
    assert notice is not None
    assert (notice.kind, notice.client, notice.text, notice.is_always_news) == (kind, "agent", text, True)
    until = {"expires_at": "2027-02-14T08:00:00Z"} if state == "pending" else {}
    assert json.loads(body_of(notice)) == {
        "id": "id-1",
        "type": kind,
        "timestamp": "2027-01-15T08:00:00Z",
        "account": "",
        "text": text,
        "client": "agent",
        "approval": "a1b2",
        "state": state,
        "link": LINK,
        **until,
    }
    assert read_notice(json.loads(json.dumps(as_kept(notice)))) == notice
    without = notice_of(event, "id-1", NOW)
    assert without is not None
    assert "link" not in json.loads(body_of(without))
    assert without.text == text.removesuffix(f" {LINK}")


def test_an_approved_write_that_was_sent_is_no_notice() -> None:
    """Its approver was told of the decision; the audit stream has the write."""
    assert notice_of(ApprovalEnded(*WRITE, ApprovalState.USED), "id-1", NOW) is None


@pytest.mark.parametrize(
    ("old", "serves"),
    [("valid", True), ("degraded", True), ("pending", False), ("expired", False), ("misconfigured", False)],
)
def test_an_account_that_may_have_no_access_token_is_not_said_to_serve(old: str, serves: bool) -> None:
    """At the start, or after the end of the last token, its requests get 503."""
    notice = notice_of(CredentialStateChanged("acme", old, "revoked"), "id-1", NOW)
    assert notice is not None
    assert ("requests are served until the access token expires" in notice.text) is serves


@pytest.mark.parametrize(
    "event",
    [
        CredentialStateChanged("acme", "pending", "valid"),
        CredentialStateChanged("acme", "valid", "degraded"),
        CredentialStateChanged("acme", "revoked", "revoked"),
        RequestStarted(),
    ],
)
def test_what_ends_by_itself_is_no_notice(event: Event) -> None:
    """The log and the metrics have it."""
    assert notice_of(event, "id-1", NOW) is None


def test_each_mark_of_each_end_is_news() -> None:
    """The same mark of the same end is the same news, and so is the same trouble of one account."""
    events = [ConsentEnding("acme", END, days, "") for days in (30, 7, 1)]
    events += [ConsentEnding("acme", END + 86400, 30, ""), ConsentEnding("other", END, 30, "")]
    keys = [notice.key for event in events if (notice := notice_of(event, "x", NOW)) is not None]
    assert len(set(keys)) == 5
    again = notice_of(events[0], "y", NOW + 5)
    assert again is not None
    assert again.key == keys[0]


def test_an_account_that_works_again_is_known() -> None:
    """By its state alone."""
    assert recovered_account(CredentialStateChanged("acme", "revoked", "valid")) == "acme"
    assert recovered_account(CredentialStateChanged("acme", "valid", "degraded")) == ""
    assert recovered_account(SignInNeeded("acme", "")) == ""


def test_the_body_says_what_a_receiver_needs() -> None:
    """The JSON has id, type, time, account and text; for a consent also the days that are left, and its end."""
    notice = Notice("id-1", NoticeKind.CONSENT_ENDING, "acmé", "acmé: x.", NOW, 7, END)
    assert json.loads(body_of(notice)) == {
        "id": "id-1",
        "type": "consent-ending",
        "timestamp": "2027-01-15T08:00:00Z",
        "account": "acmé",
        "text": "acmé: x.",
        "days": 7,
        "ends_at": "2027-02-14T08:00:00Z",
    }
    plain = Notice("id-1", NoticeKind.SIGN_IN_NEEDED, "acme", "x", NOW)
    assert json.loads(body_of(plain)).keys() == {"id", "type", "timestamp", "account", "text"}


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("a-secret-of-16-bytes", b"a-secret-of-16-bytes"),
        ("whsec_" + base64.b64encode(b"\x00key\xff").decode(), b"\x00key\xff"),
        ("whsec_not base64!", b"whsec_not base64!"),
    ],
)
def test_a_receiver_can_check_the_signature(secret: str, key: bytes) -> None:
    """HMAC-SHA256 over id, time and body, with dots between."""
    made = signature(secret, "id-1", 1_800_000_000, b'{"a":1}')
    expected = hmac.new(key, b'id-1.1800000000.{"a":1}', hashlib.sha256).digest()
    assert made == "v1," + base64.b64encode(expected).decode()


def test_attempts_are_ever_further_apart() -> None:
    """Doubling up to five minutes, between half of that and all; what the receiver asked for counts, within bounds."""
    assert [delay(attempt, 1.0) for attempt in range(4)] == [1, 2, 4, 8]
    assert [delay(attempt, 0.0) for attempt in range(4)] == [0.5, 1, 2, 4]
    assert delay(MAX_ATTEMPTS, 1.0) == delay(1000, 1.0) == MAX_DELAY
    assert delay(0, 1.0, 30.0) == 30
    assert delay(0, 1.0, 1e9) == MAX_DELAY


def test_what_is_kept_is_read_again() -> None:
    """A notice that is on its way outlives a restart; whatever else lies in the store is none."""
    for notice in (
        Notice("id-1", NoticeKind.CONSENT_ENDING, "acme", "text", NOW, 7, END),
        Notice("id-2", NoticeKind.SIGN_IN_NEEDED, "acme", "text", NOW),
    ):
        assert read_notice(json.loads(json.dumps(as_kept(notice)))) == notice
    nonsense: list[object] = [None, [], {}, {**as_kept(notice), "kind": "other"}, {**as_kept(notice), "at": "x"}]
    assert [read_notice(wrong) for wrong in nonsense] == [None] * 5
    assert read_told({"a": 1.0, "b": "x"}) == {"a": 1.0}
    assert read_told("nonsense") == {}
