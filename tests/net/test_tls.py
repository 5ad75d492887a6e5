"""TLS between a plain transport and who speaks through it: both ways, its end, its failures, its limits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.net.tls import TlsTerms, TlsTransport
from tests.support.certificates import Authority
from tests.support.tls_peer import Spoken, TlsPeer, answer_and_reset, blocking_peer, listening

pytestmark = pytest.mark.usefixtures("every_loop")

LARGE = bytes(range(256)) * 80_000
"""20 MB."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_what_is_said_arrives_both_ways(authority: Authority) -> None:
    """However it is cut on its way, and joined where several pieces are written at once."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        spoken.transport.write(b"GET")
        spoken.transport.writelines([b" /", memoryview(b"x")])
        assert await peer.read(6) == b"GET /x"
        for byte in peer.sealed(b"answer"):
            peer.wire.send(bytes([byte]))
            await asyncio.sleep(0)
        await spoken.until(lambda: len(spoken.received) == 6)
        assert spoken.received == b"answer"
        assert repr(spoken.transport) == "<TlsTransport to localhost: speaking>"
        spoken.transport.abort()


async def test_a_handshake_may_come_byte_by_byte(authority: Authority) -> None:
    """The connection is reported only after the handshake."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, opening = await host.connect()
        await peer.shake_hands(cut=1)
        spoken = await opening
        assert spoken.told == ["made"]
        spoken.transport.write(b"hello")
        assert await peer.read(5) == b"hello"
        spoken.transport.abort()


async def test_what_comes_right_behind_the_handshake_is_read(authority: Authority) -> None:
    """In one segment with the last of it, which is the server's in TLS 1.2."""
    context = authority.context("localhost")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(authority, context) as host:
        peer, opening = await host.connect()
        await peer.shake_hands(behind=b"early")
        spoken = await opening
        await spoken.until(lambda: spoken.received == b"early")
        spoken.transport.abort()


async def test_a_session_is_resumed(authority: Authority) -> None:
    """The ticket comes after the handshake in TLS 1.3."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        peer.wire.send(peer.sealed(b"x"))
        await spoken.until(lambda: spoken.received == b"x")
        session = spoken.transport.get_extra_info("ssl_object").session
        spoken.transport.abort()
        peer, spoken = await host.speak(session)
        assert peer.tls.session_reused
        spoken.transport.abort()


# --- what goes wrong while hands are shaken


@pytest.mark.parametrize("name", ["elsewhere", "localhost"])
async def test_a_certificate_that_does_not_fit_is_refused(authority: Authority, name: str, tmp_path: Path) -> None:
    """The certificate is for another name or has a foreign signature; the peer learns of it, and no data flows."""
    other = tmp_path / "other"
    other.mkdir()
    signed_by = authority if name == "elsewhere" else Authority(other)
    async with listening(authority, signed_by.context(name)) as host:
        peer, opening = await host.connect()
        with pytest.raises(ssl.SSLError, match="ALERT"):
            await peer.shake_hands()
            await peer.read(1)
        with pytest.raises(ssl.SSLCertVerificationError):
            await opening
        await peer.wire.end()


async def test_garbage_instead_of_tls_is_an_error(authority: Authority) -> None:
    """Plain HTTP, as a rule."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, opening = await host.connect()
        peer.wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            await opening
        await peer.wire.end()


@pytest.mark.parametrize("end", [lambda peer: peer.wire.close(), lambda peer: peer.wire.drop()])
async def test_an_end_within_the_handshake_is_a_lost_connection(
    authority: Authority, end: Callable[[TlsPeer], None]
) -> None:
    """An orderly one too; its words say where it was."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, opening = await host.connect()
        await peer.wire.take(1)
        end(peer)
        with pytest.raises(ConnectionError, match=r"TLS handshake|reset"):
            await opening


async def test_a_handshake_that_nobody_waits_for_is_ended(authority: Authority) -> None:
    """After the timeout the connection is closed, though the peer goes on."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, opening = await host.connect()
        await peer.wire.take(1)
        opening.cancel()
        await peer.wire.end()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_a_handshake_that_ends_just_as_nobody_waits_is_told_to_nobody(authority: Authority) -> None:
    """The last byte comes after the timeout, but before the waiting code has noticed it."""
    async with listening(authority, authority.context("localhost")) as host:
        loop, spoken = asyncio.get_running_loop(), Spoken()
        connected = socket.create_connection(("127.0.0.1", host.port))
        connected.setblocking(False)
        tls = TlsTransport(spoken, TlsTerms(host.trusting, "localhost"), loop)
        await loop.create_connection(lambda: tls, sock=connected)
        tls.agreed.cancel()
        peer = await host.accepted()
        with contextlib.suppress(EOFError):
            await peer.shake_hands()
        await peer.wire.end()
        assert spoken.told == []


