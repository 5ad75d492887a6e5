"""`deny`: Refuse a write over a limit, also an approved one.

The client is told the reason, and the same write stays denied for `approvals.valid_for`. The approver's key comes from
ADS_PROXY_APPROVER_KEY, from the file that ADS_PROXY_APPROVER_KEY_FILE names, or is asked for.

Example: ads-proxy deny 3f0c8a1be9d24c55a7d1 --because 'Not before Monday'
"""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.commands.approving import ApprovalQueue, IdArgument, decide
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption


def deny(
    identifier: IdArgument,
    because: Annotated[str, typer.Option("--because", metavar="TEXT", help="Why, for the client and the log.")] = "",
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return decide(ApprovalQueue.of("deny", admin_listen, config, env_file), identifier, because, asks=False)
