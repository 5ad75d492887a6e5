"""The approvals of all clients: kept in the state store, changed by one program at a time, and followed.

`ApprovalKeeper` belongs to the program. Each client has a document. Every change reads it, ends what has ended by
limits, freezes or time, and writes it only if it is unchanged then (`Store.change_document`). So an approval
is used once by all processes and replicas together.

A change whose outcome is unknown leaves a mark that only this program makes. When the store answers again, the mark
shows whether the change was made: it is reported then, and an approval that was used so is given back, as its write was
not sent. A store that lost its last moments may show an approval as approved that was used. Each program remembers the
ends that it saw and puts them back, and after such trouble with the store nothing is used until all have done so.

The document `approvals` has the versions of limits that were in force last, so that limits which were others while this
program did not run end approvals, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from proxy.errors import LedgerUnavailable, StateError, StateFileDamaged, UnknownApproval
from proxy.events import (
    ApprovalDecided,
    ApprovalEnded,
    ApprovalRequested,
    ApprovalsCounted,
    ApprovalState,
)
from proxy.spend.approvals import (
    KEPT_SECONDS,
    Approval,
    ApprovalBook,
    ApprovalOver,
    ApprovalTerms,
    ApproverDecision,
    Circumstances,
    Found,
    FreezeChanges,
    unknown_approval,
)
from proxy.spend.freezes import clean
from proxy.spend.ledger import PATIENCE, RETRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from proxy.events import Event, Observer
    from proxy.spend.approvals import WriteToApprove
    from proxy.spend.freezes import Freezes
    from proxy.tokens.store import StoreChange

DOCUMENT: Final = "approvals"
"""The document of the limits in force; that of a client is `approvals:CLIENT`."""
LOOK_SECONDS: Final = 60.0
"""Seconds between two looks at all approvals, and two counts of them."""
RETRY_SECONDS: Final = 5.0
_FORM: Final = 1
_EMPTY: Final = ApprovalBook()
_MOST_SEEN: Final = 20_000
"""How many ends of approvals a program remembers."""
_TICK: Final = 0.01
"""Seconds that the timer may be early."""


class ApprovalStore(Protocol):
    """Where the documents are kept: see `proxy.tokens.store.Store`."""

    @property
    def unsettled(self) -> float: ...

    async def require_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None: ...


class ApprovalKeeper:
    """Implements `Approvals` for the whole program, and decides for approvers.

    `follow` comes before `start`. `start` and `stop` are called one after the other. While the store cannot be read,
    every method raises `LedgerUnavailable`, and nothing is asked, decided or used.
    """

    def __init__(
        self, store: ApprovalStore, freezes: Freezes, observer: Observer, wall: Callable[[], float] = time.time
    ) -> None:
        self._store, self._freezes, self._observer, self._wall = store, freezes, observer, wall
        self._terms = ApprovalTerms()
        self._versions: dict[str, str] = {}
        self._clients: set[str] = set()
        """All whose documents may have live approvals: those with limits now, or before."""
        self._superseded: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """Versions of limits that went out of force, by client, whose approvals may not have ended yet."""
        self._is_begun = False
        """Whether the limits that were in force before the start are known, and what they ended has ended."""
        self._books: dict[str, ApprovalBook] = {}
        self._documents: dict[str, tuple[object, ApprovalBook]] = {}
        """The last document that was read of each client, and its book: most are unchanged."""
        self._seen: dict[str, Approval] = {}
        """The ends of approvals that this program saw, by id."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._kept_versions: Mapping[str, str] | None = None
        self._beginning = asyncio.Lock()
        self._program, self._changes = secrets.token_hex(6), 0
        self._untold: dict[str, bool] = {}
        """The marks of changes that are not reported yet, and whether each is a decision."""
        self._uses: dict[str, str] = {}
        """The marks of uses that may be given back, by id."""
        self._back: set[tuple[str, str, str]] = set()
        """What is to be given back: client, id, and the mark of the use."""
        self._to_look_at: set[str] = set()
        self._wanted = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        known = sum(len(book.approvals) for book in self._books.values())
        return f"<ApprovalKeeper of {len(self._versions)} clients, {known} approvals>"

    # --- the program

    def follow(self, terms: ApprovalTerms, versions: Mapping[str, str]) -> None:
        """Put terms and limits in force: `versions` has the version of the limits of each client whose writes may be
        approved. Approvals that were asked for under other limits end."""
        for client in {*self._versions, *versions}:
            before, after = self._versions.get(client), versions.get(client)
            if before is not None and before != after:
                self._superseded[client] |= {before}
        self._terms, self._versions = terms, dict(versions)
        self._clients |= versions.keys()
        self._look_at(self._clients)

    async def start(self) -> None:
        """End what ended while the program did not run; this is tried again while the store is away."""
        self._freezes.listeners.append(self._freezes_changed)
        with contextlib.suppress(LedgerUnavailable):
            await self._begin()
        self._following = asyncio.create_task(self._follow(), name="follow the approvals")

    async def stop(self) -> None:
        """Give back what is to be given back, if the store takes it soon."""
        if self._freezes_changed in self._freezes.listeners:
            self._freezes.listeners.remove(self._freezes_changed)
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait((self._following,))
        with contextlib.suppress(LedgerUnavailable):
            await self._give_all_back()

    def store_changed(self, change: StoreChange) -> None:
        """Something of the store may be another now."""
        self._look_at(client for client in self._clients if change.concerns_document(_document(client)))

    def _freezes_changed(self) -> None:
        self._look_at(self._clients)

    def _look_at(self, clients: Iterable[str]) -> None:
        self._to_look_at.update(clients)
        self._wanted.set()

    # --- gates: see `Approvals`

    async def find(self, client: str, digest: str) -> Found:
        book = await self._look(client)
        return Found(book.find(digest, self._wall()), book.is_full(self._terms))

    async def ask(self, write: WriteToApprove) -> Approval | None:
        if self._versions.get(write.client) != write.limits:
            raise LedgerUnavailable(
                "The limits of this client are being changed. Nothing was sent; send the request again.",
                retry_after=RETRY,
            )
        identifier = secrets.token_hex(10)
        book = await self._change(write.client, lambda book, at: book.ask(identifier, write, at))
        found = book.find(write.digest, self._wall())
        return None if found is not None and found.is_too_narrow(write.violations) else found

    async def use(self, client: str, identifier: str) -> bool:
        mark = self._mark()
        try:
            self._require_settled()
            book = await self._change(client, lambda book, at: book.use(identifier, at), mark)
            self._require_settled()  # the server that answered may have lost what others used
        except BaseException:
            # Nothing is sent of this write. If the approval was used nevertheless, it comes back.
            self._want_back(client, identifier, mark)
            raise
        used = book.get(identifier)
        if used is None or used.state is not ApprovalState.USED or used.change != mark:
            return False
        self._uses[identifier] = mark
        return True

    def give_back(self, client: str, identifier: str) -> None:
        mark = self._uses.pop(identifier, None)
        if mark is not None:
            self._want_back(client, identifier, mark)

    async def void(self, client: str, identifier: str, because: str) -> None:
        await self._change(client, lambda book, at: book.void(identifier, because, at))

    async def get(self, client: str, identifier: str) -> Approval | None:
        return (await self._look(client)).get(identifier)

    def _want_back(self, client: str, identifier: str, mark: str) -> None:
        self._back.add((client, identifier, mark))
        self._wanted.set()

    def _require_settled(self) -> None:
        """Raise `LedgerUnavailable` while other programs may still have to tell the store what was used."""
        wait = self._store.unsettled
        if wait > 0:
            raise LedgerUnavailable(
                "The state store lost data, and what was approved is not certain yet. Nothing was sent; send the "
                "request again later.",
                retry_after=wait,
            )

    # --- approvers

    async def list(self, *, ended: bool = False) -> list[Approval]:
        """The approvals of all clients, the oldest first: those that are pending or approved, or all. Raises
        `LedgerUnavailable`."""
        books = [await self._look(client) for client in sorted(self._versions)]
        found = [each for book in books for each in book.approvals if ended or each.is_live]
        return sorted(found, key=lambda approval: approval.asked_at)

    async def decide(self, identifier: str, state: ApprovalState, by: str, because: str = "") -> Approval:
        """Approve or deny. An approved one may be denied until it is used.

        Raises `UnknownApproval`, `ApprovalOver` with the approval that has ended, and `LedgerUnavailable`: the decision
        may have been kept then nevertheless.
        """
        decision, mark = ApproverDecision(state, clean(by), clean(because)), self._mark()
        problems: list[UnknownApproval | ApprovalOver] = []

        def decide(book: ApprovalBook, at: Circumstances) -> ApprovalBook:
            problems.clear()
            try:
                return book.decide(identifier, decision, at)
            except (UnknownApproval, ApprovalOver) as error:
                problems.append(error)
                return book  # what has ended meanwhile is kept nevertheless

        client = await self._client_of(identifier)
        decided = (await self._change(client, decide, mark, is_decision=True)).get(identifier)
        if problems and (decided is None or decided.state is not state or decided.change != mark):
            raise problems[0]
        assert decided is not None  # it was found, or there would be a problem
        return decided

    async def _client_of(self, identifier: str) -> str:
        """Whose approval this is: what was read last tells it, or the store. Raises `UnknownApproval`."""
        for client in self._versions:
            if self._known_book(client).get(identifier) is not None:
                return client
        for client in sorted(self._versions):
            if (await self._look(client)).get(identifier) is not None:
                return client
        raise unknown_approval(identifier)

    def _known_book(self, client: str) -> ApprovalBook:
        return self._books.get(client, _EMPTY)

    # --- changes of the store

    def _mark(self) -> str:
        self._changes += 1
        return f"{self._program}.{self._changes}"

    async def _look(self, client: str) -> ApprovalBook:
        """The approvals of a client as they are now."""
        return await self._change(client, lambda book, at: book)

    async def _change(
        self,
        client: str,
        change: Callable[[ApprovalBook, Circumstances], ApprovalBook],
        mark: str = "",
        *,
        is_decision: bool = False,
    ) -> ApprovalBook:
        """The book of a client after a change, which is kept. Raises `LedgerUnavailable` if that is not certain."""
        try:
            async with asyncio.timeout(PATIENCE):
                if not self._is_begun:
                    await self._begin()
                return await self._exchange(client, change, mark or self._mark(), is_decision=is_decision)
        except TimeoutError as error:
            raise _unavailable() from error

    async def _exchange(
        self,
        client: str,
        change: Callable[[ApprovalBook, Circumstances], ApprovalBook],
        mark: str,
        *,
        is_decision: bool = False,
    ) -> ApprovalBook:
        if self._freezes.unknown:
            raise _unavailable()
        self._untold[mark] = is_decision
        step = _Step(change, partial(self._circumstances, client, mark), partial(self._read, client), self._seen)
        try:
            async with asyncio.timeout(PATIENCE), self._locks[client]:
                try:
                    await self._store.change_document(_document(client), step.take)
                except (StateFileDamaged, ValueError):
                    # Without its approvals, a client has to ask again. A document that stays damaged would stop it.
                    await self._store.write_document(_document(client), _EMPTY.to_document())
                    await self._store.change_document(_document(client), step.take)
                self._superseded[client] -= step.at.superseded
                self._note(client, step.after, mark)
        except (StateError, TimeoutError) as error:
            raise _unavailable() from error
        finally:
            step.is_over = True
        return step.after

    def _read(self, client: str, document: object) -> ApprovalBook:
        """The book of a document, which is read only if it is another than the last one. Raises `ValueError`."""
        known = self._documents.get(client)
        if known is None or known[0] != document:
            known = self._documents[client] = document, ApprovalBook.from_document(document)
        return known[1]

    def _circumstances(self, client: str, mark: str) -> Circumstances:
        """What is in force. Stores call this in threads."""
        return Circumstances(
            now=self._wall(),
            change=mark,
            terms=self._terms,
            limits=self._versions.get(client, ""),
            superseded=self._superseded.get(client, frozenset()),
            freezes=FreezeChanges(*self._freezes.changed_at(client)),
            is_frozen=self._freezes.is_frozen(client),
        )

    def _note(self, client: str, book: ApprovalBook, mark: str) -> None:
        """Remember the ends in a book, and report the changes that this program made, those of earlier attempts
        included."""
        is_news = self._known_book(client) != book
        self._books[client] = book
        for approval in book.approvals:
            seen = self._seen.get(approval.id)
            if approval.ended_at is not None and (seen is None or seen.revision < approval.revision):
                self._seen[approval.id] = approval
            elif seen is not None and seen.revision < approval.revision:
                del self._seen[approval.id]  # it was given back
        made = [(each, self._untold[each.change]) for each in book.approvals if each.change in self._untold]
        for done in {mark, *(approval.change for approval, _ in made)}:
            self._untold.pop(done, None)
        for approval, is_decision in made:
            if (event := _event(approval, is_decision=is_decision)) is not None:
                self._observer.observe(event)
        if is_news:
            self._count()

    def _count(self) -> None:
        """Report how many approvals are in each state."""
        counted = []
        for client in sorted(self._versions):
            states = [approval.state for approval in self._known_book(client).approvals]
            counted += [(client, state, states.count(state)) for state in ApprovalState]
        self._observer.observe(ApprovalsCounted(tuple(counted)))

    # --- what happens without anybody asking

    async def _begin(self) -> None:
        """End what was asked for under limits that were others before the start. Raises `LedgerUnavailable`."""
        async with self._beginning:
            if self._is_begun:
                return
            try:
                async with asyncio.timeout(PATIENCE):
                    before = _read_versions(await self._store.require_document(DOCUMENT))
            except (StateFileDamaged, ValueError):
                before = {}
            except (StateError, TimeoutError) as error:
                raise _unavailable() from error
            for client, version in self._versions.items():
                if before.get(client) != version:
                    self._superseded[client] |= {version}
            self._clients |= before.keys()
            self._kept_versions = before
            self._to_look_at |= self._clients
            await self._look_at_all()
            self._is_begun = True

    async def _look_at_all(self) -> None:
        """Look at the approvals that may have changed or ended; then keep the limits in force."""
        for client in sorted(self._to_look_at):
            self._to_look_at.discard(client)  # before: news that comes during the look is about what it did not see
            try:
                await self._exchange(client, lambda book, at: book, self._mark())
            except BaseException:
                self._to_look_at.add(client)
                raise
        versions = self._versions
        if versions != self._kept_versions:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._store.write_document(DOCUMENT, {"form": _FORM, "limits": versions})
            except (StateError, TimeoutError) as error:
                raise _unavailable() from error
            self._kept_versions = versions

    async def _follow(self) -> None:
        """Look when something may have changed, when an approval expires, and every minute; give back what is to be
        given back, and try again what failed."""
        loop = asyncio.get_running_loop()
        looked_at, delay = loop.time(), LOOK_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wanted.wait()
            self._wanted.clear()
            if loop.time() - looked_at >= LOOK_SECONDS:
                looked_at = loop.time()
                self._to_look_at |= self._clients
                self._forget()
                self._count()
            try:
                await self._catch_up()
                delay = min(LOOK_SECONDS, max(_TICK, self._next_end() - self._wall() + _TICK))
            except LedgerUnavailable:
                delay = RETRY_SECONDS
                await asyncio.sleep(RETRY)  # however often it is wanted

    async def _catch_up(self) -> None:
        if not self._is_begun:
            await self._begin()
        await self._give_all_back()
        now = self._wall()
        self._to_look_at.update(
            client
            for client, book in self._books.items()
            if any(each.is_live and each.expires_at <= now for each in book.approvals)
        )
        await self._look_at_all()

    async def _give_all_back(self) -> None:
        for use in tuple(self._back):
            client, identifier, mark = use
            await self._exchange(client, partial(_give_back, identifier, mark), self._mark())
            self._back.discard(use)

    def _next_end(self) -> float:
        """When the next approval expires, in wall-clock time."""
        books = self._books.values()
        return min((each.expires_at for book in books for each in book.approvals if each.is_live), default=math.inf)

    def _forget(self) -> None:
        """Forget ends that no store brings back."""
        since = self._wall() - KEPT_SECONDS
        kept = [name for name, each in self._seen.items() if each.ended_at is None or each.ended_at >= since]
        for name in self._seen.keys() - set(kept[-_MOST_SEEN:]):
            del self._seen[name]
        self._uses = {name: mark for name, mark in self._uses.items() if name in self._seen}
        self._untold = dict(list(self._untold.items())[-_MOST_SEEN:])


