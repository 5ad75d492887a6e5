"""`check`: Check the configuration, the tokens and the profiles.

It gets a token for each account, lists its profiles in every region, and reads the keys of identity providers. Each
problem is one line that says what to do; the exit code is then 1. --as tells whether a client's request would pass, and
which rule decides; with --body or --arguments also what its limits on spending say of the write. --as-jwt tells which
client a JWT is, or what does not fit. --specification lists the operations of an OpenAPI file that clients may not
reach. --diff tells which consents a change of the configuration makes void. --offline checks the configuration, and the
files, directories and addresses that the proxy needs to start. None of these contacts Amazon.

Example: ads-proxy check --as reporting GET /v2/profiles --config proxy.yaml
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from proxy.access.clients import Budgets
from proxy.access.policy import Verdict, evaluate_request, evaluate_route
from proxy.app.rules import capability_settings, make_clients, make_routing_table, named_reports, spend_limits
from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.completion import client_names
from proxy.commands.consoles import answers, plain_table, progress_line
from proxy.commands.spend_check import DescribedBody, DescribedWrite, TriedWrite, describe_body
from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import Config, environment, load, notes
from proxy.config.model.key_names import did_you_mean
from proxy.errors import AccountRequired, ConfigurationError, Refused
from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.message import Request
from proxy.http1.request_fields import read_request_fields
from proxy.http1.target import parse_target
from proxy.mcp.tools import tool_rules
from proxy.regions import REGION_NAMES
from proxy.reports.requested import read_asked
from proxy.routing.route import Route, route
from proxy.routing.table import EmptyDirectory
from proxy.routing.target import TargetKind, find_destination, summarise
from proxy.tokens.opening import shown_url
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.commands.amazon_session import AccountFinding
    from proxy.config import Account
    from proxy.mcp.tools import ToolRules
    from proxy.routing.operations import Operations


_VERDICTS = {False: "The configuration is usable.", True: "The proxy would not start."}
_ORIGINS = {
    "configuration": "configuration",
    "store": "state (renewed by Amazon)",
    "sign-in": "state (sign-in)",
    "": "none",
}

ClientOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="CLIENT",
        help="Tell whether this client's request would pass.",
        autocompletion=client_names,
    ),
]
BodyOption = Annotated[Path | None, typer.Option(metavar="FILE", help="With --as: the body of the request.")]
ArgumentsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="With --mcp-tool: the arguments of the call, as JSON.")
]
MediaTypeOption = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="With --body: its Content-Type. Absent: one that the operation takes."),
]
CurrencyOption = Annotated[
    str | None,
    typer.Option(metavar="CODE", help="With --body or --arguments: who pays has this currency. Absent: as listed."),
]
JwtOption = Annotated[Path | None, typer.Option(metavar="FILE", help="Tell which client the JWT in this file is.")]
SpecificationOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="List which operations of this OpenAPI file, or folder, clients may not reach."),
]
TimezoneOption = Annotated[
    str | None,
    typer.Option(metavar="ZONE", help="With --body or --arguments: who pays has this time zone. Absent: as listed."),
]


def check(  # noqa: PLR0913 - each is an option of the command
    request: Annotated[
        list[str] | None, typer.Argument(metavar="METHOD PATH", help="With --as: the request.", show_default=False)
    ] = None,
    client: ClientOption = None,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="OLD_CONFIG", help="List the consents that the change from this file makes void."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Check what a start needs, without Amazon.")] = False,
    profile: Annotated[str | None, typer.Option(metavar="ID", help="With --as: the request's Scope.")] = None,
    account_id: Annotated[
        str | None, typer.Option(metavar="ID", help="With --as: the request's Amazon-Ads-AccountId.")
    ] = None,
    mcp_tool: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --as: the tool that it calls by MCP, at /mcp or PATH.")
    ] = None,
    body: BodyOption = None,
    arguments: ArgumentsOption = None,
    media_type: MediaTypeOption = None,
    currency: CurrencyOption = None,
    timezone: TimezoneOption = None,
    as_jwt: JwtOption = None,
    specification: SpecificationOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    judging = (body, arguments, media_type, currency, timezone)
    others = any((client, offline, request, profile, account_id, mcp_tool, *judging))
    if specification is not None:
        _accept_alone("--specification FILE", others or diff is not None or as_jwt is not None)
        from proxy.commands.specification_check import check_specification

        return check_specification(load(config, environment(env_file)), specification)
    if as_jwt is not None:
        _accept_alone("--as-jwt FILE", others or diff is not None)
        from proxy.commands.token_check import explain_token

        return explain_token(load(config, environment(env_file)), as_jwt)
    if diff is not None:
        _accept_alone("--diff OLD_CONFIG", others)
        environ = environment(env_file)
        return print_difference(_load_old(diff, environ), load(config, environ))
    if client is None:
        _need_client(any((request, profile, account_id, mcp_tool)), any(judging))
        return check_accounts(load(config, environment(env_file)), offline=offline)
    if mcp_tool and not request:
        request = ["POST", "/mcp"]
    if offline or request is None or len(request) != 2:
        raise ConfigurationError(
            ("check: --as CLIENT needs METHOD and PATH, as in `ads-proxy check --as reporting GET /v2/profiles`",)
        )

    described = describe_body(mcp_tool or "", judging)
    asked = DescribedRequest(client, request[0], request[1], profile or "", account_id or "", mcp_tool or "", described)
    return explain_request(load(config, environment(env_file)), asked)


def _need_client(describes_request: bool, describes_body: bool) -> None:
    """Raise `ConfigurationError` for options that are about a client's request."""
    if describes_request:
        raise ConfigurationError(
            ("check: METHOD, PATH, --profile, --account-id and --mcp-tool need --as CLIENT; add it",)
        )
    if describes_body:
        raise ConfigurationError(("check: options about a body or arguments need --as CLIENT; add it",))


