"""The keys of identity providers, from an HTTPS server that rotates them, is slow, wrong or gone; and from files."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.access.token_verification import ProviderKeys
from proxy.app import jwks_keeper
from proxy.app.jwks_keeper import JwksKeeper
from proxy.app.token_checks import TokenChecks
from proxy.config import Config
from proxy.config.model.identity_providers import IdentityProviderConfig, JwksSection
from proxy.config.model.sections import UpstreamSection
from proxy.events import CounterRaised, ProviderKeysFailed, ProviderKeysRead
from proxy.net.names import Names
from proxy.net.session import make_session
from proxy.secret import Secret
from tests.support.deciding import config
from tests.support.events import EventRecorder
from tests.support.issuers import KeyServer, Signer, jwks, key_server
from tests.support.patience import settled

FIRST, SECOND = Signer(), Signer("ES256", "second")
MINUTE, DAY = 60.0, 86_400.0


@pytest.fixture(name="server")
def served_keys(tmp_path: Path) -> Iterator[KeyServer]:
    with key_server(tmp_path, FIRST) as server:
        yield server


class Bench:
    """A keeper whose wall clock is set by the test; `changes` are what it told."""

    def __init__(self, session: Any) -> None:
        self.now = 1_800_000_000.0
        self.checks, self.events, self.changes = TokenChecks(), EventRecorder(), list[bool]()
        self.keeper = JwksKeeper(self.checks, session, self.events, self.changes.append, lambda: self.now)

    def follow(self, *providers: IdentityProviderConfig, outbound: str | None = None) -> None:
        upstream = UpstreamSection(proxy=Secret(outbound) if outbound else None)
        given = {"identity_providers": {each.name: each for each in providers}, "upstream": upstream}
        made: Config = config({"acme": {}}).model_copy(update=given)
        self.keeper.apply(made)

    @property
    def known(self) -> ProviderKeys:
        return self.keeper.known("mesh")

    @property
    def ids(self) -> list[str]:
        return [key.id for key in self.known.keys]

    async def read_again(self, after: float = MINUTE) -> None:
        """A token with an unknown key comes so much later."""
        self.now += after
        self.keeper.miss("mesh")
        await settled(lambda: self.known.tried_at == self.now)

    @property
    def problem(self) -> str:
        return self.events.of(ProviderKeysFailed)[-1].detail


@pytest.fixture(name="bench")
async def working_bench(every_loop: None) -> AsyncIterator[Bench]:
    names = Names()
    session = make_session(names)
    bench = Bench(session)
    try:
        yield bench
    finally:
        await bench.keeper.stop()
        await session.close()
        names.stop()


def served(server: KeyServer, **changes: Any) -> IdentityProviderConfig:
    given = {"jwks": JwksSection(url=server.url), "ca_file": server.authority.ca_file, **changes}
    return IdentityProviderConfig(name="mesh", issuer="https://mesh", audience="ads-proxy", **given)


def filed(path: Path, **changes: Any) -> IdentityProviderConfig:
    given = {"jwks": JwksSection(file=path), **changes}
    return IdentityProviderConfig(name="mesh", issuer="https://mesh", audience="ads-proxy", **given)


async def test_keys_are_read_at_the_start(server: KeyServer, bench: Bench) -> None:
    """With the token that the address wants; the log tells how many."""
    bench.follow(served(server, token=Secret("of-the-pod")))
    assert await bench.keeper.read_first() == ()
    assert (bench.ids, bench.known.read_at, server.asked) == (["first"], bench.now, ["Bearer of-the-pod"])
    assert bench.events.of(ProviderKeysRead) == [ProviderKeysRead("mesh", 1, ())]
    assert bench.events.of(CounterRaised) == [CounterRaised("identity_provider_reads_total", ("mesh", "success"))]
    assert bench.changes == [False]
    assert bench.keeper.counts() == {"mesh": 1}
    assert repr(bench.keeper) == "<JwksKeeper of mesh>"
    bench.follow()
    assert bench.keeper.counts() == {}


async def test_a_rotation_is_found_by_the_first_token_with_the_new_key(server: KeyServer, bench: Bench) -> None:
    """A key that is gone is told, so that its tokens are forgotten; not more often than once a minute."""
    bench.follow(served(server))
    await bench.keeper.read_first()
    server.show(FIRST, SECOND)
    bench.now += MINUTE - 1
    for _ in range(100):
        bench.keeper.miss("mesh")
        bench.keeper.miss("unknown")
    await asyncio.sleep(0)
    assert len(server.asked) == 1
    await bench.read_again(1)
    assert (bench.ids, bench.changes[-1]) == (["first", "second"], False)
    server.show(SECOND)
    await bench.read_again()
    assert (bench.ids, bench.changes[-1]) == (["second"], True)
    await bench.read_again()
    assert [event.keys for event in bench.events.of(ProviderKeysRead)] == [1, 2, 1]


WRONG: dict[str, dict[str, Any]] = {
    "answers 500": {"status": 500},
    "answers 302": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "answers 301": {"status": 301, "headers": {"Location": "https://evil.example/jwks"}},
    "answers 401": {"status": 401},
    "cannot be used: it is not unambiguous JSON": {"body": "<html>"},
    "cannot be used: it is larger than": {"body": " " * 300_000},
}


@pytest.mark.parametrize("problem", WRONG)
async def test_keys_outlive_a_provider_that_is_wrong(problem: str, server: KeyServer, bench: Bench) -> None:
    """For a day; what is wrong is told once, and the recovery as well. No redirect is followed."""
    bench.follow(served(server))
    await bench.keeper.read_first()
    good = server.body
    for name, value in WRONG[problem].items():
        setattr(server, name, value)
    await bench.read_again()
    await bench.read_again()
    assert [event.keys for event in bench.events.of(ProviderKeysFailed)] == [1]
    assert problem in bench.problem
    assert (bench.ids, bench.known.problem) == (["first"], bench.problem)
    await bench.read_again(DAY - 2 * MINUTE - 1)
    assert bench.ids == ["first"]
    bench.changes.clear()
    await bench.read_again()
    assert (bench.ids, bench.changes) == ([], [True])
    assert bench.events.of(ProviderKeysFailed)[-1].keys == 0
    server.body, server.status = good, 200
    await bench.read_again()
    assert (bench.ids, bench.known.problem) == (["first"], "")


@pytest.mark.parametrize("body", ['{"keys": []}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}', jwks(Signer(bits=1024))])
async def test_keys_do_not_outlive_a_set_without_them(body: str, server: KeyServer, bench: Bench) -> None:
    """A provider that lists none of its keys any more has withdrawn them: that is no outage."""
    bench.follow(served(server))
    await bench.keeper.read_first()
    server.body = body
    await bench.read_again()
    assert (bench.ids, bench.changes[-1]) == ([], True)
    assert "cannot be used: it has no usable key" in bench.problem
    assert (bench.known.problem, bench.events.of(ProviderKeysFailed)[-1].keys) == (bench.problem, 0)
    await bench.read_again()
    assert len(bench.events.of(ProviderKeysFailed)) == 1
    server.show(SECOND)
    await bench.read_again()
    assert (bench.ids, bench.known.problem) == (["second"], "")


async def test_keys_outlive_a_provider_that_is_gone_and_comes_back(server: KeyServer, bench: Bench) -> None:
    """The keys come back as after a restart of the issuer."""
    bench.follow(served(server))
    await bench.keeper.read_first()
    server.stop()
    await bench.read_again()
    assert bench.ids == ["first"]
    assert "cannot be reached (Connection refused)" in bench.problem
    server.show(SECOND)
    server.start()
    await bench.read_again()
    assert bench.ids == ["second"]


async def test_a_slow_provider_holds_up_no_start(
    server: KeyServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start goes on with a note, and the keys are in use once they come."""
    monkeypatch.setattr(jwks_keeper, "START_PATIENCE", 0.01)
    server.held.clear()
    bench.follow(served(server))
    [note] = await bench.keeper.read_first()
    assert note.startswith("identity_providers.mesh: its keys were not read within 0.01 seconds.")
    server.held.set()
    await settled(lambda: bench.ids == ["first"])


