"""Named reports on the wire: an order, a poll, and the rows from the address that Amazon signed.

The address is used as given, without credentials, and no redirect is followed. What answers mean is for `answers`.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from proxy.errors import AdsProxyError, NoUsableToken
from proxy.profiles.listing import ProfilesUnavailable, ask
from proxy.reports.answers import Answer, AnswerKind, find_fault, is_of_order, read_order_answer, read_poll
from proxy.reports.disk import finish
from proxy.tokens.token_refusals import is_about_scope
from proxy.tokens.token_rejections import TokenUse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp

    from proxy.profiles.listing import ListRequest, ListResponse, ProfileSource
    from proxy.reports.templates import OrderTemplate, PlannedOrder
    from proxy.tokens.values import AccessToken

MAX_DOWNLOAD: Final = 16 << 30
"""Bytes of one file of Amazon's, as it comes."""
DOWNLOAD_SECONDS: Final = 3600.0
"""A signed address is valid for so long."""
STALLED_SECONDS: Final = 60.0
_CHUNK: Final = 1 << 20
_CLIENT: Final = "named reports"
"""Who uses an access token here, as the token manager sees it."""


class DownloadFailed(AdsProxyError):
    """The rows did not come whole. The text is a sentence, without the address."""


class Tokens(Protocol):
    """The methods of the token manager that are used here."""

    async def get(self, account: str) -> AccessToken: ...

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None: ...


@dataclass(frozen=True, slots=True)
class ReportApi:
    """Amazon's reports for the accounts of a configuration. `source` tells where an account's region is asked."""

    session: aiohttp.ClientSession
    tokens: Tokens
    source: Callable[[str], ProfileSource | None]

    def client_id(self, account: str) -> str:
        """The application of an account; empty for an unknown account."""
        source = self.source(account)
        return source.client_id if source is not None else ""

    async def order(self, account: str, order: PlannedOrder, template: OrderTemplate) -> Answer:
        """Order a report. A failure of the network is an answer too, which leaves open whether one was made."""
        response = await self._ask(account, order, template.ask_for(order))
        return response if isinstance(response, Answer) else read_order_answer(template.order_operation, response)

    async def poll(self, account: str, order: PlannedOrder, template: OrderTemplate, report_id: str) -> Answer:
        """How far a report is."""
        response = await self._ask(account, order, template.ask_about(order, report_id))
        return response if isinstance(response, Answer) else read_poll(template.poll_operation, response, report_id)

    async def compare(self, account: str, order: PlannedOrder, template: OrderTemplate, report_id: str) -> Answer:
        """Whether a report that Amazon named has the data of an order: ORDERED if so, or why that is not certain."""
        response = await self._ask(account, order, template.ask_about(order, report_id))
        if isinstance(response, Answer):
            return response
        if is_of_order(response, template, order, report_id):
            return Answer(AnswerKind.ORDERED, report_id)
        shown = read_poll(template.poll_operation, response, report_id)
        if shown.kind is AnswerKind.THROTTLED:  # it was a poll: orders are limited by themselves
            return replace(shown, kind=AnswerKind.AGAIN)
        if shown.kind in (AnswerKind.AGAIN, AnswerKind.UNAUTHORIZED, AnswerKind.REFUSED):
            return shown
        words = f"Amazon takes this order for one of report {report_id}, which need not have the same data."
        return Answer(AnswerKind.AGAIN, words=words)

    async def _ask(self, account: str, order: PlannedOrder, request: ListRequest) -> ListResponse | Answer:
        source = self.source(account)
        if source is None:
            return Answer(AnswerKind.REFUSED, words=f"The account '{account}' is not configured any more.")
        try:
            token = await self.tokens.get(account)
            response = await ask(self.session, source.endpoint(order.region, token.client_id), token.value, request)
            if response.status == 401 and not is_about_scope(response.body.lower()):
                await self.tokens.renewed(token, TokenUse(_CLIENT, order.profile))
        except NoUsableToken as error:
            return Answer(AnswerKind.AGAIN, words=str(error), retry_after=error.retry_after)
        except ProfilesUnavailable as error:
            return Answer(AnswerKind.AGAIN, words=_sentence(str(error)))
        # A gateway may repeat an Authorization that it does not accept, and clients are shown what Amazon said.
        return replace(response, body=response.body.replace(token.value.reveal().encode(), b"***"))

    # --- rows

    async def download(self, account: str, order: PlannedOrder, url: str, target: Path, limit: int) -> None:
        """Put rows of an order into a file, from the address that a poll told. `limit` is in bytes, 0 for any number.
        Raises `DownloadFailed`."""
        from aiohttp import ClientError, ClientTimeout
        from yarl import URL

        from proxy.net.session import proxy_url, why_unreachable

        source = self.source(account)
        if source is None:
            raise DownloadFailed(f"The account '{account}' is not configured any more.")
        if fault := find_fault(url, source.api_urls.get(order.region, "")):
            raise DownloadFailed(_sentence(fault))
        try:
            async with self.session.get(
                URL(url, encoded=True),
                headers={"User-Agent": "ads-proxy", "Accept": "*/*", "Accept-Encoding": "identity"},
                allow_redirects=False,
                timeout=ClientTimeout(total=DOWNLOAD_SECONDS, sock_connect=30, sock_read=STALLED_SECONDS),
                proxy=proxy_url(source.proxy),
                ssl=source.ssl_context or True,
            ) as response:
                if response.status != 200:
                    raise DownloadFailed(f"The rows were not given out ({response.status}).")
                await _store(response, target, limit or MAX_DOWNLOAD)
        except TimeoutError:
            raise DownloadFailed("The rows came too slowly.") from None
        except (ClientError, ValueError) as error:
            words = why_unreachable(error, str(urlsplit(url).hostname), source.proxy)
            raise DownloadFailed(_sentence(words or "the rows did not come whole")) from None


async def _store(response: aiohttp.ClientResponse, target: Path, limit: int) -> None:
    """Write a body to a file that only we can read. Raises `OSError` for a failure of the disk."""
    size, waiting = 0, bytearray()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)) as file:
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > limit:
                raise DownloadFailed(f"The rows have more than {limit} bytes; see reports.keep.max_bytes.")
            waiting += piece
            if len(waiting) >= _CHUNK:
                await finish(_write_all, file, bytes(waiting))
                waiting.clear()
        await finish(_write_all, file, bytes(waiting))


def _write_all(file: Any, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _sentence(words: str) -> str:
    """With a capital letter, unless it begins with an address, and a full stop."""
    capital = words if words.startswith("http") else words[:1].upper() + words[1:]
    return capital.rstrip(".") + "."