def _accept_alone(option: str, others: bool) -> None:
    """Raise `ConfigurationError` if there are other options, except for --config."""
    if others:
        raise ConfigurationError((f"check: {option} accepts no other option than --config; remove the others",))


def check_accounts(config: Config, *, offline: bool = False) -> int:
    """0 if the proxy could start and every account works, else 1. Raises `ConfigurationError`."""
    from proxy.app.start_checks import check_start  # not above: it loads all that the program is made of

    start = check_start(config)
    tell(_summary(config))
    for note in (*notes(config), *start.notes):
        tell(f"note: {note}")
    for refusal in start.refusals:
        complain(refusal)
    if offline:
        say(f"{_VERDICTS[bool(start.refusals)]} Nothing was asked of Amazon.")
        return FAILED if start.refusals else OK
    from proxy.commands.amazon_session import tell_findings

    findings = asyncio.run(_try_all(config))
    answers().print(_table(findings))
    tell_findings(findings)
    problems = [*unlisted_profiles(config, findings)]
    if config.identity_providers:
        from proxy.commands.token_check import unread_providers  # not above: it loads what verifies signatures

        problems += unread_providers(config)
    for sentence in problems:
        complain(sentence)
    if start.refusals or problems or not all(finding.is_sound for finding in findings):
        return FAILED
    say("Everything works.")
    return OK


def _summary(config: Config) -> str:
    source = str(config.sources[0]) if config.sources else "the environment"
    clients = f"clients with keys: {len(config.clients)}" if config.clients else "every client is trusted"
    return f"The configuration ({source}) is valid: {config.listen}, {clients}, state in {shown_url(config.state.url)}"


async def _try_all(config: Config) -> list[AccountFinding]:
    from proxy.commands.amazon_session import open_session, try_account

    accounts, done = config.accounts.values(), 0
    with progress_line() as show:

        async def try_one(account: Account) -> AccountFinding:
            nonlocal done
            finding = await try_account(amazon, account)
            done += 1
            show(f"CHECKING, {done} of {len(accounts)} accounts")
            return finding

        show(f"CHECKING, 0 of {len(accounts)} accounts")
        async with open_session(config) as amazon:
            return await asyncio.gather(*map(try_one, accounts))


def _table(findings: list[AccountFinding]) -> Table:
    columns = (f"profiles {region}" for region in REGION_NAMES)
    table = plain_table("account", "refresh token", "access token", *columns)
    for finding in findings:
        counts = [("failed" if each.problem else str(len(each.profiles))) for each in finding.listings]
        minted = "ok" if not finding.problem else "failed" if finding.origin else "-"
        table.add_row(finding.account, _ORIGINS[finding.origin], minted, *(counts or ["-"] * len(REGION_NAMES)))
    return table


