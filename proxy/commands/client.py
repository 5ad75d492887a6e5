"""`client`: Add, change and remove clients of a configuration file.

Example: ads-proxy client add reporting --account main --access report --config proxy.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from proxy.commands.cli_options import ConfigOption, DryRunOption, EnvFileOption
from proxy.commands.client_limits import LimitChanges, allow_client, edit_client
from proxy.commands.completion import account_names, client_names, report_names
from proxy.commands.configuration_file import ConfigurationFile
from proxy.commands.keys import KeyTerms, NewKey, check_client_name, find_client
from proxy.commands.terminal import OK, tell
from proxy.commands.yaml_edits import add_item, remove_item
from proxy.config import environment
from proxy.errors import ConfigurationError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(no_args_is_help=True, add_completion=False)


Access = Literal["read", "report", "write", "admin"]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The client's name.", autocompletion=client_names)]
AccountOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="An account that it may use. Default: all.", autocompletion=account_names),
]
ProfileOption = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="A profile that it may use, and nothing without one.")
]
AccountIdOption = Annotated[
    list[str] | None, typer.Option(metavar="ID", help="An Amazon-Ads-AccountId that it may use, likewise.")
]
UnscopedPathOption = Annotated[
    list[str] | None, typer.Option(metavar="PATH", help="A path that it may use without profile and account id.")
]
MethodOption = Annotated[list[str] | None, typer.Option(metavar="METHOD", help="A method. Default: all.")]
PathOption = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="A path, such as '/reporting/*'. Default: all.")
]
McpToolOption = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="An MCP tool, such as '*-query_*'. Default: all.")
]
ReportOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="A named report that it may read.", autocompletion=report_names),
]


@app.command("add")
def add(  # noqa: PLR0913 - each is an option of the command
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client's name.")],
    access: Annotated[Access, typer.Option(help="What it may do.")] = "read",
    account: AccountOption = None,
    profile: ProfileOption = None,
    account_id: AccountIdOption = None,
    unscoped_path: UnscopedPathOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    mcp_tool: McpToolOption = None,
    report: ReportOption = None,
    expires: Annotated[
        str, typer.Option(metavar="DAY", help="The last day of its key in UTC, such as 2027-01-31.")
    ] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What its key is for.")] = "",
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Add a client with a key to the configuration file.

    It prints the key once; the file gets the digest. Nothing else in the file changes. Give an option several times to
    permit more. --dry-run prints the difference, and neither writes nor prints a key.

    Example: ads-proxy client add agent --account main --access read --profile 123 --expires 2027-01-31
    """
    limits = {
        "accounts": account,
        "profiles": profile,
        "account_ids": account_id,
        "unscoped_paths": unscoped_path,
        "methods": method,
        "paths": path,
        "access": access,
        "mcp_tools": mcp_tool,
        "reports": report,
    }
    wanted = NewClient(name, KeyTerms(expires, note), {key: value for key, value in limits.items() if value})
    return add_client(ConfigurationFile.open("client add", config, environment(env_file)), wanted, dry_run)


