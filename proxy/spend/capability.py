"""What spend limits plug into the core: a gate that has each write of a client with limits read and judged before it
leaves, and a tap that tells the day's ledger what became of it.

In `enforce`, a write that is over a limit, or that cannot be read, is refused. In `observe`, nothing changes for the
client, and the same judgement is recorded. What a write takes of the day is reserved before it leaves; what failed of
it is given back, and what became of it unknown stays counted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.access.json_body import find_odd_form
from proxy.access.own_accounts import OwnAccounts
from proxy.audit.write_outcome import find_failed_items, judge_answer, judge_outcome
from proxy.audit.write_reading import JUDGED_AT_ONCE, MAX_COST_JUDGED, MAX_JUDGED
from proxy.body_reader import READER
from proxy.errors import AmbiguousBody, LedgerUnavailable, NotPermitted, Refused, SpendUnreadable
from proxy.events import Outcome, SpendJudgement, SpendMode, SpendVerdict, UsedApproval, WriteOutcome
from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.forwarding.sockets import Reading, Tap
from proxy.http1.body_copy import decode_body, may_hold_results
from proxy.mcp.foreign_members import TooManyTexts, find_foreign_member
from proxy.mcp.sessions import account_in_force
from proxy.mcp.tools import UnclearMessage, effect_of_message, read_messages, refuse_messages, refuse_unclear
from proxy.routing.ads_account import names_account
from proxy.routing.operations import SAFE_METHODS, Effect
from proxy.spend.answers import refusal_of, text_for_models
from proxy.spend.approval_desk import ApprovalDesk, used
from proxy.spend.approval_desk import text_for_models as desk_text
from proxy.spend.approval_questions import AbsentApprovals
from proxy.spend.approvals import WriteToApprove, can_be_shown
from proxy.spend.findings import Payer, WriteFindings, joined
from proxy.spend.freezes import Freezes
from proxy.spend.judge import (
    DayUse,
    Reservation,
    day_of,
    judge,
    judge_day,
    judge_departure,
    reservation_of,
    succeeded_part,
)
from proxy.spend.ledger import AbsentLedger, DayKey
from proxy.spend.limits import Beyond
from proxy.spend.payer import payer_of
from proxy.spend.present_values import UnknownPresentValues, WrittenBody
from proxy.spend.reading import RestRequest, media_types_of, read_query, read_tool, row_name
from proxy.spend.table import MONEY, Kind
from proxy.spend.write_digest import WriteIdentity, addressing, digest_of
from proxy.strict_json import AlikeNames, JsonBody, NotUtf8, TooCostly
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.forwarding.decision import Decision, RequestContext
    from proxy.forwarding.sockets import End, OwnAnswer
    from proxy.http1.message import Response
    from proxy.http1.request_fields import RequestFields
    from proxy.mcp.capability import McpMemory
    from proxy.mcp.tools import McpBody, McpMessage
    from proxy.routing.mcp_session import FixedAccount
    from proxy.routing.table import RoutingTable
    from proxy.spend.approval_questions import Approvals
    from proxy.spend.approvals import Approval
    from proxy.spend.ledger import Ledger
    from proxy.spend.limits import SpendLimits
    from proxy.spend.present_values import PresentValues

_WITHIN: Final = SpendVerdict.WITHIN
_TOO_LARGE: Final = (
    "The body is too large to be read: it must be smaller than {limit} bytes (limits.replay_bytes). Send fewer items "
    "in one request."
)
OBSERVED_SECONDS: Final = 0.25
"""How long an observed write waits for the ledger at most."""
_CALL_MEMBERS: Final = frozenset(("name", "arguments", "_meta", "task"))
"""The members of a tool call that the proxy can read, or that hold nothing to be spent."""
_OVERRIDDEN: Final = (
    "A header field or a parameter asks for another method or path than the request line, such as "
    "X-HTTP-Method-Override. Leave it out."
)
_NO_ACCOUNT: Final = (
    "An amount has no known currency where no account is fixed. Begin a session with "
    "`Amazon-Ads-AI-Account-Selection-Mode: FIXED` and one `Amazon-Advertising-API-Scope` or `Amazon-Ads-AccountID`, "
    "and send these with each call."
)
"""A body may name any currency; only the account in force tells which one Amazon takes an amount in."""
_ANSWERED: Final = (
    "An answer to a question of the server cannot be read: decline it, and send a call with all arguments."
)


@dataclass(frozen=True, slots=True)
class SpendMemory:
    """What a process knows of spending, and keeps over a reload. `desk` asks persons, `wall` is the wall clock."""

    ledger: Ledger = field(default_factory=AbsentLedger)
    freezes: Freezes = field(default_factory=Freezes)
    wall: Callable[[], float] = time.time
    approvals: Approvals = field(default_factory=AbsentApprovals)
    present: PresentValues = field(default_factory=UnknownPresentValues)
    desk: ApprovalDesk = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "desk", ApprovalDesk(self.approvals, self.present))


class Spend(Capability):
    """The limits of all clients under one set of rules, by the clients' names."""

    def __init__(
        self, memory: SpendMemory, limits: Mapping[str, SpendLimits], mcp: McpMemory, table: RoutingTable
    ) -> None:
        self._memory, self._limits, self._mcp, self._table = memory, limits, mcp, table
        MONEY.forms("")  # the table is read now, not when the first write waits for it

    def plug(self, decision: Decision) -> Plugs:
        """A gate for each write of a client with limits. What is sent to the MCP endpoint may be a write."""
        asked, limits = decision.asked, self._limits.get(decision.client)
        if limits is None or not _may_spend(decision):
            return NO_PLUGS
        route, directory = decision.route, self._table.directory
        if not route.api.takes_messages:
            payer = payer_of(route, directory)
            terms = _Terms(self._memory, limits, payer, _RestReader(decision, payer))
            return Plugs(gates=(partial(SpendGate, terms),))
        fixed = account_in_force(asked.fields, route)
        payer = payer_of(route, directory, is_fixed=fixed is not None)
        reader = _MessageReader(self._mcp.hints.writers(route.account, route.region), fixed, payer)
        return Plugs(gates=(partial(SpendGate, _Terms(self._memory, limits, payer, reader)),))

    def permit_again(self, context: RequestContext) -> None:
        """A write that was judged by other limits than those in force, or by none, is to be sent again."""
        decision, limits = context.decision, self._limits.get(context.client)
        if limits is None or limits.mode is SpendMode.OBSERVE or not (context.is_write and _may_spend(decision)):
            return
        earlier = next((each for each in decision.rules.plugging if isinstance(each, Spend)), None)
        if earlier is None or earlier._limits.get(context.client) != limits:
            raise NotPermitted("The spend limits of the client have changed since the request came; send it again.")


