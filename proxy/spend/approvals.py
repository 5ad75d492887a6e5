"""Approvals: whether a person lets a write pass that is over a limit, and what becomes of that. Pure.

A write is never kept and never sent by the proxy: the client sends it again. An approval holds for exactly the write
that it was asked for, once, and for a time. `ApprovalBook` has the approvals of one client, and each change makes
another book; `approval_keeper` keeps them in the state store.

| from \\ to | approved | denied | expired | used | void |
|---|---|---|---|---|---|
| pending | a person | a person | `pending_for` is over | | limits, freeze, clock, further violations |
| approved | | a person | `valid_for` is over | its write | the same, changed objects |
| used | nothing of its write was sent | | | | |

Denied, expired, used and void approvals end so; a used one comes back alone where nothing of its write was sent.

An approver decides about the violations that they see. A write that comes again and is over another limit meanwhile,
such as hours that have ended, is asked about again, and that ends the earlier question or approval. While too many are
pending, neither happens: what was approved holds again once the write is over no other limit.

Clocks of replicas differ, so no rule compares moments of two of them but two: expiry, and that a moment far ahead shows
a clock that was set back. An approval has the last changes of
freezes that were known when it was asked for, and a later one ends it. It counts its changes (`revision`), by which a
program notices that the store has an older state of it than the program saw.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from proxy.errors import UnknownApproval
from proxy.events import ApprovalState, SpendRule, SpendViolation, ValueChange
from proxy.spend.judge import MAX_VIOLATIONS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEPT_SECONDS: Final = 7 * 86400.0
"""For how long an approval is kept that has ended."""
MOST_ENDED: Final = 200
"""How many of these are kept of each client."""
MOST_ENDED_CHARACTERS: Final = 250_000
"""How many characters these have together: every change reads and writes all."""
USUAL_CHARACTERS: Final = 2500
"""Characters of an approval that is not large. As many large ones as `max_pending` allows would take long to keep."""
MAX_SHOWN: Final = 100
"""Changes of a write that a person is shown."""
MAX_CHARACTERS: Final = 16_384
"""Characters of these changes as JSON has them, and of the violations: the first change fits, whatever it is."""
_MAX_NAME: Final = 2048
LIMITS_CHANGED: Final = "The limits of the client have changed."
CLOCK_SKEW: Final = 300.0
"""Seconds by which the clocks of two replicas may differ."""
SET_BACK: Final = "A clock was set back, so that the age of the approval is not certain."
FROZEN: Final = "The writes of the client were frozen."
FURTHER: Final = "The write came again and was over a limit that this approval does not show."
_FORM: Final = 1
_LIVE: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


class WriteToApprove(NamedTuple):
    """What a person is asked about. `digest` stands for exactly this write (`write_digest`), `limits` is the version of
    the client's limits. `operation` is the name in the table of money fields, `target` the requested path, or
    the name of the MCP tool. `scope` is the profile or the ads account and all else that names one; it may be empty.
    `further` counts the changes that are not among those here, `size` the characters of those that are."""

    client: str
    digest: str
    limits: str
    operation: str
    target: str
    account: str
    region: str
    scope: str
    violations: tuple[SpendViolation, ...]
    changes: tuple[ValueChange, ...] = ()
    further: int = 0
    size: int = 0

    def members(self) -> dict[str, Any]:
        return self._asdict()

    def with_changes(self, changes: tuple[ValueChange, ...]) -> Self:
        """The same write with the first of its changes, as many as an approval may hold, and the number of the others.
        A target or a scope that is too long is cut."""
        shown = changes[: _fitting(changes)]
        target, scope, further = _cut(self.target), _cut(self.scope), self.further + len(changes) - len(shown)
        size = len(target) + len(scope) + sum(len(json.dumps(each)) for each in (*shown, *self.violations))
        return self._replace(target=target, scope=scope, changes=shown, further=further, size=size)


def can_be_shown(violations: Sequence[SpendViolation]) -> bool:
    """Whether an approver would see each violation of a write: a large one is not to hide behind many small ones. The
    list of a judgement that is full may have been cut."""
    return len(violations) < MAX_VIOLATIONS and _fitting(violations) == len(violations)


def limits_of(violations: Iterable[SpendViolation]) -> frozenset[tuple[SpendRule, str, str]]:
    """The limits that are violated: rule, path and currency of each. Values are left out. Those of a write are in its
    digest, and what its day has taken goes on while it waits."""
    return frozenset((rule, path, currency) for rule, path, _, currency, _ in violations)


def _fitting(entries: Sequence[ValueChange | SpendViolation]) -> int:
    """How many of these an approval holds. Clients choose their texts, and each change of a client's approvals reads
    and writes all."""
    left = MAX_CHARACTERS
    for count, entry in enumerate(entries[:MAX_SHOWN]):
        left -= len(json.dumps(entry))
        if left < 0:
            return count
    return min(len(entries), MAX_SHOWN)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_NAME else f"{text[:_MAX_NAME]}..."


class FreezeChanges(NamedTuple):
    """When the freeze of a client, and the one of all clients, last began or ended; 0 for never."""

    client: float = 0.0
    all: float = 0.0


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to a person. Moments are of the wall clock. `expires_at` is when the state ends by itself: that of a
    pending one, of an approved one, and of the memory of a denial. `by` is the approver, empty before a decision;
    `because` is the reason of a denial, or why it is void. `ended_at` is when it was denied, expired, used or void.

    `freezes` are those that were known when it was asked for. `revision` counts its changes, and `change` is the mark
    of who made the last one.
    """

    id: str
    write: WriteToApprove
    state: ApprovalState
    asked_at: float
    expires_at: float
    by: str = ""
    because: str = ""
    decided_at: float | None = None
    used_at: float | None = None
    ended_at: float | None = None
    freezes: FreezeChanges = FreezeChanges()
    revision: int = 0
    change: str = ""

    @property
    def is_live(self) -> bool:
        """Whether its write may still be sent, now or after a decision."""
        return self.state in _LIVE

    def is_too_narrow(self, violations: Iterable[SpendViolation]) -> bool:
        """Whether its write, which has these violations now, is over a limit that its approver does not see."""
        return self.is_live and not limits_of(violations) <= limits_of(self.write.violations)


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """What the configuration says of approvals: seconds, and a number for each client."""

    valid_for: float = 3600.0
    pending_for: float = 86400.0
    max_pending: int = 100


