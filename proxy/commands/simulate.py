"""`simulate`: Run the simulator of the Amazon Ads API alone.

It answers as Login with Amazon and the Ads API do, so that you can test clients against it.

Example: ads-proxy simulate --base-port 9001
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from proxy.commands.cli_options import EchoOption
from proxy.commands.terminal import OK
from proxy.errors import ListenError

if TYPE_CHECKING:
    from proxy.simulator import SimulatorSettings


def simulate(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    base_port: Annotated[
        int, typer.Option(min=0, max=65531, help="The port of na. eu, fe, S3 and control follow. 0: any free ports.")
    ] = 9001,
    access_token_lifetime: Annotated[float, typer.Option(min=1, help="In seconds.")] = 3600,
    profiles_per_region: Annotated[int, typer.Option(min=0, max=5000, help="Profiles in each region.")] = 3,
    mcp_tools: Annotated[
        Literal["own", "amazon"], typer.Option(help="The listed MCP tools: two own ones, or such as Amazon's.")
    ] = "own",
    echo: EchoOption = False,
) -> int:
    from proxy.simulator import PortPlan, SimulatorSettings

    settings = SimulatorSettings(
        host=host,
        ports=PortPlan.from_base(base_port),
        access_token_lifetime=access_token_lifetime,
        profiles_per_region=profiles_per_region,
        mcp_tools=mcp_tools,
        strict_paths=not echo,
    )
    return run_simulator(settings)


def run_simulator(settings: SimulatorSettings) -> int:
    """Run it; raise `ListenError` where one of its ports cannot be had."""
    from proxy.simulator import run

    try:
        run(settings)
    except OSError as error:
        first = settings.ports.na
        taken = error.errno == errno.EADDRINUSE
        reason = f"a port from {first} to {first + 4} is in use by another program" if taken else error.strerror
        raise ListenError(
            f"simulate: {reason}; choose another first port with --base-port PORT (0: any), or another --host"
        ) from None
    return OK
