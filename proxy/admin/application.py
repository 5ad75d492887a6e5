"""The admin listener as an aiohttp application: routes, guards and answers. What it shows is asked of the view.

Decisions are elsewhere: who may in `guard`, what is said in `status` and `pages`, the sign-in in `sign_in`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from aiohttp.http import HttpProcessingError

from proxy import errors
from proxy.admin import guard, pages, sign_in, status
from proxy.admin.history import STEP_SECONDS, RequestHistory
from proxy.events import DefectMet, Observer
from proxy.problem import document

if TYPE_CHECKING:
    from proxy.admin.view import AdminView

STATIC: Final = Path(__file__).parent / "static"
STATIC_FILES: Final = frozenset(file.name for file in STATIC.iterdir() if file.suffix in {".css", ".js", ".svg"})
MAX_PROFILES: Final = 200
MAX_BODY_BYTES: Final = 65_536
FORM_SECONDS: Final = 10.0
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scraped(Protocol):
    """What `/metrics` answers: the body and its content type."""

    def scrape(self, accept: str) -> tuple[bytes, str]: ...


class KeyRequired(errors.ClientUnknown):
    """The admin listener's own: a key is configured, and none that fits was shown."""

    slug, title = "admin-key-required", "The admin key is needed"


class NoSuchPage(errors.UnknownRoute):
    slug, title = "no-such-page", "There is no such page"


class ActionFailed(errors.UpstreamUnreachable):
    """What the console's button asked for did not work."""

    slug, title = "action-failed", "That did not work"


