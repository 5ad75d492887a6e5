"""A pretend S3: presigned URLs and the listener that serves them. It refuses any Authorization header."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from proxy.simulator.answers import Answer, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web

    from proxy.simulator.checks import Head
    from proxy.simulator.state import SimulatorState

ALGORITHM = "AWS4-HMAC-SHA256"


def sign(key: bytes, method: str, target: str) -> str:
    """The signature over a method and a target as sent, up to the signature itself."""
    return hmac.new(key, f"{method}\n{target}".encode("latin-1"), hashlib.sha256).hexdigest()


def presign(state: SimulatorState, url: str, method: str, lifetime: float) -> str:
    """A URL that is open for some seconds, to a request with it and without Authorization."""
    session = quote(secrets.token_urlsafe(24) + "+/==", safe="")
    query = (
        f"X-Amz-Security-Token={session}&X-Amz-Algorithm={ALGORITHM}&X-Amz-Date={state.now() + lifetime:.3f}"
        f"&X-Amz-SignedHeaders=host&X-Amz-Expires={lifetime:g}"
        f"&X-Amz-Credential=ASIASIMULATOR%2F20250101%2Fus-east-1%2Fs3%2Faws4_request"
    )
    target = f"{urlsplit(url).path}?{query}"
    return f"{url}?{query}&X-Amz-Signature={sign(state.s3_key, method, target)}"


def check(state: SimulatorState, method: str, target: str, head: Head) -> Refusal | None:
    """Why a request to S3 is refused, if it is."""
    authorization = head.first("authorization")
    if authorization is not None:
        if authorization.removeprefix("Bearer ") in state.credentials.access_tokens:
            return Refusal(400, "s3-token-leak", "InvalidArgument", "an access token of the Ads API came to S3")
        reason = "Only one auth mechanism allowed; the presigned query or the Authorization header"
        return Refusal(400, "s3-authorization", "InvalidArgument", reason)
    for name in ("amazon-advertising-api-clientid", "amazon-ads-clientid", "amazon-advertising-api-scope"):
        if head.first(name) is not None:
            return Refusal(400, "s3-leaked-header", "InvalidArgument", f"{name} has no business here")
    signed, _, signature = target.rpartition("&X-Amz-Signature=")
    if not signed or not hmac.compare_digest(
        sign(state.s3_key, "GET" if method == "HEAD" else method, signed), signature
    ):
        return Refusal(403, "s3-signature", "SignatureDoesNotMatch", "The signature is not that of this request")
    deadline = parse_qs(signed.partition("?")[2]).get("X-Amz-Date", ["0"])[0]
    if state.now() >= float(deadline):
        return Refusal(403, "s3-expired", "AccessDenied", "Request has expired")
    return None


def xml_error(refusal: Refusal) -> Answer:
    """S3's way to say no."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.code}</Code>'
        f"<Message>{refusal.reason}</Message><RequestId>{secrets.token_hex(8).upper()}</RequestId></Error>"
    )
    return Answer(refusal.status, (("Content-Type", "application/xml"),), body.encode(), "counted")


def fetch(state: SimulatorState, path: str) -> Answer:
    """The object at `path`: `/reports/ID.json.gz`, gzip bytes without Content-Encoding, or `/reports/ID.csv`.

    A part of a report lies at `/reports/ID/part-1.json.gz` and so on.
    """
    folder, _, name = path.rpartition("/")
    name, part = name.removesuffix(".json.gz").removesuffix(".csv"), 0
    if name.startswith("part-"):
        part, name = int(name.removeprefix("part-")), folder.rpartition("/")[2]
    if name in state.reports.deleted:
        return xml_error(Refusal(404, "s3-missing", "NoSuchKey", "The specified key does not exist."))
    report = state.reports.reports.get(name) or state.reports.finished("v3", name)
    headers = (
        ("Content-Type", "application/octet-stream"),
        ("ETag", f'"{hashlib.sha256(path.encode()).hexdigest()[:32]}"'),
    )
    whole = report.file(part)
    if whole is not None:
        return Answer(200, headers, whole, "counted")
    return Answer(200, headers, stream=made_in_a_thread(report.pieces(part)))


async def made_in_a_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a large object, each made in a thread when it is needed."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


async def store(request: web.BaseRequest) -> Answer:
    """Takes an upload and forgets all of it but length and digest."""
    digest, length = hashlib.sha256(), 0
    async for piece in request.content.iter_any():
        digest.update(piece)
        length += len(piece)
    return Answer(200, (("ETag", f'"{digest.hexdigest()[:32]}"'), ("X-Stored-Bytes", str(length))), b"", "counted")
