"""`freeze` and `unfreeze`, and what `status` says of it, in front of a real admin listener."""

from __future__ import annotations

import asyncio
import getpass
import socket
from pathlib import Path

import pytest

from proxy.admin.view import AccessRules
from proxy.commands.asking import find_admin
from proxy.commands.freeze import change_freeze
from proxy.commands.status import print_status
from proxy.commands.terminal import FAILED, OK
from proxy.config import Address, environment
from tests.admin.fixtures import KEY, FakeProgram, administer
from tests.support.ready_program import run_ready

SINCE = "since 2027-01-15T08:00:00Z"


async def done(
    program: FakeProgram,
    capsys: pytest.CaptureFixture[str],
    action: str,
    client: str = "",
    env_file: Path | None = None,
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command in front of this program."""
    async with administer(program) as admin:
        found = find_admin(f"127.0.0.1:{admin.port}", None, environment(env_file))
        code = await asyncio.to_thread(change_freeze, action, client, "It raises bids", *found)
    return code, *capsys.readouterr()


async def test_all_writes_are_frozen_and_unfrozen(capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what is frozen then, by whom and why."""
    program = FakeProgram()
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    code, out, err = await done(program, capsys, "freeze")
    line = f"frozen: all writes, {SINCE}, by {by}: It raises bids"
    assert (code, err, out.splitlines()) == (OK, "", ["All writes are frozen; reads go on.", line])
    assert await done(program, capsys, "unfreeze") == (OK, "All writes are unfrozen.\n", "")
    assert program.known_freezes.in_force() == ()


async def test_what_is_still_frozen_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A client with a freeze of its own stays frozen."""
    program = FakeProgram()
    assert (await done(program, capsys, "freeze", "agent"))[1].startswith(
        "All writes of agent are frozen; reads go on."
    )
    await done(program, capsys, "freeze")
    code, out, _ = await done(program, capsys, "unfreeze")
    first, second = out.splitlines()
    assert (code, first) == (OK, "All writes are unfrozen.")
    assert second.startswith(f"frozen: all writes of agent, {SINCE}, by ")


async def test_a_user_without_a_name_is_a_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run as any id."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 1234)
    program = FakeProgram()
    await done(program, capsys, "freeze")
    assert program.known_freezes.in_force()[0].by == f"uid 1234@{socket.gethostname()}"


async def test_a_freeze_that_is_not_kept_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The freeze holds in that proxy, and the exit code is 1."""
    code, out, err = await done(FakeProgram(freeze_problem="The store is away."), capsys, "freeze")
    assert (code, out.splitlines()[0]) == (FAILED, "All writes are frozen; reads go on.")
    assert err.startswith("ads-proxy: freeze: the state store does not have it yet, ")
    assert err.endswith("until it ends: The store is away.\n")


async def test_an_unknown_client_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the names to choose from."""
    code, out, err = await done(FakeProgram(), capsys, "freeze", "agnet")
    assert (code, out) == (FAILED, "")
    assert err.startswith("ads-proxy: freeze: Unknown client; the clients are: agent, other.")


async def test_the_admin_key_is_shown_where_one_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The key comes from the configuration; without one the line says where to put it."""
    program = FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))
    code, out, err = await done(program, capsys, "freeze")
    assert (code, out, program.known_freezes.in_force()) == (FAILED, "", ())
    assert "needs the admin key" in err
    env_file = tmp_path / "env"
    env_file.write_text(f"ADS_PROXY_ADMIN__KEY={KEY.reveal()}\n")
    assert (await done(program, capsys, "freeze", env_file=env_file))[0] == OK


def test_nobody_at_home_is_one_line(tmp_path: Path) -> None:
    """Exit code 1; from the command line."""
    for action in ("freeze", "unfreeze"):
        done = run_ready(tmp_path, (action, "agent", "--because", "x", "--admin-listen", "127.0.0.1:9"), {})
        assert (done.returncode, done.stdout) == (FAILED, "")
        assert done.stderr.startswith("ads-proxy: 127.0.0.1:9 does not answer (")


async def test_status_shows_what_is_frozen(capsys: pytest.CaptureFixture[str]) -> None:
    """With a problem of the store; it is no failure of the program."""
    program = FakeProgram(freeze_problem="The store is away.")
    await program.freeze("agent", "ann@desk", "It raises bids\x1b")
    async with administer(program) as admin:
        code = await asyncio.to_thread(print_status, Address("127.0.0.1", admin.port), None)
    out = capsys.readouterr().out
    assert code == OK
    assert f"\nfrozen: all writes of agent, {SINCE}, by ann@desk: It raises bids?\n" in out
    assert "\nfreezes: The store is away.\n" in out