async def test_a_provider_that_never_answers_is_given_up(
    server: KeyServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten seconds as a rule."""
    monkeypatch.setattr(jwks_keeper, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/jwks"
        bench.follow(served(server, jwks=JwksSection(url=url)))
        [note] = await bench.keeper.read_first()
    assert f"{url} did not answer within 0.05 seconds" in note


async def test_a_certificate_of_another_authority_is_refused(server: KeyServer, bench: Bench, tmp_path: Path) -> None:
    """Without `ca_file`, those of the system count; a file without certificates is told."""
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    for file, words in ((None, "no certificate of an authority"), (nonsense, "no certificates of authorities in PEM")):
        bench.follow(served(server, ca_file=file))
        [note] = await bench.keeper.read_first()
        assert words in note
    bench.follow(served(server, ca_file=tmp_path / "missing.pem"))
    assert "in PEM" in (await bench.keeper.read_first())[0]
    assert server.asked == []


async def test_an_address_without_ca_file_is_asked_through_the_outbound_proxy(server: KeyServer, bench: Bench) -> None:
    """One with it is near, and asked directly."""
    bench.follow(served(server), outbound="http://127.0.0.1:9")
    assert await bench.keeper.read_first() == ()
    bench.follow(served(server, ca_file=None), outbound="http://127.0.0.1:9")
    await settled(lambda: bench.known.problem)
    assert "outbound proxy 127.0.0.1:9" in bench.problem


async def test_a_file_is_read_at_once_and_again_by_each_reload(bench: Bench, tmp_path: Path) -> None:
    """A missing one is a note, and one that breaks later leaves the keys in force."""
    path = tmp_path / "jwks.json"
    bench.follow(filed(path))
    [note] = await bench.keeper.read_first()
    assert f"its keys cannot be read: {path}: No such file or directory" in note
    path.write_text(jwks(FIRST))
    bench.follow(filed(path))
    assert bench.ids == ["first"]
    path.write_text("{")
    bench.follow(filed(path))
    assert (bench.ids, bench.known.problem != "") == (["first"], True)
    path.write_text(jwks(SECOND))
    await bench.read_again()
    assert bench.ids == ["second"]


async def test_keys_of_one_issuer_are_never_those_of_another(bench: Bench, tmp_path: Path) -> None:
    """A provider of the same name with another issuer or address begins without keys, and so does one that is gone."""
    path, other = tmp_path / "jwks.json", tmp_path / "other.json"
    path.write_text(jwks(FIRST))
    for changes in ({"issuer": "https://other"}, {"jwks": JwksSection(file=other)}):
        bench.follow(filed(path))
        assert bench.ids == ["first"]
        bench.changes.clear()
        path.unlink()
        bench.follow(filed(path).model_copy(update=changes))
        assert (bench.ids, bench.changes[0]) == ([], True)
        path.write_text(jwks(FIRST))
    bench.follow(filed(path))
    bench.follow()
    assert (bench.ids, repr(bench.keeper)) == ([], "<JwksKeeper of no provider>")
    assert await bench.keeper.read_first() == ()


async def test_a_change_of_algorithms_keeps_the_keys(server: KeyServer, bench: Bench) -> None:
    """They are read again at once, in the background."""
    bench.follow(served(server))
    await bench.keeper.read_first()
    bench.follow(served(server, algorithms=("EdDSA",)))
    assert bench.ids == ["first"]
    await settled(lambda: len(server.asked) == 2)


async def test_keys_are_read_again_from_time_to_time(
    server: KeyServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if no token asks for it."""
    monkeypatch.setattr(jwks_keeper, "EVERY", 0.001)
    monkeypatch.setattr(jwks_keeper, "RETRY", 0.001)
    bench.follow(served(server))
    await settled(lambda: len(server.asked) > 2)
    server.status = 500
    await settled(lambda: bench.known.problem)
    server.status = 200
    await settled(lambda: not bench.known.problem)