def _may_spend(decision: Decision) -> bool:
    """Whether requests that are decided so may be writes, as far as their heads tell."""
    asked = decision.asked
    return decision.is_write and (asked.overrides or asked.method not in SAFE_METHODS)


# --- Reading ------------------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """What was read of a request: its findings, and the operations by which `allow` opens it. `messages` are those of
    a body for the MCP endpoint, of which `writes` are judged. `written` is what `WrittenBody` has of each write."""

    found: WriteFindings
    operations: frozenset[str]
    written: tuple[tuple[str, Any], ...] = ()
    messages: McpBody | None = None
    writes: frozenset[int] = frozenset()


class _RestReader:
    """Reads the requests of the Ads API with one decision."""

    def __init__(self, decision: Decision, payer: Payer) -> None:
        self._operation, self._fields, self._payer = decision.route.operation, decision.asked.fields, payer
        self._method = decision.asked.method.decode("latin-1")
        self._known = None  # it depends on the path where no operation is known
        if self._operation is not None:
            self._known = self._form_of("")

    def identify(self, context: RequestContext, limits: SpendLimits) -> WriteIdentity:
        """What a write is to its approver, apart from its content."""
        fields, route = context.request.fields, context.route
        chosen = ("profile", route.profile.decode("latin-1")), ("ads account", route.ads_account.decode("latin-1"))
        return WriteIdentity(
            client=context.client,
            limits=limits.version,
            method=context.request.method.decode("latin-1"),
            target=context.destination.target.decode("latin-1"),
            media_type=_media_type(context.request.fields).decode("latin-1"),
            account=route.account,
            login=context.rules.table.accounts[route.account].login,
            region=route.region,
            addressed=(*chosen, *addressing(fields.passing)),
        )

    def name(self, context: RequestContext) -> str:
        """The operation, as `allow` and the table of money fields have it."""
        return row_name(self._operation, self._method, context.path)

    def read(self, context: RequestContext, body: JsonBody) -> _Read:
        """Raises what `JsonBody.exact` raises."""
        name, request, flaw, operations = self._known or self._form_of(context.path)
        content, query = None, context.destination.query
        if not body.raw:
            found = request.walk(None)[0]
        elif flaw:
            return _Read(WriteFindings((), (flaw,), (f"form of {name}",), 0, 0), operations)
        else:
            content, found = body.walk_exact(request.walk)
        if query:
            found = joined(found, read_query(query))
        return _Read(found, operations, ((name, content),))

    def _form_of(self, path: str) -> _Form:
        """The form of a request for this path, which matters where no operation is known."""
        name, fields = row_name(self._operation, self._method, path), self._fields
        odd = find_odd_form(fields, media_types_of(name))
        request = RestRequest(self._operation, self._method, path, _media_type(fields), self._payer)
        return _Form(name, request, f"{name}: {odd}." if odd else "", frozenset((name,)))


class _Form(NamedTuple):
    """How a request for the named operation comes: what its body is read by, what makes a doubt about that, empty for
    nothing, and the operation by which `allow` opens it."""

    name: str
    request: RestRequest
    flaw: str
    operations: frozenset[str]


def _media_type(fields: RequestFields) -> bytes:
    """The media type of a request's body without parameters; empty for none."""
    kinds = [value for field, value in fields.every if field == b"content-type"]
    return kinds[0].split(b";")[0].strip().lower() if kinds else b""


