"""What the writes of a day would have cost: a record of each that succeeded, and sums over what is there now.

A day is the calendar day of a profile's time zone. The sums hold all campaigns that are enabled, also those that were
there from the start, once a request asked for any of the profile's campaigns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.simulator.money import Amount, amounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.campaigns import ObjectStore, StoredObject
    from proxy.simulator.profiles import ProfileBook

Action = Literal["create", "update", "delete"]
Payer = tuple[str, str]
"""Region and profile (or ads account, or user) that pays."""

DYNAMIC = {"AUTO_FOR_SALES": Decimal(2), "SALES_UP_AND_DOWN": Decimal(2)}
"""By how much a bidding strategy may raise a bid at most."""


@dataclass(frozen=True, slots=True)
class RecordedWrite:
    """One object that was created, updated or deleted. `object_id` is as in `campaign/123`, `day` the payer's."""

    payer: Payer
    day: str
    operation: str
    action: Action
    object_id: str
    state: str
    amounts: tuple[Amount, ...]

    def as_json(self) -> dict[str, object]:
        """The write as the control API shows it."""
        region, owner = self.payer
        what = {"operation": self.operation, "action": self.action, "object": self.object_id, "state": self.state}
        return {
            "region": region, "profile": owner, "day": self.day, **what,
            "amounts": [amount.as_json() for amount in self.amounts],
        }  # fmt: skip


@dataclass(slots=True)
class SpendRecord:
    """Every write that succeeded since the start, in order."""

    profiles: ProfileBook
    writes: list[RecordedWrite] = field(default_factory=list)

    def note(self, payer: Payer, now: float, did: tuple[str, Action, str], given: Entity) -> None:
        """Records a write. `did` is the operation, what it did, and to which object; `given` its members."""
        region, owner = payer
        operation, action, object_id = did
        found = tuple(amounts(given, self.profiles.currency(owner, region)))
        state = str(given.get("state", "")).upper()
        self.writes.append(RecordedWrite(payer, self.day_of(payer, now), operation, action, object_id, state, found))

    def day_of(self, payer: Payer, now: float) -> str:
        """The date at a payer's place, in UTC if its time zone is unknown."""
        return datetime.fromtimestamp(now, self._zone(payer)).date().isoformat()

    def _zone(self, payer: Payer) -> tzinfo:
        profile = self.profiles.by_region[payer[0]].get(payer[1])
        try:
            return ZoneInfo(profile.timezone) if profile else UTC
        except ZoneInfoNotFoundError:
            return UTC

    def as_json(self, objects: ObjectStore, now: float, last: int | None = None) -> dict[str, Any]:
        """What the day would have cost by payer and currency, and the newest writes (all of them without `last`)."""
        payers = sorted(
            {(region, owner) for owner, region, _ in objects.shelves} | {each.payer for each in self.writes}
        )
        shown = [self._summary(payer, objects, now) for payer in payers]
        newest = self.writes if last is None else self.writes[max(0, len(self.writes) - last) :]
        created = sum(each["created_today"] for each in shown)
        return {"created_today": created, "profiles": shown, "writes": [write.as_json() for write in newest]}

    def _summary(self, payer: Payer, objects: ObjectStore, now: float) -> dict[str, Any]:
        region, owner = payer
        today, currency = self.day_of(payer, now), self.profiles.currency(owner, region)
        writes = [each for each in self.writes if each.payer == payer and each.day == today]
        enabled = [each for each in objects.shelves.get((owner, region, "campaigns"), {}).values() if _enabled(each)]
        running = [amount for each in enabled for amount in _all_amounts(each, currency)]
        return {
            "region": region,
            "profile": owner,
            "currency": currency,
            "day": today,
            "created_today": sum(each.action == "create" for each in writes),
            "budgets_set_today": _plain(_sums(amount for each in writes for amount in each.amounts)),
            "enabled_campaigns": len(enabled),
            **{
                f"{period.lower()}_budgets": _plain(_sums(a for a in running if a.period == period))
                for period in ("DAILY", "LIFETIME", "MONTHLY")
            },
            "largest_bid": _plain(_largest_bids(objects, payer, currency, adjusted=False)),
            "largest_adjusted_bid": _plain(_largest_bids(objects, payer, currency, adjusted=True)),
        }


def _enabled(stored: StoredObject) -> bool:
    return str(stored.shared.get("state", "ENABLED")).upper() == "ENABLED"


def _plain(sums: dict[str, Any]) -> dict[str, float]:
    return {currency: float(value) for currency, value in sorted(sums.items())}


def _members(stored: StoredObject) -> Iterator[Entity]:
    """The members of an object in each generation, a campaign's budget in one of them only."""
    own = dict(stored.own)
    if stored.terms is not None and not any({"budget", "budgets"} & set(each) for each in own.values()):
        yield {"budget": stored.terms.amount, "budgetType": stored.terms.period}
    yield from own.values()


def _all_amounts(stored: StoredObject, currency: str) -> Iterator[Amount]:
    return (amount for members in _members(stored) for amount in amounts(members, currency))


def _sums(of: Iterable[Amount]) -> dict[str, Decimal]:
    """Currency -> the sum of the budgets among the amounts."""
    found: dict[str, Decimal] = {}
    for amount in of:
        if amount.kind == "budget":
            found[amount.currency] = found.get(amount.currency, Decimal()) + amount.value
    return found


def _largest_bids(objects: ObjectStore, payer: Payer, currency: str, *, adjusted: bool) -> dict[str, Decimal]:
    """Currency -> the largest bid of what is enabled; with the adjustments of its campaign, all multiplied."""
    region, owner = payer
    campaigns = objects.shelves.get((owner, region, "campaigns"), {})
    groups = objects.shelves.get((owner, region, "adGroups"), {})
    found: dict[str, Decimal] = {}
    for resource in ("adGroups", "keywords", "targets", "targetingClauses"):
        for stored in filter(_enabled, objects.shelves.get((owner, region, resource), {}).values()):
            group = groups.get(str(stored.shared.get("adGroupId", "")))
            parent = str(stored.shared.get("campaignId") or (group.shared.get("campaignId", "") if group else ""))
            campaign = campaigns.get(parent)
            if (group is not None and not _enabled(group)) or (campaign is not None and not _enabled(campaign)):
                continue
            factor = _factor(campaign, currency) if adjusted and campaign is not None else Decimal(1)
            for bid in (amount for amount in _all_amounts(stored, currency) if amount.kind == "bid"):
                found[bid.currency] = max(found.get(bid.currency, Decimal()), bid.value * factor)
    return found


def _factor(campaign: StoredObject, currency: str) -> Decimal:
    """By how much a campaign raises its bids at most: the largest adjustment of each list, and its strategy."""
    largest: dict[str, Decimal] = {}
    for amount in _all_amounts(campaign, currency):
        if amount.kind == "adjustment":
            listed = amount.path.rpartition("[")[0]
            largest[listed] = max(largest.get(listed, Decimal()), amount.value)
    factor = Decimal(1)
    for percentage in largest.values():
        factor *= 1 + percentage / 100
    for members in _members(campaign):
        bidding = members.get("dynamicBidding") or (members.get("optimizations") or {}).get("bidSettings") or {}
        factor *= DYNAMIC.get(str(bidding.get("strategy") or bidding.get("bidStrategy")), Decimal(1))
    return factor
