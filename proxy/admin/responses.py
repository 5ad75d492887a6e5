"""What the admin listener answers with, and the forms that it reads: pages, JSON, problem documents."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from proxy import errors
from proxy.admin import guard, pages
from proxy.problem import document

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


class KeyRequired(errors.ClientUnknown):
    """The admin listener's own: a key is configured, and none that fits was shown."""

    slug, title = "admin-key-required", "The admin key is needed"


class NoSuchPage(errors.UnknownRoute):
    slug, title = "no-such-page", "Unknown page"


class ActionFailed(errors.UpstreamUnreachable):
    """What the console's button asked for did not work."""

    slug, title = "action-failed", "That did not work"


def problem(request: web.BaseRequest, refused: errors.Refused) -> web.Response:
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
            form = {name: str(value) for name, value in (await request.post()).items()}
            "".join(form.values()).encode()  # some charsets decode to halves of characters, which are no text
            return form
    except TimeoutError:
        raise errors.RequestTimeout(f"The form was not complete within {FORM_SECONDS:g} s.") from None
    except (web.RequestPayloadError, HttpProcessingError, ValueError, LookupError):
        raise errors.MalformedRequest("The form cannot be read.") from None


async def add_headers(_request: web.BaseRequest, answer: web.StreamResponse) -> None:
    """Add the headers that every answer has. A signal handler of aiohttp's `on_response_prepare`."""
    answer.headers.update(SECURITY_HEADERS)
    answer.headers.setdefault("Cache-Control", "no-store")
    answer.headers["Server"] = "ads-proxy"


def keep_session(answer: web.StreamResponse, request: web.Request, token: str) -> None:
    """Let the browser keep the console's session."""
    answer.set_cookie(
        guard.COOKIE,
        token,
        path="/",
        max_age=guard.SESSION_SECONDS,
        httponly=True,
        secure=request.secure,
        samesite="Strict",
    )


def html(text: str, status_code: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status_code)


def as_json(value: object) -> web.Response:
    return web.Response(text=json.dumps(value) + "\n", content_type="application/json")
