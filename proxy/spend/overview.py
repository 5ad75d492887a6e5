"""What a person is shown of spending: for each client its limits, what its day has taken, and what was judged. Pure."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from proxy.spend.observations import SpendObservations, held_back_entries, tally_entry
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from proxy.spend.judge import DayUse
    from proxy.spend.ledger import DayKey
    from proxy.spend.limits import SpendLimits


@dataclass(frozen=True, slots=True)
class SpendOverview:
    """The limits of all clients by name, what was observed, the known use of days, and who is `frozen`. `problem` says
    why the use of days is not known, empty otherwise."""

    limits: Mapping[str, SpendLimits]
    observed: SpendObservations
    days: Mapping[DayKey, DayUse] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    problem: str = ""


def spend_status(
    overview: SpendOverview, stamp: Callable[[float | None], str | None], clean: Callable[[str], str]
) -> dict[str, Any]:
    """The member `spend` of `/status`. `stamp` writes wall-clock time, and `clean` takes secrets out of a text."""
    held_back = [{**each, "at": stamp(each["at"])} for each in held_back_entries(overview.observed.held_back(), clean)]
    return {"clients": _client_entries(overview, stamp, clean), "held_back": held_back, "problem": overview.problem}


def _client_entries(
    overview: SpendOverview, stamp: Callable[[float | None], str | None], clean: Callable[[str], str]
) -> list[dict[str, Any]]:
    """A line for each client with limits, or of which something was judged."""
    tallies = overview.observed.clients()
    found = []
    for name in sorted({*overview.limits, *tallies}):
        limits, tally = overview.limits.get(name), tally_entry(tallies.get(name))
        found.append(
            {
                "client": name,
                "mode": limits.mode.value if limits is not None else None,
                "frozen": name in overview.frozen,
                "limits": limits_entry(limits) if limits is not None else {},
                "days": _day_entries(overview.days, name),
                **tally,
                "since": stamp(tally["since"]),
                "last": stamp(tally["last"]),
                "unknown": {clean(unknown): count for unknown, count in tally["unknown"].items()},
            }
        )
    return found


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
        "bid_adjustment": None if limits.bid_adjustment is None else amount(limits.bid_adjustment),
        "states": None if limits.states is None else sorted(limits.states),
        "hours": None if limits.hours is None else limits.hours.text,
        "new_per_day": limits.new_per_day,
        "budget_per_day": None if limits.budget_per_day is None else _amounts(limits.budget_per_day),
        "allow": sorted(limits.allow) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _amounts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: amount(value) for currency, value in sorted(amounts.items())}


def amount(value: Decimal) -> str:
    """A number in plain decimal notation, without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
