"""What `check --as CLIENT` says of the limits on spending: a described write, read and judged as the proxy does it.

The currency is that of the lists of profiles in the state directory, or of the command line. What the day has taken is
not asked for: only a running proxy knows it.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.commands.consoles import answers, plain_table
from proxy.commands.terminal import printable, say, tell
from proxy.errors import ConfigurationError
from proxy.events import SpendMode, SpendVerdict
from proxy.mcp.tools import CALL, DESCRIBE, SEARCH, UNTOLD, effect_of, name_tools
from proxy.profiles.known_lists import KnownLists
from proxy.profiles.listing import ListingSchedule
from proxy.profiles.reach import ReachIndex
from proxy.profiles.stored_lists import StoredLists
from proxy.routing.operations import SAFE_METHODS, Effect
from proxy.routing.table import EmptyDirectory
from proxy.spend.findings import Payer, WriteFindings, joined
from proxy.spend.judge import judge, reservation_of
from proxy.spend.local_time import local_time
from proxy.spend.payer import UNKNOWN, payer_of
from proxy.spend.reading import read_query, read_rest, read_tool, row_name
from proxy.spend.table import MONEY
from proxy.strict_json import AlikeNames, JsonBody, NotUtf8, TooCostly
from proxy.tokens.opening import directory_of, open_store
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.events import SpendJudgement
    from proxy.routing.operations import Operations
    from proxy.routing.route import Route
    from proxy.routing.target import Destination, RequestSummary
    from proxy.spend.limits import SpendLimits

_JSON: Final = "application/json"
_WHOLE: Final = "the whole write"
_STATED: Final = "The client must begin its MCP session with Amazon-Ads-AI-Account-Selection-Mode: FIXED for this."
_UNPAID: Final = (
    "An MCP session has a known currency only if it is for one advertiser: name it with --profile or --account-id."
)


@dataclass(frozen=True, slots=True)
class DescribedBody:
    """The body of a write as the command line describes it, or the arguments of an MCP tool; None for no body. An empty
    `media_type` is one that the operation takes. `currency` and `timezone` replace what the lists of profiles say,
    empty for neither."""

    content: bytes | None = None
    media_type: str = ""
    currency: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class TriedWrite:
    """What limits say of a described write. `name` is that of its operation or tool in the table of money fields.
    `session` says what a session of MCP needs to have a payer, empty where it needs nothing."""

    client: str
    name: str
    limits: SpendLimits
    payer: Payer
    found: WriteFindings
    judged: SpendJudgement
    session: str = ""

    @property
    def is_permitted(self) -> bool:
        """Whether the write would be sent, unless the day has taken too much already."""
        if self.judged.verdict is SpendVerdict.WITHIN or self.limits.mode is SpendMode.OBSERVE:
            return True
        return self.is_allowed

    @property
    def may_be_approved(self) -> bool:
        """Whether a person is asked about the write, which can be read whole."""
        is_over = self.judged.verdict is SpendVerdict.OVER and not self.judged.unread
        return is_over and self.limits.asks_approvers

    @property
    def is_allowed(self) -> bool:
        """Whether the write cannot be read, and `allow` has its operation."""
        is_unreadable = bool(self.judged.unread) and not self.judged.violations
        return is_unreadable and self.name in self.limits.allow

    @property
    def summary(self) -> str:
        """The verdict, and what becomes of the write."""
        verdict, limits = self.judged.verdict, f"the limits of client {self.client}"
        if verdict is SpendVerdict.WITHIN:
            return f"within: The write is within {limits}."
        said = f"{verdict}: The write is over {limits}."
        if not self.judged.violations:
            said = f"{verdict}: The proxy cannot read what the write would spend, as {limits} need it to."
        if self.limits.mode is SpendMode.OBSERVE:
            return f"{said} It is sent and recorded: `mode` is observe, and enforce would refuse it."
        if self.may_be_approved:
            return f"{said} A person is asked first (`beyond: approve`): it passes once, if an approver says yes."
        return f"{said} It is sent: `allow` has {self.name}." if self.is_allowed else said

    def tell(self) -> None:
        """Print what was found, what is over a limit, and what cannot be read."""
        payer = (("currency", self.payer.currency), ("time zone", self.payer.timezone))
        known = " and ".join(f"{what} {value}" if value else f"an unknown {what}" for what, value in payer)
        say(f"It was read as {self.name}, with {known}.")
        if self.session:
            say(self.session)
        elif not all(self.payer):
            say("What is unknown is not in the lists of the state directory: give --currency and --timezone.")
        _print(
            ("found at", "kind", "value", "currency"),
            [(each.path or _WHOLE, each.kind, each.value, each.currency) for each in self.found.findings],
        )
        _print(
            ("over at", "rule", "value", "currency", "limit"),
            [
                (each.path or _WHOLE, each.rule, each.value, each.currency, each.limit)
                for each in self.judged.violations
            ],
        )
        if self.found.findings or self.judged.violations:
            say()
        for sentence in self.judged.unread:
            say(f"Unreadable: {printable(sentence)}")
        if reservation_of(self.found, self.limits) is not None:
            say("Only a running proxy knows what the day has taken, and judges new_per_day and budget_per_day by it.")
        if self.is_permitted:
            say(f"Limits on spending: {self.summary}")


def _print(headings: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """A table below an empty line, if it has rows."""
    if not rows:
        return
    table = plain_table(*headings)
    for row in rows:
        table.add_row(*(printable(_text(cell)) for cell in row))
    say()
    answers().print(table)


def _text(cell: object) -> str:
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return "-" if cell is None or cell == "" else str(cell)


# --- Reading files -------------------------------------------------------------------------------------------


Judging = tuple[Path | None, Path | None, str | None, str | None, str | None]
"""The options --body, --arguments, --media-type, --currency and --timezone."""


def describe_body(tool: str, given: Judging) -> DescribedBody:
    """The body that options describe, of a request or of the call of an MCP tool. Raises `ConfigurationError`."""
    body, arguments, media_type, currency, timezone = given
    if body is not None and tool:
        raise ConfigurationError(
            ("--body: is for a request to the API; describe a call of an MCP tool with --arguments",)
        )
    if arguments is not None and not tool:
        raise ConfigurationError(("--arguments: are for an MCP tool; name it with --mcp-tool, or use --body",))
    if media_type and body is None:
        raise ConfigurationError(("--media-type: is that of a body; add --body FILE",))
    if (currency or timezone) and body is None and arguments is None:
        raise ConfigurationError(("--currency, --timezone: are for a write; add --body FILE or --arguments FILE",))
    if timezone and local_time(time.time(), timezone) is None:
        raise ConfigurationError(("--timezone: is not a time zone; name one as IANA does, such as Europe/Berlin",))
    content = _read_file("--body", body) if body is not None else _read_file("--arguments", arguments)
    return DescribedBody(content, media_type or "", (currency or "").upper(), timezone or "")


def _read_file(option: str, file: Path | None) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise ConfigurationError((f"{option}: {file}: {error.strerror or error}",)) from None


class _StoredDirectory(KnownLists, EmptyDirectory):
    """The lists that a program has kept in the state directory; Amazon is asked for none."""

    def __init__(self) -> None:
        super().__init__(ReachIndex())

    def _miss(self, kind: str, identifier: str, account: str) -> None:
        """Leave an id unknown."""

    async def load(self, config: Config, account: str) -> None:
        """Take the lists of one account."""
        from proxy.app.sources import profile_sources  # not above: it loads what reads lists from Amazon

        store = open_store(config.state.url, config.state.key)
        try:
            sources = {each.account: each for each in profile_sources(config, None) if each.account == account}
            await StoredLists(store, self._index, self._reach, ListingSchedule()).load(sources)
        finally:
            await store.close()


def _stored_lists(config: Config, account: str) -> _StoredDirectory:
    """What the state directory knows of an account. One that no program has used is left as it is."""
    directory, url = _StoredDirectory(), config.state.url
    if isinstance(url, str) and url.startswith("file:"):
        place = Path(directory_of(url))
        if place.is_dir() and any(place.iterdir()):
            asyncio.run(directory.load(config, account))
    return directory


# --- Judging -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DescribedWrite:
    """What a client with limits would send, and where it would go. `body` is its body, or the arguments of its tool."""

    client: str
    limits: SpendLimits
    route: Route
    body: DescribedBody

    def judge_request(self, config: Config, asked: RequestSummary, to: Destination) -> TriedWrite | None:
        """What the limits say of a request to the API; None for one that is no write, or whose body is not known."""
        reads = asked.effect in (Effect.READ, Effect.REPORT)
        if reads or (asked.method in SAFE_METHODS and not asked.overrides):
            return None
        if self.body.content is None and asked.method != b"DELETE":
            tell(f"note: The `spend` of client {self.client} judges the body, too; add --body FILE.")
            return None
        if asked.overrides and self.limits.allow:  # a parameter may ask for another operation than the allowed one
            unopened = replace(self, limits=replace(self.limits, allow=frozenset()))
            return unopened.judge_request(config, asked, to)
        operation, method = None if asked.overrides else asked.operation, asked.method.decode("latin-1")
        path, payer = to.path.decode("latin-1"), self._payer(config)
        name = row_name(operation, method, path)
        content, flaw = _decode(self.body.content, config.limits.replay_bytes)
        if flaw:
            return self._judge(name, payer, _unread(flaw))
        media_type = self.body.media_type or ("" if self.body.content is None else _media_type_of(name))
        found = read_rest(operation, method, path, media_type.encode("latin-1", "replace"), content, payer)
        return self._judge(name, payer, joined(found, read_query(to.query)))

    def judge_call(self, config: Config, tool: str, operations: Operations) -> TriedWrite | None:
        """What the limits say of a call of an MCP tool; None for one that only reads by its name, or whose arguments
        are not known."""
        content = self.body.content or b"{}"
        arguments, flaw = _decode(content, config.limits.replay_bytes)
        called = tool if flaw else _called(tool, content)
        if called in (SEARCH, DESCRIBE) or effect_of(called, operations) is not Effect.WRITE:
            return None
        if self.body.content is None:
            tell(f"note: The `spend` of client {self.client} judges the arguments, too; add --arguments FILE.")
            return None
        payer = self._payer(config)
        found = _unread(flaw) if flaw else read_tool(tool, arguments, payer, operations)
        return self._judge(f"MCP {called}", payer, found)

    def _judge(self, name: str, payer: Payer, found: WriteFindings) -> TriedWrite:
        judged = judge(found, self.limits, payer, time.time())
        return TriedWrite(self.client, name, self.limits, payer, found, judged, self._session)

    @property
    def _is_unpaid(self) -> bool:
        """Whether the request goes to the MCP endpoint in a session that may be for any advertiser."""
        route = self.route
        return route.api.takes_messages and route.fixed is None and not (route.profile or route.ads_account)

    @property
    def _session(self) -> str:
        """What a session of MCP needs to be for one advertiser, empty where the proxy sees to it."""
        if not self.route.api.takes_messages or self.route.fixed is not None:
            return ""
        return _UNPAID if self._is_unpaid else _STATED

    def _payer(self, config: Config) -> Payer:
        """Who pays: as the command line says, where it may, and else by the stored lists."""
        route, said = self.route, Payer(self.body.currency, self.body.timezone)
        if self._is_unpaid or all(said):
            return UNKNOWN if self._is_unpaid else said
        stored = _stored_lists(config, route.account)
        if route.profile == b"first":
            first = stored.first(route.account, route.region) or ""
            route = replace(route, profile=first.encode("latin-1"))
        listed = payer_of(route, stored, is_fixed=True)
        return Payer(said.currency or listed.currency, said.timezone or listed.timezone)


def _called(tool: str, arguments: bytes) -> str:
    """The MCP tool that a call leads to: another one where `INVOKE` is to call it."""
    message = b'{"method": "%b", "params": {"name": %b, "arguments": %b}}'
    (name,) = name_tools(JsonBody(message % (CALL.encode(), json.dumps(tool).encode(), arguments)))
    return tool if name == UNTOLD else name


def _media_type_of(name: str) -> str:
    """A media type that the operation takes: JSON's own, unless only others have rows."""
    forms = MONEY.forms(name)
    return _JSON if not forms or "" in forms or _JSON in forms else next(iter(forms))


def _decode(content: bytes | None, limit: int) -> tuple[Any, str]:
    """The value of a body with exact numbers, and what keeps it from being read, empty for nothing."""
    if not content:
        return None, ""
    if len(content) >= limit:
        return None, f"The body must be smaller than {limit} bytes (limits.replay_bytes). Send fewer items."
    try:
        return JsonBody(content).exact(), ""
    except (TooCostly, AlikeNames, NotUtf8) as error:
        return None, f"The body cannot be read: {error}."
    except (ValueError, RecursionError):
        return None, "The body must be JSON in UTF-8, without a name twice in one object."


def _unread(flaw: str) -> WriteFindings:
    return WriteFindings((), (flaw,), (), 0, 0)
