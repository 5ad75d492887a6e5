"""What the admin listener answers with, and the forms that it reads: pages, JSON, problem documents."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import zlib
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from proxy import errors
from proxy.admin import pages
from proxy.admin.pauses import Pauses
from proxy.problem import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORM_SECONDS: Final = 10.0
_CHUNK: Final = 1 << 17
_LEVEL: Final = 1
"""Metrics repeat themselves so much that the other levels cost much and gain little."""
_GZIP: Final = 31
"""zlib's window bits for the largest window within gzip's format."""
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
            return {name: str(value) for name, value in (await request.post()).items()}
    except TimeoutError:
        raise errors.RequestTimeout(f"The form was not complete within {FORM_SECONDS:g} s.") from None
    except (web.RequestPayloadError, HttpProcessingError, ValueError, LookupError):
        raise errors.MalformedRequest("The form cannot be read.") from None


def html(text: str, status_code: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status_code)


def as_json(value: object) -> web.Response:
    return web.Response(text=json.dumps(value) + "\n", content_type="application/json")


async def answer_in_pieces(
    request: web.Request, pieces: Iterator[bytes], headers: Mapping[str, str]
) -> web.StreamResponse:
    """An answer that is made while it is sent, compressed where the client takes gzip (RFC 9110, section 12.5.3).

    The event loop serves others in between, and compression runs in a thread, which Python lets run at the same time.
    """
    answer = web.StreamResponse(headers={**headers, "Vary": "Accept, Accept-Encoding"})
    compress = None
    if accepts_gzip(request.headers.get("Accept-Encoding", "")):
        answer.headers["Content-Encoding"] = "gzip"
        compress = zlib.compressobj(_LEVEL, wbits=_GZIP)
    pause, gathered, size = Pauses(), [], 0
    with contextlib.suppress(ConnectionError):  # the client disconnected
        await answer.prepare(request)
        for piece in pieces if request.method != "HEAD" else ():
            gathered.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                await _send(answer, b"".join(gathered), compress)
                gathered, size = [], 0
            await pause()
        await _send(answer, b"".join(gathered), compress)
        await answer.write_eof(compress.flush() if compress is not None and request.method != "HEAD" else b"")
    return answer


async def _send(answer: web.StreamResponse, chunk: bytes, compress: zlib._Compress | None) -> None:
    if compress is not None and chunk:
        chunk = await asyncio.to_thread(compress.compress, chunk)
    if chunk:
        await answer.write(chunk)


def accepts_gzip(field: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, and not with a weight of zero. Pure."""
    for entry in field.lower().split(","):
        coding, *parameters = (part.strip() for part in entry.split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
