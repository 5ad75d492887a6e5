"""The two ways by which a notice leaves: a webhook, and a command. Each tries once, within a bounded time.

When to try again is not known here. Neither way is given anything but the notice: no environment, no secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from proxy import __version__
from proxy.errors import AdsProxyError
from proxy.net.session import opened, proxy_url, why_unreachable
from proxy.observability.notices import body_of, signature

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from proxy.net.session import HttpSession
    from proxy.observability.notices import Notice
    from proxy.secret import Secret

WEBHOOK_TIMEOUT: Final = 10.0
COMMAND_TIMEOUT: Final = 30.0
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class DeliveryFailed(AdsProxyError):
    """An attempt that did not arrive. `retry_after` is what the receiver asked for, in seconds."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail, self.retry_after = detail, retry_after


class NoticeChannel(Protocol):
    """How notices are sent."""

    @property
    def name(self) -> str: ...

    async def deliver(self, notice: Notice) -> None:
        """Raises `DeliveryFailed`."""


class WebhookChannel:
    """Posts the notice, signed. Redirects are not followed. `proxy` is an outbound one; loopback is reached without."""

    name = "webhook"

    def __init__(
        self,
        session: HttpSession,
        url: Secret,
        secret: Secret | None,
        proxy: Secret | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._session, self._url, self._secret = session, url, secret
        self._proxy, self._ssl = proxy, ssl_context
        self._wall: Callable[[], float] = time.time

    def __repr__(self) -> str:
        return (
            f"<WebhookChannel to {urlsplit(self._url.reveal()).hostname}, {'signed' if self._secret else 'unsigned'}>"
        )

    async def deliver(self, notice: Notice) -> None:
        session = await opened(self._session)
        from aiohttp import ClientError, ClientTimeout  # not above: see `proxy.net.session`

        body, now = body_of(notice), int(self._wall())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ads-proxy/{__version__}",
            "webhook-id": notice.id,
            "webhook-timestamp": str(now),
        }
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret.reveal(), notice.id, now, body)
        host = urlsplit(self._url.reveal()).hostname or ""
        proxy = None if host in _LOOPBACK else self._proxy
        try:
            async with session.post(
                self._url.reveal(),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=ClientTimeout(WEBHOOK_TIMEOUT),
                proxy=proxy_url(proxy),
                ssl=self._ssl if self._ssl is not None else True,
            ) as answer:
                if not 200 <= answer.status < 300:
                    asked = answer.headers.get("Retry-After", "")  # a date (RFC 9110, 10.2.3) is passed over
                    seconds = float(asked) if asked.strip().isdecimal() else None
                    raise DeliveryFailed(f"It answered {answer.status}.", seconds)
        except TimeoutError:
            raise DeliveryFailed(f"It did not answer within {WEBHOOK_TIMEOUT:g} s.") from None
        except (ClientError, OSError, ValueError) as error:
            reason = why_unreachable(error, host, proxy) or f"{host} gave no usable answer"
            raise DeliveryFailed(f"{reason[0].upper()}{reason[1:]}.") from None


class CommandChannel:
    """Runs a program with the notice on its standard input, and `PATH` alone in its environment."""

    name = "command"

    def __init__(self, command: tuple[str, ...], timeout: float = COMMAND_TIMEOUT) -> None:
        self._command, self._timeout = command, timeout

    def __repr__(self) -> str:
        return f"<CommandChannel {self._command[0]}>"

    async def deliver(self, notice: Notice) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise DeliveryFailed(f"It cannot be run: {getattr(error, 'strerror', None) or error}.") from None
        try:
            async with asyncio.timeout(self._timeout):
                await process.communicate(body_of(notice) + b"\n")
        except TimeoutError:
            raise DeliveryFailed(f"It did not end within {self._timeout:g} s, and was killed.") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise DeliveryFailed(f"It ended with exit code {process.returncode}.")
