"""An observer that tells people: each piece of news once, tried again until it arrives, and kept across restarts.

Nothing waits for it. What is news and what it says is for `notices`; how it leaves for `delivery`.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from proxy.errors import StateError
from proxy.events import NoticeKind, NoticeOutcome, NoticeTold
from proxy.observability import notices
from proxy.observability.delivery import DeliveryFailed
from proxy.observability.notices import ABOUT_APPROVALS, MAX_ATTEMPTS, REPEAT_AFTER, Notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from proxy.events import Event
    from proxy.observability.delivery import NoticeChannel

DOCUMENT: Final = "notices"
MAX_PENDING: Final = 100
"""Notices on their way by each channel; more at once are lost, and told so. Those about approvals are counted apart:
clients cause them, and must not displace what an account needs."""
STOP_TIMEOUT: Final = 2.0


class DocumentStore(Protocol):
    """What keeps a document across restarts: the state store. Both raise `StateError`."""

    async def read_document(self, name: str) -> object | None: ...

    async def write_document(self, name: str, data: object) -> None: ...


class Notifier:
    """Made before the program is; `start` gives it what it needs. Every method belongs to the event loop.

    `clean` masks secrets in a text: none is there, and a second net costs nothing.
    """

    def __init__(
        self,
        tell: Callable[[Event], None],
        clean: Callable[[str], str],
        wall: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tell, self._clean, self._wall, self._pause = tell, clean, wall, pause
        self._channels: dict[str, NoticeChannel] = {}
        self._console = ""
        self._store: DocumentStore | None = None
        self._told: dict[str, float] = {}
        self._pending: dict[tuple[str, str], Notice] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Notifier {', '.join(self._channels) or 'of nobody'}, {len(self._pending)} on their way>"

    async def start(self, store: DocumentStore, channels: Sequence[NoticeChannel], console: str = "") -> None:
        """Take up what an earlier run left. `console` is the base URL of the console, for links."""
        self._store = store
        self.reconfigure(channels, console)
        try:
            kept = await store.read_document(DOCUMENT)
        except StateError:
            kept = None
        if not isinstance(kept, dict):
            return
        self._told = dict(notices.read_told(kept.get("told")))
        pending = kept.get("pending")
        for entry in pending if isinstance(pending, list) else []:
            if isinstance(entry, dict) and (notice := notices.read_notice(entry.get("notice"))) is not None:
                self._begin(str(entry.get("way")), notice)

    def reconfigure(self, channels: Sequence[NoticeChannel], console: str = "") -> None:
        """Replace the channels from the next attempt on, and the console's base URL from the next notice on. Notices
        that wait for a removed channel are lost."""
        self._console = console
        self._channels = {channel.name: channel for channel in channels}

    async def stop(self) -> None:
        """What is under way may end for a moment; the rest is kept for the next run, where the store can."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._saving is not None:
            await self._saving
        if self._unsaved:
            await self._save()

    def observe(self, event: Event) -> None:
        if recovered := notices.recovered_account(event):
            self._forget(recovered)
        if not self._channels:
            return
        now = self._wall()
        notice = notices.notice_of(event, uuid.uuid4().hex, now, self._console)
        if notice is None or self._told.get(notice.key, 0.0) > now - REPEAT_AFTER:
            return
        if not notice.is_always_news:  # it will not be asked for
            self._told = {key: at for key, at in self._told.items() if at > now - REPEAT_AFTER} | {notice.key: now}
        notice = replace(notice, text=self._clean(notice.text))
        for name in self._channels:
            self._begin(name, notice)
        self._save_soon()

    def _forget(self, account: str) -> None:
        """The account works again: its next sign-in or revocation is news."""
        over = {
            Notice("", kind, account, "", 0.0).key for kind in (NoticeKind.SIGN_IN_NEEDED, NoticeKind.ACCOUNT_REVOKED)
        }
        if over & self._told.keys():
            self._told = {key: at for key, at in self._told.items() if key not in over}
            self._save_soon()

    def _begin(self, name: str, notice: Notice) -> None:
        about_approvals = notice.kind in ABOUT_APPROVALS
        same = sum(
            way == name and (each.kind in ABOUT_APPROVALS) is about_approvals
            for (way, _), each in self._pending.items()
        )
        if same >= MAX_PENDING:
            told = NoticeTold(
                notice.kind, notice.account, name, NoticeOutcome.LOST, "Too many notices wait to be sent."
            )
            self._tell(told)
            return
        self._pending[(name, notice.id)] = notice
        task = asyncio.get_running_loop().create_task(self._deliver(name, notice))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, name: str, notice: Notice) -> None:
        outcome, detail = NoticeOutcome.LOST, "It is not configured any longer."
        for attempt in range(MAX_ATTEMPTS):
            channel = self._channels.get(name)
            if channel is None:
                break
            try:
                await channel.deliver(notice)
            except DeliveryFailed as failure:
                detail = failure.detail
                if attempt == 0:
                    self._tell(NoticeTold(notice.kind, notice.account, name, NoticeOutcome.DELAYED, detail))
                await self._pause(notices.delay(attempt, random.random(), failure.retry_after))  # noqa: S311 - jitter, no secret
            else:
                outcome, detail = NoticeOutcome.SENT, ""
                break
        del self._pending[(name, notice.id)]
        self._tell(NoticeTold(notice.kind, notice.account, name, outcome, detail))
        self._save_soon()

    # --- what is kept

    def _save_soon(self) -> None:
        self._unsaved = True
        if self._saving is None or self._saving.done():
            self._saving = asyncio.get_running_loop().create_task(self._save_all())

    async def _save_all(self) -> None:
        """One write at a time, and one more for what came meanwhile."""
        while self._unsaved and await self._save():
            continue

    async def _save(self) -> bool:
        self._unsaved = False
        pending = [{"way": name, "notice": notices.as_kept(notice)} for (name, _), notice in self._pending.items()]
        if self._store is None:
            return False
        try:
            await self._store.write_document(DOCUMENT, {"told": self._told, "pending": pending})
        except StateError:
            self._unsaved = True
            return False
        return True
