"""What invited advertisers reach: one link, Amazon's page, and what came of it; nothing of the console.

It has a listener of its own, or a path prefix of the admin listener, so that only this need be reachable from outside.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web
from cachetools import TTLCache

from proxy import errors
from proxy.admin import guard, invitation_pages
from proxy.admin.pending_sign_ins import MAX_PENDING, STATE_SECONDS, PendingSignIns, cookie_name
from proxy.admin.replacement import ReplacementQuestion
from proxy.admin.responses import SECURITY_HEADERS, html
from proxy.admin.sign_in import SignInFlow
from proxy.events import DefectMet, InvitationUsed
from proxy.tokens.invitation import PATH, Invitation, InvitationState, is_signed, read_claim, signing_key, state_of

if TYPE_CHECKING:
    from proxy.admin.view import AdminView, SignInSource
    from proxy.events import Observer
    from proxy.tokens.invitation import InvitationLedger

STYLE: Final = Path(__file__).parent / "static" / "console.css"
CALLBACK: Final = f"{PATH}/callback"
MAX_BODY_BYTES: Final = 4096
MAX_PER_LINK: Final = 4
"""Sign-ins under way of one link: one who has it takes no room from other advertisers."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InvitationHandlers:
    """The handlers under `/invite/`. `url` is where they are reached from outside: scheme, host and port."""

    def __init__(self, view: AdminView, ledger: InvitationLedger, observer: Observer, url: str) -> None:
        self._view, self._ledger, self._observer, self._url = view, ledger, observer, url
        self._pending = PendingSignIns()
        self._flow = SignInFlow(view, observer, self._pending)
        self._begun: TTLCache[str, tuple[str, str]] = TTLCache(MAX_PENDING, STATE_SECONDS)
        self._finishing: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(CALLBACK, self._callback),
            web.get(f"{PATH}/static/console.css", self._style),
            web.get(f"{PATH}/{{token}}", self._ask),
            web.post(f"{PATH}/{{token}}/begin", self._begin),
        ]

    @staticmethod
    def own(path: str) -> bool:
        """Whether a path is under the prefix."""
        return path == PATH or path.startswith(f"{PATH}/")

    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host and origin as on the admin listener; every refusal is a page that leads nowhere."""
        try:
            self._check(request)
            return await handler(request)
        except errors.Refused as refused:
            return html(invitation_pages.problem_page(refused.title, refused.detail), refused.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as wrong:
            return html(invitation_pages.ended_page(InvitationState.UNKNOWN), wrong.status)
        except web.HTTPException as wrong:
            return html(invitation_pages.problem_page("That did not work", "Open the link again."), wrong.status)
        except Exception:  # noqa: BLE001 - a defect is answered 500 and told
            self._observer.observe(DefectMet(f"invitation {request.method[:20]}", traceback.format_exc()))
            return html(invitation_pages.problem_page("That did not work", "Try again later."), 500)

    def _check(self, request: web.Request) -> None:
        rules = replace(self._view.access(), listen_host=urlsplit(self._url).hostname or "")
        if not guard.host_allowed(request.headers.get("Host", ""), rules):
            raise errors.MisdirectedHost("This name is not served here.")
        if guard.crossed_sites(request.method, request.headers):
            raise errors.CrossOrigin("Open the link that was sent to you.")

    async def _style(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STYLE, headers={"Cache-Control": "no-cache"})

    async def _ask(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        state, invitation, source = await self._open(token)
        if invitation is None or source is None:
            return _ended(state)
        return html(invitation_pages.asking_page(invitation, source, token))

    async def _begin(self, request: web.Request) -> web.Response:
        """The page's button, in a browser: every browser names the origin of a form that it posts."""
        if not guard.is_own_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
            raise errors.CrossOrigin("Use the button on the page that your link leads to.")
        token = request.match_info["token"]
        state, invitation, source = await self._open(token)
        if invitation is None or source is None:
            return _ended(state)
        self._make_room(invitation.id)
        begun = self._flow.begin(source)
        self._begun[begun.state] = (invitation.id, token)
        answer = html(invitation_pages.leaving_page(begun.url))
        answer.set_cookie(
            begun.cookie_name,
            begun.cookie_value,
            path=PATH,
            max_age=STATE_SECONDS,
            httponly=True,
            secure=self._url.startswith("https:"),
            samesite="Lax",
        )
        return answer

    def _make_room(self, id_: str) -> None:
        """Forget the oldest sign-in of a link that has as many as it may."""
        own = [state for state, (begun, _) in self._begun.items() if begun == id_]
        if len(own) >= MAX_PER_LINK:
            del self._begun[own[0]]
            self._pending.forget(own[0])

    async def _callback(self, request: web.Request) -> web.Response:
        _, token = self._begun.get(request.query.get("state", ""), ("", ""))
        state, invitation, _ = await self._open(token)
        if token and invitation is None:
            return _ended(state)
        if invitation is not None and invitation.id in self._finishing:
            return _ended(InvitationState.USED)
        return await self._finish(request, token, invitation)

    async def _finish(self, request: web.Request, token: str, invitation: Invitation | None) -> web.Response:
        """One at a time for each link, so that it does its work once."""
        state, id_ = request.query.get("state", ""), invitation.id if invitation is not None else ""
        self._finishing.add(id_)
        try:
            result = await self._flow.finish(dict(request.query), request.cookies)
            if isinstance(result, ReplacementQuestion):
                self._pending.take(state, request.cookies)
                return html(invitation_pages.other_login_page(token), 409)
            if not result.connected:
                return html(invitation_pages.failed_page(result, token), result.status)
            self._observer.observe(InvitationUsed(result.account, id_))
            await self._ledger.use(id_)
        except errors.StateError as error:
            self._observer.observe(DefectMet("keeping that an invitation was used", str(error)))
        finally:
            self._finishing.discard(id_)
        answer = html(invitation_pages.done_page())
        answer.del_cookie(cookie_name(state), path=PATH)
        return answer

    async def _open(self, token: str) -> tuple[InvitationState, Invitation | None, SignInSource | None]:
        """What a link is worth; the invitation and its account where it is good. Unsigned ones cost no look-up."""
        claim = read_claim(token)
        source = self._view.sign_in_source(claim.account) if claim is not None else None
        if claim is None or source is None or not _is_ours(token, source):
            return InvitationState.UNKNOWN, None, None
        invitation = await self._ledger.find(claim.id)
        state = state_of(invitation, time.time())
        if state is not InvitationState.OPEN:
            return state, None, None
        return state, invitation, replace(source, redirect_uri=f"{self._url}{CALLBACK}")


def _is_ours(token: str, source: SignInSource) -> bool:
    """A link outlives the change of a secret as long as the older one is configured too."""
    secrets = (source.client_secret, source.older_secret)
    return any(is_signed(token, signing_key(secret)) for secret in secrets if secret is not None)


def _ended(state: InvitationState) -> web.Response:
    return html(invitation_pages.ended_page(state), 410 if state is not InvitationState.UNKNOWN else 404)


def make_invitations(handlers: InvitationHandlers) -> web.Application:
    """The application where they are served on sockets of their own."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handlers.guarded(request, handler)

    async def add_headers(_request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers.update(SECURITY_HEADERS)
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["Server"] = "ads-proxy"

    app = web.Application(middlewares=[guarded], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    app.on_response_prepare.append(add_headers)
    return app
