"""The token endpoint: both grants, and the errors of RFC 6749, section 5.2. It changes nothing but credentials."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from proxy.simulator.answers import Answer, json_answer
from proxy.simulator.credentials import ENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.checks import Head
    from proxy.simulator.credentials import App, AuthorizationCode, Credentials, Grant
    from proxy.simulator.exchange import CallContext
    from proxy.simulator.state import SimulatorState


# --- The sign-in page `/ap/oa` ---------------------------------------------------------------------------

SIGN_IN_PATH = "/ap/oa"
CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
HTML = (("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"))
KEPT = ("client_id", "scope", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method")


def answer_sign_in(context: CallContext, body: bytes) -> Answer:
    """The sign-in page, which a person's browser visits: GET shows it, POST is a button of it."""
    state, method = context.state, context.request.method
    source = body.decode("ascii", "replace") if method == "POST" else context.query
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
        f"<form method='post' action='{SIGN_IN_PATH}'>{hidden}{chooser}"
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


# --- The token endpoint ----------------------------------------------------------------------------------

PATH = "/auth/o2/token"
NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
FORM = "application/x-www-form-urlencoded"


class TokenRefused(Exception):
    """A token request that fails; `error` is the code of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a token request, each at most once."""

    fields: dict[str, str]

    def need(self, name: str) -> str:
        """A field that must be there."""
        value = self.fields.get(name, "")
        if not value:
            raise TokenRefused("invalid_request", f"The request is missing a required parameter : {name}")
        return value


def answer_token_request(context: CallContext, body: bytes) -> Answer:
    """The answer of the token endpoint. Its errors are not refusals: they are counted by result."""
    state, head, grant_type = context.state, context.head, "none"
    try:
        form = read_form(context.request.method, head, body)
        grant_type = form.fields.get("grant_type", "none")
        app = authenticate(state.credentials, form, head.first("authorization"))
        grant = find_grant(state.credentials, form, app)
    except TokenRefused as refused:
        state.ledger.token_answered(grant_type, refused.error)
        return error(refused)
    state.ledger.token_answered(grant_type, "ok")
    return grant_tokens(state, grant)


