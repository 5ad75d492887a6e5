"""`/metrics`: made in small pieces, compressed where the scraper takes gzip, and never in anybody's way."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterator

import pytest

from proxy.admin import scrape
from proxy.admin.scrape import accepts_gzip, runs_of
from proxy.events import DefectMet, RefreshCause, TokenRefreshed
from tests.admin.fixtures import AdminClient, FakeProgram, administer
from tests.support.scraping import scraped


async def raw(admin: AdminClient, head: str) -> bytes:
    """The bytes of an answer, as they come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    writer.write(f"{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def of_the_program(body: bytes) -> list[bytes]:
    return [line for line in body.splitlines() if b"process_" not in line]


async def test_a_scrape_has_all_metrics() -> None:
    """With thousands of accounts too, which make many pieces."""
    async with administer(FakeProgram()) as admin:
        admin.metrics.accounts(f"acct-{number}" for number in range(3000))
        async with admin.ask("/metrics", headers={"Accept-Encoding": "identity"}) as answer:
            body = await answer.read()
        assert of_the_program(body) == of_the_program(scraped(admin.metrics))
        assert "Content-Encoding" not in answer.headers


async def test_who_takes_gzip_gets_it() -> None:
    """Prometheus accepts gzip: the same text in a twentieth of the bytes."""
    async with administer(FakeProgram()) as admin:
        admin.metrics.accounts(f"acct-{number}" for number in range(3000))
        head, _, body = (await raw(admin, "GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip")).partition(b"\r\n\r\n")
        assert b"Content-Encoding: gzip" in head
        assert of_the_program(gzip.decompress(body)) == of_the_program(scraped(admin.metrics))
        assert len(body) < len(zlib.decompress(body, 31)) / 20


async def test_what_did_not_change_is_not_compressed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of one account among thousands changes three families: their runs alone are compressed again."""
    compressed: list[bytes] = []
    compress = scrape.compress_run

    def count(text: bytes) -> bytes:
        compressed.append(text)
        return compress(text)

    monkeypatch.setattr(scrape, "compress_run", count)
    async with administer(FakeProgram()) as admin:
        admin.metrics.accounts(f"acct-{number}" for number in range(3000))
        texts = []
        for moment in range(3):
            compressed.clear()
            admin.metrics.observe(TokenRefreshed("acct-7", 1, 0.1, 1_790_000_000.0 + moment, RefreshCause.START))
            _, _, body = (await raw(admin, "GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip")).partition(b"\r\n\r\n")
            texts.append(gzip.decompress(body))
            assert of_the_program(texts[-1]) == of_the_program(scraped(admin.metrics))
    changed = [text for text in compressed if b"acct-7" in text]
    assert changed
    assert sum(map(len, compressed)) < len(texts[-1]) / 10


def test_a_scrape_without_a_series_can_be_read() -> None:
    """Whatever is scraped, its stream has a beginning and an end."""
    stream = scrape.GzipStream({})
    assert repr(stream) == "<GzipStream of 0 bytes>"
    assert gzip.decompress(stream.add((b"# one\n",)) + stream.end()) == b"# one\n"


async def test_a_family_begins_a_run() -> None:
    """What is added to one family does not move the pieces of the next one to other runs; empty pieces are pauses."""
    pieces = [b"# a\n", *[b"a 1\n"] * 40, b"", b"# b\n", b"b 1\n"]
    runs = [run async for run in runs_of(iter(pieces))]
    assert [len(run) for run in runs] == [32, 9, 2]
    assert b"".join(piece for run in runs for piece in run) == b"".join(pieces)
    assert [run async for run in runs_of(iter([b"", b""]))] == []


async def test_head_has_no_body() -> None:
    """The response has headers only."""
    async with administer(FakeProgram()) as admin:
        answer = await raw(admin, "HEAD /metrics HTTP/1.1\r\nAccept-Encoding: gzip")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize(
    ("field", "accepts"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
        ("", False),
        ("xgzip", False),
    ],
)
def test_gzip_is_for_who_names_it(field: str, accepts: bool) -> None:
    """RFC 9110, section 12.5.3; a weight of zero means that it is not wanted."""
    assert accepts_gzip(field) is accepts


async def test_liveness_does_not_wait_for_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape that never ends is under way, and the health pages answer."""
    async with administer(FakeProgram()) as admin:

        def endless(_accept: str) -> tuple[Iterator[bytes], str]:
            return iter(lambda: b"", None), "text/plain"

        monkeypatch.setattr(admin.metrics, "scrape", endless)
        scrape = asyncio.create_task(raw(admin, "GET /metrics HTTP/1.1"))
        for path in ("/livez", "/readyz", "/startup"):
            assert await admin.status(path) == 200
        assert not scrape.done()
        scrape.cancel()
        await asyncio.wait([scrape])


async def test_a_scraper_that_leaves_is_no_defect() -> None:
    """The client disconnects in the middle of the response: the rest is not sent, and nothing is reported."""
    program = FakeProgram()
    async with administer(program) as admin:
        admin.metrics.accounts(f"acct-{number}" for number in range(3000))
        _, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await writer.drain()
        writer.transport.abort()
        assert await admin.status("/livez") == 200
    assert not [event for event in program.seen if isinstance(event, DefectMet)]
