"""Approvals at the admin listener: who sees the queue, who decides, and what a decision answers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from proxy import errors
from proxy.access.approvers import Approver, Approvers
from proxy.access.client_keys import ClientKey, KnownKey
from proxy.admin.approvals import entry
from proxy.admin.guard import MAX_FAILURES
from proxy.admin.view import AccessRules
from proxy.events import ApprovalState, ApproverRefused, SpendRule, SpendViolation, ValueChange
from proxy.secret import Secret
from proxy.spend.approvals import Approval, ApprovalBook, WriteToApprove
from tests.admin.fixtures import KEY, FakeProgram, administer

PROOF = {"X-Ads-Proxy-Console": "1", "Content-Type": "application/json"}
ADMIN = {"Authorization": f"Bearer {KEY.reveal()}"}
ANNA = {"X-Ads-Proxy-Approver-Key": "anna's key"}
QUEUE = "/console/approvals"
APPROVE = b'{"decision": "approve"}'
WRITE = WriteToApprove(
    client="agent",
    digest="d" * 64,
    limits="limits",
    operation="POST /sp/campaigns",
    target="/sp/campaigns",
    account="acme",
    region="na",
    scope="111",
    violations=(SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200"),),
    changes=(ValueChange("campaign/1", "budget.budget", "100", "500"),),
    further=2,
)


def approval(identifier: str, state: ApprovalState = ApprovalState.PENDING) -> Approval:
    return Approval(identifier, WRITE, state, asked_at=1_799_990_000.0, expires_at=1_800_080_000.0)


def key(text: str, ends_at: float | None = None) -> ClientKey:
    return ClientKey(hashlib.sha256(text.encode()).hexdigest(), ends_at)


def program(*, admin_key: Secret | None = KEY, admin_approves: bool = False) -> FakeProgram:
    """A program with a pending approval `a1` and a used one `a0`, and with an approver."""
    approvers = Approvers((Approver("anna", (key("anna's key"), key("anna's old key", 1.0))),))
    rules = AccessRules(admin_key, True, "127.0.0.1", (), approvers, admin_approves)
    return FakeProgram(
        rules=rules,
        book=ApprovalBook((approval("a0", ApprovalState.USED), approval("a1"))),
        keys=(KnownKey("agent", key("a client's key"), None),),
    )


def test_an_approval_is_shown_with_what_it_changes() -> None:
    """The members that commands and the console read, in ISO 8601."""
    assert entry(approval("a1")) == {
        "id": "a1",
        "client": "agent",
        "state": "pending",
        "asked_at": "2027-01-15T05:13:20Z",
        "expires_at": "2027-01-16T06:13:20Z",
        "violations": [
            {
                "rule": "budget",
                "path": "campaigns[0].budget.budget",
                "value": "500",
                "currency": "USD",
                "limit": "200",
            }
        ],
        "approver": None,
        "because": None,
        "decided_at": None,
        "used_at": None,
        "operation": "POST /sp/campaigns",
        "target": "/sp/campaigns",
        "account": "acme",
        "region": "na",
        "scope": "111",
        "changes": [{"object": "campaign/1", "member": "budget.budget", "before": "100", "after": "500"}],
        "further": 2,
    }


@pytest.mark.parametrize(
    ("headers", "decides_as"), [(ADMIN, None), (ANNA, "anna"), ({**ADMIN, **ANNA}, "anna"), ({**ANNA, **PROOF}, "anna")]
)
async def test_the_admin_key_and_an_approver_see_the_queue(headers: dict[str, str], decides_as: str | None) -> None:
    """What waits, or all; each alone, too; and in whose name the request could decide."""
    async with administer(program()) as admin:
        for path, ids in ((QUEUE, ["a1"]), (f"{QUEUE}?all=1", ["a0", "a1"]), (f"{QUEUE}?all=0", ["a1"])):
            async with admin.ask(path, headers=headers) as answer:
                said = await answer.json()
                assert (answer.status, [each["id"] for each in said["approvals"]]) == (200, ids)
                assert said["decides_as"] == decides_as
        async with admin.ask(f"{QUEUE}/a0", headers=headers) as answer:
            assert await answer.json() == {**entry(approval("a0", ApprovalState.USED)), "decides_as": decides_as}


async def test_an_approvers_key_opens_nothing_else() -> None:
    """No other page of the listener, and none below a name that only begins the same."""
    async with administer(program()) as admin:
        for path in ("/status", "/console/state", "/", "/console/approvals-other", "/console/profiles"):
            assert await admin.status(path, headers=ANNA) == 401, path
        for path in ("/console/freeze", "/console/unfreeze", "/console/accounts/acme/refresh"):
            assert await admin.status(path, "POST", {**ANNA, **PROOF}) == 401, path


async def test_the_queue_needs_a_key() -> None:
    """Neither list nor approval is open, and nothing is decided."""
    running = program()
    async with administer(running) as admin:
        assert await admin.status(QUEUE) == await admin.status(f"{QUEUE}/a1") == 401
        assert await admin.status(f"{QUEUE}/a1", "POST", PROOF) == 401
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize("headers", [ANNA, {**ADMIN, **ANNA}])
@pytest.mark.parametrize(
    ("body", "state", "because"),
    [
        (APPROVE, "approved", None),
        (b'{"decision": "approve", "because": "Agreed"}', "approved", "Agreed"),
        (b'{"decision": "deny"}', "denied", None),
        ('{"decision": "deny", "because": "Größer als geplant"}'.encode(), "denied", "Größer als geplant"),
    ],
)
async def test_an_approver_decides(headers: dict[str, str], body: bytes, state: str, because: str | None) -> None:
    """In the name of the key's approver, with or without the admin key."""
    running = program()
    async with administer(running) as admin, admin.ask(f"{QUEUE}/a1", "POST", {**headers, **PROOF}, body) as answer:
        said = await answer.json()
        assert (answer.status, said["state"], said["approver"], said["because"]) == (200, state, "anna", because)
        assert said["decided_at"] == "2027-01-15T08:00:00Z"
    assert running.book.approvals[1].state.value == state
    assert running.seen == []


