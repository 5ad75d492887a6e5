"""The webhook against a real receiver, and real commands: what they get, and which failures count."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.events import NoticeKind
from proxy.observability.delivery import CommandChannel, DeliveryFailed, WebhookChannel
from proxy.observability.notices import Notice, signature
from proxy.secret import Secret
from tests.support.patience import PATIENCE

NOTICE = Notice("id-1", NoticeKind.ACCOUNT_REVOKED, "acme", "acme: revoked.", 1_800_000_000.0)
SECRET = Secret("a-secret-of-16-bytes")


@dataclass
class Receiver:
    """A webhook's receiver on a free port, which answers as it is told."""

    answer: Callable[[], web.StreamResponse] = lambda: web.Response(status=204)
    got: list[tuple[web.BaseRequest, bytes]] = field(default_factory=list)
    url: str = ""

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        self.got.append((request, await request.read()))
        return self.answer()


@asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[aiohttp.ClientSession]:
    """The receiver's listener, and a session to post with."""
    runner = web.ServerRunner(web.Server(receiver.receive))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook/canary-path"
    try:
        async with aiohttp.ClientSession() as session:
            yield session
    finally:
        await runner.cleanup()


async def failure_of(channel: WebhookChannel | CommandChannel) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        await channel.deliver(NOTICE)
    return caught.value


async def test_a_receiver_gets_a_signed_notice() -> None:
    """The signature is that of the very bytes and the time that were sent."""
    receiver = Receiver()
    async with receiving(receiver) as session:
        await WebhookChannel(session, Secret(receiver.url), SECRET).deliver(NOTICE)
    ((request, body),) = receiver.got
    assert (request.method, request.path, request.content_type) == ("POST", "/hook/canary-path", "application/json")
    assert json.loads(body)["text"] == "acme: revoked."
    headers = request.headers
    assert headers["webhook-id"] == "id-1"
    timestamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == signature(SECRET.reveal(), "id-1", timestamp, body)


async def test_without_a_secret_nothing_is_signed() -> None:
    """Unsigned notices go out as well, and no outbound proxy is asked for a receiver on this machine."""
    receiver = Receiver()
    async with receiving(receiver) as session:
        await WebhookChannel(session, Secret(receiver.url), None, Secret("http://127.0.0.1:9")).deliver(NOTICE)
    assert "webhook-signature" not in receiver.got[0][0].headers


@pytest.mark.parametrize(
    ("status", "headers", "retry_after"),
    [
        (500, {}, None),
        (429, {"Retry-After": "30"}, 30.0),
        (503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, None),
        (404, {}, None),
        (302, {"Location": "http://127.0.0.1:9/"}, None),
    ],
)
async def test_anything_but_2xx_is_a_failure(status: int, headers: dict[str, str], retry_after: float | None) -> None:
    """Redirects are not followed; a Retry-After in seconds is heard."""
    receiver = Receiver(lambda: web.Response(status=status, headers=headers))
    async with receiving(receiver) as session:
        failure = await failure_of(WebhookChannel(session, Secret(receiver.url), SECRET))
    assert (failure.detail, failure.retry_after) == (f"It answered {status}.", retry_after)
    assert len(receiver.got) == 1


async def test_a_receiver_that_is_not_there_is_told_without_its_address() -> None:
    """The path of a webhook is a secret as often as not."""
    async with aiohttp.ClientSession() as session:
        channel = WebhookChannel(session, Secret("http://127.0.0.1:9/hook/canary-path"), SECRET)
        failure = await failure_of(channel)
    assert failure.detail.startswith("127.0.0.1 cannot be reached (")
    assert "canary" not in failure.detail
    assert repr(channel) == "<WebhookChannel to 127.0.0.1, signed>"


async def test_a_command_gets_the_notice_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard input, as one line of JSON; of the environment only where programs are."""
    monkeypatch.setenv("AMAZON_ADS_CLIENT_SECRET", "canary")
    script = "import json, os, sys; json.dump([sys.stdin.read(), dict(os.environ)], open(sys.argv[1], 'w'))"
    await CommandChannel((sys.executable, "-c", script, str(tmp_path / "got"))).deliver(NOTICE)
    text, environ = json.loads((tmp_path / "got").read_text())
    assert json.loads(text)["type"] == "account-revoked"
    assert text.count("\n") == 1
    assert "PATH" in environ
    assert "canary" not in json.dumps(environ)


@pytest.mark.parametrize(
    ("command", "timeout", "detail"),
    [
        (("false",), PATIENCE, "It ended with exit code 1."),
        (("/no/such/program",), PATIENCE, "It cannot be run: No such file or directory."),
        (("sleep", "600"), 0.2, "It did not end within 0.2 s, and was killed."),
    ],
)
async def test_a_command_that_fails_is_told(command: tuple[str, ...], timeout: float, detail: str) -> None:
    """The report has its exit code, or the reason for none; a command that does not end is ended."""
    channel = CommandChannel(command, timeout=timeout)
    assert (await failure_of(channel)).detail == detail
    assert repr(channel) == f"<CommandChannel {command[0]}>"