class Found(NamedTuple):
    """What is known of a write that is over a limit: the approval that its sender should hear of, None without one or
    if that is over; `is_full` tells that no more can be asked now."""

    approval: Approval | None
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a change of a book depends on. `now` is wall-clock time, `change` the mark of who makes it. `limits` is the
    version of the client's limits in force, empty where nothing can be approved. `superseded` are versions that were in
    force before others: what was asked under them has ended, even if the same limits are in force again."""

    now: float
    change: str
    terms: ApprovalTerms
    limits: str
    superseded: frozenset[str] = frozenset()
    freezes: FreezeChanges = FreezeChanges()
    is_frozen: bool = False


class ApproverDecision(NamedTuple):
    """What an approver says: `state` is approved or denied."""

    state: ApprovalState
    by: str
    because: str = ""


class ApprovalOver(Exception):
    """A decision about an approval that has ended."""

    def __init__(self, approval: Approval) -> None:
        super().__init__(approval.id, approval.state)
        self.approval = approval


@dataclass(frozen=True, slots=True)
class ApprovalBook:
    """The approvals of one client, in the order in which they were asked for. Each change returns another book, or the
    same one if nothing changes."""

    approvals: tuple[Approval, ...] = ()

    def get(self, identifier: str) -> Approval | None:
        return next((each for each in self.approvals if each.id == identifier), None)

    def find(self, digest: str, now: float) -> Approval | None:
        """What the sender of this write should hear of: a live approval, or a denial that is remembered."""
        return next(
            (each for each in reversed(self.approvals) if each.write.digest == digest and _is_told(each, now)), None
        )

    def is_full(self, terms: ApprovalTerms) -> bool:
        """Whether as many are pending as may be, or as much."""
        sizes = [each.write.size for each in self.approvals if each.state is ApprovalState.PENDING]
        return len(sizes) >= terms.max_pending or sum(sizes) >= terms.max_pending * USUAL_CHARACTERS

    # --- changes, for a book that is settled

    def ask(self, identifier: str, write: WriteToApprove, at: Circumstances) -> ApprovalBook:
        """The book with this question under this id, unless the write has one already, or too many are pending. An
        earlier question that does not show all violations ends, if another one takes its place."""
        known = self.find(write.digest, at.now)
        if known is not None and known.is_too_narrow(write.violations):
            instead = self._with(_moved(known, ApprovalState.VOID, at, because=FURTHER)).ask(identifier, write, at)
            return self if instead.find(write.digest, at.now) is None else instead
        if known is not None or self.is_full(at.terms):
            return self
        expires_at = at.now + at.terms.pending_for
        asked = Approval(
            identifier, write, ApprovalState.PENDING, at.now, expires_at, freezes=at.freezes, change=at.change
        )
        return ApprovalBook((*self.approvals, asked))

    def decide(self, identifier: str, decision: ApproverDecision, at: Circumstances) -> ApprovalBook:
        """The book after a decision. A pending approval takes any, an approved one a denial; to approve it once more
        changes nothing. Raises `UnknownApproval` and `ApprovalOver`."""
        approval = self.get(identifier)
        if approval is None:
            raise unknown_approval(identifier)
        if not approval.is_live:
            raise ApprovalOver(approval)
        if approval.state is decision.state:
            return self
        return self._with(
            _moved(
                approval,
                decision.state,
                at,
                by=decision.by,
                because=decision.because,
                decided_at=at.now,
                expires_at=at.now + at.terms.valid_for,
            )
        )

    def use(self, identifier: str, at: Circumstances) -> ApprovalBook:
        """The book in which an approved approval is used; its `change` tells by whom."""
        approval = self.get(identifier)
        if approval is None or approval.state is not ApprovalState.APPROVED:
            return self
        return self._with(_moved(approval, ApprovalState.USED, at, used_at=at.now))

    def give_back(self, identifier: str, used_by: str, at: Circumstances) -> ApprovalBook:
        """The book in which an approval is approved again, if this change used it."""
        approval = self.get(identifier)
        if approval is None or approval.state is not ApprovalState.USED or approval.change != used_by:
            return self
        return self._with(_moved(approval, ApprovalState.APPROVED, at, used_at=None))

    def void(self, identifier: str, because: str, at: Circumstances) -> ApprovalBook:
        """The book in which an approved approval has ended, as its objects have changed."""
        approval = self.get(identifier)
        if approval is None or approval.state is not ApprovalState.APPROVED:
            return self
        return self._with(_moved(approval, ApprovalState.VOID, at, because=because))

    def settle(self, at: Circumstances) -> ApprovalBook:
        """The book in which everything has ended that time, limits or freezes have ended."""
        return self._of(_settled(each, at) for each in self.approvals)

    def restore(self, seen: Mapping[str, Approval]) -> ApprovalBook:
        """The book with the ends that were seen, by id, where a store that lost data has an earlier state. What it has
        lost altogether stays lost: its write has to be asked for again."""
        return self._of(
            known if (known := seen.get(each.id)) is not None and known.revision > each.revision else each
            for each in self.approvals
        )

    def forget(self, now: float) -> ApprovalBook:
        """The book without approvals that ended long ago, or before many others."""
        ended = [(each.ended_at, each.write.size) for each in self.approvals if each.ended_at is not None]
        ended.sort(reverse=True)
        sizes = accumulate(size for _, size in ended)
        count = min(MOST_ENDED, max(1, sum(size <= MOST_ENDED_CHARACTERS for size in sizes)))
        since = max(now - KEPT_SECONDS, ended[count - 1][0] if count < len(ended) else 0.0)
        kept = tuple(each for each in self.approvals if each.ended_at is None or each.ended_at >= since)
        return self if len(kept) == len(self.approvals) else ApprovalBook(kept)

    def _with(self, changed: Approval) -> ApprovalBook:
        return ApprovalBook(tuple(changed if each.id == changed.id else each for each in self.approvals))

    def _of(self, approvals: Iterable[Approval]) -> ApprovalBook:
        book = ApprovalBook(tuple(approvals))
        return self if book == self else book

    # --- as the state store has it

    def to_document(self) -> dict[str, Any]:
        return {"form": _FORM, "approvals": [write_approval(each) for each in self.approvals]}

    @classmethod
    def from_document(cls, document: object) -> ApprovalBook:
        """What `to_document` wrote; an empty book for None. Raises `ValueError` for anything else."""
        if document is None:
            return cls()
        if not isinstance(document, dict) or document.keys() != {"form", "approvals"} or document["form"] != _FORM:
            raise ValueError("The kept approvals have an unknown form.")
        return cls(tuple(map(read_approval, _items(document["approvals"]))))


def unknown_approval(identifier: str) -> UnknownApproval:
    """The refusal of a decision about an approval that is not kept."""
    return UnknownApproval(f"There is no approval {identifier[:64]}: it is another one, or ended long ago.")


def _is_told(approval: Approval, now: float) -> bool:
    """Whether the sender of a write hears of its approval."""
    return approval.is_live or (approval.state is ApprovalState.DENIED and now < approval.expires_at)


def _moved(approval: Approval, state: ApprovalState, at: Circumstances, **changes: Any) -> Approval:
    ended_at = None if state in _LIVE else at.now
    revision = approval.revision + 1
    return replace(approval, state=state, ended_at=ended_at, revision=revision, change=at.change, **changes)


def _settled(approval: Approval, at: Circumstances) -> Approval:
    """An approval as it is at a moment."""
    if not approval.is_live:
        return approval
    if at.now >= approval.expires_at:
        return _moved(approval, ApprovalState.EXPIRED, at)
    if approval.write.limits != at.limits or approval.write.limits in at.superseded:
        return _moved(approval, ApprovalState.VOID, at, because=LIMITS_CHANGED)
    if max(approval.asked_at, approval.decided_at or 0.0) > at.now + CLOCK_SKEW:
        return _moved(approval, ApprovalState.VOID, at, because=SET_BACK)
    asked = approval.freezes
    if at.is_frozen or at.freezes.client > asked.client or at.freezes.all > asked.all:
        return _moved(approval, ApprovalState.VOID, at, because=FROZEN)
    return approval


# --- An approval as JSON has it, for the store and between processes ----------------------------------------


def write_approval(approval: Approval) -> dict[str, Any]:
    return {
        "id": approval.id,
        "write": write_asked(approval.write),
        "state": approval.state.value,
        "asked_at": approval.asked_at,
        "expires_at": approval.expires_at,
        "by": approval.by,
        "because": approval.because,
        "decided_at": approval.decided_at,
        "used_at": approval.used_at,
        "ended_at": approval.ended_at,
        "freezes": list(approval.freezes),
        "revision": approval.revision,
        "change": approval.change,
    }


def read_approval(said: Any) -> Approval:
    """What `write_approval` wrote. Raises `ValueError` for anything else."""
    members = _members(said, Approval.__annotations__)
    state = ApprovalState(_typed(members["state"], str))
    ended_at = _moment_or_none(members["ended_at"])
    if (ended_at is None) is not (state in _LIVE):
        raise ValueError("An approval has no end, or an end before it ended.")
    client_freeze, freeze_of_all = map(_moment, _items(members["freezes"]))
    return Approval(
        id=_typed(members["id"], str),
        write=read_asked(members["write"]),
        state=state,
        asked_at=_moment(members["asked_at"]),
        expires_at=_moment(members["expires_at"]),
        by=_typed(members["by"], str),
        because=_typed(members["because"], str),
        decided_at=_moment_or_none(members["decided_at"]),
        used_at=_moment_or_none(members["used_at"]),
        ended_at=ended_at,
        freezes=FreezeChanges(client_freeze, freeze_of_all),
        revision=_typed(members["revision"], int),
        change=_typed(members["change"], str),
    )


def write_asked(write: WriteToApprove) -> dict[str, Any]:
    violations, changes = [list(each) for each in write.violations], [list(each) for each in write.changes]
    return {**write.members(), "violations": violations, "changes": changes}


def read_asked(said: Any) -> WriteToApprove:
    """What `write_asked` wrote. Raises `ValueError` for anything else."""
    members = _members(said, WriteToApprove.__annotations__)
    texts = {
        name: _typed(value, str)
        for name, value in members.items()
        if name not in ("violations", "changes", "further", "size")
    }
    return WriteToApprove(
        **texts,
        violations=tuple(map(_read_violation, _items(members["violations"]))),
        changes=tuple(map(_read_value_change, _items(members["changes"]))),
        further=_typed(members["further"], int),
        size=_typed(members["size"], int),
    )


def _read_violation(said: Any) -> SpendViolation:
    rule, path, value, currency, limit = _items(said)
    texts = _typed(path, str), _typed(value, str), _typed(currency, str)
    return SpendViolation(SpendRule(_typed(rule, str)), *texts, None if limit is None else _typed(limit, str))


def _read_value_change(said: Any) -> ValueChange:
    of, member, before, after = _items(said)
    known = None if before is None else _typed(before, str)
    return ValueChange(_typed(of, str), _typed(member, str), known, _typed(after, str))


def _members(said: Any, names: Iterable[str]) -> dict[str, Any]:
    """An object that has exactly these members."""
    members: dict[str, Any] = _typed(said, dict)
    if members.keys() != set(names):
        raise ValueError("A kept approval has other members.")
    return members


def _items(said: Any) -> list[Any]:
    found: list[Any] = _typed(said, list)
    return found


def _moment_or_none(said: Any) -> float | None:
    return None if said is None else _moment(said)


def _moment(said: Any) -> float:
    if type(said) not in (int, float) or not isfinite(said):
        raise ValueError("A moment of a kept approval is no number.")
    return float(said)


def _typed(said: Any, kind: type) -> Any:
    """What was read, if it is of exactly this type: a boolean is no number."""
    if type(said) is not kind:
        raise ValueError(f"A member of a kept approval is no {kind.__name__}.")
    return said
