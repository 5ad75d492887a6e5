"""A worker that cannot go on reports it to its supervisor, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.access.signing_keys import read_key
from proxy.access.token_verification import ProviderKeys
from proxy.app.jwks_keeper import write_known
from proxy.app.server_tls import ServerTls
from proxy.app.spend_observations import read_within
from proxy.app.workers import worker as module
from proxy.app.workers.channel import Descriptors, FrameReader, Message, pack
from proxy.app.workers.shared_counts import SharedCounts
from proxy.app.workers.worker import DeferredWrites, DeferringTransport, Worker
from proxy.config import load
from proxy.config.serialization import from_pieces, to_document, to_pieces
from proxy.errors import TokenNotChecked, TokenRefused
from proxy.events import (
    Event,
    NumbersOverflowed,
    Observers,
    SpendAmount,
    SpendJudgement,
    SpendMode,
    SpendRule,
    SpendVerdict,
)
from proxy.observability.number_memory import BEAT, NumberReader, make_memory_file
from proxy.spend.observations import MAX_RULES, read_judged
from tests.observability.test_metrics import finished
from tests.support.issuers import Signer
from tests.support.patience import PATIENCE, settled

VARIABLES = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "canary-secret-of-some-length",
    "ADS_PROXY_STATE__URL": "memory:",
}


class SentMessages:
    """What the worker told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)


async def test_what_a_worker_cannot_begin_with_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason and the trace leave before it ends; no traceback stands between the lines of the log."""
    ended = asyncio.Event()
    monkeypatch.setattr(module, "exit_immediately", ended.set)
    ours, theirs = socket.socketpair()
    numbers = make_memory_file()
    worker = Worker(Descriptors(theirs.detach(), numbers, numbers, 1, ()))
    try:
        ours.sendall(pack("begin", number=0))
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
        [told] = FrameReader().feed(ours.recv(1 << 16, socket.MSG_DONTWAIT))
    finally:
        worker.close()
        ours.close()
        os.close(numbers)
    assert (told["kind"], told["at"], told["reason"]) == ("failed", "begin", "KeyError, told as a defect")
    assert told["trace"].endswith("KeyError: 'config'\n")
    assert capfd.readouterr() == ("", "")


class Begun:
    """A worker that has begun, with the supervisor's end of its channel."""

    def __init__(self, counts: SharedCounts, **environment: str) -> None:
        self.numbers = make_memory_file()
        self.supervisor, theirs = socket.socketpair()
        self.worker = Worker(Descriptors(theirs.detach(), self.numbers, counts.descriptor, 4, ()))
        self._config = to_document(load(None, {**VARIABLES, **environment}))
        self._frames = FrameReader()

    async def begin(self, *, audited: bool) -> None:
        output = {"form": "json", "on_terminal": False, "options": {}}
        settings = {**output, "level": "error", "demo": False, "open_files": 0, "audited": audited, "slots": {}}
        self.say("begin", number=3, config=self._config, tls=ServerTls().to_document(), **settings)
        await settled(lambda: hasattr(self.worker, "forwarder"))

    def say(self, kind: str, **values: Any) -> None:
        self.supervisor.sendall(pack(kind, **values))

    def reload(self, generation: int, **environment: str) -> None:
        """Reload as the supervisor does."""
        *accounts, rest = to_pieces(load(None, {**VARIABLES, **environment}), (self.worker.config,))
        for piece in accounts:
            self.say("accounts", piece=piece)
        self.say("apply", generation=generation, rest=rest, slots={}, tls=ServerTls().to_document())

    async def hear(self, kind: str, *, count: int = 1) -> list[Message]:
        """The worker's next messages of this kind, so many of them."""
        heard: list[Message] = []

        def read() -> bool:
            with contextlib.suppress(BlockingIOError):
                messages = self._frames.feed(self.supervisor.recv(1 << 16, socket.MSG_DONTWAIT))
                heard.extend(message for message in messages if message["kind"] == kind)
            return len(heard) >= count

        await settled(read)
        return heard

    @property
    def takes_writes(self) -> bool:
        return self.worker.accounting.write_gate.takes_writes()

    def close(self) -> None:
        self.worker.close()
        self.supervisor.close()
        os.close(self.numbers)


@pytest.fixture
def unfrozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests leave can be collected."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


@contextlib.asynccontextmanager
async def begun(*, audited: bool = True, **environment: str) -> AsyncIterator[Begun]:
    counts = SharedCounts.make(4)
    made = Begun(counts, **environment)
    try:
        await made.begin(audited=audited)
        yield made
    finally:
        made.close()
        counts.close()