class _MessageReader:
    """Reads messages of MCP. `writers` are the tools that the endpoint does not call read-only, `fixed` is the one
    advertiser that tools work for, None where that is not certain."""

    def __init__(self, writers: frozenset[str], fixed: FixedAccount | None, payer: Payer) -> None:
        self._writers, self._fixed, self._payer = writers, fixed, payer
        self._own: OwnAccounts | None = None
        if fixed is not None:
            profiles, account_ids = ((each,) if each else () for each in (fixed.profile, fixed.ads_account))
            self._own = OwnAccounts(frozenset(profiles), frozenset(account_ids))

    def name(self, context: RequestContext) -> str:
        """The name of a body that cannot be read."""
        return "MCP"

    def identify(self, context: RequestContext, limits: SpendLimits) -> WriteIdentity | None:
        """What calls are to their approver, apart from what they call; None where no account is fixed: an approver
        could not tell whose objects they change."""
        fixed, route = self._fixed, context.route
        if fixed is None:
            return None
        chosen = ("profile", fixed.profile.decode("latin-1")), ("ads account", fixed.ads_account.decode("latin-1"))
        return WriteIdentity(
            client=context.client,
            limits=limits.version,
            method="MCP",
            target=context.destination.target.decode("latin-1"),
            media_type="",
            account=route.account,
            login=context.rules.table.accounts[route.account].login,
            region=route.region,
            addressed=(*chosen, *addressing(context.request.fields.passing)),
        )

    def read(self, context: RequestContext, body: JsonBody) -> _Read:
        """Raises `UnclearMessage` and what `JsonBody.exact` raises."""
        operations = context.rules.table.operations
        if not body.raw:
            return _Read(_NOTHING, frozenset())
        messages = read_messages(context.request.fields, body)
        content = body.exact()
        entries = content if messages.batch else [content]
        found, names, writes = _NOTHING, set(), set()
        written: list[tuple[str, Any]] = []
        for index, (message, entry) in enumerate(zip(messages.messages, entries, strict=True)):
            flaw = self._flaw_of(message, entry)
            if flaw:
                found = joined(found, WriteFindings((), (flaw,), (f"message {message.method or 'answer'}",), 0, 0))
            elif effect_of_message(message, operations, self._writers) is not Effect.WRITE:
                continue
            elif not message.tool:
                flaw = f"The proxy does not know the method {message.method[:64]}."
                found = joined(found, WriteFindings((), (flaw,), ("method",), 0, 0))
            else:
                params = entry["params"]
                called = read_tool(params["name"], params.get("arguments"), self._payer, operations)
                found = joined(found, called)
                written.append((f"MCP {message.tool}", params.get("arguments")))
            writes.add(index)
            names.add(f"MCP {message.tool}")
        if self._own is None and any(kind in (Kind.BUDGET, Kind.BID) for _, kind, *_ in found.members):
            found = joined(found, WriteFindings((), (_NO_ACCOUNT,), ("account of MCP",), 0, 0))
        return _Read(found, frozenset(names), tuple(written), messages, frozenset(writes))

    def _flaw_of(self, message: McpMessage, entry: Any) -> str:
        """Why a message cannot be read although it is clear; empty where nothing hinders."""
        if message.tool:
            further = sorted(entry["params"].keys() - _CALL_MEMBERS)
            if further:
                return f"A call with the member {further[0][:64]} cannot be read: leave it out."
            foreign = None if self._own is None else find_foreign_member(self._own, entry["params"])
            return f"{foreign} may name another account than the one in force: leave it out." if foreign else ""
        result = entry.get("result")
        if isinstance(result, dict) and result.get("action", "decline") not in ("decline", "cancel"):
            return _ANSWERED
        return ""


