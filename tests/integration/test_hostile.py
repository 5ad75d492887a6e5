"""Clients that mean harm, against the running program: others are served meanwhile, and memory stays bounded.

What a web page in a browser may try is in `test_browser_attacks`, what a byte may do in `tests/conformance`.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.running import Load, Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

MANY = 2000
MIB = 1024


@pytest.fixture(autouse=True)
def enough_files() -> Iterator[None]:
    """As many open files for this process as it may have: the attackers live in it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < MANY + 200:
        pytest.skip(f"this system allows {hard} open files")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(url_or_netloc: str) -> socket.socket:
    host, port = url_or_netloc.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


@contextlib.contextmanager
def connections(netloc: str, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections on each of which this was sent."""
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(connect(netloc))
            opened[-1].sendall(sent)
        yield opened
    finally:
        for each in opened:
            each.close()


def push(attackers: list[socket.socket], data: bytes, limit: int) -> int:
    """Send the data over and over on all of them, up to `limit` bytes each, until nothing moves; bytes in all."""
    with selectors.DefaultSelector() as selector:
        sent = dict.fromkeys(attackers, 0)
        for each in attackers:
            each.setblocking(False)
            selector.register(each, selectors.EVENT_WRITE)
        while selector.get_map() and (ready := selector.select(1.0)):
            for key, _ in ready:
                attacker = key.fileobj
                assert isinstance(attacker, socket.socket)
                try:
                    sent[attacker] += attacker.send(data)
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(attacker)
                    continue
                if sent[attacker] >= limit:
                    selector.unregister(attacker)
    return sum(sent.values())


SLOW_HEAD = b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.mark.alone
def test_two_thousand_slow_heads_leave_others_served(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Slowloris: each sends a head byte by byte; clients are served while all of them are there."""
    with serving(tmp_path, amazon.configuration(limits={"header_timeout": 600})) as running:
        running.until_listed()
        with connections(running.netloc, MANY, SLOW_HEAD) as slow:
            running.until(lambda: running.status()["connections"]["clients"] == MANY)
            with Load(running) as load:
                for attacker in slow:
                    attacker.sendall(b"a")
                running.until(lambda: load.total > 300)
            assert set(load.statuses) == {200}
            assert not load.failures
            assert running.status()["connections"]["clients"] >= MANY


@pytest.mark.alone
def test_two_thousand_slow_heads_are_thrown_out(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With a 408 once their time is over; one whose head had not begun by then, without a word."""
    with serving(tmp_path, amazon.configuration(limits={"header_timeout": 1})) as running:
        running.until_listed()
        with connections(running.netloc, MANY, SLOW_HEAD) as slow:
            answers = Counter(map(status_line, slow))
            running.until(lambda: running.status()["connections"]["clients"] < 50)
        assert answers.keys() <= {b"HTTP/1.1 408 ", b""}
        refused = answers[b"HTTP/1.1 408 "]
        assert refused > MANY / 2
        running.until(lambda: running.metric("refused_total", reason="request-timeout") >= refused)


def status_line(attacker: socket.socket) -> bytes:
    """The beginning of a response, with the status; empty if the connection ends without one."""
    with contextlib.suppress(ConnectionResetError):
        return attacker.recv(13)
    return b""


def test_silent_connections_to_the_admin_listener_take_nothing_away(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With five hundred of them health and metrics answer, clients are served, and most of the silent are gone."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        with connections(running.admin, 500) as silent:
            assert running.admin_get("/livez")[0] == 200
            assert running.admin_get("/metrics")[0] == 200
            assert running.get("/v2/profiles")[0] == 200
            descriptors = Path(f"/proc/{running.process.pid}/fd")
            running.until(lambda: len(list(descriptors.iterdir())) < 250)
            with contextlib.suppress(ConnectionResetError):
                assert silent[0].recv(1) == b""


@contextlib.contextmanager
def hostile(running: Serving, count: int) -> Iterator[list[socket.socket]]:
    """Connections of attackers. A client is served while they are still there."""
    with connections(running.netloc, count) as attackers:
        yield attackers
        assert running.get("/v2/profiles")[0] == 200


def endless_heads(running: Serving) -> None:
    with hostile(running, 100) as attackers:
        for attacker in attackers:
            attacker.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: ")
        push(attackers, b"a" * 65536, 5_000_000)


def endless_chunk_extensions(running: Serving) -> None:
    with hostile(running, 100) as attackers:
        for attacker in attackers:
            attacker.sendall(b"POST /sim/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;x=")
        push(attackers, b"a" * 65536, 5_000_000)


def endless_trailers(running: Serving) -> None:
    with hostile(running, 100) as attackers:
        for attacker in attackers:
            attacker.sendall(b"POST /sim/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        push(attackers, b"X-Trailer: aaaaaaaa\r\n" * 3000, 5_000_000)


def one_byte_chunks(running: Serving) -> None:
    """Four bodies of 256 KiB, each byte a chunk; none is ended."""
    with hostile(running, 4) as attackers:
        for attacker in attackers:
            attacker.sendall(b"POST /sim/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        push(attackers, b"1\r\na\r\n" * 1000, 262_000 * 6)
        settle(running)


def one_byte_chunks_for_a_token(running: Serving) -> None:
    """Ten strangers at the token endpoint, who send 64 KiB so."""
    with hostile(running, 10) as attackers:
        for attacker in attackers:
            attacker.sendall(b"POST /auth/o2/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        push(attackers, b"1\r\na\r\n" * 1000, 65_000 * 6)
        settle(running)


def one_byte_reads(running: Serving) -> None:
    """Bodies of 256 KiB that come two bytes at a time."""
    with hostile(running, 4) as attackers:
        for attacker in attackers:
            attacker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            attacker.sendall(b"POST /sim/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 262144\r\n\r\n")
        push(attackers, b"aa", 100_000)
        settle(running)


def pipelined_requests(running: Serving) -> None:
    """Requests without end, whose answers are never read."""
    with hostile(running, 20) as attackers:
        push(attackers, b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000, 20_000_000)


def pipelined_refusals(running: Serving) -> None:
    """Connections with pipelined requests that the proxy answers itself."""
    with hostile(running, 1) as (attacker,):
        attacker.settimeout(3.0)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                attacker.sendall(b"GET /auth/other HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)


def pipelined_behind_a_slow_one(running: Serving) -> None:
    with hostile(running, 50) as attackers:
        for attacker in attackers:
            attacker.sendall(b"GET /sim/slow?head=4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        push(attackers, b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000, 20_000_000)


def slow_readers(running: Serving) -> None:
    """A hundred clients ask for 50 MB each and read nothing."""
    with hostile(running, 100) as attackers:
        for attacker in attackers:
            attacker.sendall(b"GET /sim/bytes/50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        running.until(lambda: running.metric("requests_in_flight") + running.metric("cut_responses_total") >= 100)
        settle(running)


def uploads_nobody_reads(running: Serving) -> None:
    """Bodies that come back as responses, which are never read: both directions hang."""
    with hostile(running, 40) as attackers:
        for attacker in attackers:
            attacker.sendall(b"POST /sim/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n")
        push(attackers, b"b" * 65536, 40_000_000)


def ever_new_heads(running: Serving) -> None:
    """Ten thousand heads, 40 MB of them, no two alike, with ever new paths, profiles, accounts and keys."""
    with connect(running.netloc) as attacker:
        reader = threading.Thread(target=drain, args=(attacker,), daemon=True)
        reader.start()
        for number in range(10_000):
            name = b"%06d" % number
            attacker.sendall(
                b"GET /v2/campaigns/%b?%b HTTP/1.1\r\nHost: localhost\r\nX-Filler-%b: %b\r\nX-Ads-Account: no%b\r\n"
                b"Amazon-Advertising-API-Scope: 77%b\r\nX-Request-Id: r%b\r\n\r\n"
                % (name, name * 40, name, b"f" * 3600, name, name, name)
            )
        attacker.shutdown(socket.SHUT_WR)
        reader.join(PATIENCE)


def ever_new_values(running: Serving) -> None:
    """Two thousand heads of every size, whose profiles, accounts, agents and targets are ever new, and long."""
    with connect(running.netloc) as attacker:
        reader = threading.Thread(target=drain, args=(attacker,), daemon=True)
        reader.start()
        for number in range(2_000):
            name = b"%06d" % number
            value = name.ljust((60, 600, 3_500, 55_000)[number % 4], b"x")
            header = (b"Amazon-Advertising-API-Scope", b"Amazon-Ads-AccountId", b"User-Agent")[number % 3]
            attacker.sendall(
                b"GET /v2/campaigns/%b HTTP/1.1\r\nHost: localhost\r\n%b: %b\r\n\r\n"
                % (name * (number % 1000), header, value)
            )
        attacker.shutdown(socket.SHUT_WR)
        reader.join(PATIENCE)


def drain(attacker: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while attacker.recv(1 << 20):
            pass


def settle(running: Serving) -> None:
    """Wait until the program's memory no longer grows."""
    last = 0

    def is_still() -> bool:
        nonlocal last
        before, last = last, running.process.resident_kib
        time_to_look.wait(0.5)
        return abs(running.process.resident_kib - before) < 512

    time_to_look = threading.Event()
    running.until(is_still)


ATTACKS: tuple[tuple[Callable[[Serving], None], int], ...] = (
    (endless_heads, 40),
    (endless_chunk_extensions, 40),
    (endless_trailers, 40),
    (one_byte_chunks, 40),
    (one_byte_chunks_for_a_token, 40),
    (one_byte_reads, 40),
    (pipelined_requests, 40),
    (pipelined_refusals, 40),
    (pipelined_behind_a_slow_one, 60),
    (slow_readers, 100),
    (uploads_nobody_reads, 60),
    (ever_new_heads, 40),
    (ever_new_values, 30),
)
"""Each attack, and by how many MiB the program may grow under it: none comes near what the attacker sent or asked."""


@pytest.mark.parametrize(("attack", "most"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_memory_stays_bounded(
    amazon: SimulatedAmazon, tmp_path: Path, attack: Callable[[Serving], None], most: int
) -> None:
    """The program's greatest size under the attack is within bounds, and a client is served during and after it."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        assert running.get("/v2/profiles")[0] == 200
        before, peak = running.process.resident_kib, 0
        over = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.02):
                peak = max(peak, running.process.resident_kib)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            with Load(running, workers=1, pause=0.05, keep=False) as load:
                attack(running)
        finally:
            over.set()
            watching.join()
        print(f"{attack.__name__}: {before / MIB:.0f} MiB before, at most {peak / MIB:.0f} MiB, {load.total} requests")
        assert (peak - before) / MIB < most
        assert load.statuses.keys() == {200}
        assert not load.failures
        assert running.get("/v2/profiles")[0] == 200
