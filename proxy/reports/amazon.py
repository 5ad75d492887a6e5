"""What a named report asks of Amazon: an order and a poll, through the core, and the rows, from the address that Amazon
signed.

The address is used as given, without credentials, and no redirect is followed. What answers mean is for `answers`.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from proxy.errors import AdsProxyError
from proxy.net.session import opened, proxy_url, why_unreachable
from proxy.reports.answers import Answer, find_fault, read_order_answer, read_poll
from proxy.reports.disk import finish
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import aiohttp

    from proxy.net.session import HttpSession
    from proxy.profiles.listing import ListRequest, ListResponse, ProfileSource
    from proxy.reports.plan import NamedReport
    from proxy.reports.templates import PlannedOrder

MAX_DOWNLOAD: Final = 16 << 30
"""Bytes of one file of Amazon's, as it comes."""
DOWNLOAD_SECONDS: Final = 3600.0
"""A signed address is valid for so long."""
STALLED_SECONDS: Final = 60.0
_CHUNK: Final = 1 << 20


class DownloadFailed(AdsProxyError):
    """The rows did not come whole. The text is a sentence, without the address."""


class Sender(Protocol):
    """Who sends requests through the core, which knows tokens, pauses and retries."""

    async def send(self, report: str, request: ListRequest) -> ListResponse:
        """The response to a request of the named report. Its target begins with the prefix of account and region."""
        ...


@dataclass(frozen=True, slots=True)
class ReportApi:
    """Amazon's reports for the accounts of a configuration. `source` tells where an account's region is asked. `clean`
    takes secrets out of a text: a gateway may repeat an Authorization, and clients are shown what Amazon said."""

    session: HttpSession
    sender: Sender
    clean: Callable[[str], str]
    source: Callable[[str], ProfileSource | None]

    async def order(self, report: NamedReport, order: PlannedOrder) -> Answer:
        """Order a report. A failure of the network is an answer too, which leaves open whether one was made."""
        template = report.template
        response = await self._ask(report, order, template.ask_for(order))
        return self._cleaned(read_order_answer(template.order_operation, response))

    async def poll(self, report: NamedReport, order: PlannedOrder, report_id: str) -> Answer:
        """How far a report is."""
        template = report.template
        response = await self._ask(report, order, template.ask_about(order, report_id))
        return self._cleaned(read_poll(template.poll_operation, response, report_id))

    async def _ask(self, report: NamedReport, order: PlannedOrder, request: ListRequest) -> ListResponse:
        target = f"/@{report.account}/{order.region}{request.target}"
        return await self.sender.send(report.name, replace(request, target=target))

    def _cleaned(self, answer: Answer) -> Answer:
        return replace(answer, words=self.clean(answer.words))

    # --- rows

    async def download(self, account: str, order: PlannedOrder, url: str, target: Path, limit: int) -> None:
        """Put rows of an order into a file, from the address that a poll told. `limit` is in bytes, 0 for any number.
        Raises `DownloadFailed`."""
        session = await opened(self.session)
        from aiohttp import ClientError, ClientTimeout
        from yarl import URL

        source = self.source(account)
        if source is None:
            raise DownloadFailed(f"The account '{account}' is not configured any more.")
        if fault := find_fault(url, source.api_urls.get(order.region, "")):
            raise DownloadFailed(_sentence(fault))
        try:
            async with session.get(
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
