"""`notify`: Send a test notice to webhook and command.

The exit code is 1 if a notice did not arrive.

Example: ads-proxy notify --config proxy.yaml
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from typing import TYPE_CHECKING

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.terminal import FAILED, OK, complain, say
from proxy.config import environment, load
from proxy.events import NoticeKind
from proxy.net.names import Names
from proxy.observability.notices import Notice

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.observability.delivery import NoticeChannel

TEXT = "This is a test: ads-proxy can reach you here when a sign-in is needed or a consent expires."


def notify(config: ConfigOption = None, env_file: EnvFileOption = None) -> int:
    return send_test(load(config, environment(env_file)))


def send_test(config: Config) -> int:
    """0 if the notice arrived everywhere; 1 if not, or if no channel is configured."""
    if config.notify.webhook is None and not config.notify.command:
        complain("notify: no webhook and no command; set notify.webhook or notify.command (docs/how-to/notify.md)")
        return FAILED
    return asyncio.run(_send(config))


async def _send(config: Config) -> int:
    notice = Notice(uuid.uuid4().hex, NoticeKind.TEST, "", TEXT, time.time())
    from proxy.net.session import make_session
    from proxy.observability.delivery import CommandChannel, WebhookChannel

    names = Names()
    session = make_session(names)
    try:
        channels: list[NoticeChannel] = []
        if (url := config.notify.webhook) is not None:
            context = ssl.create_default_context(cafile=config.upstream.ca_file)
            channels.append(WebhookChannel(session, url, config.notify.secret, config.upstream.proxy, context))
        if config.notify.command:
            channels.append(CommandChannel(config.notify.command))
        return max([await _try(channel, notice) for channel in channels])
    finally:
        await session.close()
        names.stop()


async def _try(channel: NoticeChannel, notice: Notice) -> int:
    from proxy.observability.delivery import DeliveryFailed

    try:
        await channel.deliver(notice)
    except DeliveryFailed as failure:
        complain(f"notify.{channel.name}: {failure.detail}")
        return FAILED
    say(f"notify.{channel.name}: it arrived.")
    return OK
