"""The conformance cases against this project's proxy, each inside a tunnel to one of Amazon's hosts.

Left out are cases that end one direction of the connection, as TLS ends both, those about Host and the forms of a
target, which have rules of their own inside a tunnel (`tests/intercept`), and those whose bytes cannot be changed.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from tests.conformance.bench import SENTINEL, Bench, Wire, connect_directly
from tests.conformance.case import Case, HalfClose, Step
from tests.conformance.cases import CASES
from tests.conformance.targets import INTERCEPTING
from tests.conformance.test_ours import Rig, check
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.conformance

HOST = "advertising-api.amazon.com"
OTHER_RULES = ("host-", "target-absolute-", "target-connect", "target-form-", "old-absolute-", "pipe-misdirected-")
OWN_BYTES = ("line-byte-by-byte", "pipe-split-anywhere", "length-get-request", "coding-connection-length")
_HOST_LINE = re.compile(rb"(\nhost:[ \t]*)127\.0\.0\.1", re.IGNORECASE)


def fits(case: Case) -> bool:
    """Whether what a case requires is the same inside a tunnel."""
    return HalfClose() not in case.send and not case.id.startswith(OTHER_RULES + OWN_BYTES)


def inside(case: Case) -> Case:
    """The case with the tunnel's host as Host."""
    return replace(case, send=tuple(map(_for_the_tunnel, case.send)))


def _for_the_tunnel(step: Step) -> Step:
    return _HOST_LINE.sub(rb"\1" + HOST.encode(), step) if isinstance(step, bytes) else step


class Door:
    """Opens tunnels for clients that trust the proxy's authority."""

    trusting: ssl.SSLContext

    async def connect(self, wire: Wire, port: int) -> None:
        """Connect a wire to the inside of a new tunnel."""
        await connect_directly(wire, port)
        wire.transport.write(b"CONNECT %b:443 HTTP/1.1\r\nHost: %b:443\r\n\r\n" % (HOST.encode(), HOST.encode()))
        assert await wire.board.until(lambda: b"\r\n\r\n" in wire.raw or wire.ended)
        assert wire.raw.startswith(b"HTTP/1.1 200 "), wire.raw
        wire.raw.clear()
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(wire.transport, wire, self.trusting, server_hostname=HOST)
        wire.transport = cast(asyncio.Transport, secured)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """The proxy, started once for all cases."""
    door = Door()
    with asyncio.Runner() as runner:
        bench = Bench(PATIENCE, door.connect, SENTINEL.replace(b"127.0.0.1", HOST.encode()))
        running = Rig(runner, bench, INTERCEPTING)
        door.trusting = ssl.create_default_context(cafile=running.target.directory / "ca" / "ca.pem")
        yield running
        running.stop()


@pytest.mark.parametrize("case", [pytest.param(inside(case), id=case.id) for case in CASES if fits(case)])
def test_case(rig: Rig, case: Case) -> None:
    """What the case requires happens inside a tunnel, too."""
    check(rig, case, "first")
