"""`approve`: Let a write over a limit pass, once.

It shows the write: client, target, violated limits, values before and after. The client may then send exactly this
write once, within `approvals.valid_for`. The approver's key comes from ADS_PROXY_APPROVER_KEY, from the file that
ADS_PROXY_APPROVER_KEY_FILE names, or is asked for. A client's key never approves.

Example: ads-proxy approve 3f0c8a1be9d24c55a7d1
"""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.commands.approving import ApprovalQueue, IdArgument, decide
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption


def approve(
    identifier: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.", show_default=False)] = False,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    queue = ApprovalQueue.of("approve", admin_listen, config, env_file)
    return decide(queue, identifier, asks=not yes)
