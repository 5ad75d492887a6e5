"""`notify`: a test notice, against a real receiver and real commands."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from proxy.commands.notify import send_test
from proxy.config import load
from tests.observability.test_delivery import Receiver, receiving

ACCOUNT = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "canary"}


async def sent(**notify: str) -> int:
    environ = {f"ADS_PROXY_NOTIFY__{name.upper()}": value for name, value in notify.items()}
    return await asyncio.to_thread(send_test, load(None, {**ACCOUNT, **environ}))


async def test_a_test_notice_arrives_by_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is said to have."""
    receiver = Receiver()
    async with receiving(receiver):
        code = await sent(webhook=receiver.url, command=f"tee,{tmp_path / 'got'}")
    assert (code, capsys.readouterr().out) == (0, "notify.webhook: it arrived.\nnotify.command: it arrived.\n")
    assert json.loads(receiver.got[0][1])["type"] == "test"
    assert json.loads((tmp_path / "got").read_text())["type"] == "test"


async def test_what_does_not_arrive_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The command reports it once, with exit code 1, and tries the other channel as well."""
    receiver = Receiver(lambda: web.Response(status=403))
    async with receiving(receiver):
        code = await sent(webhook=receiver.url, command="true")
    out, err = capsys.readouterr()
    assert (code, out, err) == (1, "notify.command: it arrived.\n", "ads-proxy: notify.webhook: It answered 403.\n")
    assert len(receiver.got) == 1


async def test_where_nobody_is_told_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With the keys to set."""
    assert await sent() == 1
    assert "set notify.webhook or notify.command" in capsys.readouterr().err
