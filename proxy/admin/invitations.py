"""What invited advertisers reach: one link, Amazon's page, and what came of it; nothing of the console.

It has a listener of its own, or a path prefix of the admin listener, so that only this need be reachable from outside.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web
from cachetools import TTLCache

from proxy import errors
from proxy.admin import guard
from proxy.admin.pages import ReplacementConfirmation, prose
from proxy.admin.responses import add_headers, html
from proxy.admin.sign_in import MAX_PENDING, STATE_SECONDS, PendingSignIns, SignInFlow, cookie_name, keep_begun
from proxy.events import DefectMet, InvitationUsed, SignInOutcome
from proxy.tokens.invitation import PATH, Invitation, InvitationState, is_signed, read_claim, signing_key, state_of

if TYPE_CHECKING:
    from proxy.admin.pages import SignInResult
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

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host and origin as on the admin listener; every refusal is a page that leads nowhere."""
        try:
            self._check(request)
            return await handler(request)
        except errors.Refused as refused:
            return html(problem_page(refused.title, refused.detail), refused.status)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as wrong:
            return html(ended_page(InvitationState.UNKNOWN), wrong.status)
        except web.HTTPException as wrong:
            return html(problem_page("That did not work", "Open the link again."), wrong.status)
        except Exception:  # noqa: BLE001 - a defect is answered 500 and told
            self._observer.observe(DefectMet(f"invitation {request.method[:20]}", traceback.format_exc()))
            return html(problem_page("That did not work", "Try again later."), 500)

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
        return html(asking_page(invitation, source, token))

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
        answer = html(leaving_page(begun.url))
        keep_begun(answer, begun, PATH, secure=self._url.startswith("https:"))
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
            known = dict(request.query) if invitation is not None else {}  # without its link, nothing is finished
            result = await self._flow.finish(known, request.cookies)
            if isinstance(result, ReplacementConfirmation):
                self._pending.take(state, request.cookies)
                return html(other_login_page(token), 409)
            if not result.connected:
                return html(failed_page(result, token), result.status)
            self._observer.observe(InvitationUsed(result.account, id_))
            await self._ledger.use(id_)
        except errors.StateError as error:
            self._observer.observe(DefectMet("keeping that an invitation was used", str(error)))
        finally:
            self._finishing.discard(id_)
        answer = html(done_page())
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
    return html(ended_page(state), 410 if state is not InvitationState.UNKNOWN else 404)


def make_invitations(handlers: InvitationHandlers) -> web.Application:
    """The application where they are served on sockets of their own."""

    app = web.Application(middlewares=[handlers.guarded], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    app.on_response_prepare.append(add_headers)
    return app


# --- What an advertiser sees who follows an invitation ---------------------------------------------------

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<link rel="stylesheet" href="{path}/static/console.css">{head}
</head>
<body class="narrow">
<main class="card {tone}">
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_SCOPES: Final = {
    "advertising::campaign_management": "see and manage advertising campaigns and their reports",
    "advertising::audiences": "see and manage advertising audiences",
    "advertising::test:create_account": "make test accounts",
}
ENDED: Final = {
    InvitationState.USED: ("This link was used already", "The consent was given: there is nothing more to do."),
    InvitationState.REVOKED: ("This link was revoked", "Ask the sender for another link."),
    InvitationState.EXPIRED: ("This link has expired", "Ask the sender for another link."),
    InvitationState.UNKNOWN: (
        "Unknown link",
        "Open the whole link, or ask the sender for another one.",
    ),
}


def page(title: str, body: str, tone: str = "", head: str = "") -> str:
    """A whole page; `body` and `head` are HTML."""
    return _PAGE.format(title=escape(title), body=body, tone=escape(tone), head=head, path=PATH)


def asking_page(invitation: Invitation, source: SignInSource, token: str) -> str:
    """The sender, the scopes, and the button that leads to Amazon."""
    sender, until = escape(invitation.sender), datetime.fromtimestamp(invitation.expires_at, UTC)
    scopes = "".join(f"<li>{escape(_SCOPES.get(scope, scope))}</li>" for scope in source.scopes)
    return page(
        "Access to your Amazon Ads account",
        f"""<p><strong>{sender}</strong> asks you to let its program (account
<strong>{escape(source.account)}</strong>) do this at Amazon Ads in your name:</p>
<ul>{scopes}</ul>
<p>The button leads to Amazon's own page. Sign in there as a user who has access to the ads account, and allow
it; your password stays between you and Amazon. Amazon keeps the consent for a year, and you can withdraw it there.</p>
<form method="post" action="{PATH}/{escape(token)}/begin"><button type="submit">Go on to Amazon</button></form>
<p>If you do not know {sender}, close this page. This link works once, until {until:%Y-%m-%d %H:%M} UTC.</p>""",
    )


def leaving_page(sign_in_url: str) -> str:
    """Goes on to Amazon's page by itself: a redirect would be held against the form's own policy."""
    url = escape(sign_in_url)
    return page(
        "On to Amazon",
        f'<p><a class="button" href="{url}">Go on to Amazon</a></p>',
        head=f'\n<meta http-equiv="refresh" content="0; url={url}">',
    )


def ended_page(state: InvitationState) -> str:
    """Why a link leads nowhere."""
    title, body = ENDED[state]
    return page(title, f"<p>{escape(body)}</p>", "good" if state is InvitationState.USED else "bad")


def done_page() -> str:
    """The consent is in force."""
    return page("Done", "<p>Thank you: the access works. You can close this page.</p>", "good")


def failed_page(result: SignInResult, token: str) -> str:
    """What went wrong, as far as it is the advertiser's business."""
    if result.outcome is SignInOutcome.DENIED:
        title, words = "Access was not allowed", "You did not allow access on Amazon's page. Nothing has changed."
    elif result.outcome is SignInOutcome.STATE_UNKNOWN:
        title = "This sign-in is not known"
        words = "It took more than ten minutes, or continued in another browser. Open your link again."
    else:
        title, words = "That did not work", "Amazon did not complete the sign-in. Nothing has changed."
    again = f'<p><a class="button" href="{PATH}/{escape(token)}">Try again</a></p>' if token else ""
    return page(title, f"<p>{words}</p>{again}", "bad")


def other_login_page(token: str) -> str:
    """The sign-in was by another user, who does not reach the profiles in use: the operator decides."""
    return page(
        "This is another login",
        f"""<p>The user that you signed in as does not have access to the same ads accounts as before. Nothing
has changed. Sign in as the user who has, or ask the sender of the link.</p>
<p><a class="button" href="{PATH}/{escape(token)}">Try again</a></p>""",
        "bad",
    )


def problem_page(title: str, detail: str) -> str:
    """A refusal of the listener itself."""
    return page(title, f"<p>{prose(detail)}</p>", "bad")
