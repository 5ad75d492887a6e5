"""What the limits of each client said of its writes in the last days: the numbers from which an owner sets limits.

For each client and day it has the writes by verdict, each rule with its violations and the largest value, and the names
of fields and tools that could not be read. The newest writes that were held back, or would have been, are kept whole.
Everything is bounded: what is beyond a bound is counted under `OTHERS`. Nothing here knows where it is kept.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from functools import lru_cache
from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.events import UNKNOWN, SpendAmount, SpendJudgement, SpendMode, SpendRule, SpendVerdict, SpendViolation
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.events import RequestFinished, RequestKind

KEPT_DAYS: Final = 8
"""Today, and a week before it; days are in UTC."""
MAX_HELD_BACK: Final = 50
MAX_CLIENTS: Final = 100
MAX_RULES: Final = 40
"""Pairs of rule and currency of a client on one day."""
MAX_NAMES: Final = 40
"""Names of what could not be read of a client on one day."""
OTHERS: Final = "others"
_DAY_SECONDS: Final = 86_400
_MAX_VIOLATIONS: Final = 20
_MAX_SENTENCES: Final = 5
_MAX_TEXT: Final = 160
_MAX_SENTENCE: Final = 500


@dataclass(frozen=True, slots=True)
class ObservedWrite:
    """One write that was judged. `at` is wall-clock time; `operation` is Amazon's name, the tools of MCP, or method and
    path. `sent` tells whether it left for Amazon. Of `judged` a bounded part is kept, and `further` violations not."""

    at: float
    client: str
    operation: str
    sent: bool
    judged: SpendJudgement
    further: int = 0


def judged_write(event: RequestFinished, judged: SpendJudgement, at: float) -> ObservedWrite:
    """The judged write that an event reports, with texts and lists within bounds. Pure."""
    named = " ".join(event.mcp_tools) or _operation_of(event.kind, event.path)
    further = max(0, len(judged.violations) - _MAX_VIOLATIONS)
    return ObservedWrite(at, event.client, named[:_MAX_TEXT], event.attempts > 0, _bounded(judged), further)


def _operation_of(kind: RequestKind, path: str) -> str:
    return kind.operation if kind.operation != UNKNOWN else f"{kind.method} {path}"


def _bounded(judged: SpendJudgement) -> SpendJudgement:
    """The judgement with texts and lists within bounds; most are as they are."""
    if not (judged.violations or judged.unread or judged.unknown) and len(judged.largest) <= MAX_RULES:
        return judged
    return judged._replace(
        violations=tuple(_cut_violation(each) for each in judged.violations[:_MAX_VIOLATIONS]),
        unread=tuple(text[:_MAX_SENTENCE] for text in judged.unread[:_MAX_SENTENCES]),
        unknown=tuple(text[:_MAX_TEXT] for text in judged.unknown[:MAX_NAMES]),
        largest=judged.largest[:MAX_RULES],
    )


def _cut_violation(violation: SpendViolation) -> SpendViolation:
    rule, path, value, currency, limit = violation
    return SpendViolation(
        rule, path[:_MAX_TEXT], value[:_MAX_TEXT], currency[:_MAX_TEXT], None if limit is None else limit[:_MAX_TEXT]
    )


def write_judged(write: ObservedWrite) -> dict[str, Any]:
    """A judged write as JSON has it, for the store."""
    return {**asdict(write), "judged": write.judged._asdict()}


def read_judged(said: Any) -> ObservedWrite:
    """What `write_judged` made, after JSON. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
    judged = said["judged"]
    verdict = SpendJudgement(
        SpendMode(judged["mode"]),
        SpendVerdict(judged["verdict"]),
        tuple(SpendViolation(SpendRule(rule), *rest) for rule, *rest in judged["violations"]),
        tuple(map(str, judged["unread"])),
        tuple(map(str, judged["unknown"])),
        tuple(SpendAmount(SpendRule(rule), *rest) for rule, *rest in judged["largest"]),
    )
    at, client, operation = float(said["at"]), str(said["client"]), str(said["operation"])
    return ObservedWrite(at, client, operation, bool(said["sent"]), verdict, int(said["further"]))