def unlisted_profiles(config: Config, findings: list[AccountFinding]) -> Iterator[str]:
    """Configured profiles that no region lists for their account, where all regions spoke. Pure."""
    listed = {
        finding.account: {profile.id for listing in finding.listings for profile in listing.profiles}
        for finding in findings
        if finding.listings and not any(listing.problem for listing in finding.listings)
    }
    wanted = [
        *(
            (f"accounts.{name}.default_profile", name, account.default_profile)
            for name, account in config.accounts.items()
        ),
        *((f"routes.{name}.profile", route.account, route.profile) for name, route in config.routes.items()),
    ]
    for key, account, profile in wanted:
        if profile and profile != "first" and profile not in listed.get(account, {profile}):
            yield (
                f"{key}: the account '{account}' cannot access this profile, so Amazon answers 401; "
                "choose one that `ads-proxy profiles` lists"
            )


# --- `check --as CLIENT METHOD PATH` ---------------------------------------------------------------------

SUPPOSED = "first"
"""Stands for the first listed profile."""


class OfflineDirectory(EmptyDirectory):
    """Lists nothing, and has a first profile nevertheless: what else decides can be told without it."""

    def first(self, account: str, region: str) -> str | None:
        return SUPPOSED


@dataclass(frozen=True, slots=True)
class DescribedRequest:
    """A request as the command line describes it; `profile` is its Scope, empty for none.

    `account_id` is its Amazon-Ads-AccountId, in the spelling that the operation takes; empty for none. `tool` is what
    it calls by MCP, empty for nothing. `body` is the body, or the arguments of the tool.
    """

    client: str
    method: str
    path: str
    profile: str
    account_id: str = ""
    tool: str = ""
    body: DescribedBody = DescribedBody()


def explain_request(config: Config, asked: DescribedRequest) -> int:
    """Print the verdict; 0 where the request would pass, else 1."""
    clients = make_clients(config, b"", Budgets())
    identity = clients.impersonate(asked.client)
    if identity is None or identity.policy is None:
        suggestion = did_you_mean(asked.client, clients.names())
        choices = f"; the clients are: {', '.join(clients.names()) or 'none, every client is trusted'}"
        raise ConfigurationError((f"--as: unknown client{suggestion or choices}",))
    if not asked.path.startswith("/"):
        raise ConfigurationError(("PATH: must begin with '/', such as /v2/profiles",))
    try:
        table = make_routing_table(config, OfflineDirectory())
        request = _request(config, asked, table.operations)
        destination = find_destination(request.target, with_own_paths=capability_settings(config).has_own_paths)
        summary = summarise(request.method, request.fields, destination, table.operations)
        before = evaluate_request(identity.policy, summary, destination)
        if before.refusal is not None:
            return _refuse(before)
        if summary.kind is TargetKind.APPROVALS:
            say(f"Yes: Client {asked.client} may read the states of its own approvals.")
            return OK
        if config.reports is not None and summary.kind is TargetKind.REPORTS:
            accounts = named_reports(config.reports).accounts
            report = read_asked(request.method, destination, clients.readable_reports(identity, accounts))
            if report.refresh:
                clients.permit_run(identity)
            say(f"Yes: Client {asked.client} may read {report.name or 'the list of its reports'}.")
            return OK
        fixed = clients.fix_account(identity, before, summary, table)
        chosen = route(summary, table, identity.scope, fixed=fixed)
    except Refused as refusal:
        say(f"No: {refusal.detail}")
        admitted = [name for name in table.accounts if identity.scope.admits(name)]
        if isinstance(refusal, AccountRequired) and admitted:
            say(f"Name one in the path, here and in the client's URL: {asked.method} /@{min(admitted)}{asked.path}")
        return FAILED
    verdict = evaluate_route(identity.policy, before, chosen)
    limits = spend_limits(config).get(asked.client)
    write = DescribedWrite(asked.client, limits, chosen, asked.body) if limits is not None else None
    if asked.tool and verdict.refusal is None:
        if not chosen.api.takes_messages:
            raise ConfigurationError(("--mcp-tool: goes with a path of the MCP endpoint, /mcp or /mcp/lite",))
        rules = tool_rules(identity.policy, table.operations, fixed=fixed)
        judged = write.judge_call(config, asked.tool, table.operations) if write is not None else None
        return _tell_tool(rules, asked, chosen, judged)
    judged = None
    if write is not None and verdict.refusal is None:
        judged = write.judge_request(config, summary, destination)
    return _tell(verdict, asked, chosen, judged)


def _request(config: Config, asked: DescribedRequest, operations: Operations) -> Request:
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


def _tell(verdict: Verdict, asked: DescribedRequest, chosen: Route, judged: TriedWrite | None) -> int:
    rule = f"rule: {verdict.rule}" if verdict.rule else "no rule limits it"
    if verdict.rule == "profiles" and chosen.profile == SUPPOSED.encode():
        say("Depends: `default_profile: first` decides, and only a running proxy knows that profile; use --profile.")
        return FAILED
    if verdict.refusal is not None:
        return _refuse(verdict)
    return _tell_end(f"Yes ({rule}): {verdict.reason}", asked, chosen, judged)


