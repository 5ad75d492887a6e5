"""The console's pages about approvals: who is signed in as an approver, and the buttons.

A decision is a form that is posted from a page of this listener. Nothing is decided by following a link, which previews
of messages follow too. Who may decide is for `approvals`, and how a page looks for `approval_pages`.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiohttp import web
from cachetools import TTLCache

from proxy import errors
from proxy.admin import guard
from proxy.admin.approval_pages import PATH, ApprovalPages, Reader
from proxy.admin.approvals import ApproverKeys, decides_as
from proxy.admin.pages import onward_page
from proxy.admin.responses import form_of, html
from proxy.events import ApprovalState
from proxy.spend.approvals import ApprovalOver

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.admin.view import AdminView
    from proxy.spend.approvals import Approval

COOKIE: Final = "ads_proxy_approver"
MAX_SESSIONS: Final = 256
WRONG_KEY: Final = "No approver has this key, or it has expired. Keys of clients and the admin key do not approve."
SIGN_IN_AGAIN: Final = "Nothing was decided: you are not signed in as an approver, or no longer."


class ApproverSessions:
    """Who is signed in: the digest of an approver's key for each token, for as long as the console's own sessions. A
    key that is removed or expires ends its sessions, as each request looks for its approver."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._digests: TTLCache[bytes, str] = TTLCache(MAX_SESSIONS, guard.SESSION_SECONDS, clock)

    def __repr__(self) -> str:
        return f"<ApproverSessions: {len(self._digests)}>"

    def open(self, key: str) -> str:
        """A new session's token."""
        token = secrets.token_urlsafe(32)
        self._digests[_hashed(token)] = hashlib.sha256(_bytes(key)).hexdigest()
        return token

    def digest(self, token: str) -> str:
        """The digest of the key with which the session was opened; empty where there is none."""
        return self._digests.get(_hashed(token), "")

    def end(self, token: str) -> None:
        self._digests.pop(_hashed(token), None)


