"""The section about approvals: who may let a write pass that is over a limit, and for how long."""

from __future__ import annotations

from pydantic import Field

from proxy.config.model.clients import KeyConfig
from proxy.config.model.kinds import Count, Flag, Listed, Name, Seconds
from proxy.config.model.section import Section


class ApproverConfig(Section):
    """A person who decides about writes over a limit."""

    name: Name
    """The approver's name in answers, in the log and in audit records."""
    keys: Listed[KeyConfig] = ()
    """The approver's keys, which open nothing but approvals; several during a rotation."""


class ApprovalsSection(Section):
    """Writes over a limit of clients with `spend.beyond: approve`."""

    approvers: Listed[ApproverConfig] = ()
    """Who may approve and deny, each with keys of their own: make one with `ads-proxy keys new --approver NAME`."""
    valid_for: Seconds = Field(3600.0, ge=1, le=604800)
    """How long an approved write may be sent, once, and how long the same write stays denied."""
    pending_for: Seconds = Field(86400.0, ge=1, le=604800)
    """How long a write waits for a decision."""
    max_pending: Count = Field(100, ge=1, le=1000)
    """The most writes of one client that wait for a decision; more get 429. Together they show an approver at most
    2,500 characters for each, so fewer large ones may wait."""
    admin: Flag = False
    """Whether the admin key decides, too, as the approver `admin`. It needs `admin.key`."""
