"""Options that several commands have, each described once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy import advice
from proxy.config.model.values import parse_address
from proxy.errors import ConfigurationError


def remember(option: str) -> Callable[[Path | None], Path | None]:
    """A callback that keeps the option's value for the commands that messages suggest."""

    def keep(value: Path | None) -> Path | None:
        if value is not None:
            advice.options_in_use[option] = str(value)
        return value

    return keep


def config_option(text: str) -> Any:
    """`--config`; the text says what the command does with the file."""
    return typer.Option("--config", "-c", metavar="FILE", help=text, callback=remember("--config"), show_default=False)


ConfigOption = Annotated[Path | None, config_option("The YAML file. Default: ADS_PROXY_CONFIG.")]
EnvFileOption = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="A file of variables, NAME=VALUE a line. The environment wins.",
        callback=remember("--env-file"),
        show_default=False,
    ),
]


def check_address(text: str | None) -> str | None:
    """A callback that refuses a value that is no address."""
    try:
        return text and str(parse_address(text))
    except ValueError as error:
        raise ConfigurationError((f"--admin-listen: {error}",)) from None


ListenOption = Annotated[
    str | None, typer.Option("--listen", metavar="HOST:PORT", help="The address for clients. Default: 127.0.0.1:8080.")
]
AdminListenOption = Annotated[
    str | None,
    typer.Option(
        "--admin-listen",
        metavar="HOST:PORT",
        help="Metrics, health and console. Default: 127.0.0.1:8081.",
        callback=check_address,
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the difference; write nothing.", show_default=False)
]
EchoOption = Annotated[
    bool,
    typer.Option("--echo", help="The simulator answers unknown operations with what it received."),
]
ClientIdOption = Annotated[str | None, typer.Option(metavar="ID", help="The application's client id.")]
RefreshTokenOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file with a refresh token, if you have one.")
]
AskOption = Annotated[bool, typer.Option("--ask/--no-ask", help="Ask for missing answers, on a terminal.")]