class AdminHandlers:
    """The handlers, and what they share."""

    def __init__(self, view: AdminView, metrics: Scraped, history: RequestHistory, observer: Observer) -> None:
        self._view, self._metrics, self._history, self._observer = view, metrics, history, observer
        self._keys = guard.KeyChecker()
        self._sign_ins = sign_in.SignInFlow(view, observer, sign_in.PendingSignIns())

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
            web.get("/console/profiles", self._profiles),
            web.get("/console/static/{name}", self._static),
            web.post("/console/session", self._open_session),
            web.post("/console/session/end", self._end_session),
            web.post("/console/accounts/{account}/refresh", self._refresh),
            web.get(sign_in.CALLBACK_PATH, self._callback),
            web.get("/login/{account}", self._login),
            web.post("/login/{account}", self._pasted),
        ]

    # --- guards ---------------------------------------------------------------------------------------------

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
            answer = problem(request, errors.MethodNotAllowed(f"This page answers {allowed}."))
            answer.headers["Allow"] = allowed
            return answer
        except web.HTTPRequestEntityTooLarge:
            return problem(request, errors.ContentTooLarge(f"At most {MAX_BODY_BYTES} bytes are read here."))
        except web.HTTPException:
            raise
        except Exception:  # noqa: BLE001 - a defect is answered 500 and told
            where = f"admin {request.method[:20]} {request.path[:200]}"
            self._observer.observe(DefectMet(where, traceback.format_exc()))
            return problem(request, errors.InternalError("The proxy's log has the details."))

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Host, then origin, then key."""
        rules = self._view.access()
        if not guard.host_allowed(request.headers.get("Host", ""), rules):
            raise errors.MisdirectedHost("Use an IP address or localhost, or add the name to allowed_hosts.")
        if guard.crossed_sites(request.method, request.headers):
            raise errors.CrossOrigin("Open the console itself: other sites' pages may not use it.")
        if guard.needs_key(request.path, rules) and not self._has_key(request):
            if "text/html" in request.headers.get("Accept", "") and request.method in guard.SAFE_METHODS:
                return html(pages.key_page(request.path), 401)
            raise KeyRequired("Show the admin key as `Authorization: Bearer KEY` or `X-Ads-Proxy-Key: KEY`.")
        acts = request.match_info.http_exception is None and guard.needs_proof(request.method, request.path)
        if acts and guard.PROOF_HEADER not in request.headers:
            raise errors.CrossOrigin(f"Send the header `{guard.PROOF_HEADER}: 1` with requests that change something.")
        return await handler(request)

    def _has_key(self, request: web.Request) -> bool:
        key = self._view.access().key
        shown = guard.shown_key(request.headers)
        if key is None:
            return True
        if shown is None:
            return self._keys.in_session(request.cookies.get(guard.COOKIE, ""), key)
        self._stop_guessing(request)
        return self._keys.fits(shown, key, request.remote or "")

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
            return web.Response(text="no account has been able to serve yet\n", status=503)
        return web.Response(text="ready\n")

    async def _startup(self, _request: web.Request) -> web.Response:
        if self._view.started():
            return web.Response(text="started\n")
        return web.Response(text="starting\n", status=503)

    async def _scrape(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _status(self, _request: web.Request) -> web.Response:
        return as_json(status.full_status(self._view, time.time()))

    # --- people ---------------------------------------------------------------------------------------------

    async def _console(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "console.html", headers={"Cache-Control": "no-cache"})

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in STATIC_FILES:
            raise NoSuchPage("This is none of the console's files.")
        return web.FileResponse(STATIC / name, headers={"Cache-Control": "no-cache"})

    async def _state(self, _request: web.Request) -> web.Response:
        return as_json(status.console_status(self._view, self._history, time.time()))

    async def _profiles(self, request: web.Request) -> web.Response:
        search, account = request.query.get("search", ""), request.query.get("account", "")
        return as_json(status.find_profiles(self._view.profiles(), search, account, MAX_PROFILES))

    async def _refresh(self, request: web.Request) -> web.Response:
        account = self._known(request.match_info["account"])
        try:
            await self._view.refresh_now(account)
        except errors.TokenFailure as failure:
            advice = failure.advice.replace("ACCOUNT", account)
            raise ActionFailed(f"{failure.detail} {advice}") from failure
        return as_json({"account": account, "refreshed": True})

    async def _open_session(self, request: web.Request) -> web.StreamResponse:
        form = await form_of(request)
        target = guard.safe_next(form.get("next", "/"))
        key = self._view.access().key
        answer = web.Response(status=303, headers={"Location": target})
        if key is None:
            return answer
        self._stop_guessing(request)
        if not self._keys.fits(form.get("key", ""), key, request.remote or ""):
            return html(pages.key_page(target, "That is not the admin key."), 401)
        token = self._keys.open_session(key)
        self._set_cookie(request, answer, guard.COOKIE, token, samesite="Strict", max_age=guard.SESSION_SECONDS)
        return answer

    async def _end_session(self, request: web.Request) -> web.Response:
        self._keys.end_session(request.cookies.get(guard.COOKIE, ""))
        answer = web.Response(status=303, headers={"Location": "/"})
        answer.del_cookie(guard.COOKIE, path="/")
        return answer

    # --- signing in -----------------------------------------------------------------------------------------

    async def _login(self, request: web.Request) -> web.StreamResponse:
        source = self._view.sign_in_source(self._known(request.match_info["account"]))
        if source is None:
            raise NoSuchPage("This account cannot be signed in to.")
        elsewhere = sign_in.right_host(source, request.host, "at" in request.query)
        if elsewhere:
            return web.Response(status=302, headers={"Location": elsewhere})
        begun = self._sign_ins.begin(source)
        if sign_in.comes_back_here(source.redirect_uri):
            answer = web.Response(status=302, headers={"Location": begun.url})
        else:
            answer = html(pages.paste_page(source, begun.url, begun.state))
        self._set_cookie(
            request, answer, begun.cookie_name, begun.cookie_value, samesite="Lax", max_age=sign_in.STATE_SECONDS
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
        result = await self._sign_ins.finish(parameters, request.cookies)
        answer = html(pages.result_page(result), result.status)
        answer.del_cookie(sign_in.cookie_name(parameters.get("state", "")), path="/login")
        return answer

    def _known(self, account: str) -> str:
        names = [each.name for each in self._view.accounts()]
        if account not in names:
            raise NoSuchPage(f"There is no such account; there are: {', '.join(names) or 'none'}.")
        return account

    @staticmethod
    def _set_cookie(request: web.Request, answer: web.Response, name: str, value: str, **rest: Any) -> None:
        path = "/" if name == guard.COOKIE else "/login"
        answer.set_cookie(name, value, path=path, httponly=True, secure=request.secure, **rest)


def make_admin(view: AdminView, metrics: Scraped, history: RequestHistory, observer: Observer) -> web.Application:
    """The application; run it with `AppRunner(app, access_log=None)`."""
    handlers = AdminHandlers(view, metrics, history, observer)

    @web.middleware
    async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handlers.answer_problems(request, handler)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handlers.check(request, handler)

    async def keep_sampling(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_sample(history))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def add_headers(_request: web.Request, answer: web.StreamResponse) -> None:
        for name, value in SECURITY_HEADERS.items():
            answer.headers[name] = value
        answer.headers.setdefault("Cache-Control", "no-store")
        answer.headers["Server"] = "ads-proxy"

    app = web.Application(middlewares=[answer_problems, check], client_max_size=MAX_BODY_BYTES)
    app.add_routes(handlers.routes())
    app.cleanup_ctx.append(keep_sampling)
    app.on_response_prepare.append(add_headers)
    return app


async def _sample(history: RequestHistory) -> None:
    while True:
        await asyncio.sleep(STEP_SECONDS)
        history.sample()


def problem(request: web.Request, refused: errors.Refused) -> web.Response:
    """A refusal as a problem document, or as a page where a browser navigated."""
    request_id = secrets.token_hex(8)
    headers = {"Proxy-Status": f"ads-proxy; error={refused.proxy_error}", "X-Request-Id": request_id}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(round(refused.retry_after))
    if "text/html" in request.headers.get("Accept", "") and request.headers.get("Sec-Fetch-Mode") == "navigate":
        body = pages.page(refused.title, pages.sentence(refused.detail), "bad")
        return web.Response(text=body, content_type="text/html", status=refused.status, headers=headers)
    text = json.dumps(document(refused, request_id))
    return web.Response(text=text, content_type="application/problem+json", status=refused.status, headers=headers)


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a posted form. Raises `MalformedRequest` for what is none, whatever is wrong with it."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise errors.MalformedRequest("Send the form as application/x-www-form-urlencoded.")
    try:
        async with asyncio.timeout(FORM_SECONDS):
            return {name: str(value) for name, value in (await request.post()).items()}
    except TimeoutError:
        raise errors.RequestTimeout(f"The form was not complete within {FORM_SECONDS:g} s.") from None
    except (web.RequestPayloadError, HttpProcessingError, ValueError, LookupError):
        raise errors.MalformedRequest("The form cannot be read.") from None


def html(text: str, status_code: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status_code)


def as_json(value: object) -> web.Response:
    return web.Response(text=json.dumps(value) + "\n", content_type="application/json")