@pytest.mark.parametrize("admin_key", [KEY, None])
async def test_the_admin_key_alone_only_looks(admin_key: Secret | None) -> None:
    """So does everybody where there is no admin key: nothing is approved by who is on this machine."""
    running = program(admin_key=admin_key)
    async with administer(running) as admin:
        async with admin.ask(f"{QUEUE}/a1", "POST", {**ADMIN, **PROOF}, APPROVE) as answer:
            said = json.loads(await answer.text())
            assert (answer.status, said["type"]) == (401, "urn:ads-proxy:error:approver-key-required")
            assert "X-Ads-Proxy-Approver-Key" in said["detail"]
        async with admin.ask(QUEUE, headers=ADMIN) as answer:
            assert (await answer.json())["decides_as"] is None
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize(("admin_key", "headers"), [(KEY, ADMIN), (None, {})])
async def test_the_admin_key_decides_where_that_is_configured(
    admin_key: Secret | None, headers: dict[str, str]
) -> None:
    """The admin key decides as `admin`; an approver's key still decides in its own name."""
    running = program(admin_key=admin_key, admin_approves=True)
    async with administer(running) as admin:
        async with admin.ask(QUEUE, headers=headers) as answer:
            assert (await answer.json())["decides_as"] == "admin"
        async with admin.ask(f"{QUEUE}/a1", "POST", {**headers, **PROOF}, APPROVE) as answer:
            assert (answer.status, (await answer.json())["approver"]) == (200, "admin")
        async with admin.ask(f"{QUEUE}/a1", "POST", {**headers, **ANNA, **PROOF}, b'{"decision": "deny"}') as answer:
            assert (answer.status, (await answer.json())["approver"]) == (200, "anna")
        if admin_key is not None:
            assert await admin.status(f"{QUEUE}/a1", "POST", PROOF) == 401


@pytest.mark.parametrize("shown", ["a client's key", KEY.reveal(), "anna's old key", "", "anna's key,", "\N{ROCKET}"])
@pytest.mark.parametrize("admin_approves", [False, True])
@pytest.mark.parametrize("admin_key", [KEY, None])
async def test_another_key_never_approves(shown: str, admin_approves: bool, admin_key: Secret | None) -> None:
    """A client's key, the admin key, an expired one: refused even next to the admin key, and told."""
    running = program(admin_key=admin_key, admin_approves=admin_approves)
    async with administer(running) as admin:
        for method, path in (("POST", f"{QUEUE}/a1"), ("GET", QUEUE)):
            headers = {**ADMIN, **PROOF, "X-Ads-Proxy-Approver-Key": shown}
            async with admin.ask(path, method, headers, APPROVE if method == "POST" else None) as answer:
                said = json.loads(await answer.text())
                assert (answer.status, said["type"]) == (403, "urn:ads-proxy:error:not-an-approver")
                assert not shown or shown not in said["detail"]
    client = "agent" if shown == "a client's key" else ""
    refused = [ApproverRefused("127.0.0.1", path, client) for path in (f"{QUEUE}/a1", QUEUE)]
    assert running.seen == refused
    assert running.book.approvals[1].state is ApprovalState.PENDING


