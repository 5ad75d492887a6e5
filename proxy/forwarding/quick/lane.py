"""What was decided about requests that look the same, ready to be used again: values, and no decision.

Everything here holds for one generation of rules and of what is known of profiles; `recognition` throws it away then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.forwarding.throttles import ThrottleKey

if TYPE_CHECKING:
    from proxy.forwarding.decision import Decision, Missed
    from proxy.forwarding.quick.responses import ResponsePatterns
    from proxy.forwarding.retry_budget import RetryBudget
    from proxy.http1.request_fields import RequestFields
    from proxy.observability.access_line import NumberedText
    from proxy.observability.instruments import Cell
    from proxy.observability.journal import JournalEntry
    from proxy.observability.request_record import RequestKind
    from proxy.tokens.suspicion import TokenUse
    from proxy.tokens.values import AccessToken

_MAX_MISFITS = 3
_PAUSE = 64
"""Requests of a lane that are not tried after so many responses of no known shape, one behind the other."""


class Lane:
    """What all requests of one sender for one operation share.

    `until` is wall-clock time: as long as the key or placeholder holds. `lines` are those of Host, account and token,
    and belong to `token`. `entries` are by status. `watched` tells that there is something to look at each time,
    `limited` that there is a key whose use is noted, or a budget.
    """

    __slots__ = (
        *(
            "account",
            "budget",
            "budgeted",
            "caller",
            "entries",
            "family",
            "in_flight",
            "is_write",
            "keyed",
            "kind",
            "limit",
            "limited",
            "lines",
        ),
        *("misfits", "missed", "pause", "pool", "prefix_length", "responses", "route", "token", "until", "use"),
        *("user_agent", "watched"),
    )

    def __init__(self, decision: Decision, kind: RequestKind, budget: RetryBudget, responses: ResponsePatterns) -> None:
        self.caller = decision.caller
        self.route = decision.route
        self.account = decision.route.account
        self.pool = decision.pool
        self.prefix_length = len(decision.destination.prefix)
        self.kind = kind
        self.budget = budget
        self.responses = responses
        policy = decision.caller.policy
        self.is_write = decision.is_write
        self.keyed = decision.caller.has_key
        self.budgeted = policy is not None and policy.has_budget
        self.limited = self.keyed or self.budgeted
        self.user_agent = decision.request.fields.user_agent
        self.entries: dict[int, JournalEntry] = {}
        self.in_flight: Cell
        self.use: TokenUse
        self.family = ""
        self.until = math.inf
        self.missed: Missed | None = None
        self.watched = False
        self.token: AccessToken | None = None
        self.limit: ThrottleKey | None = None
        self.lines = b""
        self.misfits = self.pause = 0

    def __repr__(self) -> str:
        return f"<Lane of {self.caller.name or 'nobody'} to {self.route.account} in {self.route.region}>"

    def watch(self, until: float, missed: Missed | None) -> None:
        """It holds until then, and as long as nobody lists what nobody did."""
        self.until, self.missed = until, missed
        self.watched = until < math.inf or missed is not None

    def take_token(self, token: AccessToken, account_lines: bytes) -> None:
        """From now on requests carry this one."""
        route = self.route
        scope = b"Amazon-Advertising-API-Scope: %b\r\n" % route.profile if route.profile else b""
        ads_account = b"%b: %b\r\n" % (route.ads_account_header, route.ads_account) if route.ads_account_header else b""
        self.token = token
        self.lines = b"".join((b"\r\n", self.pool.host_line, account_lines, scope, ads_account))
        self.limit = ThrottleKey(self.family, self.use.advertiser, route.region, token.client_id)

    def misfit(self) -> None:
        """Its response was none that is known; where that goes on, the next ones are not tried at all."""
        self.misfits += 1
        if self.misfits >= _MAX_MISFITS:
            self.misfits, self.pause, self.watched = 0, _PAUSE, True


Plan = tuple[Lane, bytes, str, str]
"""One request line of a sender: its lane, the line that is sent (without its line end), the path that is logged, and
the part of the log line that it makes. A plain tuple is made in a tenth of the time."""


class NumberedLines:
    """Request lines that differ in numbers of their paths alone, and are sent as they came: planned without being read.

    Their paths begin at `at`, and so many bytes are `behind` them.
    """

    __slots__ = ("_lane", "_path", "_texts")

    def __init__(self, lane: Lane, at: int, behind: int, texts: NumberedText) -> None:
        self._lane = lane
        self._path = slice(at, -behind)
        self._texts = texts

    def __repr__(self) -> str:
        return f"<NumberedLines of {self._lane!r}>"

    def plan(self, line: bytes) -> Plan:
        """That of one of them."""
        path = line[self._path].decode("latin-1")
        return self._lane, line, path, self._texts.of(path)

    def recognised(self, line: bytes, section: KnownSection, body_at: int) -> Recognised:
        """As `recognised`, of one of them."""
        lane, path = self._lane, line[self._path].decode("latin-1")
        sent = line + section.behind_line(lane)
        return lane, line, path, self._texts.of(path), section, body_at, lane.token, sent


@dataclass(slots=True)
class Sender:
    """Requests of one shape with the same values in what is looked up: one tool, one key, one profile.

    `fields` are those of an example. `plans` are by request line, `lanes` by what of a target is decided by,
    `lanes_of_kinds` by what lines have in common that are decided alike, and `numbered` by lines without their numbers.
    `reads_numbers` and `reads_queries` tell whether numbers in a path, and queries, can make a difference.
    """

    fields: RequestFields
    reads_numbers: bool
    reads_queries: bool
    plans: dict[bytes, Plan] = field(default_factory=dict)
    lanes: dict[tuple[bytes, bytes, str], Lane] = field(default_factory=dict)
    lanes_of_kinds: dict[bytes, Lane] = field(default_factory=dict)
    numbered: dict[bytes, NumberedLines] = field(default_factory=dict)


@dataclass(slots=True)
class KnownSection:
    """A header section that fits a shape: who sends it, what of it leaves, and what it says of its request.

    `passing` ends in the empty line that closes a head. `length` is the body's, CHUNKED where it comes in chunks.
    `request_id` is empty where the client names none.
    """

    sender: Sender
    passing: bytes
    length: int
    request_id: str
    _lines: bytes = b""
    _behind: bytes = b""

    def behind_line(self, lane: Lane) -> bytes:
        """What is sent behind a request line, with the lane's token: put together again only for other lines."""
        if lane.lines is not self._lines:
            self._lines, self._behind = lane.lines, lane.lines + self.passing
        return self._behind


Recognised = tuple[Lane, bytes, str, str, KnownSection, int, "AccessToken | None", bytes]
"""A request that is known again: the four of its plan, its section, where the body begins in what came, a token, and
what is sent with that token, up to the body. Plain, as a plan is."""


def recognised(plan: Plan, section: KnownSection, body_at: int) -> Recognised:
    """With the lane's present token."""
    lane, line, path, text = plan
    return lane, line, path, text, section, body_at, lane.token, line + section.behind_line(lane)
