"""`status`: Show the running proxy and its accounts.

It asks the admin listener for accounts, tokens, consents, rate limits and the last refused requests. Of more than 50
accounts it shows those that need attention; --all shows the others too. The exit code is 1 if that listener does not
answer or an account cannot serve.

Example: ads-proxy status --account acme
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from proxy.advice import ready_to_paste
from proxy.commands.asking import Unanswered, ask_admin, explain_silence, explain_status, find_admin, members_of
from proxy.commands.cli_options import AdminListenOption, ConfigOption, EnvFileOption
from proxy.commands.completion import account_names
from proxy.commands.consoles import answers, plain_table
from proxy.commands.terminal import FAILED, OK, complain, printable, say
from proxy.config import environment
from proxy.errors import ConfigurationError
from proxy.events import NEEDS_OPERATOR
from proxy.regions import REGION_NAMES
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.config import Address
    from proxy.secret import Secret


TIMEOUT = 10.0
_PAGED = ("accounts", "profiles", "ads_accounts")
_MEMBERS = frozenset(("version", "account_counts", "next", *_PAGED))
"""Members that the `/status` of every ads-proxy has."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole `/status` as JSON.")] = False,
    account: Annotated[
        str, typer.Option(metavar="NAME", help="Show only this account.", autocompletion=account_names)
    ] = "",
    show_all: Annotated[bool, typer.Option("--all", help="Show every account, however many there are.")] = False,
    admin_listen: AdminListenOption = None,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    if show_all and account:
        raise ConfigurationError(("--all and --account: give one of them",))
    admin, key = find_admin(admin_listen, config, environment(env_file))
    return print_status(admin, key, as_json=as_json, account=account, show_all=show_all)


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The answer of the admin listener, or the problem that prevented one."""

    status: Mapping[str, Any] | None = None
    problem: str = ""


def print_status(
    admin: Address, key: Secret | None, *, as_json: bool = False, account: str = "", show_all: bool = False
) -> int:
    """Print the screen. 0 if the program is ready and every shown account serves and needs no person, else 1."""
    answer = ask(admin, key, account=account)
    if answer.status is not None and (
        as_json or show_all or answer.status["account_counts"]["total"] <= SHOWN_ACCOUNTS
    ):
        answer = ask_on(admin, key, answer.status)
    if answer.status is None:
        complain(answer.problem)
        return FAILED
    if as_json:
        say(json.dumps(answer.status, indent=2, ensure_ascii=False))
    else:
        print_screen(answer.status, str(admin), only_one=bool(account))
    return OK if is_sound(answer.status, only_one=bool(account)) else FAILED


def is_sound(status: Mapping[str, Any], *, only_one: bool = False) -> bool:
    """Whether the program is ready, its configuration is in use, and every account serves without needing a person.

    With `only_one` only the shown account counts. Pure.
    """
    counts = status["account_counts"]
    if only_one:
        serving = status["accounts"][0]["serving"] and status["accounts"][0]["state"] not in NEEDS_OPERATOR
    else:
        serving = counts["serving"] == counts["total"] and not any(
            counts["states"].get(state) for state in NEEDS_OPERATOR
        )
    return bool(status["ready"] and not status["draining"] and serving and not status["config"]["problems"])


def ask_on(admin: Address, key: Secret | None, first: Mapping[str, Any]) -> StatusAnswer:
    """The first page with the accounts of all following pages."""
    whole, following = {**first}, first["next"]
    while following is not None:
        page = ask(admin, key, after=following)
        if page.status is None:
            return page
        for part in _PAGED:
            whole[part] = [*whole[part], *page.status[part]]
        following = page.status["next"]
    return StatusAnswer({**whole, "next": None})


def ask(admin: Address, key: Secret | None, *, account: str = "", after: str = "") -> StatusAnswer:
    """The `/status` of the program at this address, for one account or for the page after a name; or the problem."""
    query = urlencode({name: value for name, value in (("account", account), ("after", after)) if value})
    try:
        code, body = ask_admin(admin, f"/status?{query}" if query else "/status", TIMEOUT, key)
    except Unanswered as why:
        return StatusAnswer(problem=explain_silence(admin, why))
    if code == 404:
        return StatusAnswer(problem=f"--account: unknown account at {admin}; `ads-proxy status` lists the accounts")
    status = members_of(body)
    if code != 200 or not status.keys() >= _MEMBERS:
        return StatusAnswer(problem=explain_status(admin, code))
    return StatusAnswer(status)


# --- What `status` shows ---------------------------------------------------------------------------------

MAX_THROTTLES, MAX_DEPRECATED, MAX_REFUSED = 10, 10, 5
SHOWN_ACCOUNTS = 50
"""The most accounts that are shown whole; of more, the command shows those that need attention."""
SCREEN = 100
"""Columns, at most."""
_INDENT = (0, 0, 0, 2)
_STYLES = {"valid": "green", "pending": "yellow", "degraded": "yellow"}


def print_screen(status: Mapping[str, Any], admin: str, *, only_one: bool = False) -> None:
    """The whole screen: the program, its accounts, their problems, rate limits and refused requests."""
    console = answers(columns=SCREEN)
    for line in headlines(status, admin):
        console.print(Text(ready_to_paste(line)))
    console.print()
    shown = status["accounts"] if only_one else accounts_to_show(status)
    if shown:
        console.print(_accounts(shown))
    for line in (*(() if only_one else left_out(status, shown)), *account_problems(shown)):
        console.print(Padding(Text(ready_to_paste(line)), _INDENT, expand=False))
    if throttles := status.get("throttles", ()):
        console.print(Text("\nRate limits of Amazon"), _throttles(throttles), sep="\n")
    if orders := status.get("throttled_orders", ()):
        console.print(Text("\nThrottled orders for reports"), _throttled_orders(orders), sep="\n")
    if deprecated := status.get("deprecated", ()):
        console.print(Text("\nDeprecated operations in use"), _deprecated(deprecated), sep="\n")
    if refused := status.get("refused", ()):
        console.print(Text("\nLast refused requests"))
        for request in refused[:MAX_REFUSED]:
            who, what = request["client"] or "-", f"{request['method']} {request['path']}"
            console.print(Text(printable(f"{request['at']}  {request['status']}  {who}  {what}")))
            console.print(Padding(Text(printable(f"{request['reason']}: {request['detail']}")), _INDENT, expand=False))


def headlines(status: Mapping[str, Any], admin: str) -> Iterator[str]:
    """The program itself. Pure."""
    state = "stopping" if status["draining"] else "ready" if status["ready"] else "not ready"
    demo = ", a demo" if status["demo"] else ""
    yield f"ads-proxy {status['version']} at {admin}: {state}{demo}, up {span(status['uptime_seconds'])}"
    keys = "key required" if status["keyed"] else "no key required"
    in_flight = status["connections"].get("in_flight", 0)
    yield f"clients: {status['clients_url']} ({keys}), {in_flight} requests in flight"
    for note in dict.fromkeys(status["notes"]):
        yield f"note: {printable(note)}"
    if problem := status["state"]["trouble"]:
        yield f"degraded: {printable(problem)} This replica works alone until then."
    yield from frozen_writes(status)
    yield from waiting_approvals(status)
    for problem in status["config"]["problems"]:
        yield f"new configuration refused: {printable(problem)}"
    if needs := status["config"]["needs_restart"]:
        yield f"changed; takes effect after a restart: {', '.join(map(printable, needs))}"


def frozen_writes(status: Mapping[str, Any]) -> Iterator[str]:
    """Whose writes are frozen, since when, by whom and why. Pure."""
    known = status.get("freezes") or {"frozen": (), "problem": ""}
    for freeze in known["frozen"]:
        whose = "all writes" if freeze["client"] is None else f"all writes of {freeze['client']}"
        why = f": {freeze['because']}" if freeze["because"] else ""
        yield printable(f"frozen: {whose}, since {freeze['at']}, by {freeze['by']}{why}")
    if known["problem"]:
        yield printable(f"freezes: {known['problem']}")


def waiting_approvals(status: Mapping[str, Any]) -> Iterator[str]:
    """How many writes wait for an approver, or were approved and not sent yet. Pure."""
    known = status.get("approvals")  # None where no client's writes need any, and missing in older versions
    if not known:
        return
    if known["pending"]:
        writes = "1 write waits" if known["pending"] == 1 else f"{known['pending']} writes wait"
        yield f"approvals: {writes} for a decision (`ads-proxy approvals`)"
    if known["approved"]:
        yield f"approvals: {known['approved']} approved and not sent yet"
    if known["problem"]:
        yield printable(f"approvals: {known['problem']}")


def accounts_to_show(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All accounts, of many those first that need attention; where not all are known here, those alone. Pure."""
    accounts, first = list(status["accounts"]), list(status["attention"])
    total = status["account_counts"]["total"]
    if total <= SHOWN_ACCOUNTS:
        return accounts
    if total > len(accounts):
        return first
    names = {account["name"] for account in first}
    return [*first, *(account for account in accounts if account["name"] not in names)]