_NOTHING: Final = WriteFindings((), (), (), 0, 0)


# --- The gate -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Terms:
    """What all writes with one decision are judged by."""

    memory: SpendMemory
    limits: SpendLimits
    payer: Payer
    reader: _RestReader | _MessageReader


class SpendGate:
    """Implements `Gate`: one write of a client with limits."""

    may_pass_unread = True
    """A body that is too large to be read is for `wait` to decide about."""
    rewrite = None
    waits = True
    tap: Tap | None = None
    _read: _Read | None = None
    _wanted: Reservation | None = None

    def __init__(self, terms: _Terms, context: RequestContext) -> None:
        self._terms, self._context = terms, context

    def __repr__(self) -> str:
        return f"<SpendGate of {self._context.request.id}: {self._context.stats.judged!r}>"

    @property
    def _enforces(self) -> bool:
        return self._terms.limits.mode is SpendMode.ENFORCE

    def read(self, body: JsonBody) -> None:
        self.waits = False
        context, terms = self._context, self._terms
        if context.decision.asked.overrides:
            self._met_override()
            return
        try:
            read = self._read = terms.reader.read(context, body)
        except UnclearMessage as error:
            self._met_unclear(f"{error}", refuse_unclear(error))
            return
        except NotUtf8 as error:
            text = f"The body cannot be read: {error}."
            if not self._passes_unread(text):
                raise SpendUnreadable(f"Nothing was changed. {text}").saying(unreadable=[text]) from None
            return
        except (TooCostly, TooManyTexts, AlikeNames) as error:
            self._met_unclear(f"{error}")
            return
        except (ValueError, RecursionError):
            self._met_unclear("the body is not plain JSON in UTF-8, or has a name twice")
            return
        if read.messages is not None and not read.writes:
            return
        judged = self._judge(read.found)
        wanted = self._wanted = reservation_of(read.found, terms.limits)
        if wanted is None and judged.verdict is _WITHIN:
            return
        self.waits = wanted is not None or self._may_be_approved(judged)
        if not self.waits:
            self._refuse_unless_permitted(judged)

    def _judge(self, found: WriteFindings) -> SpendJudgement:
        """Judge the write by all but its day. Its hours are judged again when it leaves."""
        context, terms = self._context, self._terms
        judged = context.stats.judged = judge(found, terms.limits, terms.payer, terms.memory.wall())
        if terms.limits.hours is not None:
            context.look_again = self._look_again
        return judged

    def _look_again(self) -> None:
        """Raise the refusal of a write that waited until its hours were over."""
        stats, terms = self._context.stats, self._terms
        assert stats.judged is not None
        judged = judge_departure(stats.judged, terms.limits, terms.payer, terms.memory.wall())
        if judged is not stats.judged:
            stats.judged = judged
            self._refuse_unless_permitted(judged)

    async def wait(self) -> OwnAnswer | None:
        if self._read is None:
            self._met_too_large()
        elif self._wanted is not None:
            await self._reserve(self._wanted)
        elif (judged := self._context.stats.judged) is not None:
            await self._approve(judged, None)
        return None

    # --- refusals

    def _permits(self, judged: SpendJudgement) -> bool:
        """Whether a write that is judged so may leave."""
        if judged.verdict is SpendVerdict.WITHIN or not self._enforces:
            return True
        return judged.verdict is SpendVerdict.UNREADABLE and self._is_allowed

    @property
    def _is_allowed(self) -> bool:
        """Whether `allow` names each operation of the write. Of another one that a field asks for, nothing is known."""
        if self._context.decision.asked.overrides:
            return False
        reader, read = self._terms.reader, self._read
        names = read.operations if read is not None else frozenset((reader.name(self._context),))
        return bool(names) and names <= self._terms.limits.allow

    def _refuse_unless_permitted(self, judged: SpendJudgement) -> None:
        if not self._permits(judged):
            raise self._answer(refusal_of(judged), text_for_models(judged))

    def _answer(self, error: Refused, text: str) -> Refused:
        """A refusal in the form of the request's endpoint."""
        read = self._read
        if read is None or read.messages is None:
            return error
        texts = [text if index in read.writes else "" for index in range(len(read.messages.messages))]
        return refuse_messages(error, read.messages, texts)

    def _met_unclear(self, flaw: str, refusal: Refused | None = None) -> None:
        """The body is no JSON that all read alike."""
        if not self._passes_unread(f"The body cannot be read: {flaw}."):
            raise refusal or AmbiguousBody(f"Nothing was changed. The limits of this client need a clear body: {flaw}.")

    def _met_override(self) -> None:
        """The operation that is meant may be any."""
        if not self._passes_unread(_OVERRIDDEN):
            raise SpendUnreadable(f"Nothing was changed. {_OVERRIDDEN}").saying(unreadable=[_OVERRIDDEN])

    def _met_too_large(self) -> None:
        text = _TOO_LARGE.format(limit=self._context.rules.replay_bytes)
        if not self._passes_unread(text):
            raise SpendUnreadable(f"Nothing was changed. {text}").saying(unreadable=[text])

    def _passes_unread(self, text: str) -> bool:
        """Whether a write may leave of which nothing was read, for the reason in the text. Raises the refusal of one
        that `allow` opens, outside of its hours."""
        name = self._terms.reader.name(self._context)
        judged = self._judge(WriteFindings((), (text,), (f"body of {name}",), 0, 0))
        if self._is_allowed:
            self._refuse_unless_permitted(judged)
        return self._is_allowed or not self._enforces

    # --- the day

    async def _reserve(self, wanted: Reservation) -> None:
        """Count a write before it leaves. One that is refused anyway is judged by the day, too, and not counted."""
        context, memory = self._context, self._terms.memory
        read, judged, now = self._read, context.stats.judged, memory.wall()
        assert read is not None and judged is not None
        key = DayKey(context.client, day_of(self._terms.payer, now) or day_of(_UNKNOWN, now))
        try:
            is_granted, used = await self._count(key, wanted, judged)
        except (LedgerUnavailable, TimeoutError) as error:
            if not self._enforces or isinstance(error, TimeoutError):
                return
            raise self._answer(error, f"Nothing was changed. {error.detail}") from None
        judged = context.stats.judged = judge_day(judged, wanted, self._terms.limits, used)
        counted = _Counted(key, read.found, wanted, read.messages)
        if is_granted:
            self.tap = SpendTap(memory.ledger, self._terms.limits, counted, context)
        elif self._may_be_approved(judged):
            await self._approve(judged, counted)
            return
        self._refuse_unless_permitted(judged)
        if not is_granted and self._enforces:  # the day's ledger has the last word
            raise self._answer(LedgerUnavailable(_CHANGED, retry_after=1.0), _CHANGED)

    async def _count(self, key: DayKey, wanted: Reservation, judged: SpendJudgement) -> tuple[bool, DayUse]:
        """Whether the ledger counts the write, and what the day took before it. Raises `LedgerUnavailable`, and
        `TimeoutError` where a write is only observed: it does not wait for a store that hangs."""
        ledger = self._terms.memory.ledger
        if not self._enforces:
            async with asyncio.timeout(OBSERVED_SECONDS):
                return await ledger.reserve(key, wanted, None)
        if not self._permits(judged):
            return False, await ledger.look(key)
        return await ledger.reserve(key, wanted, self._terms.limits)

    # --- a person's approval

    def _may_be_approved(self, judged: SpendJudgement) -> bool:
        """Whether a person may let pass what these limits refuse: only what was read whole, for a known advertiser, and
        with all its violations in view."""
        if judged.verdict is not SpendVerdict.OVER or judged.unread or not self._enforces:
            return False
        is_asked = self._terms.limits.beyond is Beyond.APPROVE and self._identity is not None
        return is_asked and can_be_shown(judged.violations)

    @property
    def _identity(self) -> WriteIdentity | None:
        return self._terms.reader.identify(self._context, self._terms.limits)

    async def _approve(self, judged: SpendJudgement, counted: _Counted | None) -> None:
        """Let an approved write pass, which its day counts whatever the limits. Raises the refusal of any other, for
        which a person is asked."""
        context, desk, ledger = self._context, self._terms.memory.desk, self._terms.memory.ledger
        read, identity = self._read, self._identity
        assert read is not None and identity is not None
        try:
            write = await _question(read, identity, judged)
        except RecursionError:  # just short of what is too deep to be read
            raise self._answer(refusal_of(judged), text_for_models(judged)) from None
        try:
            approval = await desk.find_approved(context, write, tuple(WrittenBody(*each) for each in read.written))
            await self._use(approval, judged, counted)
        except Refused as error:
            asked = error.further.get("approval_id")
            if asked is not None:
                context.stats.judged = judged._replace(approval=UsedApproval(f"{asked}"))
            raise self._answer(error, desk_text(error, judged)) from None
        context.stats.judged = judged._replace(verdict=SpendVerdict.APPROVED, approval=used(approval))
        tap = SpendTap(ledger, self._terms.limits, counted, context) if counted is not None else None
        self.tap = ApprovalTap(desk.approvals, write.client, approval.id, tap)

    async def _use(self, approval: Approval, judged: SpendJudgement, counted: _Counted | None) -> None:
        """Use the approval of a write, which its day counts from then on. Raises what forbids that, and nothing is
        counted then: the approval ended, or other writes took what was left of the day, which the approver did not see.
        """
        approvals, ledger, day = self._terms.memory.desk.approvals, self._terms.memory.ledger, DayUse()
        if counted is not None:
            _, day = await ledger.reserve(counted.key, counted.reserved, None)
        is_used = False
        try:
            if counted is not None:
                of_day = judge_day(judged._replace(violations=()), counted.reserved, self._terms.limits, day)
                if approval.is_too_narrow(of_day.violations):
                    raise LedgerUnavailable(_CHANGED, retry_after=1.0)
            is_used = await approvals.use(approval.write.client, approval.id)
        finally:
            if counted is not None and not is_used:
                ledger.release(counted.key, counted.reserved)
        if not is_used:
            raise LedgerUnavailable(_USED, retry_after=1.0)