@app.command("edit")
def edit(  # noqa: PLR0913 - each is an option of the command
    name: NameArgument,
    access: Annotated[Access | None, typer.Option(help="What it may do.")] = None,
    account: AccountOption = None,
    profile: ProfileOption = None,
    account_id: AccountIdOption = None,
    unscoped_path: UnscopedPathOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    mcp_tool: McpToolOption = None,
    report: ReportOption = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="A limit that goes, such as accounts: it may use all then.")
    ] = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Change what a client may do, in the configuration file.

    What an option names takes the place of what the client has; other limits and the keys stay. Nothing else in the
    file changes. `client allow` adds to what it has.

    Example: ads-proxy client edit reporting --access report --account main --config proxy.yaml
    """
    limits = {
        "accounts": account,
        "profiles": profile,
        "account_ids": account_id,
        "unscoped_paths": unscoped_path,
        "methods": method,
        "paths": path,
        "mcp_tools": mcp_tool,
        "reports": report,
    }
    file = ConfigurationFile.open("client edit", config, environment(env_file))
    return edit_client(file, name, LimitChanges.of(limits, access, unset or ()), dry_run)


@app.command("allow")
def allow(  # noqa: PLR0913 - each is an option of the command
    name: NameArgument,
    account: AccountOption = None,
    profile: ProfileOption = None,
    account_id: AccountIdOption = None,
    unscoped_path: UnscopedPathOption = None,
    method: MethodOption = None,
    path: PathOption = None,
    mcp_tool: McpToolOption = None,
    report: ReportOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Permit a client more accounts, profiles or paths, in the configuration file.

    It adds to what the client has. Nothing else in the file changes. What is permitted already is no error.

    Example: ads-proxy client allow reporting --account globex --config proxy.yaml
    """
    limits = {
        "accounts": account,
        "profiles": profile,
        "account_ids": account_id,
        "unscoped_paths": unscoped_path,
        "methods": method,
        "paths": path,
        "mcp_tools": mcp_tool,
        "reports": report,
    }
    file = ConfigurationFile.open("client allow", config, environment(env_file))
    return allow_client(file, name, {key: values for key, values in limits.items() if values}, dry_run)


@app.command("remove")
def remove(
    name: NameArgument,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    """Remove a client and its keys from the configuration file.

    The comment lines directly above it go, too. Nothing else in the file changes. Without any client every local
    program would be trusted: the only client stays.

    Example: ads-proxy client remove reporting --config proxy.yaml
    """
    return remove_client(ConfigurationFile.open("client remove", config, environment(env_file)), name, dry_run)


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be added. `limits` are keys of its entry with their values."""

    name: str
    terms: KeyTerms
    limits: dict[str, Any]


def add_client(file: ConfigurationFile, wanted: NewClient, dry_run: bool) -> int:
    """Add it, and print its key once. Raises `StartupError`, and then the file is as it was."""
    file.refuse_variables("clients")
    check_client_name(file.command, wanted.name)
    if any(client.name == wanted.name for client in file.config.clients):
        more = f"`ads-proxy keys new {wanted.name} --config {file.path}` makes another key for it"
        raise ConfigurationError((f"{file.command}: NAME is the name of a client already; {more}",))
    made, values = NewKey.make(wanted.terms), file.values
    entry = {"name": wanted.name, "keys": [made.entry], **wanted.limits}
    clients = [*(values.get("clients") or []), entry]
    text = file.edited(lambda text: add_item(text, ("clients",), entry), {**values, "clients": clients})
    file.finish(text, dry_run=dry_run, answers=dry_run)
    if not dry_run:
        made.show(wanted.name)
        for line in next_steps(wanted, is_first=not file.config.clients):
            tell(line)
    return OK


def next_steps(wanted: NewClient, *, is_first: bool) -> Iterator[str]:
    """What changes, and what to type now. Pure."""
    yield ""
    yield "Give `key` to the client; it is not shown again. A running proxy accepts it within 5 seconds."
    if is_first:
        yield "It is the first client: from now on, every request needs a key."
    profiles = wanted.limits.get("profiles")
    request = f"POST /sp/campaigns/list --profile {profiles[0]}" if profiles else "GET /v2/profiles"
    yield from ("", "Next:", f"  ads-proxy check --as {wanted.name} {request}")


def remove_client(file: ConfigurationFile, name: str, dry_run: bool) -> int:
    """Remove it. Raises `StartupError`, and then the file is as it was."""
    file.refuse_variables("clients")
    number, values = find_client(file.command, file.config, name), file.values
    clients = [*values["clients"]]
    if len(clients) == 1:
        problem = f"{name} is the only client; without clients, every local program is trusted"
        raise ConfigurationError(
            (f"{file.command}: {problem}. Add another client first, or remove `clients` from the file by hand",)
        )
    del clients[number]
    text = file.edited(lambda text: remove_item(text, ("clients", number)), {**values, "clients": clients})
    file.finish(text, dry_run=dry_run, answers=True)
    if not dry_run:
        tell(f"Removed: client {name}. A running proxy refuses its keys within 5 seconds.")
    return OK
