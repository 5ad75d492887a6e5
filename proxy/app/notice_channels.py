"""The ways in which the notices of a configuration reach people: a webhook, a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.observability.delivery import CommandChannel, NoticeChannel, WebhookChannel

if TYPE_CHECKING:
    import ssl

    from proxy.config import Config
    from proxy.net.session import HttpSession


def notice_channels(config: Config, session: HttpSession, trusted: ssl.SSLContext | None) -> tuple[NoticeChannel, ...]:
    """None, one or both."""
    notify, channels = config.notify, list[NoticeChannel]()
    if notify.webhook is not None:
        channels.append(WebhookChannel(session, notify.webhook, notify.secret, config.upstream.proxy, trusted))
    if notify.command:
        channels.append(CommandChannel(notify.command))
    return tuple(channels)
