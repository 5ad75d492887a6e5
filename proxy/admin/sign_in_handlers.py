"""Signing in as pages: which request begins it, what brings the browser back, and the cookie between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.admin import pages, sign_in
from proxy.admin.pending_sign_ins import STATE_SECONDS, PendingSignIns, cookie_name
from proxy.admin.responses import NoSuchPage, form_of, html

if TYPE_CHECKING:
    from proxy.admin.view import AdminView
    from proxy.events import Observer


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
        ]

    async def _login(self, request: web.Request) -> web.StreamResponse:
        source = self._view.sign_in_source(known_account(self._view, request.match_info["account"]))
        if source is None:
            raise NoSuchPage("This account cannot be signed in to.")
        elsewhere = sign_in.right_host(source, request.host, "at" in request.query)
        if elsewhere:
            return web.Response(status=302, headers={"Location": elsewhere})
        begun = self._flow.begin(source)
        if sign_in.comes_back_here(source.redirect_uri):
            answer = web.Response(status=302, headers={"Location": begun.url})
        else:
            answer = html(pages.paste_page(source, begun.url, begun.state))
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

    async def _finish(self, request: web.Request, parameters: dict[str, str]) -> web.Response:
        result = await self._flow.finish(parameters, request.cookies)
        answer = html(pages.result_page(result), result.status)
        answer.del_cookie(cookie_name(parameters.get("state", "")), path="/login")
        return answer


def known_account(view: AdminView, account: str) -> str:
    """An account of the configuration, or a refusal that names the choices."""
    names = [each.name for each in view.accounts()]
    if account not in names:
        raise NoSuchPage(f"There is no such account; there are: {', '.join(names) or 'none'}.")
    return account
