"""The simulator as a program: `python -m proxy.simulator`. Prints one line of JSON once it listens."""

from __future__ import annotations

import argparse
import logging

from proxy.simulator.credentials import moment_of
from proxy.simulator.server import run, tell_programs
from proxy.simulator.settings import PortPlan, SimulatorSettings, problem_with


def day(text: str) -> str:
    """A day as it was given. argparse.ArgumentTypeError where it is none."""
    try:
        moment_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day such as 2026-07-01") from error
    return text


def read_arguments(arguments: list[str] | None = None) -> SimulatorSettings:
    """The settings that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m proxy.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--advertised-host", help="host name in URLs that lead to S3")
    parser.add_argument("--base-port", type=int, default=9001, help="na, eu, fe, S3, control from here on; 0: any")
    parser.add_argument("--access-token-lifetime", type=float, default=3600, help="seconds (default: %(default)s)")
    parser.add_argument("--profiles-per-region", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--hidden-profiles", type=int, default=0, help="per region (default: %(default)s)")
    parser.add_argument("--ads-accounts", type=int, default=4, help="of each login (default: %(default)s)")
    parser.add_argument("--rotation", choices=("none", "at_once", "grace"), default="none", help="of refresh tokens")
    parser.add_argument(
        "--consented-on", type=day, metavar="DAY", help="of the first refresh token (default: long ago)"
    )
    parser.add_argument("--token-length", type=int, default=360, help="up to 2048 (default: %(default)s)")
    parser.add_argument("--mcp-tools", choices=("own", "amazon"), default="own", help="which tools are listed")
    parser.add_argument("--echo", action="store_true", help="answer unknown operations too, with what was understood")
    parser.add_argument("--tls-cert", help="certificate file for the API's ports")
    parser.add_argument("--tls-key", help="its private key")
    given = parser.parse_args(arguments)
    if problem := problem_with("token_length", given.token_length):
        parser.error(problem)
    return SimulatorSettings(
        host=given.host,
        advertised_host=given.advertised_host,
        ports=PortPlan.from_base(given.base_port),
        access_token_lifetime=given.access_token_lifetime,
        profiles_per_region=given.profiles_per_region,
        hidden_profiles_per_region=given.hidden_profiles,
        ads_accounts_per_login=given.ads_accounts,
        rotation=given.rotation,
        consented_on=given.consented_on,
        token_length=given.token_length,
        mcp_tools=given.mcp_tools,
        strict_paths=not given.echo,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
    )


def main() -> None:
    """Runs until SIGTERM or SIGINT; refusals are logged on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(read_arguments(), tell_programs)


if __name__ == "__main__":
    main()
