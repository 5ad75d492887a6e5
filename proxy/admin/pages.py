"""The pages that the server makes itself: the key form, and what came of a sign-in. Everything from outside is escaped.

What a sign-in led to, and the question whether it may replace a login that works, are values here (`SignInResult`).

The console's own page is a static file. A page has no inline script or style: the content security policy of the
listener would refuse it.
"""

from __future__ import annotations

import re
from dataclasses import field
from html import escape
from typing import TYPE_CHECKING, Final

from proxy.errors import AdsProxyError, TokenFailure
from proxy.events import SignInOutcome
from proxy.profiles.replacement import Replacement, stream_note
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.admin.view import SignInSource
    from proxy.profiles.replacement import Comparison, ReachedProfile


MAX_SHOWN_PROFILES: Final = 25

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · ads-proxy</title>
<link rel="stylesheet" href="/console/static/console.css">
<link rel="icon" href="/console/static/icon.svg" type="image/svg+xml">{head}
</head>
<body class="narrow">
<main class="card {tone}">
<p class="brand">ads-proxy</p>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str, tone: str = "", head: str = "") -> str:
    """A whole page; `body` and `head` are HTML."""
    return _PAGE.format(title=escape(title), body=body, tone=escape(tone), head=head)


def prose(text: str) -> str:
    """A sentence from anywhere as HTML; commands and keys are between its backticks."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


def sentence(text: str) -> str:
    """A sentence from anywhere, as a paragraph, and the way back."""
    return f'<p>{prose(text)}</p><p><a href="/">To the console</a></p>'


def key_page(next_target: str, problem: str = "") -> str:
    """The form that asks for the admin key."""
    alert = f'<p class="trouble" role="alert">{prose(problem)}</p>' if problem else ""
    return page(
        "Admin key",
        f"""{alert}
<form method="post" action="/console/session">
<input type="hidden" name="next" value="{escape(next_target)}">
<label for="key">The admin key of this proxy (<code>admin.key</code> in its configuration)</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Open the console</button>
</form>""",
    )


def result_page(result: SignInResult) -> str:
    """What came of a sign-in: what was connected, or what went wrong and what to do."""
    parts = [f"<p>{prose(result.detail)}</p>"]
    if result.advice:
        parts.append(f'<p class="advice"><strong>What to do:</strong> {prose(result.advice)}</p>')
    if result.profiles:
        parts.append(_profile_table(result.profiles))
    if not result.connected and result.account:
        parts.append(f'<p><a class="button" href="/login/{escape(result.account)}">Try again</a></p>')
    parts.append('<p><a href="/">To the console</a></p>')
    return page(result.title, "\n".join(parts), "good" if result.connected else "bad")


def begin_page(source: SignInSource) -> str:
    """Asks before a sign-in begins that another site's page may have led to; names the account."""
    name = escape(source.account)
    return page(
        f"Connect {source.account}?",
        f"""<p>This starts a sign-in with Amazon for the account <strong>{name}</strong> of this proxy. The user who
signs in there becomes its login: clients use what that user may use.</p>
<p>If you came here by a link that you did not expect, close this page.</p>
<form method="post" action="/login/{name}/begin"><button type="submit">Sign in for {name}</button></form>
<p><a href="/">To the console</a></p>""",
    )


def onward_page(title: str, url: str, label: str) -> str:
    """Goes on to an address by itself: the answer to a form that leads to Amazon, at once or by more steps. Browsers
    hold every redirect behind a form against `form-action` in the policy of the form's page."""
    address = escape(url)
    return page(
        title,
        f'<p><a class="button" href="{address}">{escape(label)}</a></p>',
        head=f'\n<meta http-equiv="refresh" content="0; url={address}">',
    )