class _Step:
    """One change of a client's book, as a store makes it: perhaps in a thread, and again after each conflict with
    another program. Once it `is_over`, no request waits for it, and it changes nothing any more."""

    at: Circumstances
    after: ApprovalBook

    def __init__(
        self,
        change: Callable[[ApprovalBook, Circumstances], ApprovalBook],
        look: Callable[[], Circumstances],
        read: Callable[[object], ApprovalBook],
        seen: Mapping[str, Approval],
    ) -> None:
        self._change, self._look, self._read, self._seen = change, look, read, seen
        self.is_over = False

    def take(self, document: object | None) -> object | None:
        """What becomes of the document. Raises `ValueError` for one that cannot be read."""
        if self.is_over:
            return document
        book, at = self._read(document), self._look()
        after = self._change(book.restore(self._seen).settle(at).forget(at.now), at)
        self.at, self.after = at, after
        return document if after == book else after.to_document()


def _give_back(identifier: str, mark: str, book: ApprovalBook, at: Circumstances) -> ApprovalBook:
    """The book after one use of an approval was given back; it may have ended otherwise meanwhile."""
    return book.give_back(identifier, mark, at).settle(at)


def _document(client: str) -> str:
    return f"{DOCUMENT}:{client}"


def _read_versions(document: object) -> dict[str, str]:
    """The versions of limits that were in force last, by client. Raises `ValueError`."""
    if document is None:
        return {}
    if not isinstance(document, dict) or document.keys() != {"form", "limits"} or document["form"] != _FORM:
        raise ValueError("The kept versions of limits have an unknown form.")
    return {str(client): str(version) for client, version in document["limits"].items()}


def _event(approval: Approval, *, is_decision: bool) -> Event | None:
    """What is reported of an approval in its present state; None for one that was given back."""
    of = approval.id, approval.write.client, approval.write.operation
    match approval.state:
        case ApprovalState.PENDING:
            rules = tuple(dict.fromkeys(violation.rule.value for violation in approval.write.violations))
            return ApprovalRequested(*of, rules, approval.expires_at)
        case ApprovalState.APPROVED if not is_decision:
            return None
        case ApprovalState.APPROVED | ApprovalState.DENIED:
            return ApprovalDecided(*of, approval.state, approval.by, approval.because)
        case state:
            return ApprovalEnded(*of, state, approval.because)


def _unavailable() -> LedgerUnavailable:
    return LedgerUnavailable(
        "The state store cannot tell or keep now what was approved, and no write that needs an approval is sent "
        "without that. Send the request again later.",
        retry_after=RETRY,
    )
