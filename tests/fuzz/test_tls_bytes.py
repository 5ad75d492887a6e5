"""Whatever becomes of TLS on its way, what is read through it is the truth as far as it came, and it ends."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from proxy.net.tls import TlsTerms, TlsTransport
from tests.fuzz.depth import at_length, briefly
from tests.support.certificates import Authority
from tests.support.tls_peer import Spoken, trusting

TRUTH = b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + bytes(range(250)) * 160
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Damage:
    """What happens to the stream at a place: `size` bytes there are lost, come twice, or are changed."""

    kind: str
    at: int
    size: int


def damaged(stream: bytes, damage: Damage) -> bytes:
    before, hit, behind = stream[: damage.at], stream[damage.at :][: damage.size], stream[damage.at :][damage.size :]
    match damage.kind:
        case "lost":
            return before + behind
        case "twice":
            return before + hit + hit + behind
        case "changed":
            return before + bytes(byte ^ 0x55 for byte in hit) + behind
        case _:
            return before + bytes(damage.size) + hit + behind


class MemoryTransport(asyncio.Transport):
    """The plain transport below, with a server behind it that answers as soon as it can."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.closing = self.answered = False

    def write(self, data: object) -> None:
        assert isinstance(data, bytes | memoryview)
        if not self.closing:
            self.incoming.write(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def serve(self) -> bytes:
        """What the server sends now: its part of the handshake, then the truth in three records, and that it ends."""
        try:
            self.server.do_handshake()
            if not self.answered:
                self.answered = True
                for start in range(0, len(TRUTH), 15_000):
                    self.server.write(TRUTH[start : start + 15_000])
                self.server.unwrap()
        except ssl.SSLError:
            pass  # it wants more, or was sent an alert
        return self.outgoing.read()


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's, and that of who trusts it."""
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        return authority.context("localhost"), trusting(authority)


def talk(damage: Damage | None, segment: int) -> tuple[TlsTransport, Spoken]:
    """The whole talk. The bytes from the server are one stream, of which the damage is at one place."""
    serving, trusted = contexts()
    loop = asyncio.new_event_loop()
    spoken = Spoken()
    tls = TlsTransport(spoken, TlsTerms(trusted, "localhost"), loop)
    plain = MemoryTransport(serving)
    tls.connection_made(plain)
    given_so_far, sent = b"", b""
    for _ in range(_ROUNDS):
        sent += plain.serve()
        stream = damaged(sent, damage) if damage else sent
        feed(tls, plain, stream[len(given_so_far) :], segment)
        given_so_far = stream if len(stream) > len(given_so_far) else given_so_far
    plain.close()
    tls.connection_lost(None)
    loop.close()
    return tls, spoken


def feed(tls: TlsTransport, plain: MemoryTransport, data: bytes, segment: int) -> None:
    for start in range(0, len(data), segment):
        if plain.closing:
            return
        piece = data[start : start + segment]
        tls.get_buffer(-1)[: len(piece)] = piece
        tls.buffer_updated(len(piece))


def test_without_damage_everything_comes() -> None:
    """Else the rest would show nothing."""
    for segment in (1, 7, 1000, 65536):
        _, spoken = talk(None, segment)
        assert spoken.received == TRUTH
        assert (spoken.told, spoken.error) == (["made", "end", "lost"], None)


def truth_or_loss(damage: Damage, segment: int) -> None:
    tls, spoken = talk(damage, segment)
    assert TRUTH.startswith(bytes(spoken.received))
    assert tls.agreed.done()
    if tls.agreed.exception() is not None:
        assert spoken.told == []
    else:
        assert spoken.told in (["made", "lost"], ["made", "end", "lost"])
    assert "end" not in spoken.told or spoken.received == TRUTH


def tried(deeply: Callable[..., Callable[..., None]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    places = st.one_of(st.integers(0, 1500), st.integers(0, 42_000))
    sizes = st.one_of(st.just(1), st.integers(1, 20_000))
    damages = st.builds(
        Damage,
        st.sampled_from(("lost", "twice", "changed", "new")),
        places,
        sizes,
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return deeply(given(damages, st.sampled_from((1, 13, 500, 65536)))(test))

    return decorate


@tried(briefly)
def test_damage_is_never_taken_for_an_answer(damage: Damage, segment: int) -> None:
    """A slice of it."""
    truth_or_loss(damage, segment)


@tried(at_length)
def test_damage_is_never_taken_for_an_answer_at_length(damage: Damage, segment: int) -> None:
    """More of it."""
    truth_or_loss(damage, segment)
