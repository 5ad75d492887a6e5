"""`check --specification FILE`: which operations of an OpenAPI file the clients of a configuration may not reach, and
the rows of `operations:` that would make the table know those that it lacks.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from proxy.access.clients import Budgets
from proxy.access.policy import evaluate_request, evaluate_route
from proxy.app.rules import capability_settings, make_clients, make_routing_table
from proxy.commands.consoles import answers, plain_table
from proxy.commands.specifications import (
    ACCOUNT,
    SCOPE,
    NoSpecifications,
    account_header,
    merged_strength,
    read_specifications,
)
from proxy.commands.terminal import OK, say
from proxy.errors import ConfigurationError, Refused
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import read_request_fields
from proxy.http1.target import parse_target
from proxy.routing.operations import Effect, split_template, unknown_reads
from proxy.routing.route import route
from proxy.routing.table import EmptyDirectory
from proxy.routing.target import find_destination, summarise
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from proxy.access.clients import ClientIdentity, Clients
    from proxy.access.policy import Policy
    from proxy.commands.specifications import Described
    from proxy.config import Config
    from proxy.routing.table import RoutingTable

_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
"""Those that rows of `operations:` may have."""


class _Directory(EmptyDirectory):
    """Lists nothing, and has a first profile nevertheless."""

    def first(self, account: str, region: str) -> str | None:
        return "first"


@dataclass(frozen=True, slots=True)
class SpecifiedOperation:
    """What a file says of one operation. `is_known` tells that the table has it."""

    method: str
    path: str
    scope: str
    account_id: str
    account_header: str
    is_known: bool

    @property
    def row(self) -> str:
        """Its row for `operations:`; a POST that may read stays a write until a person has judged it."""
        members = [f"method: {self.method}", f'path: "{self.path}"', f"scope: {self.scope}"]
        if self.account_id != "never":
            members += [f"account_id: {self.account_id}", f"account_header: {self.account_header}"]
        if unknown_reads(self.method.encode(), self.path.encode()):
            members.append("effect: read")
        return f"  - {{{', '.join(members)}}}"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """An operation that a client may not reach, the key of its configuration that decides, and why."""

    client: str
    operation: SpecifiedOperation
    rule: str
    reason: str


def check_specification(config: Config, file: Path) -> int:
    """Print what the clients may not reach. Raises `ConfigurationError` for a file that is none."""
    try:
        described = read_specifications(file)
    except NoSpecifications as failure:
        raise ConfigurationError((f"--specification: {failure}",)) from None
    table = make_routing_table(config, _Directory())
    operations = specified_operations(described, table)
    unknown = [each for each in operations if not each.is_known]
    found = [*unreachable(config, table, operations)]
    say(f"{len(operations)} operations; the table of operations lacks {len(unknown)}.")
    if not config.clients:
        say("Every client is trusted, and reaches all of them.")
    elif found:
        columns = plain_table("client", "operation", "in the table", "rule", "why not")
        for each in found:
            known = "yes" if each.operation.is_known else "no"
            request = f"{each.operation.method} {each.operation.path}"
            columns.add_row(each.client, request, known, each.rule or "-", each.reason)
        answers().print(columns)
    else:
        say("All clients reach all of them.")
    if rows := [each.row for each in unknown if each.method in _METHODS]:
        say(
            "\nTo make them known, judge these rows and add them to the configuration:\n\noperations:\n"
            + "\n".join(rows)
        )
    return OK


def specified_operations(described: Sequence[Described], table: RoutingTable) -> tuple[SpecifiedOperation, ...]:
    """The operations of a specification, by path and method. Pure."""
    known = {(row.method, row.segments) for row in table.operations}
    ordered = sorted(described, key=lambda each: (each.key[1], each.method))
    groups = [tuple(group) for _, group in groupby(ordered, key=lambda each: each.key)]
    return tuple(
        SpecifiedOperation(
            group[0].method,
            group[0].path,
            merged_strength(group, SCOPE, ACCOUNT),
            merged_strength(group, ACCOUNT, SCOPE),
            account_header(group),
            (group[0].method, split_template(group[0].path)) in known,
        )
        for group in groups
    )


def unreachable(config: Config, table: RoutingTable, operations: Sequence[SpecifiedOperation]) -> Iterator[Unreachable]:
    """What each client may not reach, what the table lacks first."""
    clients = make_clients(config, b"", Budgets())
    for name in clients.names():
        identity = clients.impersonate(name)
        if identity is None or identity.policy is None:
            continue
        for operation in sorted(operations, key=lambda each: each.is_known):
            rule, reason = _objection(config, clients, identity, table, operation)
            if reason:
                yield Unreachable(name, operation, rule, reason)


def _objection(
    config: Config, clients: Clients, identity: ClientIdentity, table: RoutingTable, operation: SpecifiedOperation
) -> tuple[str, str]:
    """The rule by which a client may not reach an operation, and why; both empty where it may."""
    policy = identity.policy
    assert policy is not None
    account = min((name for name in table.accounts if identity.scope.admits(name)), default="")
    path = f"/@{account}{re.sub(r'{[^{}]*}', '1', operation.path)}".encode("utf-8", "surrogateescape")
    section = b"Host: localhost\r\n" + _account_lines(policy, operation)
    try:
        fields = read_request_fields(section, 1, config.limits.max_header_fields, REQUEST_FIELDS)
        request = Request(operation.method.encode(), parse_target(path), 1, fields, "check")
        destination = find_destination(request.target, with_own_paths=capability_settings(config).has_own_paths)
        summary = summarise(request.method, fields, destination, table.operations)
        before = evaluate_request(policy, summary, destination)
        if before.refusal is None:
            fixed = clients.fix_account(identity, before, summary, table)
            before = evaluate_route(policy, before, route(summary, table, identity.scope, fixed=fixed))
    except Refused as refusal:
        return "", refusal.detail
    if before.refusal is not None:
        return before.rule, before.reason
    if policy.limits_spend and summary.operation is None and summary.effect != Effect.READ:
        return "spend", "The table lacks this operation, so its amounts cannot be read."
    return "", ""


def _account_lines(policy: Policy, operation: SpecifiedOperation) -> bytes:
    """The header that names a profile or an account of a limited client, as far as the operation takes one."""
    if policy.profiles and operation.scope != "never":
        return b"Amazon-Advertising-API-Scope: %b\r\n" % min(policy.profiles)
    if policy.account_ids and operation.account_id != "never":
        return b"%b: %b\r\n" % (operation.account_header.encode("ascii"), min(policy.account_ids))
    return b""
