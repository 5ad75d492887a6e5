"""What an advertiser sees who follows an invitation: what is asked for and by whom, and what came of it.

None of these pages leads anywhere but to Amazon's sign-in. Everything from outside is escaped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final

from proxy.events import SignInOutcome
from proxy.tokens.invitation import PATH, InvitationState

if TYPE_CHECKING:
    from proxy.admin.sign_in_result import SignInResult
    from proxy.admin.view import SignInSource
    from proxy.tokens.invitation import Invitation

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
    InvitationState.REVOKED: ("This link was taken back", "Ask whoever sent it to you for another one."),
    InvitationState.EXPIRED: ("This link is too old", "Ask whoever sent it to you for another one."),
    InvitationState.UNKNOWN: (
        "This link is not known",
        "Open it as it was sent to you, whole, or ask for another one.",
    ),
}


def page(title: str, body: str, tone: str = "", head: str = "") -> str:
    """A whole page; `body` and `head` are HTML."""
    return _PAGE.format(title=escape(title), body=body, tone=escape(tone), head=head, path=PATH)


def asking_page(invitation: Invitation, source: SignInSource, token: str) -> str:
    """What is asked for and by whom, and the button that leads to Amazon."""
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
    return page("Done", "<p>Thank you: the access was granted and works. You can close this page.</p>", "good")


def failed_page(result: SignInResult, token: str) -> str:
    """What went wrong, as far as it is the advertiser's business."""
    if result.outcome is SignInOutcome.DENIED:
        title, words = "Access was not granted", "Amazon's page ended without your consent. Nothing has changed."
    elif result.outcome is SignInOutcome.STATE_UNKNOWN:
        title = "This sign-in is not known"
        words = (
            "It took more than ten minutes, or went on in another browser. Open the link that was sent to you again."
        )
    else:
        title, words = "That did not work", "Amazon did not complete the sign-in. Nothing has changed."
    again = f'<p><a class="button" href="{PATH}/{escape(token)}">Try again</a></p>' if token else ""
    return page(title, f"<p>{words}</p>{again}", "bad")


def other_login_page(token: str) -> str:
    """Signed in as somebody who does not reach what is in use: that is for the operator to decide."""
    return page(
        "This is another login",
        f"""<p>The user that you signed in as does not have access to the same ads accounts as before. Nothing
has changed. Sign in as the user who has, or ask whoever sent you the link.</p>
<p><a class="button" href="{PATH}/{escape(token)}">Try again</a></p>""",
        "bad",
    )


def problem_page(title: str, detail: str) -> str:
    """A refusal of the listener itself."""
    return page(title, f"<p>{escape(detail)}</p>", "bad")