# --- Sums ---------------------------------------------------------------------------------------------------


RuleKey = tuple[str, str]
"""A rule, and the currency of the amounts that it judged; empty for other values."""


class RuleTally(NamedTuple):
    """The violations of a rule, the largest value that was judged by it (of words the last one), and the limit when it
    was last violated, None without one."""

    violations: int = 0
    largest: str = ""
    limit: str | None = None

    def plus(self, other: RuleTally) -> RuleTally:
        """Both together; `other` is the newer one."""
        limit = other.limit if other.violations else self.limit
        return RuleTally(self.violations + other.violations, _larger(self.largest, other.largest), limit)


def _larger(one: str, other: str) -> str:
    """The larger of two amounts; of words the other one."""
    if one == other:
        return one
    with contextlib.suppress(DecimalException):
        if one and other:
            return max(one, other, key=Decimal)
    return other or one


class ClientTally:
    """What was judged of a client. Times are wall-clock time, `judged` counts by mode and verdict, `unknown` counts
    the writes by what could not be read of them."""

    __slots__ = ("judged", "last", "rules", "since", "unknown")

    def __init__(self, since: float) -> None:
        self.since = self.last = since
        self.judged: Counter[tuple[str, str]] = Counter()
        self.rules: dict[RuleKey, RuleTally] = {}
        self.unknown: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<ClientTally of {self.judged.total()} writes>"

    @property
    def verdicts(self) -> dict[str, int]:
        """The writes by verdict, in whichever mode."""
        found = Counter[str]()
        for (_, verdict), count in self.judged.items():
            found[verdict] += count
        return dict(found)

    @property
    def violations(self) -> dict[str, int]:
        """The violations by rule, in whichever currency."""
        found = Counter[str]()
        for (rule, _), tally in self.rules.items():
            found[rule] += tally.violations
        return {rule: count for rule, count in found.items() if count}

    def count(self, judged: SpendJudgement, at: float) -> None:
        """Count a write by its verdict and its largest values. Most are as large as those of a write before."""
        if at > self.last:
            self.last = at
        elif at < self.since:
            self.since = at
        self.judged[judged.mode, judged.verdict] += 1
        for rule, currency, value in judged.largest[:MAX_RULES]:
            known = self.rules.get((rule, currency))
            if known is None or known.largest != value:
                self._note_rule((rule.value, currency), RuleTally(0, value))

    def note(self, write: ObservedWrite) -> None:
        judged = write.judged
        self.count(judged, write.at)
        for rule, _, value, currency, limit in judged.violations:
            self._note_rule((rule.value, currency), RuleTally(1, value, limit))
        if judged.unread or judged.verdict is SpendVerdict.UNREADABLE:
            for name in dict.fromkeys(judged.unknown or (f"operation {write.operation}",)):
                self._count_name(name, 1)

    def add(self, other: ClientTally) -> None:
        """Add what was counted elsewhere, or later."""
        self._span(other.since, other.last)
        self.judged.update(other.judged)
        for key, tally in other.rules.items():
            self._note_rule(key, tally)
        for name, count in other.unknown.items():
            self._count_name(name, count)

    def _span(self, since: float, last: float) -> None:
        self.since, self.last = min(self.since, since), max(self.last, last)

    def _note_rule(self, key: RuleKey, tally: RuleTally) -> None:
        known = self.rules.get(key)
        if known is None and len(self.rules) >= MAX_RULES:
            key = key[0], OTHERS
            known = self.rules.get(key)
        self.rules[key] = tally if known is None else known.plus(tally)

    def _count_name(self, name: str, count: int) -> None:
        self.unknown[name if name in self.unknown or len(self.unknown) < MAX_NAMES else OTHERS] += count

    def to_document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "since": self.since,
            "last": self.last,
            "judged": [[*map(str, key), count] for key, count in self.judged.items()],
            "rules": [[*key, *tally] for key, tally in self.rules.items()],
            "unknown": dict(self.unknown),
        }

    @classmethod
    def read(cls, said: Any) -> ClientTally:
        """What `to_document` made. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        found = cls(float(said["since"]))
        found.last = float(said["last"])
        found.judged.update({(str(mode), str(verdict)): int(count) for mode, verdict, count in said["judged"]})
        for rule, currency, violations, largest, limit in said["rules"]:
            found.rules[str(rule), str(currency)] = RuleTally(int(violations), str(largest), limit)
        found.unknown.update({str(name): int(count) for name, count in said["unknown"].items()})
        return found


class SpendObservations:
    """The tallies of all clients by day, and the newest writes that were not within their limits."""

    def __init__(self) -> None:
        self._days: dict[str, dict[str, ClientTally]] = {}
        self._held_back: list[ObservedWrite] = []

    def __repr__(self) -> str:
        return f"<SpendObservations of {len(self._days)} days, {len(self._held_back)} held back>"

    def __bool__(self) -> bool:
        return bool(self._days)

    def note(self, write: ObservedWrite) -> None:
        """Count a write that was judged."""
        day = _day(write.at)
        is_new = day not in self._days
        self._tally(day, write.client, write.at).note(write)
        if write.judged.verdict is not SpendVerdict.WITHIN:
            self._hold((write,))
        if is_new:
            self._forget(write.at)

    def note_within(self, client: str, judged: SpendJudgement, at: float) -> None:
        """Count a write within the limits of its client, as `note` does."""
        clients = self._days.get(_date(int(at // _DAY_SECONDS)))
        tally = clients.get(client) if clients is not None else None
        if tally is not None:
            tally.count(judged, at)
        else:
            self.note(ObservedWrite(at, client, "", True, judged))

    def add(self, other: SpendObservations, now: float) -> None:
        """Add what was counted elsewhere, or later."""
        for day, clients in other._days.items():
            for client, tally in clients.items():
                self._tally(day, client, tally.since).add(tally)
        self._hold(other._held_back)
        self._forget(now)

    def clients(self) -> dict[str, ClientTally]:
        """The sums of all kept days, by client."""
        found: dict[str, ClientTally] = {}
        for day in sorted(self._days):
            for client, tally in self._days[day].items():
                found.setdefault(client, ClientTally(tally.since)).add(tally)
        return found

    def held_back(self) -> tuple[ObservedWrite, ...]:
        """The newest writes that were refused, or would have been; the newest first."""
        return tuple(self._held_back)

    def to_document(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        days = {
            day: {client: tally.to_document() for client, tally in clients.items()}
            for day, clients in self._days.items()
        }
        return {"days": days, "held_back": [write_judged(each) for each in self._held_back]}

    @classmethod
    def read(cls, document: object) -> SpendObservations:
        """What `to_document` made. What cannot be read counts as lost."""
        found = cls()
        with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
            said: Any = document
            days = {
                str(day): {str(client): ClientTally.read(tally) for client, tally in clients.items()}
                for day, clients in said["days"].items()
            }
            found._held_back = [read_judged(each) for each in said["held_back"]]
            found._days = days
        return found

    def _tally(self, day: str, client: str, since: float) -> ClientTally:
        clients = self._days.setdefault(day, {})
        found = clients.get(client)
        if found is None:
            found = clients.setdefault(client if len(clients) < MAX_CLIENTS else OTHERS, ClientTally(since))
        return found

    def _hold(self, writes: Iterable[ObservedWrite]) -> None:
        self._held_back = nlargest(MAX_HELD_BACK, (*writes, *self._held_back), key=attrgetter("at"))

    def _forget(self, now: float) -> None:
        oldest = _day(now - timedelta(days=KEPT_DAYS - 1).total_seconds())
        for day in [day for day in self._days if day < oldest]:
            del self._days[day]


def _day(at: float) -> str:
    """The date of a moment, in UTC."""
    return _date(int(at // _DAY_SECONDS))


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    """The date so many days after the epoch."""
    return datetime.fromtimestamp(days * _DAY_SECONDS, UTC).date().isoformat()
