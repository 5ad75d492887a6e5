"""The command line: finds the commands, which are the files of this folder, and runs one.

A file is a command if its docstring begins with the command's name in backticks and a colon; the rest of the docstring
is its help. The function of the file's name declares the options and returns the exit code; a command with commands of
its own has a `typer.Typer` called `app` instead. A command's file is imported when the command runs: `--help` reads
the docstrings alone, and stays quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from proxy.commands.terminal import complain
from proxy.errors import StartupError

HELP = """
A reverse proxy that makes the Amazon Ads API look as if it needed no login.

Without credentials, try `ads-proxy demo`. With them, set AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET,
AMAZON_ADS_REFRESH_TOKEN and AMAZON_ADS_REGION, or write a YAML file; then `ads-proxy check` and `ads-proxy serve`.

Exit codes: 0 it worked; 1 it ran and something is wrong (a port in use, a token refused, `check` found a problem);
2 the configuration or the command line is wrong.
"""
NAMES = ("ads-proxy", "amazon-ads-proxy")
"""Of the program; a shell completes the one that was typed."""
ORDER = (
    *("serve", "demo", "simulate", "check", "login", "consents", "invite", "profiles", "healthcheck", "wait"),
    *("schema", "version", "status", "logs", "notify", "init", "config-reference", "run"),
    *("account", "keys", "audit", "invites"),
)
"""How `--help` lists the commands. Others follow by name."""


def find_commands() -> dict[str, str]:
    """The help of each command by its name, in the order of `ORDER`; read from the files without importing them."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        name = path.stem.replace("_", "-")
        opening = f'"""`{name}`: '
        text = path.read_text(encoding="utf-8")
        if text.startswith(opening):
            first, *rest = text[len(opening) : text.index('"""', 3)].rstrip().split("\n\n")
            found[name] = "\n\n".join((first.replace("\n", " "), *rest))
    return {name: found[name] for name in (*ORDER, *(name for name in found if name not in ORDER))}


def load_command(name: str) -> Any:
    """The command of this name with its options, as typer makes it. Imports its file."""
    module = import_module(f"proxy.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command()(vars(module)[name.replace("-", "_")])
    command = typer.main.get_command(app)
    command.name, command.help = name, find_commands()[name]
    return command


class CommandsOfTheFolder(TyperGroup):
    """The commands by name and help. One is loaded when it is to run, or to explain itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update((name, TyperCommand(name, help=text)) for name, text in find_commands().items())

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load_command(command.name or ""), rest


def _exit(code: int, **_: object) -> None:
    raise typer.Exit(code)


app = typer.Typer(
    name="ads-proxy",
    cls=CommandsOfTheFolder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_versions(asked: bool) -> None:
    if asked:
        from proxy.commands.version import print_versions

        raise typer.Exit(print_versions())


@app.callback(help=HELP, result_callback=_exit)
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions of what matters, and end.", is_eager=True, callback=_print_versions
        ),
    ] = False,
) -> None:
    """Options that stand before a command."""


def main() -> None:
    """Run the command line; a failure with a name becomes its lines and its exit code."""
    name = Path(sys.argv[0]).name
    try:
        app(prog_name=name if name in NAMES else NAMES[0])
    except StartupError as error:
        complain(str(error))
        sys.exit(error.exit_code)
