"""A person signs in: the flow from the address to send them to until what was granted is in use.

It is free of HTTP: cookies and parameters are handed in, a `SignInResult` comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlsplit

from proxy.admin import sign_in_result
from proxy.admin.replacement import ReplacementQuestion
from proxy.errors import AdsProxyError, RefreshTokenRevoked
from proxy.events import Event, Observer, SignInFinished, SignInOutcome
from proxy.profiles.replacement import Comparison, Replacement, compare
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.admin.pending_sign_ins import BegunSignIn, PendingSignIns
    from proxy.admin.sign_in_result import SignInResult
    from proxy.admin.view import AdminView, SignInSource
    from proxy.tokens.token_response import Grant

CALLBACK_PATH: Final = "/login/callback"
WORKING: Final = frozenset({"valid", "degraded"})
"""States of an account whose login does what it should, or will again by itself."""


class SignInFlow:
    """Finishes sign-ins: exchanges the code, hands over what was granted, lists the profiles, and tells observers."""

    def __init__(self, view: AdminView, observer: Observer, pending: PendingSignIns) -> None:
        self._view, self._observer, self._pending = view, observer, pending

    def __repr__(self) -> str:
        return f"<SignInFlow {self._pending!r}>"

    def begin(self, source: SignInSource) -> BegunSignIn:
        return self._pending.begin(source)

    def ticket(self, account: str) -> str:
        """Carries a person's own step to the redirect address's host."""
        return self._pending.ticket(account)

    def redeem(self, ticket: str, account: str) -> bool:
        return self._pending.redeem(ticket, account)

    async def finish(
        self, parameters: Mapping[str, str], cookies: Mapping[str, str]
    ) -> SignInResult | ReplacementQuestion:
        """What came of it. `parameters` are those that Amazon's redirect carries."""
        state = parameters.get("state", "")
        pending = self._pending.take(state, cookies)
        if pending is None or pending.grant is not None:
            return self._end(sign_in_result.unknown_state())
        source = pending.source
        if "error" in parameters:
            description = parameters.get("error_description", "")
            return self._end(sign_in_result.denied(source, parameters["error"], description))
        code = parameters.get("code", "")
        if not code:
            return self._end(sign_in_result.no_code(source))
        try:
            grant = await self._view.exchange(source, Secret(code), pending.code_verifier)
            comparison = await self._compare(source, grant)
        except RefreshTokenRevoked as failure:
            return self._end(sign_in_result.code_rejected(source, failure))
        except AdsProxyError as failure:
            return self._end(sign_in_result.failed(source, failure))
        if comparison.decision is not Replacement.AT_ONCE:
            self._pending.hold(state, pending, grant, comparison)
            return self._ask(source.account, state, comparison)
        return await self._adopt(source, grant)

    async def replace(
        self, state: str, insisted: str, cookies: Mapping[str, str]
    ) -> SignInResult | ReplacementQuestion:
        """A person said that the new login takes the present one's place. `insisted` is the account's name, typed."""
        pending = self._pending.find(state, cookies)
        if pending is None or pending.grant is None or pending.comparison is None:
            return self._end(sign_in_result.unknown_state())
        account, comparison = pending.source.account, pending.comparison
        if comparison.decision is Replacement.INSIST and insisted.strip() != account:
            return ReplacementQuestion(account, state, comparison, mistyped=bool(insisted.strip()))
        self._pending.take(state, cookies)
        if self._view.sign_in_source(account) != pending.source:  # a reload meanwhile: this is another application's
            return self._end(sign_in_result.unknown_state())
        return await self._adopt(pending.source, pending.grant)

    async def _compare(self, source: SignInSource, grant: Grant) -> Comparison:
        """What the account would lose. Where its present login does not work, or nothing is known of it, nothing."""
        account = source.account
        present, known = self._view.credential(account), self._view.profiles(account)
        if present is None or present.state not in WORKING or not known:
            return Comparison(Replacement.AT_ONCE)
        return compare(known, await self._view.profiles_of(source, grant))

    def _ask(self, account: str, state: str, comparison: Comparison) -> ReplacementQuestion:
        insists = comparison.decision is Replacement.INSIST
        outcome = SignInOutcome.REFUSED if insists else SignInOutcome.CONFIRMATION_NEEDED
        detail = f"The new login lacks {len(comparison.lost)} of {comparison.known} profiles; nothing has changed yet."
        self._observer.observe(SignInFinished(account, outcome, detail))
        return ReplacementQuestion(account, state, comparison)

    async def _adopt(self, source: SignInSource, grant: Grant) -> SignInResult:
        try:
            await self._view.adopt(source.account, grant)
        except AdsProxyError as failure:
            return self._end(sign_in_result.failed(source, failure))
        return self._end(await self._connected(source.account))

    async def _connected(self, account: str) -> SignInResult:
        try:
            profiles = await self._view.list_profiles(account)
        except AdsProxyError as failure:
            return sign_in_result.connected(account, (), f"Its profiles could not be listed yet: {failure}")
        return sign_in_result.connected(account, profiles, "" if profiles else sign_in_result.NO_PROFILES)

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