@pytest.mark.parametrize("required", ["true", "false"])
async def test_no_write_leaves_without_a_supervisor(required: str) -> None:
    """No process is left that could record it, or report that it was not recorded, whatever `audit.required` says."""
    async with begun(ADS_PROXY_AUDIT__REQUIRED=required) as running:
        assert running.takes_writes
        running.supervisor.shutdown(socket.SHUT_RDWR)
        await settled(lambda: not running.takes_writes)


async def test_writes_go_on_without_a_supervisor_and_without_a_stream() -> None:
    """Where nothing is recorded, nothing is refused."""
    async with begun(audited=False) as running:
        running.supervisor.shutdown(socket.SHUT_RDWR)
        await settled(lambda: not running.worker._channel.is_open)
        assert running.takes_writes


async def test_no_write_leaves_while_the_supervisors_stream_is_full() -> None:
    """Writes are held until the supervisor reports that it takes records again."""
    async with begun() as running:
        running.say("audit", takes_writes=False)
        await settled(lambda: not running.takes_writes)
        running.say("audit", takes_writes=True)
        await settled(lambda: running.takes_writes)


@pytest.mark.parametrize(("required", "takes"), [("true", False), ("false", True)])
async def test_no_write_leaves_while_the_supervisor_hangs(
    required: str, takes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor reads nothing, and records wait in the worker; `audit.required: false` lets writes go on."""
    monkeypatch.setattr(module, "MAX_UNSENT", 1)
    async with begun(ADS_PROXY_AUDIT__REQUIRED=required) as running:
        while not running.worker._channel.unsent:
            running.worker._say_audit({"text": "x" * 1000}, write=True)
        assert running.takes_writes is takes


async def test_no_write_leaves_while_too_many_records_are_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that are over count, as long as their bodies are not read."""
    monkeypatch.setattr(module, "MAX_UNSENT", 2000)
    async with begun() as running:
        gate = running.worker.accounting.write_gate
        found = []
        for gate.unrecorded in (1, 2, 0):
            found.append(running.takes_writes)
        assert found == [True, False, True]


async def test_records_that_come_after_the_supervisor_are_reported(capfd: pytest.CaptureFixture[str]) -> None:
    """On standard error, when the worker ends: the log went through the supervisor."""
    async with begun() as running:
        running.supervisor.shutdown(socket.SHUT_RDWR)
        await settled(lambda: not running.takes_writes)
        for _ in range(2):
            running.worker._say_audit({}, write=True)
        await running.worker.ended.wait()
    text = "2 audit records are lost: their requests were under way when the supervisor ended.\n"
    assert capfd.readouterr().err == f"ads-proxy worker 3: {text}"


async def test_judged_writes_are_told_at_once_and_no_other_request() -> None:
    """The supervisor adds them up; a request without spend limits sends nothing."""
    judged = SpendJudgement(SpendMode.OBSERVE, SpendVerdict.OVER)
    async with begun(audited=False) as running:
        running.worker.observers.observe(finished())
        running.worker.observers.observe(finished(client="agent", spend=judged))
        (told,) = await running.hear("judged")
    write = read_judged(told["write"])
    assert (write.client, write.judged) == ("agent", judged)


async def test_of_a_write_within_its_limits_the_supervisor_is_told_what_counts() -> None:
    """In a message that costs the worker as little as any other."""
    amounts = tuple(SpendAmount(SpendRule.BUDGET, f"{number}", "12.50") for number in range(MAX_RULES + 1))
    judged = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.WITHIN, largest=amounts)
    async with begun(audited=False) as running:
        (observer,) = running.worker.accounting.journal.judged[1:]
        observer.note_judged(finished(client="agent").kind, "/sp/campaigns", judged)
        (told,) = await running.hear("judged-within")
    client, counted, at = read_within(told)
    assert (client, counted) == ("agent", judged._replace(largest=amounts[:MAX_RULES]))
    assert abs(at - time.time()) < 60


async def test_requests_are_cut_once_the_worker_is_told_again_to_end() -> None:
    """A second signal: what runs is answered and recorded by the worker, which ends long before its time."""
    async with begun(ADS_PROXY_DRAIN__TIMEOUT="3600") as running:
        running.worker.acceptors.append(cast(Any, SimpleNamespace(close=lambda: None)))
        running.worker.accounting.started()
        for _ in range(2):
            running.say("drain")
        [told] = await running.hear("drained")
        assert told["cut"] == 0  # no connection has it
        await running.worker.ended.wait()