def read_form(method: str, head: Head, body: bytes) -> Form:
    """The fields of a form POST."""
    if method != "POST":
        raise TokenRefused("invalid_request", "The token endpoint takes POST")
    if (head.first("content-type") or "").split(";")[0].strip().lower() != FORM:
        raise TokenRefused("invalid_request", f"Content-Type must be {FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError:
        raise TokenRefused("invalid_request", "The body is not a form") from None
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise TokenRefused("invalid_request", "A parameter is repeated")
    return Form(dict(pairs))


def authenticate(credentials: Credentials, form: Form, authorization: str | None) -> App:
    """The app, by HTTP Basic or by form fields."""
    if authorization is not None:
        client_id, client_secret = read_basic(authorization)
        if form.fields.get("client_id", client_id) != client_id:
            raise TokenRefused("invalid_request", "Authorization and client_id differ")
    else:
        client_id, client_secret = form.need("client_id"), form.need("client_secret")
    app = credentials.apps.get(client_id)
    if app is None or not app.knows(client_secret):
        raise TokenRefused("invalid_client", "Client authentication failed")
    if not app.authorized:
        raise TokenRefused("unauthorized_client", "The client is not authorized to use this grant")
    return app


def read_basic(authorization: str) -> tuple[str, str]:
    """Id and secret of an HTTP Basic header, which are form-encoded in it (RFC 6749, section 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, colon, client_secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise TokenRefused("invalid_client", "Authorization is not HTTP Basic")
    return unquote_plus(client_id), unquote_plus(client_secret)


def find_grant(credentials: Credentials, form: Form, app: App) -> Grant:
    """The consent behind the request; a code makes a new one and is used up."""
    grant_type = form.need("grant_type")
    if grant_type == "refresh_token":
        grant = credentials.grants.get(form.need("refresh_token"))
        if grant is not None and grant.client_id == app.client_id and credentials.consent_is_over(grant):
            raise TokenRefused("invalid_grant", ENDED)
        if grant is None or grant.client_id != app.client_id or not credentials.grant_is_good(grant):
            raise TokenRefused("invalid_grant", "The request has an invalid grant parameter : refresh_token")
        return grant
    if grant_type == "authorization_code":
        code = credentials.codes.get(form.need("code"))
        redirect_uri = form.need("redirect_uri")
        if code is not None and code.challenge is not None:
            form.need("code_verifier")
        if code is None or not code_is_good(credentials, code, form):
            raise TokenRefused("invalid_grant", "The request has an invalid grant parameter : code")
        if code.client_id != app.client_id or code.redirect_uri != redirect_uri:
            raise TokenRefused("invalid_grant", "The code belongs to another client or redirect_uri")
        code.used = True
        made = credentials.add_grant(app.client_id, code.user, code.scope)
        made.consented_at = code.consented_at
        return made
    raise TokenRefused("unsupported_grant_type", f"The grant type {grant_type} is not supported")


def code_is_good(credentials: Credentials, code: AuthorizationCode, form: Form) -> bool:
    """Whether a code was not used, is young enough, and fits its PKCE challenge (RFC 7636, section 4.6).

    A verifier for a code without a challenge is refused: the challenge was removed (RFC 9700, section 4.8.2).
    """
    if code.used or credentials.now() >= code.expires_at:
        return False
    verifier = form.fields.get("code_verifier", "")
    if code.challenge is None or code.challenge_method == "plain":
        return verifier == (code.challenge or "")
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code.challenge


def grant_tokens(state: SimulatorState, grant: Grant) -> Answer:
    """An access token and, as the settings have it, the same or a new refresh token."""
    access = state.credentials.mint(grant)
    successor = state.credentials.rotate(grant)
    lifetime = state.settings.access_token_lifetime
    value = {
        "access_token": access.token,
        "refresh_token": successor.token,
        "token_type": "bearer",
        "expires_in": int(lifetime) if lifetime == int(lifetime) else lifetime,
    }
    if not state.settings.answer_refresh_token:
        del value["refresh_token"]
    return framed(json_answer(value))


def error(refused: TokenRefused) -> Answer:
    """Login with Amazon's error body."""
    status = HTTPStatus.UNAUTHORIZED if refused.error == "invalid_client" else HTTPStatus.BAD_REQUEST
    value = {
        "error": refused.error,
        "error_description": refused.description,
        "error_index": "pretend",
        "request_id": secrets.token_hex(16),
    }
    return framed(json_answer(value, status))


def framed(answer: Answer) -> Answer:
    """An answer with the headers that every answer of the token endpoint has."""
    return answer.with_headers(*NO_STORE, ("x-amzn-RequestId", secrets.token_hex(16)))


# --- Who a user is ---------------------------------------------------------------------------------------

USER_PROFILE_PATH = "/user/profile"
USER_SCOPE = "profile"


def answer_user_profile(context: CallContext, body: bytes) -> Answer:
    """Id, name and address of the user of an access token, if the user allowed it."""
    state = context.state
    scheme, _, value = (context.head.first("authorization") or "").partition(" ")
    token = state.credentials.access_tokens.get(value) if scheme.lower() == "bearer" else None
    if token is None or state.now() >= token.expires_at:
        return framed(json_answer({"error": "invalid_token", "error_description": "The token is not valid"}, 400))
    if USER_SCOPE not in state.credentials.grants[token.refresh_token].scope.split():
        said = {"error": "insufficient_scope", "error_description": "The token was not granted the scope profile"}
        return framed(json_answer(said, HTTPStatus.UNAUTHORIZED))
    user_id = f"amzn1.account.{hashlib.sha256(token.user.encode()).hexdigest()[:28].upper()}"
    return framed(json_answer({"user_id": user_id, "name": token.user, "email": f"{token.user}@example.com"}))


ANSWERS: dict[str, tuple[str, Callable[[CallContext, bytes], Answer]]] = {
    PATH: ("lwa", answer_token_request),
    USER_PROFILE_PATH: ("lwa", answer_user_profile),
    SIGN_IN_PATH: ("sign-in", answer_sign_in),
}
"""The paths of Login with Amazon, the listener as which each is counted, and what answers there."""
