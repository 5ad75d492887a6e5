"""The configuration: YAML, environment and secret files, read once into frozen values.

What others need is named here. No other part of the program looks at the environment. What may be written is in
`model`, where it comes from in `reading`, its checks in `checks`; `loading` puts them together.
"""

from __future__ import annotations

from proxy.config.checks.notes import notes
from proxy.config.checks.rules import ADMIN_APPROVER
from proxy.config.loading import (
    DEFAULT_ADMIN,
    ConfiguredNames,
    ReadingMemory,
    admin_address,
    admin_key,
    admin_key_place,
    approver_key,
    audit_file,
    authority_folder,
    config_path,
    configured_names,
    default_spill_directory,
    environment,
    load,
    wants_colours,
)
from proxy.config.model.accounts import Account, redirect_to
from proxy.config.model.approvals import ApprovalsSection, ApproverConfig
from proxy.config.model.clients import Client, KeyConfig
from proxy.config.model.kinds import AccessField
from proxy.config.model.reports import ReportsSection
from proxy.config.model.secret_command import SecretCommand
from proxy.config.model.sections import (
    AdminSection,
    AuditSection,
    Config,
    DrainSection,
    InterceptSection,
    LimitsSection,
    LogSection,
    Region,
    RouteConfig,
    StateKind,
    StateSection,
    TlsSection,
    TokensSection,
    UpstreamSection,
)
from proxy.config.model.values import Address
from proxy.config.reading.command_run import CommandRun
from proxy.config.reading.commands import CommandOutputs
from proxy.config.reading.files import Stamp, check_can_be_made, check_writable, is_folder, stamps_of
from proxy.config.reading.variables import variables_of