@pytest.mark.usefixtures("unfrozen")
async def test_a_reload_is_in_force_once_it_is_told() -> None:
    """Regions and secrets of the accounts, the limits, and what the log may say."""
    async with begun() as running:
        worker = running.worker
        running.reload(5, AMAZON_ADS_REGION="eu", AMAZON_ADS_CLIENT_SECRET="canary-newer", ADS_PROXY_LOG__LEVEL="info")
        [told] = await running.hear("applied")
        assert told["generation"] == 5
        assert (
            worker.config.accounts["default"].region == worker.forwarder.rules.table.accounts["default"].region == "eu"
        )
        assert worker.config.log.level == "info"
        assert worker._logs.redaction.clean("canary-newer") == "***"


@pytest.mark.usefixtures("unfrozen")
async def test_a_worker_serves_while_it_reads_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread: messages are heard meanwhile. A reload that comes then knows the accounts of the first."""
    reading, go_on = threading.Event(), threading.Event()

    def read_slowly(pieces: Any, known: Any) -> Any:
        reading.set()
        go_on.wait(20)
        return from_pieces(pieces, known)

    monkeypatch.setattr(module, "from_pieces", read_slowly)
    async with begun() as running:
        try:
            running.reload(1, AMAZON_ADS_REGION="eu")
            await settled(reading.is_set)
            running.say("audit", takes_writes=False)
            await settled(lambda: not running.takes_writes)
            assert running.worker.config.accounts["default"].region == "na"
            running.say(
                "apply",
                generation=2,
                rest=[*to_pieces(load(None, VARIABLES), ())][-1],
                slots={},
                tls=ServerTls().to_document(),
            )
        finally:
            go_on.set()
        assert [told["generation"] for told in await running.hear("applied", count=2)] == [1, 2]
        assert running.worker.config.accounts["default"].region == "eu"


@pytest.mark.usefixtures("unfrozen")
async def test_a_reload_that_cannot_be_put_in_force_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends with it; the next one begins with the newest of everything."""
    ended = asyncio.Event()
    monkeypatch.setattr(module, "exit_immediately", ended.set)
    async with begun() as running:
        running.say("apply", generation=1, rest={}, slots={}, tls=ServerTls().to_document())
        await ended.wait()
        [told] = await running.hear("failed")
    assert (told["at"], told["reason"]) == ("apply", "AttributeError, told as a defect")


async def test_numbers_without_a_place_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose memory has no room for a series reports it at the next turn, and not again."""
    monkeypatch.setattr("proxy.observability.number_memory.NAMES_BYTES", 4096)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    told = SentMessages()
    numbers, counts = make_memory_file(), SharedCounts.make(4)
    ours, theirs = socket.socketpair()
    worker = Worker(Descriptors(theirs.detach(), numbers, counts.descriptor, 4, ()))
    seen = NumberReader(numbers)
    config = to_document(load(None, VARIABLES))
    settings: dict[str, Any] = {
        "form": "json",
        "on_terminal": False,
        "options": {},
        "level": "error",
        "demo": False,
        "open_files": 0,
        "audited": False,
        "slots": {},
        "tls": ServerTls().to_document(),
    }
    try:
        ours.sendall(pack("begin", number=3, config=config, **settings))
        async with asyncio.timeout(PATIENCE):
            while not hasattr(worker, "forwarder"):
                await asyncio.sleep(0)
            worker.observers = Observers((told,))
            worker._memory.block("requests_total", ("x" * 4096,), 1)
            ours.sendall(pack("serve"))
            for _ in range(3):
                beat = seen.header[BEAT]
                while seen.header[BEAT] == beat:
                    await asyncio.sleep(0)
        assert told.events == [NumbersOverflowed(3)]
    finally:
        worker.close()
        ours.close()
        os.close(numbers)
        counts.close()


pytestmark = pytest.mark.usefixtures("every_loop")


class Recording:
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self.done.append(b"|".join(pieces))

    def get_write_buffer_size(self) -> int:
        return 5

    def is_closing(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.done.append(name)


def held() -> tuple[Recording, DeferringTransport]:
    under = Recording()
    return under, DeferringTransport(cast(asyncio.Transport, under), DeferredWrites(asyncio.get_running_loop()))


async def test_what_is_written_leaves_a_turn_later_and_at_once_then() -> None:
    """Nothing is sent within the call, so the writer can count first; pieces stay in their order."""
    under, transport = held()
    transport.write(b"head")
    transport.writelines([b"one", b"two"])
    assert under.done == []
    assert transport.get_write_buffer_size() == 10 + 5
    assert repr(transport) == "<DeferringTransport: 3 pieces held>"
    await asyncio.sleep(0)
    assert under.done == [b"head|one|two"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert under.done == [b"head|one|two", b"next"]
    assert transport.get_write_buffer_size() == 5


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_an_end_comes_behind_what_was_written(end: str) -> None:
    """The last answer of a connection is not lost to its end."""
    under, transport = held()
    transport.write(b"last")
    getattr(transport, end)()
    assert transport.is_closing() is (end == "close")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert under.done == [b"last", end]


async def test_an_abort_is_at_once_and_drops_what_is_held() -> None:
    """A client must not take a broken response for a whole one."""
    under, transport = held()
    transport.write(b"half")
    transport.abort()
    await asyncio.sleep(0)
    assert under.done == ["abort"]
    assert transport.is_closing()


class Reset(Recording):
    """A transport of asyncio's own loop whose client reset the connection, unnoticed so far."""

    def write_eof(self) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


