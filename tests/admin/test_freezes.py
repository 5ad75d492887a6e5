"""Freezing at the admin listener: who may, what is said, and what `/status` and the console show."""

from __future__ import annotations

import json

import pytest

from proxy.admin.view import AccessRules
from tests.admin.fixtures import KEY, FakeProgram, administer

PROOF = {"X-Ads-Proxy-Console": "1"}
ALL = {"client": None, "by": "ann@desk", "because": "Bids", "at": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(("form", "client"), [({}, None), ({"client": ""}, None), ({"client": "agent"}, "agent")])
async def test_writes_are_frozen_and_unfrozen(form: dict[str, str], client: str | None) -> None:
    """The answer is what is frozen then, for one client or all, as `/status` and the console have it."""
    program = FakeProgram()
    async with administer(program) as admin:
        said = {**form, "by": "ann@desk", "because": "Bids"}
        async with admin.ask("/console/freeze", "POST", PROOF, said) as answer:
            expected = {"frozen": [{**ALL, "client": client}], "problem": ""}
            assert (answer.status, await answer.json()) == (200, expected)
        for path in ("/status", "/console/state"):
            async with admin.ask(path) as answer:
                assert (await answer.json())["freezes"] == expected
        async with admin.ask("/console/unfreeze", "POST", PROOF, form) as answer:
            assert await answer.json() == {"frozen": [], "problem": ""}


async def test_the_console_does_not_call_frozen_writes_fine() -> None:
    """The verdict says that they are frozen, where all else works; or that it is not known."""
    for program in (FakeProgram(), FakeProgram(freeze_problem="The store is away.")):
        if not program.freeze_problem:
            await program.freeze("agent", "ann@desk", "")
        async with administer(program) as admin, admin.ask("/console/state") as answer:
            assert (await answer.json())["verdict"]["sentence"].startswith(
                "Every account serves, but writes are frozen"
            )


async def test_the_console_is_named_as_who_did_it() -> None:
    """With the address of the browser: there is one admin key."""
    program = FakeProgram()
    async with administer(program) as admin, admin.ask("/console/freeze", "POST", PROOF, {"client": "agent"}):
        (freeze,) = program.known_freezes.in_force()
        assert (freeze.by, freeze.because) == ("console (127.0.0.1)", "")


async def test_a_store_that_does_not_keep_it_is_told() -> None:
    """The freeze holds nevertheless."""
    program, form = FakeProgram(freeze_problem="The store is away."), {"client": "agent"}
    async with administer(program) as admin, admin.ask("/console/freeze", "POST", PROOF, form) as answer:
        said = await answer.json()
        assert (answer.status, len(said["frozen"]), said["problem"]) == (200, 1, "The store is away.")


@pytest.mark.parametrize("action", ["freeze", "unfreeze"])
async def test_an_unknown_client_is_refused(action: str) -> None:
    """With the names to choose from: a typing error freezes nobody."""
    program, form = FakeProgram(), {"client": "agnet"}
    async with administer(program) as admin, admin.ask(f"/console/{action}", "POST", PROOF, form) as answer:
        detail = json.loads(await answer.text())["detail"]
        assert (answer.status, program.known_freezes.in_force()) == (404, ())
        assert detail == "Unknown client; the clients are: agent, other. Leave the name out to mean all of them."


async def test_a_client_that_is_gone_can_be_unfrozen() -> None:
    """A removed client stays frozen."""
    program = FakeProgram()
    async with administer(program) as admin:
        await program.freeze("agent", "ann@desk", "")
        program.client_names = ()
        async with admin.ask("/console/unfreeze", "POST", PROOF, {"client": "agent"}) as answer:
            assert (answer.status, (await answer.json())["frozen"]) == (200, [])


@pytest.mark.parametrize(("action", "client"), [("freeze", "agent"), ("unfreeze", "other")])
async def test_only_who_has_the_key_may(action: str, client: str) -> None:
    """And no page of another site, which sends no header of ours; nothing changes with a GET."""
    program = FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))
    keyed = {"Authorization": f"Bearer {KEY.reveal()}"}
    path = f"/console/{action}"
    async with administer(program) as admin:
        await program.freeze("other", "ann@desk", "")
        before = program.known_freezes.in_force()
        for headers, status in ((PROOF, 401), (keyed, 403), ({**keyed, **PROOF, "Origin": "http://evil.test"}, 403)):
            async with admin.ask(path, "POST", headers, {"client": client}) as answer:
                assert answer.status == status
        assert await admin.status(path, "GET", {**keyed, **PROOF}) == 405
        assert program.known_freezes.in_force() == before
        async with admin.ask(path, "POST", {**keyed, **PROOF}, {"client": client}) as answer:
            assert answer.status == 200
        assert program.known_freezes.in_force() != before
