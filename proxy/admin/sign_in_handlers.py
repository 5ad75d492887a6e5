"""Signing in as pages: which request begins it, what brings the browser back, and the cookie between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from proxy.admin import guard, pages, sign_in
from proxy.admin.pending_sign_ins import STATE_SECONDS, PendingSignIns, cookie_name
from proxy.admin.replacement import ReplacementQuestion
from proxy.admin.responses import NoSuchPage, form_of, html
from proxy.errors import CrossOrigin

if TYPE_CHECKING:
    from proxy.admin.sign_in_result import SignInResult
    from proxy.admin.view import AdminView, SignInSource
    from proxy.events import Observer

MAX_NAMES: Final = 20
"""Accounts that a refusal lists."""


class SignInHandlers:
    """The handlers under `/login/`."""

    def __init__(self, view: AdminView, observer: Observer) -> None:
        self._view = view
        self._flow = sign_in.SignInFlow(view, observer, PendingSignIns())

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(sign_in.CALLBACK_PATH, self._callback),
            web.get("/login/{account}", self._login),
            web.post("/login/{account}", self._pasted),
            web.post("/login/{account}/begin", self._confirmed),
            web.post("/login/{account}/replace", self._replace),
        ]

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """At once on a person's own step; where another site may have led here, a page asks first."""
        source = self._source(request)
        moved = request.query.get("at")
        if moved is None:
            own_step = "ask" not in request.query and guard.is_own_step(request.headers)
        else:
            own_step = self._flow.redeem(moved, source.account)
        elsewhere = sign_in.right_host(source, request.host, moved is not None)
        if elsewhere:
            ticket = self._flow.ticket(source.account) if own_step else ""
            return web.Response(status=302, headers={"Location": f"{elsewhere}?at={ticket}"})
        if not own_step:
            return html(pages.begin_page(source))
        return self._begin(request, source, directly=True)

    async def _confirmed(self, request: web.Request) -> web.StreamResponse:
        """The page's button. Its answer is a page: a redirect would be held against the form's own policy."""
        require_own_origin(request)
        return self._begin(request, self._source(request), directly=False)

    def _source(self, request: web.Request) -> SignInSource:
        source = self._view.sign_in_source(known_account(self._view, request.match_info["account"]))
        if source is None:
            raise NoSuchPage("This account cannot be signed in to.")
        return source

    def _begin(self, request: web.Request, source: SignInSource, *, directly: bool) -> web.Response:
        begun = self._flow.begin(source)
        if not sign_in.comes_back_here(source.redirect_uri):
            answer = html(pages.paste_page(source, begun.url, begun.state))
        elif directly:
            answer = web.Response(status=302, headers={"Location": begun.url})
        else:
            answer = html(pages.leaving_page(source, begun.url))
        answer.set_cookie(
            begun.cookie_name,
            begun.cookie_value,
            path="/login",
            max_age=STATE_SECONDS,
            httponly=True,
            secure=request.secure,
            samesite="Lax",
        )
        return answer

    async def _callback(self, request: web.Request) -> web.Response:
        return await self._finish(request, dict(request.query))

    async def _pasted(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        state = form.get("state", "")
        given = sign_in.landing_parameters(form.get("landing", ""))
        return await self._finish(request, {"state": state, **given})

    async def _replace(self, request: web.Request) -> web.Response:
        require_own_origin(request)
        form = await form_of(request)
        state = form.get("state", "")
        return _ended(await self._flow.replace(state, form.get("insisted", ""), request.cookies), state)

    async def _finish(self, request: web.Request, parameters: dict[str, str]) -> web.Response:
        return _ended(await self._flow.finish(parameters, request.cookies), parameters.get("state", ""))


def _ended(result: SignInResult | ReplacementQuestion, state: str) -> web.Response:
    """A page. The browser's cookie stays while a question is open."""
    if isinstance(result, ReplacementQuestion):
        return html(pages.replacement_page(result), 409)
    answer = html(pages.result_page(result), result.status)
    answer.del_cookie(cookie_name(state), path="/login")
    return answer


def require_own_origin(request: web.Request) -> None:
    """A form of ours, in a browser: every browser names the origin of a form that it posts."""
    if not guard.is_own_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
        raise CrossOrigin("Use the button on the proxy's own page, which sends its Origin.")


def known_account(view: AdminView, account: str) -> str:
    """An account of the configuration, or a refusal that names the choices."""
    if view.account(account) is None:
        names = view.accounts()
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise NoSuchPage(f"There is no such account; there are: {', '.join(names[:MAX_NAMES]) or 'none'}{more}.")
    return account
