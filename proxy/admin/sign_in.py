"""A person signs in: the flow from the address to send them to until the new login is in use.

It is free of HTTP: cookies and parameters are handed in, a `SignInResult` comes out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from aiohttp import web
from cachetools import TTLCache

from proxy.admin import guard, pages
from proxy.admin.pages import ReplacementConfirmation
from proxy.admin.responses import NoSuchPage, form_of, html, keep_session
from proxy.clock import boot_time
from proxy.errors import AdsProxyError, CrossOrigin, RefreshTokenRevoked
from proxy.events import Event, Observer, SignInFinished, SignInOutcome
from proxy.profiles.replacement import Comparison, Replacement, compare, stream_note
from proxy.secret import Secret
from proxy.tokens.lwa import AuthorizationRequest, sign_in_url
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.admin.pages import SignInResult
    from proxy.admin.view import AdminView, SignInSource
    from proxy.tokens.token_response import Grant


CALLBACK_PATH: Final = "/login/callback"
WORKING: Final = frozenset({"valid", "degraded"})
"""States of an account whose login does what it should, or will again by itself."""


class SignInFlow:
    """Finishes sign-ins: exchanges the code, stores the grant, lists the profiles, and tells observers."""

    def __init__(
        self, view: AdminView, observer: Observer, pending: PendingSignIns, clock: Callable[[], float] = boot_time
    ) -> None:
        self._view, self._observer, self._pending, self._clock = view, observer, pending, clock

    def __repr__(self) -> str:
        return f"<SignInFlow {self._pending!r}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        return self._pending.begin(source)

    async def finish(
        self, parameters: Mapping[str, str], cookies: Mapping[str, str]
    ) -> SignInResult | ReplacementConfirmation:
        """What came of it. `parameters` are those that Amazon's redirect carries."""
        state = parameters.get("state", "")
        pending = self._pending.take(state, cookies)
        if pending is None or pending.grant is not None:
            return self._end(pages.unknown_state())
        source = pending.source
        if "error" in parameters:
            description = parameters.get("error_description", "")
            return self._end(pages.denied(source, parameters["error"], description))
        code = parameters.get("code", "")
        if not code:
            return self._end(pages.no_code(source))
        pending = replace(pending, asked_at=self._clock())
        try:
            grant = await self._view.exchange(source, Secret(code), pending.code_verifier)
            comparison = await self._compare(source, grant)
        except RefreshTokenRevoked as failure:
            return self._end(pages.code_rejected(source, failure))
        except AdsProxyError as failure:
            return self._end(pages.failed(source, failure))
        if comparison.decision is not Replacement.AT_ONCE:
            self._pending.hold(state, pending, grant, comparison)
            return self._ask(source.account, state, comparison)
        return await self._adopt(pending, grant, comparison)

    async def replace(
        self, state: str, insisted: str, cookies: Mapping[str, str]
    ) -> SignInResult | ReplacementConfirmation:
        """A person said that the new login takes the present one's place. `insisted` is the account's name, typed."""
        pending = self._pending.find(state, cookies)
        if pending is None or pending.grant is None or pending.comparison is None:
            return self._end(pages.unknown_state())
        account, comparison = pending.source.account, pending.comparison
        if comparison.decision is Replacement.INSIST and insisted.strip() != account:
            return ReplacementConfirmation(account, state, comparison, mistyped=bool(insisted.strip()))
        self._pending.take(state, cookies)
        if self._view.sign_in_source(account) != pending.source:  # a reload meanwhile: this is another application's
            return self._end(pages.unknown_state())
        return await self._adopt(pending, pending.grant, comparison)

    async def _compare(self, source: SignInSource, grant: Grant) -> Comparison:
        """What the account would lose, and whether it becomes another person's. Nothing is lost where its present login
        does not work, or nothing is known of it."""
        account = source.account
        present, known = self._view.credential(account), self._view.profiles(account)
        if present is None or not known:
            return Comparison(Replacement.AT_ONCE)
        comparison = compare(known, await self._view.profiles_of(source, grant))
        works = present.state in WORKING
        return comparison if works else replace(comparison, decision=Replacement.AT_ONCE)

    def _ask(self, account: str, state: str, comparison: Comparison) -> ReplacementConfirmation:
        insists = comparison.decision is Replacement.INSIST
        outcome = SignInOutcome.REFUSED if insists else SignInOutcome.CONFIRMATION_NEEDED
        detail = f"The new login lacks {len(comparison.lost)} of {comparison.known} profiles; nothing has changed yet."
        self._observer.observe(SignInFinished(account, outcome, detail))
        return ReplacementConfirmation(account, state, comparison)

    async def _adopt(self, pending: PendingSignIn, grant: Grant, comparison: Comparison) -> SignInResult:
        """The access token lives since it was asked for, however long the person took to confirm."""
        source, age = pending.source, self._clock() - pending.asked_at
        try:
            await self._view.adopt(source.account, replace(grant, took=age))
        except AdsProxyError as failure:
            return self._end(pages.failed(source, failure))
        result = await self._connected(source.account)
        return self._end(replace(result, advice=f"{result.advice} {stream_note(comparison)}".strip()))

    async def _connected(self, account: str) -> SignInResult:
        try:
            profiles = await self._view.list_profiles(account)
        except AdsProxyError as failure:
            return pages.connected(account, (), f"Its profiles could not be listed yet: {failure}")
        return pages.connected(account, profiles, "" if profiles else pages.NO_PROFILES)

    def _end(self, result: SignInResult) -> SignInResult:
        event: Event = SignInFinished(result.account, result.outcome, f"{result.detail} {result.advice}".strip())
        self._observer.observe(event)
        return result


