"""`unfreeze`: Let the writes of frozen clients pass again.

With CLIENT it ends the freeze of that client, without it the one of all clients. A client that was also frozen by its
name stays frozen. The command prints what is still frozen. The exit code is 1 if the proxy does not answer, or could
not keep this in its state store.

Example: ads-proxy unfreeze agent --because 'Its bids are limited now' --config proxy.yaml
"""

from __future__ import annotations

from proxy.commands.asking import find_admin
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.freeze import BecauseOption, ClientArgument, change_freeze
from proxy.config import environment


def unfreeze(
    client: ClientArgument = "",
    because: BecauseOption = "",
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return change_freeze("unfreeze", client, because, *find_admin(admin_listen, config, environment(env_file)))
