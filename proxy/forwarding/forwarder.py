"""The service behind the tools' listener: each request is admitted, then becomes an exchange or a local answer.

What the configuration says of traffic is one immutable `Rules`, swapped whole by a reload; a request keeps the rules it
began with. Pools outlive a reload where they are still right.
"""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Protocol

from cachetools import LRUCache

from proxy import problem
from proxy.access.admission import admit, check_host
from proxy.errors import Draining, InternalError, NotImplementedHere, Refused
from proxy.events import AmazonThrottled, DefectMet, Observer, RequestFinished, RequestStarted
from proxy.forwarding.accounting import PLAIN_METHODS, Tally
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.local import LocalAnswer
from proxy.forwarding.relay import Admitted
from proxy.http1.headers import Facts, account_lines, examine
from proxy.net.dialing import Dialer, Origin, origin_of
from proxy.routing.route import Route, RoutingTable, route
from proxy.routing.target import is_token_endpoint, read_target
from proxy.upstream.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.access.clients import Caller, Clients
    from proxy.downstream.connection import ToolConnection
    from proxy.downstream.ports import Limits, Work
    from proxy.http1.message import RequestHead
    from proxy.net.deadlines import Deadlines
    from proxy.tokens.manager import AccessToken

_REMEMBERED_SECTIONS = 1024
_LONGEST_REMEMBERED = 4096
_MOST_PAUSES = 1024


