"""What `approvals`, `approve` and `deny` share: questions to the admin listener, and an approval in lines of text."""

from __future__ import annotations

import json
import sys
from dataclasses import field, replace
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from proxy.commands.asking import (
    Unanswered,
    exchange,
    explain_silence,
    explain_status,
    find_admin,
    members_of,
    shown_key,
)
from proxy.commands.terminal import FAILED, OK, complain, printable, say, tell
from proxy.config import approver_key, environment
from proxy.config.model.references import check_secret_text
from proxy.errors import ConfigurationError
from proxy.observability.plain_lines import change_in_words, violation_in_words
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from proxy.config import Address

TIMEOUT: Final = 30.0
"""Seconds for an answer: a state store that hangs holds it up."""
_PATH: Final = "/console/approvals"
_LIVE: Final = ("pending", "approved")
"""States in which an approval can be decided."""
_MEMBERS: Final = frozenset(("id", "client", "state", "violations", "changes"))
_EXPLAINED: Final = frozenset((400, 403, 404, 409, 503))
"""Statuses whose problem document says what to do."""
_NEEDS_KEY: Final = "needs an approver's key; set ADS_PROXY_APPROVER_KEY or ADS_PROXY_APPROVER_KEY_FILE"
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id from `ads-proxy approvals`.", show_default=False)]


@dataclass(frozen=True, slots=True)
class QueueAnswer:
    """What the admin listener said, or the problem that prevented it."""

    status: int = 0
    members: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalQueue:
    """The approvals of a running program. `command` is the one that asks; its problems begin with its name."""

    command: str
    admin: Address
    key: Secret | None = None
    approver: Secret | None = None

    @classmethod
    def of(cls, command: str, admin_listen: str | None, config: Path | None, env_file: Path | None) -> ApprovalQueue:
        """The queue at the address of the options or the configuration. Raises `ConfigurationError`."""
        environ = environment(env_file)
        return cls(command, *find_admin(admin_listen, config, environ), approver_key(environ))

    def list(self, *, show_all: bool = False) -> QueueAnswer:
        """The queue, or all approvals."""
        answer = self._ask(f"{_PATH}?all=1" if show_all else _PATH)
        if not answer.problem and "approvals" not in answer.members:
            return QueueAnswer(problem=explain_status(self.admin, answer.status))
        return answer

    def get(self, identifier: str) -> QueueAnswer:
        """One approval."""
        return self._checked(self._ask(f"{_PATH}/{quote(identifier, safe='')}"))

    def decide(self, identifier: str, because: str) -> QueueAnswer:
        """The approval after the command's decision."""
        said = {"decision": self.command} | ({"because": because} if because else {})
        return self._checked(self._ask(f"{_PATH}/{quote(identifier, safe='')}", json.dumps(said).encode()))

    def _checked(self, answer: QueueAnswer) -> QueueAnswer:
        if not answer.problem and not answer.members.keys() >= _MEMBERS:
            return QueueAnswer(problem=explain_status(self.admin, answer.status))
        return answer

    def _ask(self, target: str, body: bytes | None = None) -> QueueAnswer:
        headers = shown_key(self.key)
        if self.approver is not None:
            headers["X-Ads-Proxy-Approver-Key"] = self.approver.reveal().encode()
        if body is not None:
            headers["Content-Type"] = b"application/json"
        try:
            code, answered = exchange(self.admin, target, TIMEOUT, headers, body)
        except Unanswered as why:
            return QueueAnswer(problem=explain_silence(self.admin, why))
        members = members_of(answered)
        if code == 200:
            return QueueAnswer(code, members)
        detail = members.get("detail")
        if code in _EXPLAINED and isinstance(detail, str):
            return QueueAnswer(code, members, f"{self.command}: {printable(detail)}")
        problem = explain_status(self.admin, code)
        if code == 401 and self.approver is None:
            problem += "; or an approver's key in ADS_PROXY_APPROVER_KEY (or ADS_PROXY_APPROVER_KEY_FILE)"
        return QueueAnswer(code, members, problem)


