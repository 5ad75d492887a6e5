"""`approvals`, `approve` and `deny` in front of a real admin listener, on pipes and on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pty
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.access.approvers import Approver, Approvers
from proxy.access.client_keys import ClientKey
from proxy.admin.view import AccessRules
from proxy.commands.approvals import print_approvals
from proxy.commands.approving import ApprovalQueue, decide, described
from proxy.commands.status import print_status
from proxy.commands.terminal import FAILED, OK
from proxy.config import Address
from proxy.errors import ConfigurationError, LedgerUnavailable
from proxy.events import ApprovalState, SpendRule, SpendViolation, ValueChange
from proxy.secret import Secret
from proxy.spend.approvals import Approval, ApprovalBook
from tests.admin.fixtures import KEY, FakeProgram, administer
from tests.admin.test_approvals import WRITE, approval, program
from tests.support.patience import PATIENCE
from tests.support.ready_program import ready, run_ready

ANNA = Secret("anna's key")
SHOWN = """\
a1  pending, until 2027-01-16T06:13:20Z
  client agent, asked at 2027-01-15T05:13:20Z
  /sp/campaigns (POST /sp/campaigns) of acme na 111
  over: budget 500 USD, limit 200 (campaigns[0].budget.budget)
  campaign/1 budget.budget: 100 -> 500
  and 2 more that are not shown
"""


async def listed(
    running: FakeProgram, capsys: pytest.CaptureFixture[str], keys: dict[str, Secret], **options: bool
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `approvals` with these keys."""
    async with administer(running) as admin:
        queue = ApprovalQueue("approvals", Address("127.0.0.1", admin.port), **keys)
        code = await asyncio.to_thread(partial(print_approvals, queue, **options))
    return code, *capsys.readouterr()


