"""`check --as CLIENT METHOD PATH`: whether a client's request would pass, and which rule decides. Asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.access.clients import Budgets
from proxy.access.policy import Verdict, evaluate_request, evaluate_route
from proxy.app.rules import make_clients, make_routing_table
from proxy.commands.terminal import FAILED, OK, say
from proxy.config.model.key_names import did_you_mean
from proxy.errors import ConfigurationError, Refused
from proxy.forwarding.field_rules import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import read_request_fields
from proxy.http1.target import parse_target
from proxy.routing.route import Route, route
from proxy.routing.summary import EVERYTHING, summarise
from proxy.routing.table import EmptyDirectory
from proxy.routing.target import find_destination

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.routing.operations import Operations


SUPPOSED = "first"
"""Stands for the first listed profile."""


class SupposedDirectory(EmptyDirectory):
    """Lists nothing, and has a first profile nevertheless: what else decides can be told without it."""

    def first(self, account: str, region: str) -> str | None:
        return SUPPOSED


@dataclass(frozen=True, slots=True)
class SupposedRequest:
    """A request as the command line describes it; `profile` is its Scope, empty for none.

    `account_id` is its Amazon-Ads-AccountId, in the spelling that the operation takes; empty for none.
    """

    client: str
    method: str
    path: str
    profile: str
    account_id: str = ""


def explain_request(config: Config, asked: SupposedRequest) -> int:
    """Print the verdict; 0 where the request would pass, else 1."""
    clients = make_clients(config, b"", Budgets())
    caller = clients.impersonate(asked.client)
    if caller is None or caller.policy is None:
        suggestion = did_you_mean(asked.client, clients.names())
        choices = f"; there are: {', '.join(clients.names()) or 'none, every caller is trusted'}"
        raise ConfigurationError((f"--as: there is no such client{suggestion or choices}",))
    if not asked.path.startswith("/"):
        raise ConfigurationError(("PATH: must begin with '/', such as /v2/profiles",))
    try:
        table = make_routing_table(config, SupposedDirectory())
        request = _request(config, asked, table.operations)
        destination = find_destination(request.target)
        summary = summarise(request.method, request.fields, destination, table.operations, EVERYTHING)
        before = evaluate_request(caller.policy, summary)
        if before.refusal is not None:
            return _refuse(before)
        chosen = route(summary, table, caller.scope)
    except Refused as refusal:
        say(f"No: {refusal.detail}")
        return FAILED
    return _tell(evaluate_route(caller.policy, before, chosen), chosen, asked.account_id)


def _request(config: Config, asked: SupposedRequest, operations: Operations) -> Request:
    """The request in question, read as a server would read it."""
    method = asked.method.upper().encode("ascii", "replace")
    path = asked.path.encode("utf-8", "surrogateescape")
    section = b"Host: localhost\r\n"
    if asked.profile:
        section += b"Amazon-Advertising-API-Scope: %s\r\n" % asked.profile.encode("utf-8", "surrogateescape")
    target = parse_target(path)
    if asked.account_id:
        operation = operations.find(method, find_destination(target).segments)
        spelling = operation.account_header if operation is not None else ""
        name = spelling or "Amazon-Ads-AccountId"
        section += f"{name}: {asked.account_id}\r\n".encode("utf-8", "surrogateescape")
    fields = read_request_fields(section, 1, config.limits.max_header_fields, REQUEST_FIELDS)
    return Request(method, target, 1, fields, "check")


def _refuse(verdict: Verdict) -> int:
    say(f"No (rule: {verdict.rule}): {verdict.reason}")
    return FAILED


def _tell(verdict: Verdict, chosen: Route, account_id: str) -> int:
    rule = f"rule: {verdict.rule}" if verdict.rule else "no rule limits it"
    if verdict.rule == "profiles" and chosen.profile == SUPPOSED.encode():
        say("Depends: `default_profile: first` decides, and only a running proxy knows which it is; use --profile.")
        return FAILED
    if verdict.refusal is not None:
        return _refuse(verdict)
    scope = f"profile {chosen.profile.decode('latin-1')}" if chosen.profile else "no profile"
    also = f" and account id {account_id}" if account_id else ""
    say(f"Yes ({rule}): {verdict.reason}")
    say(f"It would go to account {chosen.account}, region {chosen.region}, with {scope}{also}.")
    return OK