class Tokens(Protocol):
    """Where access tokens come from: see `proxy.tokens.manager.TokenManager`."""

    def current(self, account: str) -> AccessToken | None: ...

    async def get(self, account: str) -> AccessToken: ...

    async def renewed(self, rejected: AccessToken) -> AccessToken | None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of traffic. `answer_lines` are header lines that every answer carries.

    Another `ca_digest` tells that `ca_file` has another content.
    """

    table: RoutingTable
    clients: Clients
    limits: Limits
    client_ids: Mapping[str, str]
    api_urls: Mapping[str, str]
    mcp_urls: Mapping[str, str]
    api_hosts: frozenset[bytes]
    replay_bytes: int
    response_timeout: float
    idle_timeout: float
    retry_wait: float
    connect_timeout: float
    max_connections: int
    outbound_proxy: str | None
    ca_file: str | None
    rewrite_locations: bool
    fast_path: bool
    scheme: bytes
    listen: bytes
    answer_lines: bytes = b""
    ca_digest: str = ""


class Forwarder:
    """Implements `Service`: one per process."""

    def __init__(self, tokens: Tokens, observer: Observer, deadlines: Deadlines, rules: Rules) -> None:
        self.tokens = tokens
        self.observer = observer
        self.draining = False
        self.closing = False
        self.in_flight = 0
        self._loop = asyncio.get_running_loop()
        self._pauses: LRUCache[tuple[str, str], float] = LRUCache(_MOST_PAUSES)
        self._deadlines = deadlines
        self._lines: dict[str, tuple[AccessToken, bytes]] = {}
        self._pools: dict[Origin, Pool] = {}
        self._dialing: tuple[object, ...] = ()
        self._serial = count(1)
        self._prefix = os.urandom(6).hex()
        self.apply(rules)

    def apply(self, rules: Rules) -> None:
        """Take new rules: requests that begin from now on follow them."""
        self.rules = rules
        self.limits = rules.limits
        self._examine = _examiner(rules)
        self._lines.clear()
        dialing = (rules.connect_timeout, rules.ca_file, rules.ca_digest, rules.outbound_proxy, rules.max_connections)
        old = {} if dialing != self._dialing else self._pools
        if dialing != self._dialing:
            self._dialer = Dialer(
                connect_timeout=rules.connect_timeout, ca_file=rules.ca_file, proxy=rules.outbound_proxy
            )
            self._dialing = dialing
        origins = {key: origin_of(url) for key, url in _endpoints(rules).items()}
        pools = {origin: old.get(origin) or self._new_pool(origin) for origin in set(origins.values())}
        for origin, pool in self._pools.items():
            if pools.get(origin) is not pool:
                pool.close()
        self._pools = pools
        self._pool_of = {key: pools[origin] for key, origin in origins.items()}

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    # --- Service

    def facts(self, head: RequestHead) -> Facts:
        if len(head.section) <= _LONGEST_REMEMBERED:
            return self._examine(head.section, head.minor)
        return examine(head.section, head.minor, self.limits.max_headers)

    def work(self, tool: ToolConnection, head: RequestHead, facts: Facts) -> Work:
        """Admit a request. Raises the `Refused` that answers it otherwise."""
        rules = self.rules
        admit(head.method, head.target, facts)
        if self.closing:
            raise Draining("The proxy is stopping; send this again on a new connection.", retry_after=1, close=True)
        if head.method not in PLAIN_METHODS:
            raise NotImplementedHere("The Ads API has no such method.", close=True)
        caller = self._caller(head, facts)
        request_id = facts.request_id or self.new_request_id()
        work: Work
        if is_token_endpoint(head.target):
            work = LocalAnswer(self, tool, head, facts, request_id)
            self._started()
            return work
        chosen = route(head.method, head.target, facts, rules.table, caller.standing)
        rules.clients.permit(caller, head.method, chosen, facts, time.monotonic())
        pool = self._pool_of[chosen.endpoint, chosen.region]
        work = Exchange(self, tool, head, facts, Admitted(rules, caller.name, chosen, pool, request_id))
        self._started()
        return work

    def refusal(self, error: Refused, head: RequestHead | None, facts: Facts | None, close: bool) -> bytes:
        request_id = (facts.request_id if facts is not None else "") or self.new_request_id()
        tally = Tally(request_id, "", head.method if head is not None else b"")
        tally.refusal = error
        self._started()
        self.finished(tally.finished(error.status, None, _path(head), 0.0, 0.0))
        return self.problem(error, request_id, head, close)

    # --- what exchanges ask for

    def throttled(self, route: Route, retry_after: float | None) -> None:
        """Amazon answered 429: tell it, and remember for how long it asked to wait."""
        self.observer.observe(AmazonThrottled(route.account, route.region, retry_after))
        if retry_after:
            self._pauses[route.account, route.region] = self._loop.time() + retry_after

    def throttle_left(self, route: Route) -> float:
        """Seconds of Amazon's Retry-After that still run for a route's account and region."""
        until = self._pauses.get((route.account, route.region), 0.0)
        return max(0.0, until - self._loop.time())

    def account_lines(self, token: AccessToken) -> bytes:
        """The injected lines of a token's account, made once per token."""
        known = self._lines.get(token.account)
        if known is not None and known[0] is token:
            return known[1]
        lines = account_lines(token.value.reveal(), self.rules.client_ids.get(token.account, ""))
        self._lines[token.account] = (token, lines)
        return lines

    def own_lines(self) -> bytes:
        """The header lines of an answer that is the proxy's own."""
        return problem.own_lines(time.time(), self.rules.answer_lines)

    def problem(self, error: Refused, request_id: str, head: RequestHead | None, close: bool) -> bytes:
        to_head = head is not None and head.method == b"HEAD"
        return problem.answer(error, request_id, to_head=to_head, close=close, extra=self.own_lines())

    def internal_error(self) -> Refused:
        return InternalError("The proxy met a defect of its own; its log has the details. Try again.", close=True)

    def defect(self, where: str, error: BaseException) -> None:
        self.observer.observe(DefectMet(where, "".join(traceback.format_exception(error))))

    def finished(self, event: RequestFinished) -> None:
        self.in_flight -= 1
        self.observer.observe(event)

    def new_request_id(self) -> str:
        return f"{self._prefix}-{next(self._serial):x}"

    def pool_sizes(self) -> dict[str, tuple[int, int]]:
        """Host -> connections, and how many of them are idle."""
        return {f"{origin.host}:{origin.port}": pool.sizes for origin, pool in self._pools.items()}

    # --- inside

    def _new_pool(self, origin: Origin) -> Pool:
        return Pool(origin, self._dialer, self._deadlines, self.rules.max_connections)

    def _started(self) -> None:
        self.in_flight += 1
        self.observer.observe(_STARTED)

    def _caller(self, head: RequestHead, facts: Facts) -> Caller:
        """Who asks. A valid key exempts from what Host must be; without one the Host is judged first."""
        clients = self.rules.clients
        try:
            caller = clients.identify(facts, time.time())
        except Refused:
            check_host(head.target, facts, self.rules.table)
            if not is_token_endpoint(head.target):
                raise
            return clients.nobody
        check_host(head.target, facts, self.rules.table, has_key=caller.has_key)
        return caller


_STARTED = RequestStarted()


def _examiner(rules: Rules) -> Callable[[bytes, int], Facts]:
    """`examine` under these limits; with `fast_path` it remembers sections that it has seen, byte for byte."""
    most = rules.limits.max_headers

    def examiner(section: bytes, minor: int) -> Facts:
        return examine(section, minor, most)

    return lru_cache(_REMEMBERED_SECTIONS)(examiner) if rules.fast_path else examiner


def _endpoints(rules: Rules) -> dict[tuple[str, str], str]:
    return {
        **{("api", region): url for region, url in rules.api_urls.items()},
        **{("mcp", region): url for region, url in rules.mcp_urls.items()},
    }


def _path(head: RequestHead | None) -> str:
    """A refused request's path for the log, without query."""
    if head is None:
        return ""
    try:
        return read_target(head.target).path.decode("latin-1")[:512]
    except Refused:
        return head.target.partition(b"?")[0].decode("latin-1")[:512]
