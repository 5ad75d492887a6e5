"""The command line: names, options and help. What a command does is in the file of its name.

Modules of a command are imported when it runs, so that `--help` and `healthcheck` stay quick.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.commands import cli_audit, cli_keys, cli_start, cli_watch
from proxy.commands.addresses import at_addresses
from proxy.commands.cli_options import (
    AdminListenOption,
    ConfigOption,
    EchoOption,
    EnvFileOption,
    ListenOption,
)
from proxy.commands.terminal import complain
from proxy.errors import ConfigurationError, StartupError

HELP = """
A reverse proxy that makes the Amazon Ads API look as if it needed no login.

Without credentials, try `ads-proxy demo`. With them, set AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET,
AMAZON_ADS_REFRESH_TOKEN and AMAZON_ADS_REGION, or write a YAML file; then `ads-proxy check` and `ads-proxy serve`.

Exit codes: 0 it worked; 1 it ran and something is wrong (a port in use, a token refused, `check` found a problem);
2 the configuration or the command line is wrong.
"""

app = typer.Typer(
    name="ads-proxy",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_start.account_app, name="account")
app.add_typer(cli_keys.keys_app, name="keys")
app.add_typer(cli_audit.audit_app, name="audit")
invites_app = typer.Typer(no_args_is_help=True, help="Links that ask for consent.")
app.add_typer(invites_app, name="invites")
MAX_DAYS = 90
NAMES = ("ads-proxy", "amazon-ads-proxy")
"""Of the command; a shell completes the one that was typed."""


class Layout(StrEnum):
    """How `profiles` prints."""

    table = "table"
    json = "json"
    csv = "csv"


class ConsentLayout(StrEnum):
    """How `consents` prints."""

    table = "table"
    json = "json"
    ical = "ical"


def _print_versions(asked: bool) -> None:
    if asked:
        from proxy.commands.version import print_versions

        raise typer.Exit(print_versions())


@app.callback(help=HELP)
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions of what matters, and end.", is_eager=True, callback=_print_versions
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command()
def serve(
    listen: ListenOption = None,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Run the proxy until SIGTERM or SIGINT. SIGHUP, and changed files, reload the configuration."""
    from proxy.commands.serve import ServeRequest
    from proxy.commands.serve import serve as run

    raise typer.Exit(run(ServeRequest(config, env_file, listen, admin_listen)))


@app.command()
def demo(
    listen: ListenOption = None,
    admin_listen: AdminListenOption = None,
    echo: EchoOption = False,
) -> None:
    """Run the proxy in front of the built-in simulator: nothing to configure, no credentials, no Amazon."""
    from proxy.commands.demo import demo as run
    from proxy.config import environment

    raise typer.Exit(run(environment(), listen, admin_listen, echo=echo))


@app.command()
def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    base_port: Annotated[
        int, typer.Option(min=0, max=65531, help="na; then eu, fe, S3 and control follow. 0: any free ports.")
    ] = 9001,
    access_token_lifetime: Annotated[float, typer.Option(min=1, help="Seconds.")] = 3600,
    profiles_per_region: Annotated[int, typer.Option(min=0, max=5000, help="How many profiles each region has.")] = 3,
    echo: EchoOption = False,
) -> None:
    """Run the simulator alone: a pretend Login with Amazon and Ads API, to test tools against."""
    from proxy.commands.simulate import simulate as run
    from proxy.simulator import PortPlan, SimulatorSettings

    settings = SimulatorSettings(
        host=host,
        ports=PortPlan.from_base(base_port),
        access_token_lifetime=access_token_lifetime,
        profiles_per_region=profiles_per_region,
        strict_paths=not echo,
    )
    raise typer.Exit(run(settings))


