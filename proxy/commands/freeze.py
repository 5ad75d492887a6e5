"""`freeze`: Stop all writes of a client, or of all clients.

The running proxy refuses them within a second, in every replica, also after a restart. Reads go on.
`ads-proxy unfreeze` lets writes pass again. The exit code is 1 if the proxy does not answer, or could not keep the
freeze in its state store: then it holds in that proxy alone, until it ends.

Example: ads-proxy freeze agent --because 'It raises bids' --config proxy.yaml
"""

from __future__ import annotations

import getpass
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.asking import Unanswered, ask_admin, explain_silence, explain_status, find_admin, members_of
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.completion import client_names
from proxy.commands.status import frozen_writes
from proxy.commands.terminal import FAILED, OK, complain, printable, say
from proxy.config import environment

if TYPE_CHECKING:
    from proxy.config import Address
    from proxy.secret import Secret

TIMEOUT = 30.0
"""Seconds for an answer: a state store that hangs holds it up, and the freeze is in force meanwhile."""
_MEMBERS = frozenset(("frozen", "problem"))
ClientArgument = Annotated[
    str,
    typer.Argument(
        metavar="CLIENT", help="The client. Default: all clients.", show_default=False, autocompletion=client_names
    ),
]
BecauseOption = Annotated[
    str, typer.Option("--because", metavar="TEXT", help="Why, for the client, the log and the audit stream.")
]


def freeze(
    client: ClientArgument = "",
    because: BecauseOption = "",
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return change_freeze("freeze", client, because, *find_admin(admin_listen, config, environment(env_file)))


def change_freeze(action: str, client: str, because: str, admin: Address, key: Secret | None) -> int:
    """Have the running proxy freeze or unfreeze. Returns the exit code."""
    form = {"client": client, "because": because, "by": _own_name()}
    try:
        code, body = ask_admin(admin, f"/console/{action}", TIMEOUT, key, form)
    except Unanswered as why:
        complain(explain_silence(admin, why))
        return FAILED
    answer = members_of(body)
    if code == 404 and "detail" in answer:
        complain(f"{action}: {printable(answer['detail'])}")
        return FAILED
    if code != 200 or not answer.keys() >= _MEMBERS:
        complain(explain_status(admin, code))
        return FAILED
    say(said_of(action, client))
    for line in frozen_writes({"freezes": {**answer, "problem": ""}}):
        say(line)
    if answer["problem"]:
        complain(
            f"{action}: the state store does not have it yet, so that it holds in this proxy alone, until it ends: "
            f"{printable(answer['problem'])}"
        )
        return FAILED
    return OK


def said_of(action: str, client: str) -> str:
    """What was done, in a sentence. Pure."""
    whose = f"of {client} " if client else ""
    return f"All writes {whose}are {'frozen; reads go on.' if action == 'freeze' else 'unfrozen.'}"


def _own_name() -> str:
    """Who runs the command: user@host; a user without a name is a number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id that the system has no name for, as in containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
