"""The command line of keys: names, options and help of `keys new`, `list`, `expire` and `rotate-state`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption, remember

keys_app = typer.Typer(no_args_is_help=True, help="Keys of clients and of the state store.")
ClientArgument = Annotated[str, typer.Argument(metavar="CLIENT", help="The client's name.")]


class KeyLayout(StrEnum):
    """How `keys list` prints."""

    table = "table"
    json = "json"


@keys_app.command("new")
def keys_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The client's name.")],
    expires: Annotated[
        str, typer.Option(metavar="DAY", help="The last day on which it is taken (UTC), such as 2027-01-31.")
    ] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="What it is for, as people read it.")] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A YAML file: show the client's keys with the new one.",
            callback=remember("--config"),
        ),
    ] = None,
    env_file: EnvFileOption = None,
) -> None:
    """Make a key for a client. The key is printed once; the configuration keeps its digest."""
    from proxy.commands.keys import KeyTerms, new_key
    from proxy.config import environment, load

    present = None if config is None else load(config, environment(env_file))
    raise typer.Exit(new_key(name, KeyTerms(expires, note), present))


@keys_app.command("list")
def keys_list(
    layout: Annotated[KeyLayout, typer.Option("--format", help="How to print them.")] = KeyLayout.table,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """List the keys of all clients, the first to end at the top. When each was last used, `/status` says."""
    from proxy.commands.keys import print_keys
    from proxy.config import environment, load

    raise typer.Exit(print_keys(load(config, environment(env_file)), layout.value, datetime.now(UTC)))


@keys_app.command("expire")
def keys_expire(
    client: ClientArgument,
    key: Annotated[
        str, typer.Argument(metavar="[KEY]", help="Which, by its id or note, where it has several.", show_default=False)
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="DAY", help="The last day on which it is taken (UTC). Default: it ends now.")
    ] = "",
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> None:
    """Print what to write into the configuration to end a client's key. Nothing is changed."""
    from proxy.commands.keys import EndedKey, print_expiry
    from proxy.config import environment, load

    raise typer.Exit(print_expiry(load(config, environment(env_file)), EndedKey(client, key, on), datetime.now(UTC)))


@keys_app.command("rotate-state")
def keys_rotate_state(config: ConfigOption = None, env_file: EnvFileOption = None) -> None:
    """Encrypt the state store anew with the first key of state.key; then the old keys can go."""
    from proxy.commands.keys import rotate_state
    from proxy.config import environment, load

    raise typer.Exit(rotate_state(load(config, environment(env_file))))
