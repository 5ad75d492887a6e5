"""The admin listener as an aiohttp application: routes, guards and answers. What it shows is asked of the view.

Decisions are elsewhere: who may in `guard`, texts in `status` and `pages`, the sign-in in `sign_in`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from proxy import errors
from proxy.admin import guard, history, overview, pages, status
from proxy.admin.approval_console import ApprovalConsole, count_waiting
from proxy.admin.approvals import ApprovalHandlers, ApproverKeys
from proxy.admin.cached_result import CachedResult
from proxy.admin.history import STEP_SECONDS, RequestHistory
from proxy.admin.responses import (
    ActionFailed,
    KeyRequired,
    NoSuchPage,
    add_headers,
    as_json,
    form_of,
    html,
    keep_session,
    problem,
)
from proxy.admin.scrape import ScrapeAnswers
from proxy.admin.sign_in import SignInHandlers, known_account
from proxy.events import AdminRefused, AdminSignedIn, DefectMet, Observer
from proxy.reports.store import ReportFolderError

if TYPE_CHECKING:
    from proxy.admin.invitations import InvitationHandlers
    from proxy.admin.view import AdminView, ProgramView

STATIC: Final = Path(__file__).parent / "static"
STATIC_FILES: Final = frozenset(file.name for file in STATIC.iterdir() if file.suffix in {".css", ".js", ".svg"})
MAX_PROFILES: Final = 200
MAX_BODY_BYTES: Final = 65_536
MAX_NAMES: Final = 20
"""Clients that a refusal names."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class MetricsResponse(Protocol):
    """What `/metrics` answers: the body in small pieces, and its content type."""

    def scrape(self, accept: str) -> tuple[Iterator[bytes], str]: ...


_NO_ACCOUNT = "no account has been able to serve yet"