async def decided(
    running: FakeProgram, capsys: pytest.CaptureFixture[str], command: str, identifier: str = "a1", because: str = ""
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `approve` or `deny` with the approver's key."""
    async with administer(running) as admin:
        queue = ApprovalQueue(command, Address("127.0.0.1", admin.port), approver=ANNA)
        code = await asyncio.to_thread(partial(decide, queue, identifier, because, asks=True))
    return code, *capsys.readouterr()


@pytest.mark.parametrize("keys", [{"key": KEY}, {"approver": ANNA}])
async def test_what_waits_is_shown_with_what_it_changes(
    capsys: pytest.CaptureFixture[str], keys: dict[str, Secret]
) -> None:
    """With the admin key or an approver's."""
    assert await listed(program(), capsys, keys) == (OK, SHOWN, "")


async def test_all_are_shown_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    """Approvals that have ended are listed, too; a blank line between two."""
    code, out, err = await listed(program(), capsys, {"key": KEY}, show_all=True)
    first, second = out.split("\n\n")
    assert (code, err, second) == (OK, "", SHOWN)
    assert first.splitlines()[0] == "a0  used"


async def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A list with the members of the contract."""
    code, out, _ = await listed(program(), capsys, {"key": KEY}, as_json=True)
    (found,) = json.loads(out)
    assert code == OK
    assert found.keys() >= {"id", "client", "state", "asked_at", "expires_at", "violations", "approver", "because"}
    assert (found["id"], found["violations"][0]["rule"]) == ("a1", "budget")


async def test_an_empty_queue_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Another one where nothing was ever asked."""
    running = program()
    running.book = ApprovalBook((approval("a0", ApprovalState.USED),))
    assert await listed(running, capsys, {"key": KEY}) == (OK, "No write waits for approval.\n", "")
    running.book = ApprovalBook()
    assert await listed(running, capsys, {"key": KEY}, show_all=True) == (OK, "No approvals.\n", "")
    assert await listed(running, capsys, {"key": KEY}, as_json=True) == (OK, "[]\n", "")


async def test_what_a_client_wrote_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither on the screen nor in JSON: escape sequences, line breaks and marks of direction."""
    odd = "\x1b[2J\x9b1m\u202e\r\nApproved"
    violation = SpendViolation(SpendRule.STATES, odd, odd, "", odd)
    write = WRITE._replace(target=odd, violations=(violation,), changes=(ValueChange(odd, odd, odd, odd),))
    running = program()
    running.book = ApprovalBook((Approval("a1", write, ApprovalState.PENDING, 0.0, 1.0),))
    for options in ({}, {"as_json": True}):
        _, out, _ = await listed(running, capsys, {"key": KEY}, **options)
        assert all(letter == "\n" or letter.isprintable() for letter in out)
        assert not any(line.startswith("Approved") for line in out.splitlines())


@pytest.mark.parametrize(
    ("violation", "line"),
    [
        (SpendViolation(SpendRule.BID, "keywords[0].bid", "3", "EUR", None), "3 EUR, no limit for it"),
        (SpendViolation(SpendRule.STATES, "state", "enabled", "", "paused"), "enabled, limit paused"),
        (SpendViolation(SpendRule.HOURS, "", "Sun 03:00", "", None), "Sun 03:00, no limit for it"),
    ],
)
def test_a_violation_is_said_in_words(violation: SpendViolation, line: str) -> None:
    """Amounts with their currency, the place in the body, and a limit that is missing."""
    at = f" ({violation.path})" if violation.path else ""
    assert f"  over: {violation.rule} {line}{at}" in described(shown(violations=[violation.members]))


def shown(**members: Any) -> dict[str, Any]:
    """An approval as the admin listener shows it."""
    where = {"operation": "POST /sp/campaigns", "target": "/sp/campaigns", "account": "", "region": "", "scope": None}
    times = {"asked_at": "2027-01-15T05:13:20Z", "expires_at": "2027-01-16T06:13:20Z"}
    rest = {"id": "a1", "client": "agent", "state": "pending", "approver": None, "because": None, "further": 0}
    return {**rest, **times, **where, "violations": [], "changes": [], "decided_at": None, "used_at": None, **members}


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({}, "pending, until 2027-01-16T06:13:20Z"),
        ({"state": "approved", "approver": "anna"}, "approved by anna, until 2027-01-16T06:13:20Z"),
        (
            {"state": "denied", "approver": "anna", "decided_at": "T", "because": "Too much"},
            "denied by anna at T: Too much",
        ),
        ({"state": "used", "approver": "anna", "used_at": "T"}, "used at T, approved by anna"),
        ({"state": "expired"}, "expired"),
        ({"state": "expired", "approver": "anna"}, "expired, approved by anna"),
        ({"state": "void", "because": "The limits have changed."}, "void: The limits have changed."),
        (
            {"state": "void", "approver": "anna", "because": "Writes were frozen."},
            "void, approved by anna: Writes were frozen.",
        ),
    ],
)
def test_a_state_is_said_with_who_decided(members: dict[str, Any], line: str) -> None:
    """And with the reason."""
    assert next(described(shown(**members))) == f"a1  {line}"


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"target": "POST /sp/campaigns"}, "POST /sp/campaigns"),
        ({"target": "POST /sp/campaigns", "account": "acme", "region": "na"}, "POST /sp/campaigns of acme na"),
        ({"target": "x-create", "operation": "MCP x-create", "scope": "1"}, "x-create (MCP x-create) of 1"),
    ],
)
def test_a_target_is_said_with_its_account(members: dict[str, Any], line: str) -> None:
    """And with the operation, where that is another text."""
    assert f"  {line}" in described(shown(**members))


async def test_an_approver_approves(capsys: pytest.CaptureFixture[str]) -> None:
    """The command shows the write first, and then until when it may be sent. A pipe is not asked."""
    running = program()
    code, out, err = await decided(running, capsys, "approve")
    assert (code, err) == (OK, "")
    assert out == SHOWN + ("Approved by anna: agent may send exactly this write once, until 2027-01-15T09:00:00Z.\n")
    assert running.book.approvals[1].state is ApprovalState.APPROVED


async def test_an_approver_denies_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """Also what was approved before."""
    running = program()
    await decided(running, capsys, "approve")
    code, out, err = await decided(running, capsys, "deny", because="Größer als geplant")
    assert (code, err, out.splitlines()[-1]) == (
        OK,
        "",
        "Denied by anna: agent is told so when it sends the write again.",
    )
    kept = running.book.approvals[1]
    assert (kept.state, kept.because, kept.by) == (ApprovalState.DENIED, "Größer als geplant", "anna")


@pytest.mark.parametrize("command", ["approve", "deny"])
async def test_what_cannot_be_decided_is_one_line(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """An unknown id, one in short, one that has ended; exit code 1."""
    for identifier in ("a2", "a", "../status", "a1?all=1"):
        code, out, err = await decided(program(), capsys, command, identifier)
        assert (code, out) == (FAILED, "")
        assert err.startswith(f"ads-proxy: {command}: The approval is unknown: "), err
    code, out, err = await decided(program(), capsys, command, "a0")
    assert (code, out.splitlines()[0]) == (FAILED, "a0  used")
    assert err == f"ads-proxy: {command}: the approval is used already, so that nothing was decided\n"


@pytest.mark.parametrize("identifier", ["", " ", ".."])
async def test_an_empty_id_is_told(capsys: pytest.CaptureFixture[str], identifier: str) -> None:
    """A script whose variable is not set asks about no approval: nothing is decided."""
    with pytest.raises(ConfigurationError, match="approve: ID is empty; `ads-proxy approvals` lists the ids"):
        await decided(program(), capsys, "approve", identifier)


async def test_a_decision_that_came_too_late_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The approval has ended after it was shown."""

    class Late(FakeProgram):
        async def decide(self, *decision: Any) -> Approval:
            self.book = ApprovalBook((approval("a1", ApprovalState.EXPIRED),))
            return await super().decide(*decision)

    running = program()
    late = Late(rules=running.rules, book=running.book)
    code, _, err = await decided(late, capsys, "approve")
    assert (code, err) == (
        FAILED,
        "ads-proxy: approve: The approval is expired already, so that nothing was decided.\n",
    )


async def test_a_store_that_is_away_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the proxy."""
    running = program()
    running.approval_failure = LedgerUnavailable("The state store is away.", retry_after=5)
    assert await decided(running, capsys, "approve") == (
        FAILED,
        "",
        "ads-proxy: approve: The state store is away.\n",
    )
    code, out, err = await listed(running, capsys, {"key": KEY})
    assert (code, out, err) == (FAILED, "", "ads-proxy: approvals: The state store is away.\n")


@pytest.mark.parametrize("command", ["approve", "deny"])
async def test_another_key_decides_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A wrong one is refused, a missing one is asked for where somebody can type, and told otherwise."""
    running = program()
    async with administer(running) as admin:
        here = Address("127.0.0.1", admin.port)
        wrong = ApprovalQueue(command, here, KEY, Secret("adsproxy_of-a-client"))
        assert await asyncio.to_thread(partial(decide, wrong, "a1", asks=False)) == FAILED
        err = capsys.readouterr().err
        assert err.startswith(f"ads-proxy: {command}: No approver has this key, or it has expired.")
        for key in (None, KEY):
            with pytest.raises(ConfigurationError, match="needs an approver's key; set ADS_PROXY_APPROVER_KEY"):
                await asyncio.to_thread(partial(decide, ApprovalQueue(command, here, key), "a1", asks=False))
    assert running.book.approvals[1].state is ApprovalState.PENDING


async def test_the_list_says_which_key_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Either of two."""
    code, out, err = await listed(program(), capsys, {})
    assert (code, out) == (FAILED, "")
    assert "needs the admin key" in err
    assert "an approver's key in ADS_PROXY_APPROVER_KEY" in err


@pytest.mark.parametrize("admin_key", [KEY, None])
async def test_the_admin_key_decides_where_it_may(capsys: pytest.CaptureFixture[str], admin_key: Secret | None) -> None:
    """No approver's key is asked for then."""
    running = program(admin_key=admin_key, admin_approves=True)
    async with administer(running) as admin:
        queue = ApprovalQueue("approve", Address("127.0.0.1", admin.port), admin_key)
        assert await asyncio.to_thread(partial(decide, queue, "a1", asks=True)) == OK
    assert "Approved by admin" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("states", "failure", "lines"),
    [
        ((), "", []),
        (("used", "denied"), "", []),
        (("pending",), "", ["approvals: 1 write waits for a decision (`ads-proxy approvals`)"]),
        (
            ("pending", "approved", "pending"),
            "",
            [
                "approvals: 2 writes wait for a decision (`ads-proxy approvals`)",
                "approvals: 1 approved and not sent yet",
            ],
        ),
        (("pending",), "The store is away.\x1b", ["approvals: The store is away.?"]),
    ],
)
async def test_status_says_what_waits(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    states: tuple[str, ...],
    failure: str,
    lines: list[str],
) -> None:
    """Or why that is not known; it is no failure of the program."""
    book = ApprovalBook(tuple(approval(f"a{number}", ApprovalState(state)) for number, state in enumerate(states)))
    running = FakeProgram(book=book, does_ask_approvers=True)
    running.approval_failure = LedgerUnavailable(failure) if failure else None
    async with administer(running) as admin:
        code = await asyncio.to_thread(print_status, Address("127.0.0.1", admin.port), None)
    assert code == OK
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("approvals")] == lines


