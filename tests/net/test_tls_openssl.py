"""TLS with OpenSSL's own server, which can be told what no server in Python can: new keys, and a new handshake."""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.subprocess import STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.net.tls import TlsTerms, open_tls
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.programs import require_program
from tests.support.tls_peer import Spoken, trusting

pytestmark = pytest.mark.usefixtures("every_loop")


class OpensslServer:
    """`openssl s_server`: a typed line is sent, and one letter alone is a command. It prints each message."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        self._said = b""

    def type(self, line: bytes) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(line + b"\n")

    async def says(self, words: bytes) -> bytes:
        """The line with these words, once it is said."""
        assert self._child.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self._child.stdout.readline():
                if words in line:
                    return line
        raise AssertionError(f"it ended without {words!r}")


@asynccontextmanager
async def speaking(authority: Authority, directory: Path, option: str) -> AsyncIterator[tuple[OpensslServer, Spoken]]:
    """The server, and who speaks with it."""
    pem, pipe = str(directory / "localhost.pem"), asyncio.subprocess.PIPE
    command = ["s_server", "-accept", "127.0.0.1:0", "-cert", pem, "-key", pem, "-msg", option]
    openssl = require_program("openssl")
    child = await asyncio.create_subprocess_exec(openssl, *command, stdin=pipe, stdout=pipe, stderr=STDOUT)
    try:
        server = OpensslServer(child)
        port = int((await server.says(b"ACCEPT")).rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connected:
            connected.setblocking(False)
            spoken = await open_tls(connected, TlsTerms(trusting(authority), "localhost"), Spoken)
            spoken.transport.write(b"hello\n")
            await server.says(b"hello")
            yield server, spoken
            spoken.transport.abort()
            await spoken.until(lambda: "lost" in spoken.told)
    finally:
        child.kill()
        await child.communicate()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path)
    made.context("localhost")
    return made


async def test_new_keys_are_taken_and_given(authority: Authority, tmp_path: Path) -> None:
    """The server's KeyUpdate asks for ours, which leaves before anything else that we say (RFC 8446, 4.6.3)."""
    async with speaking(authority, tmp_path, "-tls1_3") as (server, spoken):
        server.type(b"K")
        await server.says(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
        server.type(b"answer")
        await spoken.until(lambda: spoken.received == b"answer\n")
        spoken.transport.write(b"again\n")
        await server.says(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
        await server.says(b"again")


async def test_a_new_handshake_is_refused(authority: Authority, tmp_path: Path) -> None:
    """TLS 1.2 allows a new handshake during a connection (RFC 5246, 7.4.1.1)."""
    async with speaking(authority, tmp_path, "-tls1_2") as (server, spoken):
        server.type(b"r")
        await server.says(b"HelloRequest")
        await server.says(b"no_renegotiation")
        await spoken.until(lambda: "lost" in spoken.told)
        assert isinstance(spoken.error, ssl.SSLError)
