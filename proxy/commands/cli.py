"""The command line: finds the commands, which are the files of this folder, and runs one.

A file is a command if its docstring begins with the command's name in backticks and a colon. The rest of the docstring
is its help: one line, details, and an example at the end. The function with the file's name declares the options and
returns the exit code. A command with sub-commands has a `typer.Typer` called `app` instead. The list of commands comes
from the docstrings: a file is imported only when its command runs or shows its own help.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from proxy.advice import NAMES, with_program
from proxy.commands.terminal import complain
from proxy.errors import StartupError

HELP = """
A reverse proxy for the Amazon Ads API. Clients need no login: the proxy adds it.

Without credentials, try `ads-proxy demo`. With credentials, run `ads-proxy init`, or set AMAZON_ADS_CLIENT_ID,
AMAZON_ADS_CLIENT_SECRET, AMAZON_ADS_REFRESH_TOKEN and AMAZON_ADS_REGION. Then run `ads-proxy check` and
`ads-proxy serve`.

Exit codes: 0 success; 1 something is wrong (a port in use, a refused token, a problem that `check` found);
2 the configuration or the command line is wrong.
"""
GROUPS = {
    "Run": ("serve", "demo", "run", "env", "simulate"),
    "Set up": ("init", "account", "client", "login", "invite", "check", "keys", "notify"),
    "Limit": ("freeze", "unfreeze", "approvals", "approve", "deny"),
    "Look": ("status", "spend", "logs", "profiles", "reports", "report", "consents", "audit"),
    "For machines": ("ca", "healthcheck", "wait", "schema", "config-reference", "version"),
}
"""The commands as `--help` lists them."""
UNGROUPED = "Other"
"""Lists the commands without a group."""


def group_of(name: str) -> str:
    """The heading under which `--help` lists a command."""
    return next((group for group, names in GROUPS.items() if name in names), UNGROUPED)


def find_commands() -> dict[str, str]:
    """The help of each command by its name, in the order of `GROUPS`; read from the files without importing them."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        name = path.stem.replace("_", "-")
        opening = f'"""`{name}`: '
        text = path.read_text(encoding="utf-8")
        if text.startswith(opening):
            found[name] = unwrap(text[len(opening) : text.index('"""', 3)])
    ordered = [name for names in GROUPS.values() for name in names]
    return {name: found[name] for name in (*ordered, *(name for name in found if name not in ordered))}


def unwrap(text: str) -> str:
    """A docstring's paragraphs, each on one line, so that they fill a terminal of any width."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def load_command(name: str) -> Any:
    """The command of this name with its options, as typer makes it. Imports its file."""
    module = import_module(f"proxy.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command()(vars(module)[name.replace("-", "_")])
    command = typer.main.get_command(app)
    command.name, command.help = name, find_commands()[name]
    for each in getattr(command, "commands", {}).values():
        each.help = unwrap(each.help or "")
    return command


_display_type = TyperOption.display_type_rich


def _type_unless_flag(option: TyperOption, ctx: Any) -> str | None:
    """What `--help` shows as an option's type: nothing for a flag, which the library calls `<bool>`."""
    return "" if option.is_flag else _display_type(option, ctx)


TyperOption.display_type_rich = _type_unless_flag  # type: ignore[assignment, method-assign]  # the library has no hook


class CommandsOfTheFolder(TyperGroup):
    """The commands by name and help. A command's file is loaded when the command runs or shows its help."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, text in find_commands().items():
            self.commands[name] = TyperCommand(name, help=text, rich_help_panel=group_of(name))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, found, rest = super().resolve_command(ctx, args)
        command = found and load_command(found.name or "")
        for each in (command, *getattr(command, "commands", {}).values()) if command else ():
            each.help = with_program(each.help or "")
        return name, command, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.help = with_program(self.help or "")
        super().format_help(ctx, formatter)


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


@app.callback(help=unwrap(HELP), result_callback=_exit)
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions of program and libraries.", is_eager=True, callback=_print_versions
        ),
    ] = False,
) -> None:
    """The options before a command."""


def main() -> None:
    """Run the command line; a failure with a name becomes its lines and its exit code."""
    name = Path(sys.argv[0]).name  # a shell completes the one that was typed
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())  # it is None if it was closed at the start
    try:
        app(prog_name=name if name in NAMES else NAMES[0])
    except StartupError as error:
        complain(str(error))
        sys.exit(error.exit_code)
