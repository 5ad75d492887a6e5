"""How people are told at once, as a configuration has it. Nothing is sent here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.observability.delivery import CommandWay, NoticeWay, WebhookWay

if TYPE_CHECKING:
    import ssl

    import aiohttp

    from proxy.config import Config


def notice_ways(
    config: Config, session: aiohttp.ClientSession, trusted: ssl.SSLContext | None
) -> tuple[NoticeWay, ...]:
    """None, one or both."""
    notify, ways = config.notify, list[NoticeWay]()
    if notify.webhook is not None:
        ways.append(WebhookWay(session, notify.webhook, notify.secret, config.upstream.proxy, trusted))
    if notify.command:
        ways.append(CommandWay(notify.command))
    return tuple(ways)