async def _question(read: _Read, identity: WriteIdentity, judged: SpendJudgement) -> WriteToApprove:
    """What a person is asked about a write."""
    content = [[operation, content] for operation, content in read.written]
    digest = await asyncio.to_thread(digest_of, identity, content)
    return WriteToApprove(
        client=identity.client,
        digest=digest,
        limits=identity.limits,
        operation=", ".join(sorted(read.operations)),
        target=f"{identity.method} {identity.target}",
        account=identity.account,
        region=identity.region,
        scope=_scope_of(identity),
        violations=judged.violations,
    )


def _scope_of(identity: WriteIdentity) -> str:
    """The profile or the ads account of a write, and all else that names an account at Amazon."""
    (_, profile), (_, ads_account), *fields = identity.addressed
    known = dict.fromkeys(filter(None, (profile, ads_account)))
    further = (f"{name}: {value}" for name, value in fields if value not in known and names_account(name.encode()))
    return ", ".join((*known, *further))


_USED: Final = "Nothing was changed: the approval was used or ended meanwhile. Send the request again."
_UNKNOWN: Final = Payer("", "UTC")
"""Whose day counts a write that may leave although its own is not known."""
_CHANGED: Final = "Nothing was changed: other writes were counted meanwhile. Send it again."


# --- What became of a write ---------------------------------------------------------------------------------


