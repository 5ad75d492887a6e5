"""The control API's actions on limits."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proxy.simulator.fault_reading import parse_match
from proxy.simulator.given import ControlRefused, Given
from proxy.simulator.limits import ASPECTS, Limit, Limits

if TYPE_CHECKING:
    from proxy.simulator.state import SimulatorState

MEMBERS = {"rate", "burst", "match", "per", "retry_after"}


def show_limits(state: SimulatorState, given: Given) -> Any:
    """All limits with their buckets, and what was counted by family and user agent."""
    limits = state.limits
    return {
        **limits.counts(),
        "by_family": {name: dict(counts) for name, counts in limits.families.items()},
        "by_agent": {name: dict(counts) for name, counts in limits.agents.items()},
        "limits": [
            {
                **asdict(rule),
                "buckets": [
                    {
                        **dict(zip(rule.per, key, strict=True)),
                        "granted": bucket.granted,
                        "refused": bucket.refused,
                        "too_early": bucket.too_early,
                    }
                    for (of, key), bucket in limits.buckets.items()
                    if of == number
                ],
            }
            for number, rule in enumerate(limits.rules)
        ],
    }


def add_limit(state: SimulatorState, given: Given) -> Any:
    """Sets one more limit: `{rate, burst, match, per, retry_after}`."""
    if not set(given) <= MEMBERS:
        raise ControlRefused(f"a limit has {', '.join(sorted(MEMBERS))}")
    per, retry_after = given.get("per", ASPECTS), given.get("retry_after", "exact")
    if not isinstance(per, list | tuple) or not set(per) <= set(ASPECTS):
        raise ControlRefused(f"per is a list of {', '.join(ASPECTS)}")
    if retry_after not in (None, "exact") and not _number(retry_after):
        raise ControlRefused("retry_after is 'exact', a number of seconds, or null")
    if not _number(given.get("rate")) or not _number(given.get("burst", 1)) or given.get("burst", 1) < 1:
        raise ControlRefused("rate is a number of requests a second, burst one of at least 1")
    limit = Limit(
        float(given["rate"]), float(given.get("burst", 1)), parse_match(given.get("match", {})), tuple(per), retry_after
    )
    state.limits.rules.append(limit)
    return {"limits": len(state.limits.rules)}


def clear_limits(state: SimulatorState, given: Given) -> Any:
    """Nothing is limited any more, and the counts are 0."""
    state.limits = Limits()
    return {"limits": 0}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
