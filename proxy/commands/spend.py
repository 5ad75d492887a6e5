"""`spend`: Show spend limits, and what they observed.

It asks the admin listener of the running proxy. For each client it shows the limits, what today's writes have taken of
them, the writes of the last 8 days by verdict, the largest values, and fields and tools that could not be read. Set
limits from these numbers after a week of `mode: observe`. The exit code is 1 if the listener does not answer.

Example: ads-proxy spend agent
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from proxy.commands.asking import find_admin
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.completion import client_names
from proxy.commands.consoles import answers, plain_table
from proxy.commands.status import SCREEN, ask
from proxy.commands.terminal import FAILED, OK, complain, printable, say
from proxy.config import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from proxy.config import Address
    from proxy.secret import Secret

MAX_UNKNOWN = 20
_INDENT = (0, 0, 0, 2)
_VERDICTS = ("within", "over", "approved", "unreadable", "frozen")


def spend(
    client: Annotated[
        str, typer.Argument(metavar="[CLIENT]", help="Only this client.", autocompletion=client_names)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with an object for each client.")] = False,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return print_spend(*find_admin(admin_listen, config, environment(env_file)), client, as_json=as_json)


def print_spend(admin: Address, key: Secret | None, client: str = "", *, as_json: bool = False) -> int:
    """Ask the admin listener at this address, and print one client, or all. Returns the exit code."""
    answer = ask(admin, key)
    if answer.status is None:
        complain(answer.problem)
        return FAILED
    found = answer.status.get("spend")
    if not isinstance(found, dict):
        complain(f"{admin} is of a version without spend limits; update it")
        return FAILED
    clients = [each for each in found["clients"] if client in ("", each["client"])]
    if client and not clients:
        complain(f"{client}: no spend limits, and no judged write; set `spend` of its entry in `clients`")
        return FAILED
    if as_json:
        say(json.dumps(clients, indent=2, ensure_ascii=False))
    else:
        print_clients(clients, found["problem"])
    return OK


def print_clients(clients: Sequence[Mapping[str, Any]], problem: str) -> None:
    """Print a paragraph for each client."""
    console = answers(columns=SCREEN)
    if not clients:
        console.print(Text("No client has spend limits: set `spend` of its entry in `clients`."))
    for number, client in enumerate(clients):
        if number:
            console.print()
        _print_client(console, client)
    if problem:
        console.print()
        console.print(Text(printable(f"What days have taken is not known: {problem}")))


def _print_client(console: Console, client: Mapping[str, Any]) -> None:
    for number, line in enumerate(headlines(client)):
        console.print(Padding(Text(printable(line)), _INDENT if number else 0, expand=False))
    if client["rules"]:
        table = plain_table("rule", "currency", "largest value", "violations", "limit when violated")
        for rule in client["rules"]:
            words = (rule["rule"], rule["currency"] or "-", rule["largest"] or "-", str(rule["violations"]))
            table.add_row(*map(printable, (*words, rule["limit"] or "-")))
        console.print(Padding(table, _INDENT, expand=False))
    if client["unknown"]:
        table = plain_table("not readable", "writes")
        unknown = list(client["unknown"].items())
        for name, count in unknown[:MAX_UNKNOWN]:
            table.add_row(printable(name), str(count))
        if len(unknown) > MAX_UNKNOWN:
            table.add_row(f"{len(unknown) - MAX_UNKNOWN} more (--json lists them)")
        console.print(Padding(table, _INDENT, expand=False))


def headlines(client: Mapping[str, Any]) -> Iterator[str]:
    """A client with its mode, its limits, what its days have taken, and its writes by verdict. Pure."""
    state = f"mode {client['mode']}" if client["mode"] else "no spend limits now"
    yield f"{client['client']}: {state}{', frozen' if client['frozen'] else ''}"
    limits = [f"{rule} {_limit(value)}" for rule, value in client["limits"].items()]
    if client["mode"]:
        yield f"limits: {'; '.join(limits) or 'none'}"
    for day in client["days"]:
        yield f"{day['day']}: {day['created']} new objects; budgets {_limit(day['budgets']) if day['budgets'] else '0'}"
    judged = client["judged"]
    if not judged:
        yield "no write was judged yet"
        return
    counts = ", ".join(f"{judged[verdict]} {verdict}" for verdict in _VERDICTS if judged.get(verdict))
    yield f"{sum(judged.values())} writes judged since {client['since']}: {counts}"


def _limit(value: Any) -> str:
    """A limit in words: amounts with their currencies, or the words themselves."""
    if isinstance(value, dict):
        return ", ".join(f"{amount} {currency}" for currency, amount in value.items()) or "no currency"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
