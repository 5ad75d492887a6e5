"""`login` for an account that works: the output and the questions before the new login replaces the old one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.commands.login import decide, describe_comparison
from proxy.profiles.replacement import Comparison, ReachedProfile, Replacement
from proxy.simulator import Simulator, SimulatorSettings
from tests.commands.test_amazon import Shell, sign_in
from tests.support.patience import PATIENCE


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with Simulator(SimulatorSettings()) as simulator:
        yield Shell(tmp_path, simulator)


def profile(number: int) -> ReachedProfile:
    return ReachedProfile(str(number), "acme", "na", f"Brand {number}", "US", "seller")


@pytest.mark.parametrize(
    ("decision", "insists", "typed", "taken"),
    [
        (Replacement.AT_ONCE, False, "", True),
        (Replacement.ASK, False, "yes\n", True),
        (Replacement.ASK, False, " YES \n", True),
        (Replacement.ASK, False, "y\n", False),
        (Replacement.ASK, False, "", False),
        (Replacement.ASK, True, "", True),
        (Replacement.INSIST, False, "yes\n", False),
        (Replacement.INSIST, True, "", True),
    ],
)
def test_what_is_taken_over(decision: Replacement, insists: bool, typed: str, taken: bool) -> None:
    """At once, after a yes, or only where one insists; an input that ended is no yes."""
    assert decide(decision, insists, lambda: typed) is taken


def test_what_differs_is_named() -> None:
    """Which profiles would be gone and which are new, the first ten of them by name."""
    lost, gained = tuple(map(profile, range(12))), (profile(77),)
    told = " ".join(describe_comparison(Comparison(Replacement.INSIST, 12, 1, lost, ("eu",), gained)))
    assert "New with this login: 77 Brand 77 (na)." in told
    assert "9 Brand 9 (na) and 2 more." in told
    assert "Could not list the profiles of eu" in told
    assert "none of the 12 profiles" in told
    assert [*describe_comparison(Comparison(Replacement.AT_ONCE))] == []


async def login(shell: Shell, user: str, *options: str) -> tuple[int, str]:
    process = await shell.start("login", "default", "--no-browser", *options)
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        url = (await process.stdout.readline()).decode().strip()
    result = await shell.finish(process, await sign_in(url, "allow", user) + "\n")
    return result.code, result.err


async def present_profiles(shell: Shell) -> set[str]:
    return set(re.findall(r"\d{10,}", (await shell.run("profiles", "--format", "csv")).out))


async def test_another_persons_login_is_refused_unless_insisted(shell: Shell) -> None:
    """The present one serves on, as nothing was changed; with --replace the other one takes its place."""
    before = await present_profiles(shell)
    shell.simulator.state.add_user("second")
    code, said = await login(shell, "second")
    assert code == 1
    assert "none of the 9 profiles" in said
    assert "with --replace" in said
    assert "Amazon Marketing Stream subscriptions made under the old consent belong to it and may stop" in said
    assert await present_profiles(shell) == before
    assert (await login(shell, "second", "--replace"))[0] == 0
    assert not await present_profiles(shell) & before


async def test_a_login_that_loses_a_profile_is_asked_about(shell: Shell) -> None:
    """Without a yes the present one stays, and what would be gone was named."""
    before = await present_profiles(shell)
    lost = shell.simulator.profiles["na"][0]
    shell.simulator.state.add_user("second")
    for region, ids in shell.simulator.profiles.items():
        for shared in {*ids} - {lost}:
            shell.simulator.state.add_profile(region, shared, "second")
    code, said = await login(shell, "second")
    assert code == 1
    assert f"Lost with this login: {lost}" in said
    assert "the present login stays in use" in said
    assert await present_profiles(shell) == before


async def test_the_same_persons_consent_says_nothing_of_subscriptions(shell: Shell) -> None:
    """A first consent says nothing either; with an unknown former login, the words begin with an if."""
    assert "Marketing Stream" not in (await login(shell, "default"))[1]
    shell.simulator.state.credentials.revoke()
    code, said = await login(shell, "default")
    assert code == 0
    assert "The present login does not work, so its user is unknown. If it was another person's:" in said
    del shell.environ["AMAZON_ADS_REFRESH_TOKEN"]
    shell.environ["ADS_PROXY_STATE__URL"] = f"file:{shell.environ['HOME']}/elsewhere"
    assert "Marketing Stream" not in (await login(shell, "default"))[1]


async def test_the_user_id_tells_another_person_with_the_same_profiles(shell: Shell, tmp_path: Path) -> None:
    """If both consents have the scope `profile`."""
    app = shell.simulator.app
    scopes = "[profile, 'advertising::campaign_management']"
    account = f"{{client_id: {app.client_id}, client_secret: {app.client_secret}, scopes: {scopes}}}"
    (tmp_path / "proxy.yaml").write_text(f"accounts: {{default: {account}}}\n")
    for name in [name for name in shell.environ if name.startswith("AMAZON_ADS_")]:
        del shell.environ[name]
    shell.environ["ADS_PROXY_CONFIG"] = str(tmp_path / "proxy.yaml")
    shell.simulator.state.add_user("second")
    for region, ids in shell.simulator.profiles.items():
        for shared in ids:
            shell.simulator.state.add_profile(region, shared, "second")
    assert (await login(shell, "default"))[0] == 0
    code, said = await login(shell, "second", "--replace")
    assert code == 0
    assert "This consent is another person's than before. Amazon Marketing Stream" in said
    code, said = await login(shell, "second")
    assert (code, "Marketing Stream" in said) == (0, False)