def decide(queue: ApprovalQueue, identifier: str, because: str = "", *, asks: bool) -> int:
    """Show an approval, and decide about it as the queue's command says. `asks` tells whether a terminal is asked
    first. Returns the exit code; raises `ConfigurationError` without an id or an approver's key."""
    if not identifier.strip(". "):  # such as a variable of a shell that is not set
        raise ConfigurationError((f"{queue.command}: ID is empty; `ads-proxy approvals` lists the ids",))
    answer = queue.get(identifier)
    may_decide = answer.status != 401 and (answer.status != 200 or answer.members.get("decides_as"))
    if queue.approver is None and not may_decide:
        queue = replace(queue, approver=_asked_key(queue.command))
        answer = queue.get(identifier)
    if answer.problem:
        complain(answer.problem)
        return FAILED
    for line in described(answer.members):
        say(line)
    if (state := answer.members["state"]) not in _LIVE:
        complain(f"{queue.command}: the approval is {printable(state)} already, so that nothing was decided")
        return FAILED
    sys.stdout.flush()
    if asks and sys.stdin.isatty() and not typer.confirm("Approve?", err=True):
        tell("Nothing was decided.")
        return FAILED
    answer = queue.decide(identifier, because)
    if answer.problem:
        complain(answer.problem)
        return FAILED
    say(printable(_said_of(answer.members)))
    return OK


def _asked_key(command: str) -> Secret:
    """The approver's key as it is typed, without an echo. Raises `ConfigurationError` where there is no terminal."""
    if not sys.stdin.isatty():
        raise ConfigurationError((f"{command}: {_NEEDS_KEY}",))
    typed: str = typer.prompt("Approver's key (not shown)", hide_input=True, err=True)
    try:
        return Secret(check_secret_text(typed.strip()))
    except ValueError as error:
        raise ConfigurationError((f"{command}: the key {error}",)) from None


def _said_of(approval: Mapping[str, Any]) -> str:
    """What a decision did. Pure."""
    if approval["state"] == "approved":
        return (
            f"Approved by {approval['approver']}: {approval['client']} may send exactly this write once, until "
            f"{approval['expires_at']}."
        )
    return f"Denied by {approval['approver']}: {approval['client']} is told so when it sends the write again."


def described(approval: Mapping[str, Any]) -> Iterator[str]:
    """An approval in lines, without what could move a cursor. Pure."""
    yield from map(printable, _described(approval))


def _described(approval: Mapping[str, Any]) -> Iterator[str]:
    yield f"{approval['id']}  {_state_of(approval)}"
    yield f"  client {approval['client']}, asked at {approval['asked_at']}"
    target, operation = approval["target"], approval["operation"]
    where = " ".join(filter(None, (approval["account"], approval["region"], approval["scope"])))
    yield f"  {target}{f' ({operation})' if operation != target else ''}{where and ' of '}{where}"
    for violation in approval["violations"]:
        yield f"  over: {violation_in_words(violation)}"
    for change in approval["changes"]:
        yield f"  {change_in_words(change)}"
    if approval["further"]:
        yield f"  and {approval['further']} more that are not shown"


def _state_of(approval: Mapping[str, Any]) -> str:
    """The state, who decided and why, and how long or since when it is so. Pure."""
    state, approver = approval["state"], approval["approver"]
    why = f": {approval['because']}" if approval["because"] else ""
    if state in _LIVE:
        return f"{state}{f' by {approver}' if approver else ''}, until {approval['expires_at']}{why}"
    if state == "denied":
        return f"{state} by {approver} at {approval['decided_at']}{why}"
    used = f" at {approval['used_at']}" if approval["used_at"] else ""
    return f"{state}{used}{f', approved by {approver}' if approver else ''}{why}"
