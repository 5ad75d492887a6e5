"""What the supervisor gives its workers, and what it does with what they say.

It owns tokens, lists, pauses, sessions, hints and the audit stream; each worker has a copy of what serving needs, from
its beginning on. Nothing here knows processes.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy import events
from proxy.admin.pauses import Pauses
from proxy.app import spend_observations
from proxy.app.token_checks import TokenChecks
from proxy.app.workers import worker_approvals, worker_reports, worker_spend
from proxy.app.workers.channel import pack
from proxy.app.workers.directory_copy import write_lists
from proxy.app.workers.request_reporter import read_request
from proxy.app.workers.span_forwarder import read_span
from proxy.app.workers.worker_tokens import read_token, write_refusal, write_token
from proxy.config.serialization import to_document, to_pieces
from proxy.errors import NoUsableToken
from proxy.profiles.first_lists import AwaitedId, FirstLists
from proxy.profiles.known_lists import PROFILE
from proxy.regions import REGION_NAMES
from proxy.spend.freezes import Freezes
from proxy.spend.observations import read_judged
from proxy.tokens.token_rejections import TokenUse
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.access.client_keys import KeyUses
    from proxy.admin.history import RequestHistory
    from proxy.app.server_tls import ServerTls
    from proxy.app.shared_news import News, Origin, SharedNews
    from proxy.app.workers.channel import Message
    from proxy.app.workers.shared_counts import SharedBudgets
    from proxy.app.workers.span_forwarder import SpanTaker
    from proxy.app.workers.worker_approvals import WorkersApprovals
    from proxy.app.workers.worker_reports import WorkersReports
    from proxy.app.workers.worker_spend import WorkersLedger
    from proxy.config import Config
    from proxy.events import Event, SpendJudgement
    from proxy.profiles.directory import ProfileDirectory
    from proxy.spend.observations import ObservedWrite
    from proxy.tokens.manager import TokenManager
    from proxy.tokens.values import AccessToken

_CREDENTIAL_EVENTS: Final = (
    events.TokenRefreshed,
    events.TokenTakenOver,
    events.RefreshFailed,
    events.AccessTokenRefused,
    events.CredentialStateChanged,
    events.ConsentRecorded,
    events.ConsentEnded,
    events.SignInNeeded,
)
_LIST_EVENTS: Final = (events.ProfilesListed, events.AdsAccountsListed)


class RecordStream(Protocol):
    """Where records of writes go: see `proxy.audit.stream.AuditStream`."""

    def takes_writes(self) -> bool: ...

    def put(self, record: Mapping[str, Any], *, write: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class HubDependencies:
    """The parts of the program that a worker has a copy of, or speaks to. `audit` is None where there is no audit
    stream. `worker_settings` are a worker's settings of the program itself."""

    news: SharedNews
    budgets: SharedBudgets
    uses: KeyUses
    history: RequestHistory
    audit: RecordStream | None
    worker_settings: Mapping[str, Any]


class WorkerMessenger(Protocol):
    """Who is told."""

    def send_all(self, packed: bytes, but: int | None = None) -> None: ...


