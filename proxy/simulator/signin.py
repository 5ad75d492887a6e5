"""The sign-in page `/ap/oa`: what is asked for, a button to allow it and one to deny it."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from proxy.simulator.answers import Answer

if TYPE_CHECKING:
    from proxy.simulator.state import SimulatorState

PATH = "/ap/oa"
CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"))
KEPT = ("client_id", "scope", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method")


def answer_sign_in(state: SimulatorState, method: str, query: str, body: bytes) -> Answer:
    """GET shows the page, POST is a button of it."""
    source = body.decode("ascii", "replace") if method == "POST" else query
    given = dict(parse_qsl(source, keep_blank_values=True))
    problem = find_problem(state, given)
    if problem is not None:
        return page("Sign-in is not possible", f"<p role='alert'>{escape(problem)}</p>", 400)
    if method != "POST":
        return page("Allow access?", consent(state, given))
    return redirect(state, given)


def find_problem(state: SimulatorState, given: dict[str, str]) -> str | None:
    """Why there is nothing to consent to."""
    app = state.credentials.apps.get(given.get("client_id", ""))
    if app is None:
        return "An unknown client_id was used."
    if given.get("response_type") != "code":
        return "response_type must be code."
    if not given.get("scope"):
        return "scope is missing."
    address = urlsplit(given.get("redirect_uri", ""))
    if address.scheme not in ("http", "https") or not address.netloc:
        return "redirect_uri is missing or no web address."
    if app.redirect_uris and given["redirect_uri"] not in app.redirect_uris:
        return "redirect_uri is not registered for this client."
    return find_challenge_problem(given, state.settings.require_pkce)


def find_challenge_problem(given: dict[str, str], required: bool) -> str | None:
    """What is wrong with the challenge of PKCE (RFC 7636, section 4.3)."""
    challenge = given.get("code_challenge")
    if not challenge:
        return "code_challenge is missing." if required or "code_challenge_method" in given else None
    if given.get("code_challenge_method", "plain") not in ("S256", "plain"):
        return "code_challenge_method must be S256 or plain."
    if not CHALLENGE.fullmatch(challenge):
        return "code_challenge must be 43 to 128 letters, digits and -._~."
    return None


def consent(state: SimulatorState, given: dict[str, str]) -> str:
    """The form: the request's parameters hidden, and the user if there are several."""
    hidden = "".join(
        f"<input type='hidden' name='{name}' value='{escape(given[name], quote=True)}'>"
        for name in KEPT
        if name in given
    )
    users = sorted({grant.user for grant in state.credentials.grants.values()} | {"default"})
    options = "".join(f"<option>{escape(user)}</option>" for user in users)
    chooser = f"<label>Sign in as <select name='user'>{options}</select></label>" if len(users) > 1 else ""
    scopes = "".join(f"<li>{escape(scope)}</li>" for scope in given["scope"].split())
    return (
        f"<p>{escape(given['client_id'])} asks for:</p><ul>{scopes}</ul>"
        f"<form method='post' action='{PATH}'>{hidden}{chooser}"
        "<button id='allow' name='decision' value='allow'>Allow</button> "
        "<button id='deny' name='decision' value='deny'>Deny</button></form>"
    )


def redirect(state: SimulatorState, given: dict[str, str]) -> Answer:
    """Back to the client, with a code or with `access_denied`."""
    back: dict[str, str] = {}
    if given.get("decision") == "allow":
        client_id, user = given["client_id"], given.get("user") or "default"
        code = state.credentials.add_code(client_id, user, given["redirect_uri"], given["scope"])
        code.challenge = given.get("code_challenge") or None
        code.challenge_method = given.get("code_challenge_method", "plain")
        back = {"code": code.code, "scope": given["scope"]}
    else:
        back = {"error": "access_denied", "error_description": "Access not permitted."}
    if "state" in given:
        back["state"] = given["state"]
    joint = "&" if urlsplit(given["redirect_uri"]).query else "?"
    location = f"{given['redirect_uri']}{joint}{urlencode(back)}"
    return Answer(302, (("Location", location), ("Cache-Control", "no-store")), b"", "counted")


def page(title: str, content: str, status: int = 200) -> Answer:
    """A plain page that says that it is a pretence."""
    body = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>This is the simulator's sign-in page, not Amazon's.</p>{content}</body></html>"
    )
    return Answer(status, HTML, body.encode(), "counted")