class AdminHandlers:
    """The handlers, and what they share."""

    def __init__(
        self,
        view: AdminView,
        metrics: MetricsResponse,
        history: RequestHistory,
        observer: Observer,
        invitations: InvitationHandlers | None,
    ) -> None:
        self._view, self._metrics, self._history, self._observer = view, metrics, history, observer
        self._invitations = invitations
        self._keys = guard.KeyChecker()
        self._scrapes = ScrapeAnswers()
        self._survey = CachedResult(lambda: status.survey_accounts(view))
        self._waiting = CachedResult(lambda: count_waiting(view))
        self._sign_ins = SignInHandlers(view, observer)
        approver_keys = ApproverKeys(view, self._keys, observer)
        self._approvals = ApprovalHandlers(view, approver_keys, history.clean)
        self._approval_console = ApprovalConsole(view, approver_keys, history.clean)

    def routes(self) -> list[web.RouteDef]:
        health = {
            self._live: ("/livez", "/healthz", "/liveness"),
            self._ready: ("/readyz", "/readiness"),
            self._startup: ("/startup",),
        }
        return [
            *(web.get(path, handler) for handler, paths in health.items() for path in paths),
            web.get("/metrics", self._scrape),
            web.get("/status", self._status),
            web.get("/", self._console),
            web.get("/console/state", self._state),
            web.get("/console/requests", self._requests),
            web.get("/console/invitations", self._open_invitations),
            web.get("/console/profiles", self._profiles),
            web.get("/console/ads-accounts", self._ads_accounts),
            web.get("/console/static/{name}", self._static),
            web.post("/console/session", self._open_session),
            web.post("/console/session/end", self._end_session),
            web.post("/console/accounts/{account}/refresh", self._refresh),
            web.post("/console/accounts/{account}/invite", self._invite),
            web.post("/console/reports/{report}/run", self._run_report),
            web.post("/console/freeze", self._freeze),
            web.post("/console/unfreeze", self._unfreeze),
            *self._approvals.routes(),
            *self._approval_console.routes(),
            *self._sign_ins.routes(),
            *(self._invitations.routes() if self._invitations is not None else ()),
        ]

    # --- guards ---------------------------------------------------------------------------------------------

    @web.middleware
    async def answer_problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every failure as a problem document; nothing unexpected tells more than that it happened."""
        try:
            return await handler(request)
        except errors.Refused as refused:
            return problem(request, refused)
        except web.HTTPNotFound:
            return problem(request, NoSuchPage("Look at / for the console, /status, /metrics and /livez."))
        except web.HTTPMethodNotAllowed as wrong:
            allowed = ", ".join(sorted(wrong.allowed_methods))
            answer = problem(request, errors.MethodNotAllowed(f"This page accepts only {allowed}."))
            answer.headers["Allow"] = allowed
            return answer
        except web.HTTPRequestEntityTooLarge:
            return problem(
                request, errors.ContentTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes; send less.")
            )
        except web.HTTPException:
            raise
        except Exception:  # noqa: BLE001 - a defect is answered 500 and told
            where = f"admin {request.method[:20]} {request.path[:200]}"
            self._observer.observe(DefectMet(where, traceback.format_exc()))
            return problem(request, errors.InternalError("The proxy's log has the details."))

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host, then origin, then key; what invited people reach has checks of its own, and no key.

        Health checks of load balancers carry no Host, or one of their own.
        """
        if self._invitations is not None and self._invitations.own(request.path):
            return await self._invitations.guarded(request, handler)
        rules = self._view.access()
        if request.path not in guard.HEALTH and not guard.host_allowed(request.headers.get("Host", ""), rules):
            raise errors.MisdirectedHost("Use an IP address or localhost, or add the name to allowed_hosts.")
        if guard.crossed_sites(request.method, request.headers):
            raise errors.CrossOrigin("Open the console itself: other sites' pages may not use it.")
        is_opened = self._approvals.is_opened(request) or self._approval_console.is_opened(request)
        if guard.needs_key(request.path, rules) and not is_opened and not self._has_key(request):
            if "text/html" in request.headers.get("Accept", ""):
                if self._approval_console.has(request.path):
                    return self._approval_console.ask_key(request)
                if request.method in guard.SAFE_METHODS:
                    return html(pages.key_page(after_key(request)), 401)
            raise KeyRequired("Show the admin key as `Authorization: Bearer KEY` or `X-Ads-Proxy-Key: KEY`.")
        acts = request.match_info.http_exception is None and guard.needs_proof(request.method, request.path)
        if acts and guard.PROOF_HEADER not in request.headers:
            raise errors.CrossOrigin(f"Send the header `{guard.PROOF_HEADER}: 1` with requests that change something.")
        answer = await handler(request)
        if "Host" not in request.headers:
            answer.force_close()  # of a connection, `LimitedConnection` reads only the first request without Host
        return answer

    def _has_key(self, request: web.Request) -> bool:
        key = self._view.access().key
        shown = guard.shown_key(request.headers)
        if key is None:
            return True
        if shown is None:
            sessions = (request.cookies.get(guard.COOKIE, ""), self._sign_ins.session_moved(request))
            return any(self._keys.in_session(session, key) for session in sessions)
        self._stop_guessing(request)
        return self._keys.fits(shown, key, request.remote or "") or self._tell_refused(request)

    def _tell_refused(self, request: web.Request) -> bool:
        """Report a wrong key; returns False."""
        self._observer.observe(AdminRefused(request.remote or "", request.path[:200]))
        return False

    def _stop_guessing(self, request: web.Request) -> None:
        if self._keys.guessing(request.remote or ""):
            raise errors.BudgetSpent("Too many wrong keys: wait a minute.", retry_after=guard.FAILURE_SECONDS)

    # --- machines -------------------------------------------------------------------------------------------

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self._view.draining():
            return web.Response(text="draining\n", status=503)
        if not self._view.ready():
            missing = "the first lists of profiles are not read yet" if self._view.has_served() else _NO_ACCOUNT
            return web.Response(text=f"{missing}\n", status=503)
        return web.Response(text="ready\n")

    async def _startup(self, _request: web.Request) -> web.Response:
        if self._view.started():
            return web.Response(text="started\n")
        return web.Response(text="starting\n", status=503)

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        pieces, content_type = self._metrics.scrape(request.headers.get("Accept", ""))
        return await self._scrapes.send(request, pieces, {"Content-Type": content_type})

    async def _status(self, request: web.Request) -> web.Response:
        asked = status.StatusQuery(request.query.get("account", ""), request.query.get("after", ""))
        if asked.account:
            known_account(self._view, asked.account)
        survey = await self._survey.get()
        shown = await status.full_status(self._view, self._history, survey, asked, time.time())
        return as_json({**shown, "approvals": await self._waiting.get()})

    # --- people ---------------------------------------------------------------------------------------------

    async def _console(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "console.html", headers={"Cache-Control": "no-cache"})

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC_FILES:
            raise NoSuchPage("This is none of the console's files.")
        return web.FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})

    async def _state(self, request: web.Request) -> web.Response:
        survey, asked = await self._survey.get(), status.ConsolePage.read(request.query)
        shown = await status.console_status(self._view, self._history, survey, asked, time.time())
        return as_json({**shown, "approvals": await self._waiting.get()})

    async def _requests(self, request: web.Request) -> web.Response:
        return as_json(history.find_requests(self._history, history.read_filter(request.query)))

    async def _open_invitations(self, _request: web.Request) -> web.Response:
        try:
            return as_json(overview.invitations(await self._view.open_invitations()))
        except errors.StateError as failure:
            raise ActionFailed(str(failure)) from failure

    async def _profiles(self, request: web.Request) -> web.Response:
        search, account = request.query.get("search", ""), request.query.get("account", "")
        return as_json(await status.find_profiles(self._view, search, account, MAX_PROFILES))

    async def _ads_accounts(self, request: web.Request) -> web.Response:
        search = request.query.get("search", "")
        return as_json(await status.find_ads_accounts(self._view, search, MAX_PROFILES))

    async def _refresh(self, request: web.Request) -> web.Response:
        account = known_account(self._view, request.match_info["account"])
        try:
            await self._view.refresh_now(account)
        except errors.TokenFailure as failure:
            advice = failure.advice.replace("ACCOUNT", account)
            raise ActionFailed(f"{failure.detail} {advice}") from failure
        return as_json({"account": account, "refreshed": True})

    async def _invite(self, request: web.Request) -> web.Response:
        account = known_account(self._view, request.match_info["account"])
        try:
            link, expires_at = await self._view.invite(account)
        except errors.StateError as failure:
            raise ActionFailed(str(failure)) from failure
        return as_json({"account": account, "link": link, "expires_at": status.stamp(expires_at)})

    async def _run_report(self, request: web.Request) -> web.Response:
        name = request.match_info["report"]
        if name not in {each.name for each in await self._view.named_reports()}:
            raise errors.UnknownReport("No report of this name is configured; `reports.named` lists them.")
        try:
            await self._view.run_report(name)
        except ReportFolderError as failure:
            raise ActionFailed(str(failure)) from failure
        return as_json({"report": name, "asked": True})

    async def _freeze(self, request: web.Request) -> web.Response:
        return await self._change_freeze(request, self._view.freeze)

    async def _unfreeze(self, request: web.Request) -> web.Response:
        return await self._change_freeze(request, self._view.unfreeze)

    async def _change_freeze(
        self, request: web.Request, change: Callable[[str | None, str, str], Awaitable[ProgramView]]
    ) -> web.Response:
        """Freeze or unfreeze the client of the form; without one, all clients. `by` is who does it, by a command."""
        form = await form_of(request)
        client = form.get("client") or None
        clients, frozen = self._view.clients(), self._view.program().freezes
        if client is not None and client not in {*clients, *(each.client for each in frozen)}:
            known = ", ".join(clients[:MAX_NAMES]) or "none"
            raise NoSuchPage(f"Unknown client; the clients are: {known}. Leave the name out to mean all of them.")
        by = form.get("by") or f"console ({request.remote})"
        program = await change(client, by, form.get("because", ""))
        return as_json(status.freezes(program))

    async def _open_session(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        target = guard.safe_next(form.get("next", "/"))
        key = self._view.access().key
        answer = after_form(target)
        if key is None:
            return answer
        self._stop_guessing(request)
        if not self._keys.fits(form.get("key", ""), key, request.remote or ""):
            self._tell_refused(request)
            return html(pages.key_page(target, "That is not the admin key."), 401)
        self._observer.observe(AdminSignedIn(request.remote or ""))
        keep_session(answer, request, self._keys.open_session(key))
        return answer

    async def _end_session(self, request: web.Request) -> web.Response:
        self._keys.end_session(request.cookies.get(guard.COOKIE, ""))
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.del_cookie(guard.COOKIE, path="/")
        return answer


def after_key(request: web.Request) -> str:
    """Where the key form leads. A sign-in that was not begun here is asked about, now that the form's step is one."""
    if not request.path.startswith("/login/"):
        return request.path_qs
    return request.path if guard.is_own_step(request.headers) else f"{request.path}?ask"


def after_form(target: str) -> web.Response:
    """What follows the key form: a redirect, or a page where a sign-in follows, which leads to other origins."""
    if target.startswith("/login/"):
        return html(pages.onward_page("On to the sign-in", target, "Go on"))
    return web.Response(status=303, headers={"Location": target})


def make_admin(
    view: AdminView,
    metrics: MetricsResponse,
    history: RequestHistory,
    observer: Observer,
    invitations: InvitationHandlers | None = None,
) -> web.Application:
    """The application; run it with `AppRunner(app, access_log=None)`. `invitations` are those that have no listener of
    their own."""
    handlers = AdminHandlers(view, metrics, history, observer, invitations)

    async def keep_sampling() -> None:
        while True:
            await asyncio.sleep(STEP_SECONDS)
            await history.sample()

    async def sampling(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(keep_sampling())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app = web.Application(middlewares=[handlers.answer_problems, handlers.check], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    app.cleanup_ctx.append(sampling)
    app.on_response_prepare.append(add_headers)
    return app