class ApprovalConsole:
    """The handlers under `/approvals`. `clean` masks the proxy's own secrets in a text."""

    def __init__(self, view: AdminView, keys: ApproverKeys, clean: Callable[[str], str]) -> None:
        self._view, self._keys = view, keys
        self._pages, self._sessions = ApprovalPages(clean), ApproverSessions()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self._queue),
            web.get(f"{PATH}/{{id}}", self._single),
            web.post(f"{PATH}/session", self._open_session),
            web.post(f"{PATH}/session/end", self._end_session),
            web.post(f"{PATH}/{{id}}/approve", self._approve),
            web.post(f"{PATH}/{{id}}/deny", self._deny),
        ]

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is one of these pages."""
        return path == PATH or path.startswith(f"{PATH}/")

    def is_opened(self, request: web.Request) -> bool:
        """Whether an approver's session opens the page that a request asks for. The form for the key needs none."""
        signs_in = request.method == "POST" and request.path == f"{PATH}/session"
        return self.has(request.path) and (signs_in or bool(self._approver(request)))

    def ask_key(self, request: web.Request) -> web.Response:
        """The page for a reader who is not signed in, where the admin listener needs a key."""
        if request.method not in guard.SAFE_METHODS:
            return html(self._pages.ask_key(PATH, SIGN_IN_AGAIN), 401)
        return _step_again(request) or html(self._pages.ask_key(request.path), 401)

    # --- looking

    async def _queue(self, request: web.Request) -> web.Response:
        if (again := _step_again(request)) is not None:
            return again
        found = await self._view.approvals(ended=True)
        pressed = request.query.get("decided", "")
        decided = next((each for each in found if each.id == pressed), None)
        return html(self._pages.queue(found, self._reader(request), decided, request.query.get("client", "")))

    async def _single(self, request: web.Request) -> web.Response:
        if (again := _step_again(request)) is not None:
            return again
        reader, identifier = self._reader(request), request.match_info["id"]
        for found in await self._view.approvals(ended=True):
            if found.id == identifier:
                return html(self._pages.single(found, reader))
        return html(self._pages.unknown(reader), 404)

    def _approver(self, request: web.Request) -> str:
        """Who is signed in; empty for none."""
        digest = self._sessions.digest(request.cookies.get(COOKIE, ""))
        if not digest:
            return ""
        return self._view.access().approvers.with_digest(digest, time.time()) or ""

    def _reader(self, request: web.Request) -> Reader:
        rules, approver = self._view.access(), self._approver(request)
        has_approvers = any(each.keys for each in rules.approvers.approvers)
        return Reader(time.time(), approver, decides_as(approver or None, rules) or "", has_approvers)

    # --- signing in

    async def _open_session(self, request: web.Request) -> web.Response:
        require_own_form(request)
        form = await form_of(request)
        target = guard.safe_next(form.get("next", PATH))
        target = target if self.has(target.partition("?")[0]) else PATH
        key = form.get("key", "")
        if self._keys.identify(request, key) is None:
            return html(self._pages.ask_key(target, WRONG_KEY), 401)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = _see(target)
        answer.set_cookie(
            COOKIE,
            self._sessions.open(key),
            path=PATH,
            max_age=guard.SESSION_SECONDS,
            httponly=True,
            secure=request.secure,
            samesite="Strict",
        )
        return answer

    async def _end_session(self, request: web.Request) -> web.Response:
        require_own_form(request)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = _see(PATH)
        answer.del_cookie(COOKIE, path=PATH)
        return answer

    # --- deciding

    async def _approve(self, request: web.Request) -> web.Response:
        require_own_form(request)
        return await self._decide(request, ApprovalState.APPROVED, "")

    async def _deny(self, request: web.Request) -> web.Response:
        require_own_form(request)
        form = await form_of(request)
        return await self._decide(request, ApprovalState.DENIED, form.get("because", ""))

    async def _decide(self, request: web.Request, state: ApprovalState, because: str) -> web.Response:
        """What was decided is shown in the queue; what others had decided before, at once."""
        identifier, reader = request.match_info["id"], self._reader(request)
        if not reader.decides_as:
            return html(self._pages.ask_key(f"{PATH}/{identifier}", SIGN_IN_AGAIN), 401)
        try:
            decided = await self._view.decide(identifier, state, reader.decides_as, because)
        except errors.UnknownApproval:
            return html(self._pages.unknown(reader), 404)
        except ApprovalOver as over:
            return self._too_late(over.approval, reader)
        if decided.by != reader.decides_as:
            return self._too_late(decided, reader)
        return _see(f"{PATH}?decided={identifier}")

    def _too_late(self, approval: Approval, reader: Reader) -> web.Response:
        return html(self._pages.ended_before(approval, reader), 409)


async def count_waiting(view: AdminView) -> dict[str, object] | None:
    """What the console's first page says of approvals; None where no client's writes need any."""
    if not view.asks_approvers():
        return None
    try:
        found = await view.approvals(ended=False)
    except errors.LedgerUnavailable as failure:
        return {"pending": 0, "approved": 0, "problem": str(failure)}
    states = Counter(each.state for each in found)
    return {"pending": states[ApprovalState.PENDING], "approved": states[ApprovalState.APPROVED], "problem": ""}


def require_own_form(request: web.Request) -> None:
    """Raise `CrossOrigin` unless a page of this listener has posted the request: every browser names the origin of a
    form that it posts."""
    if not guard.is_own_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
        raise errors.CrossOrigin("Use the buttons of the console's own pages; `ads-proxy approve ID` is for scripts.")


def _step_again(request: web.Request) -> web.Response | None:
    """A page that leads to the same address once more, for a reader who came by a link of another site: browsers keep a
    session's cookie to themselves then. None for other readers."""
    if COOKIE in request.cookies or request.headers.get("Sec-Fetch-Site") not in {"cross-site", "same-site"}:
        return None
    return html(onward_page("Approvals", request.path_qs, "Go on to the approvals"))


def _see(target: str) -> web.Response:
    return web.Response(status=303, headers={"Location": target})


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _hashed(token: str) -> bytes:
    return hashlib.sha256(_bytes(token)).digest()