async def test_who_guesses_waits() -> None:
    """After so many wrong keys no key of that address is looked at, not even the right one."""
    running = program()
    async with administer(running) as admin:
        for number in range(MAX_FAILURES):
            headers = {**PROOF, "X-Ads-Proxy-Approver-Key": f"guess {number}"}
            async with admin.ask(f"{QUEUE}/a1", "POST", headers, APPROVE) as answer:
                assert answer.status == 403
        async with admin.ask(f"{QUEUE}/a1", "POST", {**ANNA, **PROOF}, APPROVE) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
    assert len(running.seen) == MAX_FAILURES
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {**PROOF, "Origin": "http://evil.test"},
        {**PROOF, "Sec-Fetch-Site": "cross-site"},
        {**PROOF, "Host": "evil.test"},
    ],
)
async def test_no_page_of_another_site_decides(headers: dict[str, str]) -> None:
    """Not even with an approver's key."""
    running = program()
    async with administer(running) as admin, admin.ask(f"{QUEUE}/a1", "POST", {**ANNA, **headers}, APPROVE) as answer:
        assert answer.status == (421 if "Host" in headers else 403)
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_following_a_link_decides_nothing(method: str) -> None:
    """A preview of a message follows links; only a POST decides."""
    running = program()
    async with administer(running) as admin:
        headers = {**ADMIN, **ANNA, **PROOF}
        status = await admin.status(f"{QUEUE}/a1?decision=approve", method, headers)
        assert status == (200 if method in ("GET", "HEAD") else 405)
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"approve",
        b"null",
        b"[]",
        b"{}",
        b'{"decision": "approved"}',
        b'{"decision": null}',
        b'{"decision": ["approve"]}',
        b'{"decision": "deny", "because": 7}',
        b'{"decision": "deny", "because": null}',
        b'{"decision": "approve", "id": "a0"}',
        b'{"decision": "deny", "decision": "approve"}',
        b'{"decision": "deny", "Decision": "approve"}',
        b'{"decision": "approve"} {}',
        b'{"decision": "\xff"}',
        b"[" * 20_000,
    ],
)
async def test_a_body_that_is_no_decision_is_refused(body: bytes) -> None:
    """Whatever is wrong with it, with the form that is taken."""
    running = program()
    async with administer(running) as admin, admin.ask(f"{QUEUE}/a1", "POST", {**ANNA, **PROOF}, body) as answer:
        said = json.loads(await answer.text())
        assert (answer.status, said["type"]) == (400, "urn:ads-proxy:error:malformed-request")
        assert '{"decision": "approve"}' in said["detail"]
    assert running.book.approvals[1].state is ApprovalState.PENDING


async def test_a_form_is_no_decision() -> None:
    """A browser sends one without asking."""
    async with administer(program()) as admin:
        headers = {**ANNA, "X-Ads-Proxy-Console": "1"}
        async with admin.ask(f"{QUEUE}/a1", "POST", headers, {"decision": "approve"}) as answer:
            assert answer.status == 400


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", APPROVE)])
@pytest.mark.parametrize("identifier", ["a2", "a", "A1", "a1%20"])
async def test_an_unknown_approval_is_not_found(method: str, body: bytes | None, identifier: str) -> None:
    """An id is exact."""
    running = program()
    async with (
        administer(running) as admin,
        admin.ask(f"{QUEUE}/{identifier}", method, {**ANNA, **PROOF}, body) as answer,
    ):
        said = json.loads(await answer.text())
        assert (answer.status, said["type"]) == (404, "urn:ads-proxy:error:unknown-approval")
    assert running.book.approvals[1].state is ApprovalState.PENDING


@pytest.mark.parametrize("state", [state for state in ApprovalState if state not in ("pending", "approved")])
async def test_what_is_over_cannot_be_decided(state: ApprovalState) -> None:
    """The answer has its state, and everything else of it."""
    running = program()
    running.book = ApprovalBook((approval("a1", state),))
    async with administer(running) as admin, admin.ask(f"{QUEUE}/a1", "POST", {**ANNA, **PROOF}, APPROVE) as answer:
        said: dict[str, Any] = json.loads(await answer.text())
        assert (answer.status, said["type"], said["state"]) == (409, "urn:ads-proxy:error:approval-over", state.value)
        assert said.items() >= entry(approval("a1", state)).items()


@pytest.mark.parametrize(("method", "path"), [("GET", QUEUE), ("GET", f"{QUEUE}/a1"), ("POST", f"{QUEUE}/a1")])
async def test_nothing_is_decided_while_the_store_is_away(method: str, path: str) -> None:
    """And nothing is shown: it says when to try again."""
    running = program()
    running.approval_failure = errors.LedgerUnavailable("The state store is away.", retry_after=5)
    body = APPROVE if method == "POST" else None
    async with administer(running) as admin, admin.ask(path, method, {**ANNA, **PROOF}, body) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_the_proxys_own_secrets_are_masked() -> None:
    """A client may write anything; a secret that the proxy knows is not shown."""
    running = program()
    write = WRITE._replace(target="/sp/adsproxy_0123456789abcdef", changes=(ValueChange("", "name", None, "x"),))
    running.book = ApprovalBook((Approval("a1", write, ApprovalState.PENDING, 0.0, 1.0),))
    async with administer(running) as admin, admin.ask(QUEUE, headers=ANNA) as answer:
        (shown,) = (await answer.json())["approvals"]
        assert shown["target"] == "/sp/adsproxy_***"
        assert shown["changes"] == [{"object": "", "member": "name", "before": None, "after": "x"}]