@app.command()
def check(  # noqa: PLR0913 - each is an option of the command
    request: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD PATH]", help="With --as: the request.", show_default=False)
    ] = None,
    client: Annotated[
        str | None, typer.Option("--as", metavar="CLIENT", help="Say whether this client's request would pass.")
    ] = None,
    diff: Annotated[
        Path | None,
        typer.Option(metavar="OLD_CONFIG", help="Say which consents are lost by changing from that file to this one."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Check the configuration alone; ask nobody.")] = False,
    profile: Annotated[str | None, typer.Option(metavar="ID", help="With --as: the request's Scope.")] = None,
    account_id: Annotated[
        str | None, typer.Option(metavar="ID", help="With --as: the request's Amazon-Ads-AccountId.")
    ] = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Check the configuration; then obtain a token for each account and list its profiles in every region.

    Prints a table, and for each failure one sentence that says what to do. Exit code 1 if there is one.
    With --as nothing is asked of Amazon: it says whether a client's request would pass, and which rule decides.
    With --diff neither: it says which consents are lost by the change. With --offline the configuration alone counts.
    """
    from proxy.config import environment, load

    if diff is not None:
        if client or offline or request or profile or account_id:
            _misused("--diff OLD_CONFIG goes with --config alone")
        from proxy.commands.check import print_difference

        raise typer.Exit(print_difference(load(diff, environment(env_file)), load(config, environment(env_file))))
    if client is None:
        if request or profile or account_id:
            _misused("METHOD, PATH, --profile and --account-id go with --as CLIENT")
        from proxy.commands.check import check as run

        raise typer.Exit(run(load(config, environment(env_file)), offline=offline))
    if offline or request is None or len(request) != 2:
        _misused("--as CLIENT needs METHOD and PATH, such as: check --as reporting GET /v2/profiles")
    from proxy.commands.check import SupposedRequest, explain_request

    asked = SupposedRequest(client, request[0], request[1], profile or "", account_id or "")
    raise typer.Exit(explain_request(load(config, environment(env_file)), asked))


@app.command()
def login(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="Its name; with environment variables alone: default.")
    ],
    browser: Annotated[bool, typer.Option(help="Open a browser where there is one.")] = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the new login whatever profiles of the present one it lacks.")
    ] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Sign in to Amazon for an account, and keep its refresh token in the state store.

    Where the present login works, the new one is tried first and compared with it: nothing is interrupted.
    Prints the sign-in address, and takes the address where the browser landed, or the code alone, on standard input.
    """
    from proxy.config import environment, load

    environ = environment(env_file)
    loaded = load(config, environ)
    from proxy.commands.login import login as run

    raise typer.Exit(run(loaded, account, environ, browser=browser, insists=replace))


@app.command()
def consents(
    layout: Annotated[ConsentLayout, typer.Option("--format", help="How to print them.")] = ConsentLayout.table,
    ical: Annotated[bool, typer.Option("--ical", help="Print an iCalendar file: the same as --format ical.")] = False,
    within: Annotated[
        int | None,
        typer.Option(min=0, metavar="DAYS", help="Only those that end within so many days, or have ended."),
    ] = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """List all accounts by the day on which the advertiser's consent ends. Nothing is asked of Amazon."""
    from proxy.commands.consents import print_consents
    from proxy.config import environment, load

    chosen = ConsentLayout.ical if ical else layout
    raise typer.Exit(print_consents(load(config, environment(env_file)), chosen.value, within))


@app.command()
def invite(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account whose consent is asked for.")],
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How long the link is good.")] = 7,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Make a link to send to the advertiser, which asks for the consent that an account needs.

    It works once, for this account alone, at the running proxy's listener for invitations (invites.listen).
    """
    from proxy.commands.invite import invite as run
    from proxy.config import environment, load

    raise typer.Exit(run(load(config, environment(env_file)), account, days))


@invites_app.command("list")
def invites_list(config: ConfigOption = None, env_file: EnvFileOption = None) -> None:
    """List the links that were made, and what became of them."""
    from proxy.commands.invite import print_invitations
    from proxy.config import environment, load

    raise typer.Exit(print_invitations(load(config, environment(env_file))))


@invites_app.command("revoke")
def invites_revoke(
    which: Annotated[str, typer.Argument(metavar="ACCOUNT|ID", help="All open links of an account, or one of them.")],
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Take links back before they are used."""
    from proxy.commands.invite import revoke
    from proxy.config import environment, load

    raise typer.Exit(revoke(load(config, environment(env_file)), which))


@app.command()
def profiles(
    layout: Annotated[Layout, typer.Option("--format", help="How to print them.")] = Layout.table,
    accounts: Annotated[bool, typer.Option("--accounts", help="List ads accounts in place of profiles.")] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """List the profiles of every account in every region; with --accounts, the ads accounts."""
    from proxy.config import environment, load

    loaded = load(config, environment(env_file))
    from proxy.commands.profiles import print_profiles

    raise typer.Exit(print_profiles(loaded, layout.value, ads_accounts=accounts))


@app.command()
def healthcheck(config: ConfigOption = None, env_file: EnvFileOption = None) -> None:
    """Ask the running proxy whether it is alive; exit code 0 if so. For containers."""
    from proxy.commands.healthcheck import check_health
    from proxy.config import admin_address, environment

    raise typer.Exit(check_health(admin_address(config, environment(env_file))))


@app.command()
def wait(
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds after which to give up, with exit code 1.")] = 30.0,
    admin_listen: AdminListenOption = None,
) -> None:
    """Wait until the running proxy is ready (`/readyz` says 200)."""
    from proxy.commands.wait import wait_until_ready
    from proxy.config import admin_address, environment

    environ = at_addresses(environment(env_file), admin_listen=admin_listen)
    raise typer.Exit(wait_until_ready(admin_address(config, environ), timeout))


@app.command()
def schema(
    tables: Annotated[bool, typer.Option(help="Print the options as Markdown tables instead.")] = False,
) -> None:
    """Print the configuration's JSON schema, for editors."""
    from proxy.commands.schema import print_schema

    raise typer.Exit(print_schema(tables=tables))


@app.command()
def version() -> None:
    """Print the version; --version says what it rests on, too."""
    from proxy.commands.version import print_version

    raise typer.Exit(print_version())


app.command()(cli_watch.status)
app.command()(cli_watch.logs)
app.command()(cli_watch.notify)
app.command()(cli_start.init)
app.command("config-reference")(cli_start.config_reference)
app.command(context_settings=cli_start.AFTER_DASHES)(cli_start.run)


def _misused(problem: str) -> NoReturn:
    raise ConfigurationError((problem,))


def main() -> None:
    """Run the command line; a failure with a name becomes its lines and its exit code."""
    name = Path(sys.argv[0]).name
    try:
        app(prog_name=name if name in NAMES else NAMES[0])
    except StartupError as error:
        complain(str(error))
        sys.exit(error.exit_code)
