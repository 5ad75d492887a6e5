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
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--advertised-host", help="host name in URLs that lead to S3")
    add("--base-port", type=int, default=9001, help="na, eu, fe, S3, control from here on; 0: any")
    add("--access-token-lifetime", type=float, default=3600, help="seconds (default: %(default)s)")
    add("--profiles-per-region", type=int, default=3, help="(default: %(default)s)")
    hidden, accounts = "hidden_profiles_per_region", "ads_accounts_per_login"
    add("--hidden-profiles", type=int, default=0, dest=hidden, metavar="N", help="per region (default: %(default)s)")
    add("--ads-accounts", type=int, default=4, dest=accounts, metavar="N", help="of each login (default: %(default)s)")
    add("--rotation", choices=("none", "at_once", "grace"), default="none", help="of refresh tokens")
    add("--consented-on", type=day, metavar="DAY", help="of the first refresh token (default: long ago)")
    add("--token-length", type=int, default=360, help="up to 2048 (default: %(default)s)")
    add("--mcp-tools", choices=("own", "amazon"), default="own", help="which tools are listed")
    add("--echo", action="store_true", help="answer unknown operations too, with what was understood")
    add("--tls-cert", help="certificate file for the API's ports")
    add("--tls-key", help="its private key")
    given = vars(parser.parse_args(arguments))
    if problem := problem_with("token_length", given["token_length"]):
        parser.error(problem)
    ports, echo = PortPlan.from_base(given.pop("base_port")), given.pop("echo")
    return SimulatorSettings(ports=ports, strict_paths=not echo, **given)


def main() -> None:
    """Runs until SIGTERM or SIGINT; refusals are logged on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(read_arguments(), tell_programs)


if __name__ == "__main__":
    main()