def replacement_page(question: ReplacementConfirmation) -> str:
    """Asks before a login that works is replaced by one that reaches other profiles; nothing has changed yet."""
    name, comparison = escape(question.account), question.comparison
    insists = comparison.decision is Replacement.INSIST
    parts = [f"<p>{_loss(comparison)} Nothing has changed yet: the present login of {name} still works.</p>"]
    if comparison.uncertain:
        parts.append(f"<p>What it reaches in {', '.join(comparison.uncertain)} could not be listed.</p>")
    if comparison.lost:
        parts.append(_profile_table(comparison.lost, "not reached by the new login"))
    if comparison.gained:
        parts.append(_profile_table(comparison.gained, "that only the new login reaches"))
    if note := stream_note(comparison):
        parts.append(f"<p>{prose(note)}</p>")
    if question.mistyped:
        parts.append('<p class="trouble" role="alert">That is not the name of the account.</p>')
    typed = f"""<label for="insisted">To replace it anyway, type the account's name: <code>{name}</code></label>
<input id="insisted" name="insisted" type="text" autocomplete="off" spellcheck="false" required>"""
    parts.append(
        f"""<form method="post" action="/login/{name}/replace">
<input type="hidden" name="state" value="{escape(question.state)}">
{typed if insists else ""}
<button type="submit">Replace the login of {name}</button>
</form>
<p><a class="button" href="/">Keep the present login</a></p>"""
    )
    title = "This is another login" if insists else f"Replace the login of {question.account}?"
    return page(title, "\n".join(parts), "bad")


def _loss(comparison: Comparison) -> str:
    reaches = f"The new login reaches {comparison.offered} profile{'' if comparison.offered == 1 else 's'}"
    if comparison.decision is Replacement.INSIST:
        return f"{reaches}, and none of the {comparison.known} that clients use now: most likely it is another user's."
    return f"{reaches}, and lacks {len(comparison.lost)} of the {comparison.known} that clients use now."


def paste_page(source: SignInSource, sign_in_url: str, state: str) -> str:
    """A page for a redirect address that does not lead here: sign in elsewhere, and paste the address you land on."""
    return page(
        f"Connect {source.account}",
        f"""<p>After you allow access, Amazon sends your browser to <code>{escape(source.redirect_uri)}</code>, which is
not this proxy. So it takes two steps:</p>
<ol>
<li><a class="button" href="{escape(sign_in_url)}" target="_blank"
rel="noopener noreferrer">Sign in with Amazon</a></li>
<li><form method="post" action="/login/{escape(source.account)}">
<input type="hidden" name="state" value="{escape(state)}">
<label for="landing">Paste the whole address of the page you landed on (within five minutes)</label>
<input id="landing" name="landing" type="text" autocomplete="off" spellcheck="false" required>
<button type="submit">Connect</button>
</form></li>
</ol>""",
    )


def _profile_table(profiles: tuple[ReachedProfile, ...], remark: str = "") -> str:
    rows = "\n".join(
        f"<tr><td><code>{escape(profile.id)}</code></td><td>{escape(profile.name)}</td>"
        f"<td>{escape(profile.country)}</td><td>{escape(profile.region)}</td></tr>"
        for profile in profiles[:MAX_SHOWN_PROFILES]
    )
    more = len(profiles) - MAX_SHOWN_PROFILES
    rest = f"<p>and {more} more: the console shows them all.</p>" if more > 0 else ""
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Profiles"><table>
<caption>{len(profiles)} profile{"" if len(profiles) == 1 else "s"} {remark}</caption>
<thead><tr><th scope="col">Profile</th><th scope="col">Name</th>
<th scope="col">Country</th><th scope="col">Region</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>{rest}"""


# --- How a sign-in ended, in words -----------------------------------------------------------------------

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
    profiles: tuple[ReachedProfile, ...] = ()
    status: int = 200

    @property
    def connected(self) -> bool:
        return self.outcome is SignInOutcome.CONNECTED


def connected(account: str, profiles: tuple[ReachedProfile, ...], advice: str) -> SignInResult:
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


# --- What a person is asked before a new login takes the place of one that works -------------------------


@dataclass(frozen=True, slots=True)
class ReplacementConfirmation:
    """What a person is asked before the new login is put in force."""

    account: str
    state: str = field(repr=False)
    comparison: Comparison
    mistyped: bool = False
    """Whether something else than the account's name was typed."""
