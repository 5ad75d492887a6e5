"""`approvals`: List the writes that wait for a person.

It asks the admin listener of the running proxy for the writes over a limit that wait for an approver, and for those
that were approved and not sent yet. `ads-proxy approve ID` lets one pass, `ads-proxy deny ID` does not. It needs the
admin key, or the key of an approver in ADS_PROXY_APPROVER_KEY or a file that ADS_PROXY_APPROVER_KEY_FILE names.

Example: ads-proxy approvals --all
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from proxy.commands.approving import ApprovalQueue, described
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.terminal import FAILED, OK, complain, say


def approvals(
    show_all: Annotated[bool, typer.Option("--all", help="Show those of the last week that have ended, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with an object for each.")] = False,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return print_approvals(
        ApprovalQueue.of("approvals", admin_listen, config, env_file), show_all=show_all, as_json=as_json
    )


def print_approvals(queue: ApprovalQueue, *, show_all: bool = False, as_json: bool = False) -> int:
    """Print the queue, or all approvals. Returns the exit code."""
    answer = queue.list(show_all=show_all)
    if answer.problem:
        complain(answer.problem)
        return FAILED
    found = answer.members["approvals"]
    if as_json:
        say(json.dumps(found, indent=2))
        return OK
    for number, approval in enumerate(found):
        if number:
            say()
        for line in described(approval):
            say(line)
    if not found:
        say("No approvals." if show_all else "No write waits for approval.")
    return OK
