"""The section about what a client may spend by its writes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from proxy.config.model.kinds import (
    AllowedOperation,
    Amount,
    Amounts,
    AnyCase,
    Count,
    HoursText,
    Limit,
    Limiting,
    Listed,
)
from proxy.config.model.section import Section

State = Literal["enabled", "paused", "archived", "proposed", "draft", "active", "inactive", "scheduled", "ended"]


class SpendSection(Section):
    """Limits on what a client may spend. With no key in it, it refuses the writes whose amounts cannot be read."""

    null_counts = frozenset({"budget", "bid", "bid_adjustment", "states", "hours", "new_per_day", "budget_per_day"})

    mode: AnyCase[Literal["enforce", "observe"]] = "enforce"
    """`enforce`: writes over a limit are refused, and so are writes whose amounts cannot be read, even by `spend: {}`,
    which sets no limit. `observe`: they are sent, and only recorded."""
    budget: Limit[Amounts] = None
    """The largest budget of one object, daily or lifetime, by currency, such as `{USD: 200, EUR: 180}`; in another
    currency every budget is over. Absent: no limit."""
    bid: Limit[Amounts] = None
    """The largest bid, by currency; in another currency every bid is over. Absent: no limit."""
    bid_adjustment: Limit[Amount] = None
    """The most percent by which a bid or a budget may be raised; absent: no limit."""
    states: Limiting[AnyCase[State]] = None
    """The states that a write may set, such as `paused`; what is deleted is `archived`, and what is created without a
    state is `enabled`. Absent: all."""
    hours: Limit[HoursText] = None
    """When writes may be sent: `DAYS HH:MM-HH:MM [ZONE]`, such as `mon-fri 08:00-18:00 Europe/Berlin`, several
    separated by `;`. Without a zone, the profile's. Absent: always."""
    new_per_day: Limit[Count] = Field(None, ge=0, le=1_000_000)
    """The most objects created in a day of the profile's time zone; absent: no limit."""
    budget_per_day: Limit[Amounts] = None
    """The largest sum of all budgets that writes set in a day of the profile's time zone, by currency; absent: no
    limit."""
    allow: Listed[AllowedOperation] = ()
    """Operations and tools that may be sent although they cannot be read, by their exact names on the page about money
    fields, such as `POST /sp/rules/campaignOptimization` or `MCP campaign_management-create_target`. Limits still
    apply to what can be read of them: a body in an unreadable form passes."""
    beyond: AnyCase[Literal["refuse", "approve"]] = "refuse"
    """What becomes of a write that can be read and is over a limit. `refuse`: it gets 403. `approve`: one of
    `approvals.approvers` is asked, and once they have approved it, the client sends it again."""
