"""What a person is shown of spending: for each client its limits, what its day has taken, and what was judged. Pure."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from proxy.spend.limits import Beyond, amount_text
from proxy.spend.observations import ClientTally, SpendObservations
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from proxy.spend.judge import DayUse
    from proxy.spend.ledger import DayKey
    from proxy.spend.limits import SpendLimits
    from proxy.spend.observations import ObservedWrite

    Stamp = Callable[[float | None], str | None]
    Clean = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SpendOverview:
    """The limits of all clients by name, what was observed, the known use of days, and who is `frozen`. `problem` says
    why the use of days is not known, empty otherwise."""

    limits: Mapping[str, SpendLimits]
    observed: SpendObservations
    days: Mapping[DayKey, DayUse] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    problem: str = ""


def spend_status(overview: SpendOverview, stamp: Stamp, clean: Clean) -> dict[str, Any]:
    """The member `spend` of `/status`: each client with limits, or of which something was judged, and what was held
    back. `stamp` writes wall-clock time, and `clean` takes secrets out of a text."""
    tallies = overview.observed.clients()
    return {
        "clients": [
            {**_settings_entry(overview, name), **tally_entry(tallies.get(name), stamp, clean)}
            for name in sorted({*overview.limits, *tallies})
        ],
        "held_back": [held_back_entry(each, stamp, clean) for each in overview.observed.held_back()],
        "problem": overview.problem,
    }


def _settings_entry(overview: SpendOverview, client: str) -> dict[str, Any]:
    limits = overview.limits.get(client)
    return {
        "client": client,
        "mode": limits.mode.value if limits is not None else None,
        "frozen": client in overview.frozen,
        "limits": limits_entry(limits) if limits is not None else {},
        "days": _day_entries(overview.days, client),
    }


def tally_entry(tally: ClientTally | None, stamp: Stamp, clean: Clean) -> dict[str, Any]:
    """What was judged of a client: `judged` by verdict, `violations` by rule, `rules` one by one, and `unknown` by
    number, the most frequent first."""
    known = tally or ClientTally(0.0)
    modes: dict[str, dict[str, int]] = {}
    for (mode, verdict), count in sorted(known.judged.items()):
        modes.setdefault(mode, {})[verdict] = count
    return {
        "since": stamp(tally.since if tally is not None else None),
        "last": stamp(tally.last if tally is not None else None),
        "judged": known.verdicts,
        "modes": modes,
        "violations": known.violations,
        "rules": [
            {"rule": rule, "currency": currency, **each._asdict()}
            for (rule, currency), each in sorted(known.rules.items())
        ],
        "unknown": {clean(name): count for name, count in known.unknown.most_common()},
    }


def held_back_entry(write: ObservedWrite, stamp: Stamp, clean: Clean) -> dict[str, Any]:
    """A write that was held back, or would have been."""
    judged = write.judged
    violations = (each.members for each in judged.violations)
    return {
        "at": stamp(write.at),
        "client": write.client,
        "operation": clean(write.operation),
        "sent": write.sent,
        "mode": judged.mode.value,
        "verdict": judged.verdict.value,
        "violations": [{name: text and clean(text) for name, text in each.items()} for each in violations],
        "further_violations": write.further,
        "unread": [clean(text) for text in judged.unread],
    }


def _day_entries(days: Mapping[DayKey, DayUse], client: str) -> list[dict[str, Any]]:
    """What the writes of a client have taken of each known day."""
    return [
        {"day": key.day, "created": used.created, "budgets": _amounts(used.budgets)}
        for key, used in sorted(days.items())
        if key.client == client
    ]


def limits_entry(limits: SpendLimits) -> dict[str, Any]:
    """The configured rules, named as their keys; amounts are texts."""
    found: dict[str, Any] = {
        "budget": None if limits.budget is None else _amounts(limits.budget),
        "bid": None if limits.bid is None else _amounts(limits.bid),
        "bid_adjustment": None if limits.bid_adjustment is None else amount_text(limits.bid_adjustment),
        "states": None if limits.states is None else sorted(limits.states),
        "hours": None if limits.hours is None else limits.hours.text,
        "new_per_day": limits.new_per_day,
        "budget_per_day": None if limits.budget_per_day is None else _amounts(limits.budget_per_day),
        "allow": sorted(limits.allow) or None,
        "beyond": limits.beyond.value if limits.beyond is Beyond.APPROVE else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _amounts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: amount_text(value) for currency, value in sorted(amounts.items())}
