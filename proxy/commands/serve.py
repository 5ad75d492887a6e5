"""`serve`: Run the proxy.

It runs until SIGTERM or SIGINT. SIGHUP and changed files reload the configuration.

Example: ads-proxy serve --config proxy.yaml
"""

from __future__ import annotations

from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption, ListenOption
from proxy.commands.entry import ServeRequest, serve_as_asked


def serve(
    listen: ListenOption = None,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return serve_as_asked(ServeRequest(config, env_file, listen, admin_listen))