async def test_status_says_nothing_where_no_write_needs_an_approval(capsys: pytest.CaptureFixture[str]) -> None:
    """The status is that without approvers."""
    async with administer(program()) as admin:
        await asyncio.to_thread(print_status, Address("127.0.0.1", admin.port), KEY)
    assert "approvals" not in capsys.readouterr().out


# --- from the command line


@pytest.mark.parametrize("arguments", [("approvals",), ("approve", "a1"), ("deny", "a1", "--because", "x")])
def test_nobody_at_home_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Exit code 1."""
    done = run_ready(tmp_path, (*arguments, "--admin-listen", "127.0.0.1:9"), {"ADS_PROXY_APPROVER_KEY": "x"})
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.startswith("ads-proxy: 127.0.0.1:9 does not answer (")


@pytest.mark.parametrize("source", ["variable", "file", "env file"])
async def test_the_key_comes_from_a_variable_or_a_file(tmp_path: Path, source: str) -> None:
    """The file's line break does not count."""
    (tmp_path / "key").write_text("annas-key-of-a-length\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "env").write_text("ADS_PROXY_APPROVER_KEY=annas-key-of-a-length\n")
    environ = {
        "variable": {"ADS_PROXY_APPROVER_KEY": "annas-key-of-a-length"},
        "file": {"ADS_PROXY_APPROVER_KEY_FILE": str(tmp_path / "key")},
        "env file": {},
    }[source]
    running = with_key("annas-key-of-a-length")
    async with administer(running) as admin:
        arguments = ["deny", "a1", "--because", "No", "--admin-listen", f"127.0.0.1:{admin.port}"]
        arguments += ["--env-file", str(tmp_path / "env")] if source == "env file" else []
        done = await asyncio.to_thread(run_ready, tmp_path, arguments, environ)
    assert (done.returncode, done.stderr) == (OK, "")
    assert running.book.approvals[1].state is ApprovalState.DENIED


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"ADS_PROXY_APPROVER_KEY": "x", "ADS_PROXY_APPROVER_KEY_FILE": "y"},
            "ADS_PROXY_APPROVER_KEY_FILE: is set as well as ADS_PROXY_APPROVER_KEY; unset one of the two",
        ),
        ({"ADS_PROXY_APPROVER_KEY_FILE": "missing"}, "ADS_PROXY_APPROVER_KEY_FILE: the file"),
        ({"ADS_PROXY_APPROVER_KEY": "a canary"}, "ADS_PROXY_APPROVER_KEY: holds white space"),
    ],
)
def test_a_key_that_cannot_be_read_is_told(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    """Exit code 2, and nothing is asked."""
    done = run_ready(tmp_path, ("approvals", "--admin-listen", "127.0.0.1:9"), environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ads-proxy: {said}")
    assert "canary" not in done.stderr


def with_key(key: str) -> FakeProgram:
    """A program whose approver has this key."""
    running = program()
    digest = ClientKey(hashlib.sha256(key.encode()).hexdigest())
    running.rules = AccessRules(None, True, "127.0.0.1", (), Approvers((Approver("anna", (digest,)),)))
    return running


# --- on a terminal


class Screen:
    """A command on a pseudo-terminal that echoes what is typed, as a person has it."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self._master, slave = pty.openpty()
        needed = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"}
        self._child = subprocess.Popen(
            ready(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**needed, **environ},
            start_new_session=True,
        )
        self._slave = slave
        self.text = ""

    def answer(self, question: str, typed: str) -> None:
        """Wait for a question, and type a line."""
        while question not in self.text:
            self.text += os.read(self._master, 4096).decode()
        os.write(self._master, f"{typed}\n".encode())

    def end(self) -> int:
        """The exit code; all text is read."""
        os.close(self._slave)
        with contextlib.suppress(OSError):
            while piece := os.read(self._master, 4096):
                self.text += piece.decode()
        os.close(self._master)
        return self._child.wait(PATIENCE)


@pytest.mark.parametrize(
    ("typed", "code", "state"),
    [("y", OK, ApprovalState.APPROVED), ("n", FAILED, ApprovalState.PENDING), ("", FAILED, ApprovalState.PENDING)],
)
async def test_a_person_is_asked(tmp_path: Path, typed: str, code: int, state: ApprovalState) -> None:
    """The key is typed without an echo; then the write is shown, and Enter alone approves nothing."""
    running = with_key("annas-key-of-a-length")

    def answer() -> tuple[int, str]:
        screen = Screen(tmp_path, "approve", "a1", "--admin-listen", f"127.0.0.1:{admin.port}")
        screen.answer("Approver's key (not shown): ", "annas-key-of-a-length")
        screen.answer("Approve? [y/N]: ", typed)
        return screen.end(), screen.text.replace("\r\n", "\n")

    async with administer(running) as admin:
        ended, text = await asyncio.to_thread(answer)
    assert (ended, running.book.approvals[1].state) == (code, state)
    assert SHOWN in text
    assert "annas-key" not in text
    assert ("Nothing was decided." in text) is (code == FAILED)


@pytest.mark.parametrize("arguments", [("approve", "a1", "--yes"), ("deny", "a1")])
async def test_a_person_who_is_sure_is_not_asked(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """With --yes, and for a denial."""
    running = with_key("annas-key-of-a-length")

    def end() -> tuple[int, str]:
        where = "--admin-listen", f"127.0.0.1:{admin.port}"
        screen = Screen(tmp_path, *arguments, *where, ADS_PROXY_APPROVER_KEY="annas-key-of-a-length")
        return screen.end(), screen.text

    async with administer(running) as admin:
        code, text = await asyncio.to_thread(end)
    assert (code, "Approve?" in text) == (OK, False)
    assert running.book.approvals[1].by == "anna"


def test_variables_may_come_through_a_pipe() -> None:
    """They are read once, so that another program can hand over the keys and none is kept in a file."""
    reader, writer = os.pipe()
    try:
        os.write(writer, b"ADS_PROXY_APPROVER_KEY=%040d\n" % 1)
        os.close(writer)
        queue = ApprovalQueue.of("approve", "127.0.0.1:1", None, Path(f"/dev/fd/{reader}"))
    finally:
        os.close(reader)
    assert queue.approver == Secret(f"{1:040d}")