def _tell_tool(rules: ToolRules | None, asked: DescribedRequest, chosen: Route, judged: TriedWrite | None) -> int:
    """Whether the client may call an MCP tool, and what decides that."""
    objection = rules.find_objection(asked.tool) if rules is not None else None
    if objection is not None:
        say(f"No: {objection.reason}")
        return FAILED
    ground = rules.describe(asked.tool) if rules is not None else f"Client {asked.client} may call every MCP tool."
    return _tell_end(f"Yes: {ground}", asked, chosen, judged)


def _tell_end(permitted: str, asked: DescribedRequest, chosen: Route, judged: TriedWrite | None) -> int:
    """The verdict on what the client's policy permits, after its limits on spending."""
    passes = judged is None or judged.is_permitted
    say(permitted if judged is None or passes else f"No (rule: spend): {judged.summary}")
    _tell_destination(chosen, asked.account_id)
    if judged is not None:
        judged.tell()
    elif asked.body.content is not None:
        say("Nothing limits what it spends: it is no write, or the client has no `spend`.")
    return OK if passes else FAILED


def _tell_destination(chosen: Route, account_id: str) -> None:
    if chosen.fixed is not None:
        account_id = chosen.fixed.ads_account.decode("latin-1")
    scope = f"profile {chosen.profile.decode('latin-1')}" if chosen.profile else "no profile"
    also = f" and account id {account_id}" if account_id else ""
    say(f"It would go to account {chosen.account}, region {chosen.region}, with {scope}{also}.")


# --- `check --diff` --------------------------------------------------------------------------------------


def _load_old(file: Path, environ: Mapping[str, str]) -> Config:
    """The configuration before the change. Raises `ConfigurationError` with problems that name the option."""
    try:
        return load(file, environ)
    except ConfigurationError as error:
        problems = (problem.removeprefix("--config: ") for problem in error.problems)
        raise ConfigurationError(tuple(f"--diff: {problem}" for problem in problems)) from None


def print_difference(old: Config, new: Config) -> int:
    """A sentence for each consent that would be lost; 1 where there is one."""
    void = [*void_consents(old, new)]
    for sentence in void:
        complain(sentence)
    for sentence in harmless_changes(old, new):
        say(sentence)
    if void:
        return FAILED
    say("No consent is lost by this change.")
    return OK


def void_consents(old: Config, new: Config) -> Iterator[str]:
    """The consents that a change makes void. Pure.

    A refresh token works only with the application that it was issued to (docs/development/amazon.md, Client id).
    """
    for name, before in old.accounts.items():
        after = new.accounts.get(name)
        if after is None:
            yield f"accounts.{name}: removed or renamed; its login in the state store is no longer used"
        elif before.client_id != after.client_id:
            if after.refresh_token is not None and after.refresh_token != before.refresh_token:
                yield (
                    f"accounts.{name}.client_id: another application; the present login becomes void; "
                    "make sure that the new refresh_token was issued to this application"
                )
            else:
                yield (
                    f"accounts.{name}.client_id: another application; the consent becomes void; "
                    f"get a new one with `ads-proxy login {name}` or `ads-proxy invite {name}`"
                )
        elif before.refresh_token is not None and after.refresh_token is None:
            yield (
                f"accounts.{name}.refresh_token: removed; sign in again, unless the state store has a "
                "login of this account"
            )
    if old.state.url != new.state.url:
        yield "state.url: another store; logins in the old one are no longer used; copy it, or sign in again"


def harmless_changes(old: Config, new: Config) -> Iterator[str]:
    """What changes of an application without costing a consent, as far as is known. Pure."""
    for name, before in old.accounts.items():
        after = new.accounts.get(name)
        if after is None or before.client_id != after.client_id:
            continue
        if before.secrets != after.secrets:
            yield f"accounts.{name}.client_secret: changes; {_kept(before, after)}"
        if {*after.scopes} - {*before.scopes}:
            yield f"accounts.{name}.scopes: asks for more, from the next sign-in on"


def _kept(before: Account, after: Account) -> str:
    if before.secrets[0] in after.secrets:
        return "the present one stays in the list, so nothing is interrupted"
    return (
        "refresh tokens most likely stay valid. Keep the present one as the second of a list until Amazon accepts "
        "the new one"
    )
