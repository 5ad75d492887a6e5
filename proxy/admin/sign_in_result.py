"""How a sign-in ended, in words: what came of it, and what a person does now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.errors import AdsProxyError, TokenFailure
from proxy.events import SignInOutcome

if TYPE_CHECKING:
    from proxy.admin.view import ProfileView, SignInSource

NO_PROFILES: Final = (
    "The login works, but it sees no advertising profile in any region: sign in as a user who has access to one."
)


@dataclass(frozen=True, slots=True)
class SignInResult:
    """How a sign-in ended. `advice` says what to do now, empty where nothing is."""

    account: str
    outcome: SignInOutcome
    title: str
    detail: str
    advice: str = ""
    profiles: tuple[ProfileView, ...] = ()
    status: int = 200

    @property
    def connected(self) -> bool:
        return self.outcome is SignInOutcome.CONNECTED


def connected(account: str, profiles: tuple[ProfileView, ...], advice: str) -> SignInResult:
    regions = ", ".join(dict.fromkeys(profile.region for profile in profiles))
    found = f" {len(profiles)} profiles were found in {regions}." if profiles else ""
    return SignInResult(
        account, SignInOutcome.CONNECTED, f"{account} is connected", f"Its token is in use.{found}", advice, profiles
    )


def unknown_state() -> SignInResult:
    return SignInResult(
        account="",
        outcome=SignInOutcome.STATE_UNKNOWN,
        title="This sign-in is not known",
        detail="It was begun more than ten minutes ago, in another browser, before a restart, or it was used already.",
        advice="Go to the console and press Connect again, in the browser in which you finish.",
        status=400,
    )


def denied(source: SignInSource, error: str, description: str) -> SignInResult:
    if error == "access_denied":
        return SignInResult(
            account=source.account,
            outcome=SignInOutcome.DENIED,
            title="Access was not granted",
            detail=f"The sign-in for {source.account} ended without consent.",
            advice="Try again and press Allow, as a user who has access to the ads account.",
            status=403,
        )
    said = f"{error[:80]}: {description[:300]}" if description else error[:80]
    return SignInResult(
        account=source.account,
        outcome=SignInOutcome.FAILED,
        title="Amazon refused the sign-in",
        detail=f"The sign-in page answered {said}.",
        advice=(
            "Compare scopes, client id and the allowed return URLs of the Login with Amazon security profile with "
            f"the account's configuration; {source.redirect_uri} must be among the return URLs."
        ),
        status=400,
    )


def no_code(source: SignInSource) -> SignInResult:
    return SignInResult(
        account=source.account,
        outcome=SignInOutcome.CODE_REJECTED,
        title="There is no code in the address",
        detail="The address that came back holds neither a code nor an error.",
        advice="Copy the whole address of the page you landed on, from https to its end.",
        status=400,
    )


def code_rejected(source: SignInSource, failure: TokenFailure) -> SignInResult:
    return SignInResult(
        account=source.account,
        outcome=SignInOutcome.CODE_REJECTED,
        title="The code was not accepted",
        detail=failure.detail,
        advice=(
            "A code works once, within five minutes, for the application and the redirect address that asked for it: "
            "sign in again."
        ),
        status=400,
    )


def failed(source: SignInSource, failure: AdsProxyError) -> SignInResult:
    detail = failure.detail if isinstance(failure, TokenFailure) else str(failure)
    advice = failure.advice if isinstance(failure, TokenFailure) else "Look at the proxy's log, then sign in again."
    return SignInResult(
        source.account, SignInOutcome.FAILED, "The sign-in could not be finished", detail, advice, status=502
    )