_NOTHING_DONE: Final = frozenset((400, 401, 403, 404, 405, 411, 413, 414, 415, 422, 431))
"""Statuses by which a server says that it did nothing. Others may come from a server that carried the write out, and
then could not answer as it was asked to: 406, 408, 416, 429, and all from 500 on."""


class _Counted(NamedTuple):
    """A write that the ledger counts. `messages` are those of a body for the MCP endpoint."""

    key: DayKey
    found: WriteFindings
    reserved: Reservation
    messages: McpBody | None = None


class ApprovalTap(Tap):
    """Sees an approved write pass. Of one that never left, the approval is given back. `counted` is the tap of a write
    that its day counts, too."""

    __slots__ = ("_approvals", "_client", "_counted", "_identifier")

    def __init__(self, approvals: Approvals, client: str, identifier: str, counted: SpendTap | None) -> None:
        self._approvals, self._client, self._identifier, self._counted = approvals, client, identifier, counted

    def wanted(self, response: Response) -> int:
        return -1 if self._counted is None else self._counted.wanted(response)

    def ended(self, end: End) -> Reading | None:
        if not end.sent:
            self._approvals.give_back(self._client, self._identifier)
        return None if self._counted is None else self._counted.ended(end)


class SpendTap(Tap):
    """Sees a write pass that is counted, and gives back what has failed of it for certain."""

    __slots__ = ("_context", "_counted", "_ledger", "_limits")

    def __init__(self, ledger: Ledger, limits: SpendLimits, counted: _Counted, context: RequestContext) -> None:
        self._ledger, self._limits, self._counted, self._context = ledger, limits, counted, context

    def wanted(self, response: Response) -> int:
        fields = response.fields
        if not 200 <= response.status < 300 or (fields.content_length or 0) > MAX_JUDGED:
            return -1
        return MAX_JUDGED if may_hold_results(fields.content_type) else 0

    def ended(self, end: End) -> Reading | None:
        response = end.response
        if not end.sent or (response is not None and response.status in _NOTHING_DONE):
            self._ledger.release(self._counted.key, self._counted.reserved)
            return None
        if response is None or end.body is None or not 200 <= response.status < 300:
            return None
        coding = response.fields.content_encoding
        if coding in (b"", b"identity") and not JsonBody(end.body).costs_more_than(JUDGED_AT_ONCE):
            self._settle(self._find_failed(response, end.body))
            return None
        context = self._context
        reading = READER.read(context.pool.loop, context.client, self._find_failed, response, end.body)
        return Reading(reading, lambda: None if reading.cancelled() else self._settle(reading.result()))

    def _find_failed(self, response: Response, body: bytes) -> Reservation | None:
        """What failed of the write, as its response tells; None where nothing did. May run in a thread."""
        found = decode_body(body, response.fields.content_encoding, MAX_JUDGED)
        if found is None or JsonBody(found).costs_more_than(MAX_COST_JUDGED):
            return None
        content_type, (_, write, reserved, _) = response.fields.content_type, self._counted
        outcome, items = self._judge(response.status, content_type, found)
        if outcome not in (Outcome.FAILURE, Outcome.PARTIAL):
            return None
        failed_items = find_failed_items(content_type, found)
        is_whole = items is None or 0 < write.items <= items.failed
        if outcome is Outcome.FAILURE and not failed_items and is_whole:
            return reserved
        kept = succeeded_part(write, self._limits, failed_items)
        left = dict(kept.budgets)
        budgets = tuple((currency, amount - left.get(currency, 0)) for currency, amount in reserved.budgets)
        return Reservation(reserved.created - kept.created, budgets)

    def _judge(self, status: int, content_type: bytes, body: bytes) -> WriteOutcome:
        """The outcome of the write: unknown for several messages, and for one that wants no answer."""
        messages = self._counted.messages
        if messages is None:
            return judge_outcome(status, content_type, body)
        message = messages.messages[0]
        is_told = not messages.batch and message.asks
        return judge_answer(content_type, body, message.identifier) if is_told else WriteOutcome(Outcome.UNKNOWN)

    def _settle(self, failed: Reservation | None) -> None:
        if failed is not None:
            self._ledger.release(self._counted.key, failed)
