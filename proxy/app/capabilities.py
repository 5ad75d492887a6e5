"""All that plugs into the core, in one list."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from proxy.audit.capability import WriteOutcomes
from proxy.intercept.capability import Interception
from proxy.local.token_request import TokenEndpoint
from proxy.mcp.capability import Mcp
from proxy.mcp.fixed_sessions import FixedSessions
from proxy.reports.capability import NamedReportAnswers, OwnOrders
from proxy.reports.shared_report import SharedOrders
from proxy.spend.approval_status import ApprovalAnswers
from proxy.spend.capability import Spend
from proxy.spend.freeze_gate import FrozenMessages
from proxy.spend.limits import Beyond
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.audit.write_reading import WriteReader
    from proxy.forwarding.decision import Capability, Rules
    from proxy.forwarding.dependencies import Dependencies
    from proxy.intercept.parts import TunnelParts
    from proxy.mcp.capability import McpMemory
    from proxy.reports.overview import NamedReports
    from proxy.reports.sharing import ReportRules, SharedReports
    from proxy.spend.capability import SpendMemory
    from proxy.spend.limits import SpendLimits


@dataclass(frozen=True, slots=True)
class CapabilityMemory:
    """What capabilities of a process know, and keep over a reload. `tunnels` is None without interception."""

    mcp: McpMemory
    reports: SharedReports
    writes: WriteReader
    spend: SpendMemory
    tunnels: TunnelParts | None = None


@dataclass(frozen=True, slots=True)
class CapabilitySettings:
    """What the configuration says of capabilities.

    `session_key` signs the MCP sessions of limited clients, and of those with limits on spending. `recorded_values` are
    the members whose values an audit record of a write holds; None if it does not even name objects and members.
    `reports` say what orders and polls of reports share; None where they pass like all other requests. `named_reports`
    are None without a section about reports. `passed_hosts` are patterns of hosts that are tunnelled unread.
    `spend_limits` are those of the clients that have some, by name.
    """

    session_key: bytes
    recorded_values: frozenset[str] | None = None
    reports: ReportRules | None = None
    named_reports: NamedReports | None = None
    passed_hosts: tuple[str, ...] = ()
    spend_limits: Mapping[str, SpendLimits] = field(default_factory=dict)

    @property
    def asks_approvers(self) -> bool:
        """Whether some client's writes over a limit wait for an approval."""
        return any(each.beyond is Beyond.APPROVE for each in self.spend_limits.values())

    @property
    def has_own_paths(self) -> bool:
        """Whether the proxy answers `/-/*` itself."""
        return self.named_reports is not None or self.asks_approvers


def plug_in(rules: Rules, settings: CapabilitySettings, memory: CapabilityMemory, dependencies: Dependencies) -> Rules:
    """The rules with every capability, in the order in which their gates see a request."""
    limits = settings.spend_limits
    capabilities: list[Capability] = [
        Mcp(memory.mcp, FixedSessions(settings.session_key), frozenset(limits), rules.clients, rules.table),
        FrozenMessages(memory.spend.freezes, memory.mcp.hints),
        *((Spend(memory.spend, limits, memory.mcp, rules.table),) if limits else ()),
        OwnOrders(),
        SharedOrders(memory.reports, settings.reports, dependencies),
        WriteOutcomes(memory.writes, settings.recorded_values),
        TokenEndpoint(dependencies.accounting),
    ]
    if settings.named_reports is not None:
        capabilities.append(NamedReportAnswers(settings.named_reports, dependencies.accounting))
    if settings.asks_approvers:
        capabilities.append(ApprovalAnswers(memory.spend.approvals, dependencies.accounting))
    if memory.tunnels is not None:
        capabilities.append(Interception(memory.tunnels, settings.passed_hosts, rules.clients))
    return replace(rules, capabilities=tuple(capabilities), own_paths=settings.has_own_paths)