async def test_a_failure_that_nobody_waits_for_is_no_defect(authority: Authority) -> None:
    """The event loop has nothing to complain of."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    async with listening(authority, authority.context("localhost")) as host:

        async def begin() -> None:
            tls = TlsTransport(Spoken(), TlsTerms(host.trusting, "localhost"), loop)
            connected = socket.create_connection(("127.0.0.1", host.port))
            connected.setblocking(False)
            await loop.create_connection(lambda: tls, sock=connected)

        await begin()
        peer = await host.accepted()
        peer.wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.wire.end()
        gc.collect()
        assert not complaints


# --- how it ends


async def test_an_end_that_is_said_is_told_and_answered(authority: Authority) -> None:
    """What came before it is given first, and the peer hears the end of this side, too."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        peer.wire.send(peer.sealed(b"last") + peer.goodbye())
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"last"
        assert (spoken.told, spoken.error) == (["made", "end", "lost"], None)
        assert await peer.read(1) == b""


@pytest.mark.parametrize("kept", [0, 1, 12])
async def test_an_end_without_a_word_is_a_loss(authority: Authority, kept: int) -> None:
    """Between records or in the middle of one: what was whole is given, and no end is told."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        peer.wire.send(peer.sealed(b"whole") + peer.sealed(b"cut")[:kept])
        peer.wire.close()
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"whole"
        assert spoken.told == ["made", "lost"]


async def test_closing_says_so_and_sends_what_was_written(authority: Authority) -> None:
    """An orderly end, after which nothing is sent."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        spoken.transport.write(LARGE[:1_000_000])
        spoken.transport.close()
        spoken.transport.write(b"late")
        assert await peer.read(1_000_001) == LARGE[:1_000_000]
        await spoken.until(lambda: spoken.told == ["made", "lost"])


@pytest.mark.parametrize("at", [0, 8, -1])
async def test_a_damaged_record_ends_it(authority: Authority, at: int) -> None:
    """What was whole before it is given, what is behind it is not, and the peer is told why."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        whole, damaged = peer.sealed(b"whole"), bytearray(peer.sealed(b"damaged"))
        damaged[at] ^= 255
        peer.wire.send(whole, bytes(damaged), peer.sealed(b"behind"))
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"whole"
        assert spoken.told == ["made", "lost"]
        assert isinstance(spoken.error, ssl.SSLError)
        with pytest.raises(ssl.SSLError, match="ALERT"):
            await peer.read(1)


# --- limits


async def test_much_passes_both_ways(authority: Authority) -> None:
    """20 MB, written at once here, and in pieces by the peer."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        spoken.transport.write(LARGE)
        assert await peer.read(len(LARGE)) == LARGE
        for start in range(0, len(LARGE), 1_000_000):
            peer.wire.send(peer.sealed(LARGE[start : start + 1_000_000]))
        await spoken.until(lambda: len(spoken.received) == len(LARGE))
        assert spoken.received == LARGE
        spoken.transport.abort()


async def test_a_protocol_that_pauses_gets_nothing_more_until_it_resumes(authority: Authority) -> None:
    """What the peer cannot send stays with the peer."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        spoken.heard = spoken.transport.pause_reading
        peer.wire.send(peer.sealed(LARGE))
        await spoken.until(lambda: bool(spoken.received))
        paused_at = len(spoken.received)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(spoken.received) == paused_at <= 262_144
        assert peer.wire.transport.get_write_buffer_size() > 1_000_000
        spoken.heard = lambda: None
        spoken.transport.resume_reading()
        await spoken.until(lambda: len(spoken.received) == len(LARGE))
        assert spoken.received == LARGE
        spoken.transport.abort()


async def test_a_peer_that_reads_slowly_pauses_the_writer(authority: Authority) -> None:
    """The waiting bytes are counted until they have left."""
    async with listening(authority, authority.context("localhost")) as host:
        peer, spoken = await host.speak()
        peer.wire.transport.pause_reading()
        written = 0
        while "pause" not in spoken.told:
            spoken.transport.write(LARGE[:100_000])
            written += 100_000
            await asyncio.sleep(0)
        assert 65_536 < spoken.transport.get_write_buffer_size() < 400_000
        peer.wire.transport.resume_reading()
        await peer.read(written)
        await spoken.until(lambda: "resume" in spoken.told)
        assert spoken.transport.get_write_buffer_size() == 0
        spoken.transport.abort()


# --- what it is for


async def test_an_answer_is_read_though_writing_fails(authority: Authority) -> None:
    """The answer came before the reset; later writes are dropped."""
    async with blocking_peer(authority) as (peer, spoken):
        answer_and_reset(peer)
        for _ in range(10):
            spoken.transport.write(LARGE[:100_000])
        assert spoken.transport.failed
        assert spoken.received == b""
        assert repr(spoken.transport) == "<TlsTransport to localhost: speaking, and the peer takes nothing>"
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"413"


async def test_an_answer_is_read_though_the_transports_own_write_fails(authority: Authority) -> None:
    """The failed write is one that was put off. Asyncio's own transport has its socket then; uvloop has read before,
    unless it was paused."""
    async with blocking_peer(authority) as (peer, spoken):
        spoken.transport.pause_reading()
        spoken.transport.write(LARGE)
        assert spoken.transport.get_write_buffer_size() > 0
        answer_and_reset(peer)
        await spoken.until(lambda: "lost" in spoken.told)
        assert isinstance(spoken.error, ConnectionError)
        expected = b"413" if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop) else b""
        assert bytes(spoken.received) == expected