def landing_parameters(landing: str) -> dict[str, str]:
    """The parameters of a pasted landing address, or a bare code. The first of a name counts."""
    text = landing.strip()
    if "?" not in text and "=" not in text:
        return {"code": text} if text else {}
    query = (text.partition("?")[2] or text).partition("#")[0]
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def comes_back_here(redirect_uri: str) -> bool:
    """Whether the configured redirect address looks like this listener's callback."""
    return urlsplit(redirect_uri).path == CALLBACK_PATH


def right_host(source: SignInSource, host: str, moved: bool) -> str | None:
    """Where the sign-in must begin so that its cookie meets the callback: the redirect address's own host.

    A person at 127.0.0.1 whose redirect address is at localhost is moved there, once: `moved` tells that this was done.
    """
    wanted = urlsplit(source.redirect_uri)
    if moved or not comes_back_here(source.redirect_uri) or wanted.hostname == urlsplit(f"//{host}").hostname:
        return None
    return f"{wanted.scheme}://{wanted.netloc}/login/{quote(source.account)}"


# --- Signing in as pages ---------------------------------------------------------------------------------

MAX_NAMES: Final = 20
"""Accounts that a refusal lists."""


class SignInHandlers:
    """The handlers under `/login/`."""

    def __init__(self, view: AdminView, observer: Observer) -> None:
        self._view = view
        self._pending = PendingSignIns()
        self._flow = SignInFlow(view, observer, self._pending)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(CALLBACK_PATH, self._callback),
            web.get("/login/{account}", self._login),
            web.post("/login/{account}", self._pasted),
            web.post("/login/{account}/begin", self._confirmed),
            web.post("/login/{account}/replace", self._replace),
        ]

    def session_moved(self, request: web.Request) -> str:
        """The console's session of a person who was moved here to sign in; empty for every other request."""
        account = request.match_info.get("account", "")
        if request.method not in guard.SAFE_METHODS or request.path != f"/login/{account}":
            return ""
        move = self._pending.find_move(request.query.get("at", ""), account)
        return move.session if move is not None else ""

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Redirect to the sign-in at once on a person's own step; if another site may have led here, a page asks
        first."""
        source = self._source(request)
        ticket = request.query.get("at")
        move = self._pending.take_move(ticket, source.account) if ticket is not None else None
        if ticket is None:
            own_step = "ask" not in request.query and guard.is_own_step(request.headers)
        else:
            own_step = move is not None and move.own_step
        elsewhere = right_host(source, request.host, ticket is not None)
        if elsewhere:
            move = Move(source.account, own_step, request.cookies.get(guard.COOKIE, ""))
            return web.Response(status=302, headers={"Location": f"{elsewhere}?at={self._pending.ticket(move)}"})
        answer = self._begin(request, source, directly=True) if own_step else html(pages.begin_page(source))
        if move is not None and move.session:
            keep_session(answer, request, move.session)
        return answer

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
        if not comes_back_here(source.redirect_uri):
            answer = html(pages.paste_page(source, begun.url, begun.state))
        elif directly:
            answer = web.Response(status=302, headers={"Location": begun.url})
        else:
            answer = html(pages.onward_page(f"Connect {source.account}", begun.url, "Go on to Amazon"))
        keep_begun(answer, begun, "/login", secure=request.secure)
        return answer

    async def _callback(self, request: web.Request) -> web.Response:
        return await self._finish(request, dict(request.query))

    async def _pasted(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        state = form.get("state", "")
        given = landing_parameters(form.get("landing", ""))
        return await self._finish(request, {"state": state, **given})

    async def _replace(self, request: web.Request) -> web.Response:
        require_own_origin(request)
        form = await form_of(request)
        state = form.get("state", "")
        return _ended(await self._flow.replace(state, form.get("insisted", ""), request.cookies), state)

    async def _finish(self, request: web.Request, parameters: dict[str, str]) -> web.Response:
        return _ended(await self._flow.finish(parameters, request.cookies), parameters.get("state", ""))


def _ended(result: SignInResult | ReplacementConfirmation, state: str) -> web.Response:
    """A page. The browser's cookie stays while a question is open."""
    if isinstance(result, ReplacementConfirmation):
        return html(pages.replacement_page(result), 409)
    answer = html(pages.result_page(result), result.status)
    answer.del_cookie(cookie_name(state), path="/login")
    return answer