def left_out(status: Mapping[str, Any], shown: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How many accounts need attention, where the others are left out, and how many are in which state. Pure."""
    counts = status["account_counts"]
    if counts["total"] <= len(shown):
        return
    states = ", ".join(f"{count} {name}" for name, count in counts["states"].items())
    needing = counts["attention"] or "None"
    need = "needs" if counts["attention"] < 2 else "need"
    first = f"; the first {len(shown)} are shown" if len(shown) < counts["attention"] else ""
    yield f"{needing} of {counts['total']} accounts {need} attention ({states}){first}."
    yield "--all shows every account, --account NAME one."


def account_problems(accounts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each problem, with all accounts that have it. Pure."""
    found: dict[str, list[str]] = {}
    for account in accounts:
        for who, problem in _problems_of(account):
            found.setdefault(problem, []).append(who)
    for problem, everyone in found.items():
        yield f"{', '.join(everyone)}: {problem}"


def _problems_of(account: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The problems of an account, each with its name and the regions concerned."""
    name, consent, works = printable(account["name"]), account["consent"], account["state"] == "valid"
    expired = consent["phase"] == "ended"
    if not works:
        cause = consent["explanation"] if expired else (account["last_failure"] or {}).get("detail", "")
        yield name, printable(" ".join(part for part in (cause or account["explanation"], account["advice"]) if part))
    if consent["phase"] == "ending" or (expired and works):
        yield name, printable(consent["explanation"])
    if account["unpersisted"]:
        yield name, "the state store could not save a renewed refresh token yet."
    if account["state"] in ("valid", "degraded"):  # without a token nothing can be listed: that is the problem above
        regions: dict[str, list[str]] = {}
        for failure in account["listing_failures"]:
            regions.setdefault(printable(failure["detail"]), []).append(failure["region"])
        for detail, where in regions.items():
            yield f"{name} ({' '.join(where)})", f"could not list profiles: {detail}"


def span(seconds: float | None) -> str:
    """A length of time in its two largest units; `-` for None. Pure."""
    if seconds is None:
        return "-"
    left = max(0, round(seconds))
    words: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or (words and left) or (unit == "s" and not words):
            words.append(f"{left // size} {unit}")
            left %= size
        if len(words) == 2:
            break
    return " ".join(words)


def _accounts(accounts: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("account", "state", "token expires in", "consent", "profiles", "ads accounts")
    for account in accounts:
        style = _STYLES.get(account["state"], "red")
        left = account["expires_in"]
        table.add_row(
            printable(account["name"]),
            Text(account["title"], style),
            "-" if left is None else "refused" if account.get("refused") else span(left) if left > 0 else "expired",
            consent_in_words(account["consent"]),
            _by_region(account["profiles"]),
            _by_region(account["ads_accounts"]),
        )
    return table


_OVER = {"ended": "expired", "revoked": "revoked"}


def consent_in_words(consent: Mapping[str, Any]) -> str:
    """When the advertiser's consent expires, in a few words. Pure."""
    if consent["phase"] in _OVER:
        return _OVER[consent["phase"]]
    if consent["ends_in"] is not None:
        return f"expires in {max(0, int(consent['ends_in'] // 86400))} d"
    return {"endless": "never expires", "unknown": "unknown"}.get(consent["phase"], "-")


def _by_region(counts: Mapping[str, int]) -> str:
    return " ".join(f"{region} {counts[region]}" for region in REGION_NAMES if region in counts) or "-"


def _throttles(throttles: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("account", "region", "operations", "advertiser", "open")
    for limit in throttles[:MAX_THROTTLES]:
        names = printable(" ".join(limit["accounts"])) or "-"
        wait = f"in {span(limit['wait'])}" if limit["wait"] >= 1 else "now"
        table.add_row(names, limit["region"], printable(limit["family"]), printable(limit["advertiser"]), wait)
    if len(throttles) > MAX_THROTTLES:
        table.add_row(f"{len(throttles) - MAX_THROTTLES} more")
    return table


def _throttled_orders(orders: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("account", "region", "one in", "next", "throttled for", "waiting")
    for limit in orders[:MAX_THROTTLES]:
        wait = f"in {span(limit['next_in'])}" if limit["next_in"] >= 1 else "now"
        names, lasted = (printable(limit["account"]), limit["region"]), span(limit["throttled_for"])
        table.add_row(*names, f"{limit['interval']:g} s", wait, lasted, str(limit["waiting"]))
    if len(orders) > MAX_THROTTLES:
        table.add_row(f"{len(orders) - MAX_THROTTLES} more")
    return table


def _deprecated(calls: Sequence[Mapping[str, Any]]) -> Table:
    table = plain_table("client", "operation", "deprecated", "ends", "instead", "calls")
    for call in calls[:MAX_DEPRECATED]:
        said = (printable(call[name]) or "-" for name in ("deprecated", "sunset", "replacement"))
        table.add_row(printable(call["client"]), printable(call["operation"]), *said, str(call["calls"]))
    if len(calls) > MAX_DEPRECATED:
        table.add_row(f"{len(calls) - MAX_DEPRECATED} more")
    return table
