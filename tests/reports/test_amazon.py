"""Addresses of rows that lead nowhere; what answers mean is in test_answers.py, the wire in tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn, cast

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from proxy.profiles.listing import ProfileSource
from proxy.reports.amazon import DownloadFailed, ReportApi


class NoNames(AbstractResolver):
    """Knows no name."""

    async def resolve(self, *_: Any, **__: Any) -> NoReturn:
        raise OSError("unknown")

    async def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    "url", ["https://xn--a/x", "https://xn--%/x", "https://a][::/x", "https://..a/x", "https://a\\b"]
)
async def test_rows_at_an_address_that_cannot_be_read_are_not_fetched(url: str, tmp_path: Path) -> None:
    """Whatever it is: the order is given up later, and the others of the run go on."""
    source = ProfileSource("main", "client", {}, pins_first=False)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoNames())) as session:
        api = ReportApi(session, cast(Any, None), lambda _: source)
        with pytest.raises(DownloadFailed):
            await api.download("main", url, tmp_path / "rows", 0)