class SupervisorHub:
    """An observer of what happens to tokens and lists. `workers`, `tls`, `tokens`, `directory`, `reports` and `judged`,
    which takes judged writes (`judged_within` counts those within limits), are set before any event; `spans` takes
    those of workers, with traces on."""

    spans: SpanTaker | None = None
    workers: WorkerMessenger
    tls: ServerTls
    tokens: TokenManager
    directory: ProfileDirectory
    reports: WorkersReports
    ledger: WorkersLedger
    approvals: WorkersApprovals
    judged: Callable[[ObservedWrite], None]
    judged_within: Callable[[str, SpendJudgement, float], None]
    miss_key: Callable[[str], None]

    def __init__(self, parts: HubDependencies) -> None:
        self._parts = parts
        self._given: dict[tuple[str, str], tuple[object, object]] = {}
        self._given_tokens: dict[str, tuple[AccessToken | None, str]] = {}
        """The token and the trouble of each account that all workers have, or had before newer ones."""
        self._given_configs: list[Config] = []
        """The configurations of which a worker may have one."""
        self._failures: tuple[object, ...] = ()
        self._awaited: set[str] = set()
        """The accounts whose first lists the workers know to be awaited."""
        self._takes_writes = True
        """The last state of the audit stream that the workers got."""
        self.pools: dict[int, Mapping[str, int]] = {}
        self._freezes = Freezes()
        self.token_checks = TokenChecks()
        parts.news.listeners.append(self._tell_news)

    def __repr__(self) -> str:
        return f"<SupervisorHub: {len(self._given)} lists given>"

    # --- what a worker is given

    def welcome(self, number: int, config: Config) -> Iterator[bytes]:
        """Everything that a new worker must know before it serves."""
        parts, accounts = self._parts, tuple(config.accounts)
        if not any(config is given for given in self._given_configs):
            self._given_configs.append(config)
        told = {"config": to_document(config), **self._files(config), **parts.worker_settings}
        yield pack("begin", number=number, audited=parts.audit is not None, **told)
        yield pack("audit", takes_writes=self._stream_takes_writes())
        yield self._known_freezes()
        for account in accounts:
            yield _token(account, *self._newest_token(account))
        if self.tokens.watchful:
            yield pack("watch")
        for account in accounts:
            for region in REGION_NAMES:
                listing, reading = self.directory.listing(account, region), self.directory.reading(account, region)
                if listing is not None or reading is not None:
                    self._given.setdefault((account, region), (listing, reading))  # no event tells what a store had
                    yield pack("lists", **write_lists(account, region, listing, reading))
        self._tell_first_lists(accounts)
        yield pack("first-lists", awaited=sorted(self._awaited), settled=[])
        yield self._failed_listings()
        for news in parts.news.known():
            yield pack("learned", news=news)
        for provider in self.token_checks.keys:
            yield self._known_keys(provider, lost=False)
        yield pack("serve")

    def reload(self, config: Config, generation: int) -> Iterator[bytes]:
        """What puts a configuration in force: what it has that the last one had not, in pieces."""
        *accounts, rest = to_pieces(config, self._given_configs)
        self._given_configs = [config]
        for piece in accounts:
            yield pack("accounts", piece=piece)
        yield pack("apply", generation=generation, rest=rest, **self._files(config))

    def _files(self, config: Config) -> dict[str, Any]:
        """What a worker must have next to the configuration."""
        slots = self._parts.budgets.give_slots(client.name for client in config.clients)
        return {"slots": slots, "tls": self.tls.to_document()}

    async def tell_all(self, accounts: Mapping[str, object]) -> None:
        """Tell all workers, after a reload, the tokens and the lists that changed or are gone."""
        given, pause = self._given_tokens, Pauses()
        self._given_tokens = {account: given[account] for account in accounts if account in given}
        for account in accounts:
            if self._given_tokens.get(account) != self._newest_token(account):
                self._give_token(account)
            await pause()
        for account in {*accounts, *(account for account, _ in self._given), *self._awaited}:
            for region in REGION_NAMES:
                self._give_lists(account, region)
            self._tell_first_lists((account,))
            await pause()

    def look(self) -> None:
        """What no event tells."""
        failures = self.directory.failures()
        if failures != self._failures:
            self._failures = failures
            self.workers.send_all(self._failed_listings())
        self._tell_first_lists(tuple(self._awaited))
        self._tell_audit()

    def _tell_audit(self) -> None:
        """Whether writes may leave, where that is news."""
        takes = self._stream_takes_writes()
        if takes != self._takes_writes:
            self._takes_writes = takes
            self.workers.send_all(pack("audit", takes_writes=takes))

    def _stream_takes_writes(self) -> bool:
        return self._parts.audit is None or self._parts.audit.takes_writes()

    def share_freezes(self, freezes: Freezes) -> None:
        """Have all workers know what is frozen, from now on."""
        self._freezes = freezes
        freezes.listeners.append(lambda: self.workers.send_all(self._known_freezes()))

    def _known_freezes(self) -> bytes:
        return pack("freezes", known=self._freezes.to_document(), unknown=self._freezes.unknown)

    def give_keys(self, provider: str, *, lost: bool) -> None:
        """Tell all workers what is known of a provider's keys; `lost` tells that one is gone."""
        self.workers.send_all(self._known_keys(provider, lost=lost))

    def _known_keys(self, provider: str, *, lost: bool) -> bytes:
        from proxy.app.jwks_keeper import write_known  # with all that verifies signatures

        return pack("keys", provider=provider, known=write_known(self.token_checks.keys[provider]), lost=lost)

    def watch(self) -> None:
        """Amazon answered 401, to a worker or to the program itself: all tell which uses it accepts."""
        self.workers.send_all(pack("watch"))

    # --- events

    def observe(self, event: Event) -> None:
        if isinstance(event, _CREDENTIAL_EVENTS):
            self._give_token(event.account)
        elif isinstance(event, _LIST_EVENTS):
            for region in (event.region,) if event.region else REGION_NAMES:
                self._give_lists(event.account, region)
            self._tell_first_lists((event.account,))

    def _tell_first_lists(self, accounts: Iterable[str]) -> None:
        """Which of these accounts' first lists are awaited, where that is news; behind the lists themselves."""
        awaited = {account for account in accounts if self.directory.first_lists(account) is not FirstLists.SETTLED}
        settled = self._awaited.intersection(accounts) - awaited
        if settled or not awaited <= self._awaited:
            self._awaited = (self._awaited | awaited) - settled
            self.workers.send_all(pack("first-lists", awaited=sorted(awaited), settled=sorted(settled)))

    def _give_lists(self, account: str, region: str) -> None:
        newest = self.directory.listing(account, region), self.directory.reading(account, region)
        given = self._given.get((account, region), (None, None))
        if newest[0] is not given[0] or newest[1] is not given[1]:
            self._given[account, region] = newest
            self.workers.send_all(pack("lists", **write_lists(account, region, *newest)))
        if newest == (None, None):
            self._given.pop((account, region), None)

    def _give_token(self, account: str) -> None:
        newest = self._given_tokens[account] = self._newest_token(account)
        self.workers.send_all(_token(account, *newest))

    def _newest_token(self, account: str) -> tuple[AccessToken | None, str]:
        return self.tokens.current(account), self.tokens.problem(account)

    def _failed_listings(self) -> bytes:
        return pack("failures", failures=list(map(astuple, self.directory.failures())))

    def _tell_news(self, news: News, origin: Origin) -> None:
        self.workers.send_all(pack("learned", news=news), but=origin)

    # --- what workers say

    def heard(self, number: int, message: Message) -> None:
        """A message of the worker of this number."""
        parts = self._parts
        match message["kind"]:
            case "audit" if parts.audit is not None:
                parts.audit.put(message["record"], write=message["write"])
                self._tell_audit()
            case "missed" if message["of"] == PROFILE:
                self.directory.owners(message["identifier"], message["account"])
            case "missed":
                self.directory.ads_account_owners(message["identifier"], message["account"])
            case "learned":
                parts.news.hear(message["news"], number)
            case "accepted":
                token = read_token(message["token"])
                if token is not None:
                    self.tokens.accepted(token, TokenUse(*message["use"]))
            case "missed-key":
                self.miss_key(message["provider"])
            case "places":
                self.workers.send_all(pack("places"), but=number)
            case "spans" if self.spans is not None:
                for said in message["spans"]:
                    self.spans(*read_span(said))
            case "news":
                self._take_news(number, message)
            case spend_observations.JUDGED:
                self.judged(read_judged(message["write"]))
            case spend_observations.WITHIN:
                self.judged_within(*spend_observations.read_within(message))
            case worker_reports.REPORT:
                self.reports.heard(message)
            case worker_spend.SPEND:
                self.ledger.heard(message)
            case worker_approvals.APPROVAL:
                self.approvals.heard(message)

    def lost(self, number: int) -> None:
        """The worker of this number is gone."""
        self.pools.pop(number, None)
        self.reports.lost(number)

    async def asked(self, message: Message) -> Message:
        """A question for a token, for first lists, about reports, what is spent, or what is approved."""
        if message["question"] == worker_reports.REPORT:
            return await self.reports.asked(message)
        if message["question"] == worker_spend.SPEND:
            return await self.ledger.asked(message)
        if message["question"] == worker_approvals.APPROVAL:
            return await self.approvals.asked(message)
        if message["question"] == "first-lists":
            profile, ads_account = message["profile"], message["ads_account"]
            await self.directory.wait_for_first_lists(AwaitedId(tuple(message["accounts"]), profile, ads_account))
            return {}
        account = message["account"]
        try:
            if message["question"] == "token":
                return {"account": account, "token": write_token(await self.tokens.get(account))}
            rejected = read_token(message["rejected"])
            assert rejected is not None
            renewed = await self.tokens.renewed(rejected, TokenUse(*message["use"]))
            return {"account": account, "token": write_token(renewed)}
        except NoUsableToken as error:
            return {"account": account, "token": None, "refused": write_refusal(error)}

    def _take_news(self, number: int, message: Message) -> None:
        parts = self._parts
        for request in message["requests"]:
            parts.history.take(read_request(request))
        for digest, at in message["used"].items():
            parts.uses.note(digest, max(at, parts.uses.last(digest) or 0.0))
        self.pools[number] = message["pools"]


def _token(account: str, token: AccessToken | None, problem: str) -> bytes:
    return pack("token", account=account, token=write_token(token), trouble=problem)