def keep_begun(answer: web.Response, begun: BegunSignIn, path: str, *, secure: bool) -> None:
    """Let the browser keep what shows later that it began this sign-in."""
    answer.set_cookie(
        begun.cookie_name,
        begun.cookie_value,
        path=path,
        max_age=STATE_SECONDS,
        httponly=True,
        secure=secure,
        samesite="Lax",
    )


def require_own_origin(request: web.Request) -> None:
    """A form of ours, in a browser: every browser names the origin of a form that it posts."""
    if not guard.is_own_origin(request.headers.get("Origin", ""), request.headers.get("Host", "")):
        raise CrossOrigin("Use the button on the proxy's own page, which sends its Origin.")


def known_account(view: AdminView, account: str) -> str:
    """An account of the configuration, or a refusal that names the choices."""
    if view.account(account) is None:
        names = view.accounts()
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        raise NoSuchPage(f"Unknown account; the accounts are: {', '.join(names[:MAX_NAMES]) or 'none'}{more}.")
    return account


# --- Sign-ins under way ----------------------------------------------------------------------------------

STATE_SECONDS: Final = 600
MAX_PENDING: Final = 256
TICKET_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that began. The browser keeps `cookie_value` under `cookie_name` until it comes back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    cookie_name: str
    cookie_value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that waits for the browser, or for a person's confirmation.

    `grant` is what Amazon granted, if it would replace a working login; `comparison` says what it would change.
    `asked_at` is when the grant was asked for, on the clock of `clock.boot_time`.
    """

    source: SignInSource
    browser: bytes = field(repr=False)
    code_verifier: Secret
    grant: Grant | None = field(default=None, repr=False)
    comparison: Comparison | None = field(default=None, repr=False)
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """A person who is moved to the redirect address's host. `own_step` tells whether the step before was their own,
    `session` is the console's, empty without one: the cookies of both hosts are apart."""

    account: str
    own_step: bool
    session: str = field(repr=False)


def cookie_name(state: str) -> str:
    """One cookie for each state, so that sign-ins in two tabs do not disturb each other."""
    return f"ads_proxy_sign_in_{hashlib.sha256(state.encode('utf-8', 'replace')).hexdigest()[:16]}"


class PendingSignIns:
    """The sign-ins under way, at most 256 of them."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, token: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._pending: TTLCache[str, PendingSignIn] = TTLCache(MAX_PENDING, STATE_SECONDS, clock)
        self._moves: TTLCache[str, Move] = TTLCache(MAX_PENDING, TICKET_SECONDS, clock)
        self._token = token

    def __repr__(self) -> str:
        return f"<PendingSignIns {len(self._pending)}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        state, browser = self._token(), self._token()
        verifier = Secret(self._token())
        self._pending[state] = PendingSignIn(source, _digest(browser), verifier)
        request = AuthorizationRequest(source.client_id, source.scopes, source.redirect_uri, state, verifier)
        url = sign_in_url(source.auth_grant_url, request)
        return BegunSignIn(url, state, cookie_name(state), browser)

    def ticket(self, move: Move) -> str:
        """Carries a move in an address, for a minute and once."""
        ticket = self._token()
        self._moves[ticket] = move
        return ticket

    def find_move(self, ticket: str, account: str) -> Move | None:
        """The move of a ticket, only to sign in to its account."""
        move = self._moves.get(ticket)
        return move if move is not None and move.account == account else None

    def take_move(self, ticket: str, account: str) -> Move | None:
        """The move that a ticket stands for, once: the ticket is spent, also if it is for another account."""
        move = self.find_move(ticket, account)
        self._moves.pop(ticket, None)
        return move

    def find(self, state: str, cookies: Mapping[str, str]) -> PendingSignIn | None:
        """The sign-in of a state, only for the browser that began it."""
        pending = self._pending.get(state)
        browser = cookies.get(cookie_name(state), "")
        if pending is None or not hmac.compare_digest(pending.browser, _digest(browser)):
            return None
        return pending

    def take(self, state: str, cookies: Mapping[str, str]) -> PendingSignIn | None:
        """Remove and return the sign-in that `find` returns."""
        pending = self.find(state, cookies)
        if pending is not None:
            del self._pending[state]
        return pending

    def forget(self, state: str) -> None:
        """The state is no longer accepted."""
        self._pending.pop(state, None)

    def hold(self, state: str, pending: PendingSignIn, grant: Grant, comparison: Comparison) -> None:
        """Keep the grant until the person decides; it expires like any other sign-in."""
        self._pending[state] = replace(pending, grant=grant, comparison=comparison)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