async def test_the_end_of_a_connection_that_was_reset_is_no_defect() -> None:
    """The connection ends at once, as in one process."""
    loop, told = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: told.append(context))
    under = Reset()
    DeferringTransport(cast(asyncio.Transport, under), DeferredWrites(loop)).write_eof()
    await asyncio.sleep(0)
    assert (under.done, told) == (["abort"], [])


async def test_what_is_to_be_counted_is_counted_before_anything_is_sent() -> None:
    """At the end of the turn, whichever came first; then all is sent in its order."""
    writes = DeferredWrites(asyncio.get_running_loop())
    under = [Recording(), Recording()]
    transports = [DeferringTransport(cast(asyncio.Transport, each), writes) for each in under]
    sent_when_counted: list[Any] = []
    transports[0].write(b"one")
    transports[1].write(b"two")
    writes.before_sending(lambda: sent_when_counted.append([*under[0].done, *under[1].done]))
    transports[1].close()
    assert [each.done for each in under] == [[], []]
    assert repr(writes) == "<DeferredWrites: 2 wait>"
    await asyncio.sleep(0)
    assert sent_when_counted == [[]]
    assert [each.done for each in under] == [[b"one"], [b"two", "close"]]


class Gone(Recording):
    """A transport whose other side went away; each loop reports it to the writer in its own way."""

    def __init__(self, *, known: bool) -> None:
        super().__init__()
        self.known = known

    def is_closing(self) -> bool:
        return self.known

    def write(self, data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    write_eof = write


@pytest.mark.parametrize("known", [True, False])
async def test_a_tool_that_went_away_costs_no_other_its_answer(*, known: bool) -> None:
    """Answers of one turn are sent each by itself; what goes wrong with one is told where it was not expected."""
    loop, told = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    writes, under = DeferredWrites(loop), Recording()
    gone = DeferringTransport(cast(asyncio.Transport, Gone(known=known)), writes)
    other = DeferringTransport(cast(asyncio.Transport, under), writes)
    gone.write(b"one")
    gone.write_eof()
    other.write(b"two")
    await asyncio.sleep(0)
    assert under.done == [b"two"]
    assert list(map(str, told)) == ([] if known else ["the handler is closed"])


async def test_a_worker_verifies_tokens_with_what_it_was_told(unfrozen: None) -> None:
    """A token that it accepted is refused once its key is gone; an unknown key is told once a second, not for each
    token."""
    signer, other = Signer("ES256"), Signer("ES256", "second")
    provider = {"issuer": "https://mesh", "audience": "ads-proxy", "jwks": {"url": "https://mesh/keys"}}
    client = {"name": "nightly", "jwt": {"provider": "mesh", "claims": {"sub": "x"}}}
    providers = {"ADS_PROXY_IDENTITY_PROVIDERS__mesh__" + name.upper(): value for name, value in provider.items()}
    written = {name: value if isinstance(value, str) else json.dumps(value) for name, value in providers.items()}
    async with begun(audited=False, **written, ADS_PROXY_CLIENTS=json.dumps([client])) as bench:
        now = time.time()
        claims = {"iss": "https://mesh", "aud": "ads-proxy", "sub": "x", "exp": now + 60, "nbf": now, "iat": now}
        token = signer.token(claims).encode()

        async def told(*signers: Signer, lost: bool = False, tried_at: float = now) -> None:
            known = ProviderKeys(tuple(read_key(each.jwk) for each in signers), now, tried_at)
            bench.say("keys", provider="mesh", known=write_known(known), lost=lost)
            await settled(lambda: bench.worker._token_checks.keys.get("mesh") == known)

        await told(signer)
        assert bench.worker.forwarder.rules.clients.identify_key(token, now).subject == "x"
        await told(other, lost=True, tried_at=0.0)
        for _ in range(3):
            with pytest.raises(TokenNotChecked):
                bench.worker.forwarder.rules.clients.identify_key(token, now)
        assert await bench.hear("missed-key") == [{"kind": "missed-key", "provider": "mesh"}]
        await told(other)
        with pytest.raises(TokenRefused, match="kid"):
            bench.worker.forwarder.rules.clients.identify_key(token, now)
