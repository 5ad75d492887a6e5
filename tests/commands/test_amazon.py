"""`check`, `profiles` and `login` against the simulator, as processes of their own."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from proxy.commands.check import check_accounts
from proxy.commands.login import SignInRefused, read_answer
from proxy.commands.profiles import print_profiles
from proxy.config import Config, load
from proxy.simulator import Fault, Match, Simulator, SimulatorSettings
from tests.support.issuers import Signer, jwks
from tests.support.patience import PATIENCE
from tests.support.ready_program import ready

ROOT = Path(__file__).resolve().parent.parent.parent
REDIRECT = "http://localhost:8081/login/callback"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Shell:
    """Runs the program with a simulator."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.simulator = simulator
        self.environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)}
        self.environ |= {
            "AMAZON_ADS_CLIENT_ID": simulator.app.client_id,
            "AMAZON_ADS_CLIENT_SECRET": simulator.app.client_secret,
            "AMAZON_ADS_REFRESH_TOKEN": simulator.refresh_token,
        }
        for region in ("na", "eu", "fe"):
            for key in ("api_url", "token_url", "auth_grant_url"):
                name = f"ADS_PROXY_REGIONS__{region.upper()}__{key.upper()}"
                self.environ[name] = getattr(simulator, f"{key}s")[region]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *ready(*arguments), env=self.environ, stdin=pipe, stdout=pipe, stderr=pipe
        )

    async def run(self, *arguments: str) -> Result:
        return await self.finish(await self.start(*arguments))

    async def finish(self, process: asyncio.subprocess.Process, typed: str = "") -> Result:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(typed.encode())
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        for secret in (self.simulator.app.client_secret, self.simulator.refresh_token):
            assert secret.encode() not in out + err
        return Result(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    async with Simulator(SimulatorSettings()) as simulator:
        yield Shell(tmp_path, simulator)


async def test_check_lists_what_works(shell: Shell) -> None:
    """A row for the account, its token, and how many profiles each region has."""
    result = await shell.run("check")
    assert (result.code, "Everything works." in result.out) == (0, True)
    assert re.search(r"^default +configuration +ok +3 +3 +3 *$", result.out, re.MULTILINE)


async def test_check_says_what_to_do_about_a_revoked_token(shell: Shell) -> None:
    """One plain sentence, exit code 1."""
    shell.simulator.state.revoke()
    result = await shell.run("check")
    assert result.code == 1
    assert "ads-proxy: default:" in result.err
    assert "ads-proxy login default" in result.err


async def test_check_says_what_to_do_about_a_wrong_secret(shell: Shell) -> None:
    """The advice is about the application, not about the account."""
    shell.simulator.state.set_client_secret("another")
    result = await shell.run("check")
    assert result.code == 1
    assert "Compare client_id and client_secret" in result.err


async def test_check_says_what_to_do_without_a_refresh_token(shell: Shell) -> None:
    """The advice names the command that gets one."""
    del shell.environ["AMAZON_ADS_REFRESH_TOKEN"]
    result = await shell.run("check")
    assert result.code == 1
    assert "ads-proxy: default: no refresh token. Sign in: `ads-proxy login default`." in result.err


async def test_check_names_the_region_that_fails(shell: Shell) -> None:
    """One region's trouble leaves the others' counts."""
    shell.simulator.state.add_fault(Fault(status=503, body=b"<html>"), Match(region="eu", path="/v2/profiles"))
    result = await shell.run("check")
    assert result.code == 1
    assert re.search(r"^default +configuration +ok +3 +failed +3 *$", result.out, re.MULTILINE)
    assert "ads-proxy: default, eu: " in result.err


async def test_check_says_what_to_do_about_an_unreachable_endpoint(shell: Shell) -> None:
    """A closed port is a matter of the network."""
    shell.environ["ADS_PROXY_REGIONS__NA__TOKEN_URL"] = "http://127.0.0.1:9/auth/o2/token"
    result = await shell.run("check")
    assert result.code == 1
    assert "cannot be reached" in result.err


async def test_check_keeps_a_renewed_refresh_token(shell: Shell) -> None:
    """Where Amazon replaces the token at once, the next run uses the new one from the state store."""
    shell.simulator.state.change(rotation="at_once")
    assert (await shell.run("check")).code == 0
    result = await shell.run("check")
    assert (result.code, "state (renewed by Amazon)" in result.out) == (0, True)


JULY = datetime(2027, 7, 1, tzinfo=UTC).timestamp()


async def in_a_year(shell: Shell, patched: pytest.MonkeyPatch, days: float, run: Callable[[Config], int]) -> int:
    """A command, so many days after the first of July 2027, where the consent is of the first of July 2026."""
    keys = "client_id", "client_secret", "refresh_token"
    lines = "".join(f"    {key}: {{env: SIMULATED_{key.upper()}}}\n" for key in keys)
    environ = {name.replace("AMAZON_ADS", "SIMULATED"): given for name, given in shell.environ.items()}
    file = Path(shell.environ["HOME"]) / "config.yaml"
    file.write_text(f"accounts:\n  acme:\n{lines}    consented_on: 2026-07-01\n")
    patched.setattr("proxy.commands.amazon_session.time", SimpleNamespace(time=lambda: JULY + days * 86400))
    return await asyncio.to_thread(run, load(file, environ))


def list_profiles(config: Config) -> int:
    return print_profiles(config, "csv")


@pytest.mark.parametrize("run", [check_accounts, list_profiles])
async def test_a_consent_that_ends_soon_is_a_note(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Callable[[Config], int]
) -> None:
    """Exit code 0, and a sentence with the day and what to do; a month before there is nothing to say."""
    assert await in_a_year(shell, monkeypatch, -31, run) == 0
    assert "The consent of" not in capsys.readouterr().err
    assert await in_a_year(shell, monkeypatch, -15, run) == 0
    said = capsys.readouterr().err
    assert "note: acme: The consent of 2026-07-01 expires on 2027-07-01, in 15 days. The advertiser" in said
    assert "ads-proxy login acme" in said


@pytest.mark.parametrize("run", [check_accounts, list_profiles])
async def test_a_consent_that_is_over_is_a_failure(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Callable[[Config], int]
) -> None:
    """The check fails even before Amazon has noticed; once it has, the reason is the age."""
    assert await in_a_year(shell, monkeypatch, 0, run) == 1
    assert "acme: The consent of 2026-07-01 expired on 2027-07-01. The advertiser" in capsys.readouterr().err
    shell.simulator.state.revoke()
    assert await in_a_year(shell, monkeypatch, 0, run) == 1
    assert "365 days, however its refresh token is used" in capsys.readouterr().err


async def test_the_older_of_two_secrets_works_and_is_told(shell: Shell, tmp_path: Path) -> None:
    """The check reports it as long as Amazon does not know the newer one, and nothing afterwards."""
    names = {name: shell.environ.pop(f"AMAZON_ADS_{name}") for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")}
    shell.environ |= {f"SIMULATED_{name}": given for name, given in names.items()}
    given = "client_id: {env: SIMULATED_CLIENT_ID}, refresh_token: {env: SIMULATED_REFRESH_TOKEN}"
    secrets = "client_secret: [the-newer-one, {env: SIMULATED_CLIENT_SECRET}]"
    (tmp_path / "proxy.yaml").write_text(f"accounts: {{acme: {{{given}, {secrets}}}}}")
    before = await shell.run("check", "--config", str(tmp_path / "proxy.yaml"))
    assert (before.code, "note: acme: Amazon refuses the first client_secret" in before.err) == (0, True)
    shell.simulator.state.set_client_secret("the-newer-one")
    after = await shell.run("check", "--config", str(tmp_path / "proxy.yaml"))
    assert (after.code, "client_secret" in after.err) == (0, False)


async def test_profiles_are_printed_in_three_ways(shell: Shell) -> None:
    """Table, JSON and CSV hold the same profiles, with their ids as texts."""
    expected = {profile for region in ("na", "eu", "fe") for profile in shell.simulator.profiles[region]}
    table, as_json, as_csv = [await shell.run("profiles", "--format", name) for name in ("table", "json", "csv")]
    assert (table.code, as_json.code, as_csv.code) == (0, 0, 0)
    rows = json.loads(as_json.out)
    assert {row["profile"] for row in rows} == expected
    assert [*csv.DictReader(io.StringIO(as_csv.out))] == rows
    assert all(profile in table.out for profile in expected)


async def test_ads_accounts_are_printed_in_three_ways(shell: Shell) -> None:
    """Each once, with all its regions and profiles; the DSP advertisers of managers behind them."""
    table, as_json, as_csv = [
        await shell.run("profiles", "--accounts", "--format", name) for name in ("table", "json", "csv")
    ]
    assert (table.code, as_json.code, as_csv.code) == (0, 0, 0)
    rows = json.loads(as_json.out)
    assert [*csv.DictReader(io.StringIO(as_csv.out))] == rows
    accounts = {row["ads_account"]: row for row in rows if row["kind"] == "ads account"}
    simulated = shell.simulator.state.ads_accounts.accounts
    assert accounts.keys() == simulated.keys()
    first = next(iter(simulated))
    assert (accounts[first]["regions"], accounts[first]["account"]) == ("eu na", "default")
    assert accounts[first]["profiles"] == "1110000000000001 2220000000000001"
    advertisers = [row["regions"] for row in rows if row["kind"] == "dsp advertising account"]
    assert sorted(advertisers) == ["eu", "na", "na"]
    assert "1110000000000001" in table.out


async def test_ads_accounts_that_cannot_be_listed_are_told(shell: Shell) -> None:
    """All other lists are printed nevertheless."""
    shell.simulator.state.add_fault(Fault(status=503, body=b"<html>"), Match(region="eu", path="/adsAccounts/list"))
    result = await shell.run("profiles", "--accounts", "--format", "json")
    assert (result.code, "default, eu: Amazon answered (503)" in result.err) == (1, True)
    assert json.loads(result.out)


async def sign_in(url: str, decision: str, user: str = "default") -> str:
    """What a person does in a browser; the address where the browser lands."""
    async with aiohttp.ClientSession() as browser:
        async with browser.get(url) as page:
            fields = dict(re.findall(r"name='(\w+)' value='([^']*)'", (await page.text()).replace("&amp;", "&")))
        fields |= {"decision": decision, "user": user}
        page_url = url.partition("?")[0]
        async with browser.post(page_url, data=fields, allow_redirects=False) as answer:
            return answer.headers["Location"]


async def begin_login(shell: Shell) -> tuple[asyncio.subprocess.Process, str]:
    process = await shell.start("login", "default", "--no-browser")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        url = (await process.stdout.readline()).decode().strip()
    return process, url


async def test_a_profile_that_nobody_lists_is_told(shell: Shell, tmp_path: Path) -> None:
    """A default profile, or a route's, that the account does not have would be answered 401 by Amazon."""
    shell.environ["AMAZON_ADS_PROFILE_ID"] = "424242"
    brand, none = '{account: default, profile: "2220000000000001"}', '{account: default, profile: "7"}'
    (tmp_path / "proxy.yaml").write_text(f"routes: {{brand: {brand}, none: {none}}}")
    result = await shell.run("check", "--config", str(tmp_path / "proxy.yaml"))
    assert (result.code, "Everything works." in result.out) == (1, False)
    assert "accounts.default.default_profile: the account 'default' cannot access this profile" in result.err
    assert "routes.none.profile: the account" in result.err
    assert "routes.brand" not in result.err


async def test_an_identity_provider_without_keys_is_told(shell: Shell, tmp_path: Path) -> None:
    """Its clients would get 503; another provider's keys are read, and not told."""
    (tmp_path / "jwks.json").write_text(jwks(Signer()))
    (tmp_path / "none.json").write_text('{"keys": []}')
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/jwks"
    sources = {
        "read": "file: jwks.json",
        "missing": "file: absent",
        "empty": "file: none.json",
        "gone": f'url: "{closed}"',
    }
    providers = (f"{name}: {{issuer: {name}, audience: x, jwks: {{{source}}}}}" for name, source in sources.items())
    (tmp_path / "proxy.yaml").write_text(f"identity_providers: {{{', '.join(providers)}}}")
    result = await shell.run("check", "--config", str(tmp_path / "proxy.yaml"))
    assert (result.code, "Everything works." in result.out) == (1, False)
    told = [line for line in result.err.splitlines() if "identity_providers" in line]
    refused = "its tokens are refused with 503 until they are read"
    missing = f"its keys cannot be read: {tmp_path}/absent: No such file or directory; {refused}"
    assert told[0] == f"ads-proxy: identity_providers.missing: {missing}"
    assert told[1].startswith("ads-proxy: identity_providers.empty: its keys cannot be used: it has no usable key")
    assert told[2].startswith("ads-proxy: identity_providers.gone: its keys cannot be read: ")
    assert len(told) == 3


async def test_credentials_of_odd_shape_are_told(shell: Shell) -> None:
    """A note next to the failure says what was probably mistaken for what."""
    shell.environ["AMAZON_ADS_REFRESH_TOKEN"] = "Atza|an-access-token"
    result = await shell.run("check")
    assert result.code == 1
    assert "note: accounts.default.refresh_token looks like an access token" in result.err


async def test_a_person_signs_in_by_pasting_the_landing_address(shell: Shell) -> None:
    """From client id and secret alone to an account that works, and still does in the next process."""
    del shell.environ["AMAZON_ADS_REFRESH_TOKEN"]
    shell.simulator.state.change(require_pkce=True)
    process, url = await begin_login(shell)
    asked = parse_qs(urlsplit(url).query)
    assert asked["redirect_uri"] == [REDIRECT]
    assert asked["scope"] == ["advertising::campaign_management"]
    result = await shell.finish(process, await sign_in(url, "allow") + "\n")
    assert (result.code, "'default' is connected" in result.out) == (0, True)
    assert "na: 3 profiles" in result.out
    assert REDIRECT in result.err
    check = await shell.run("check")
    assert (check.code, "state (sign-in)" in check.out) == (0, True)


async def test_a_sign_in_beats_the_configured_token(shell: Shell) -> None:
    """A person who signs in again means it, even with an old token in the configuration."""
    process, url = await begin_login(shell)
    landing = await sign_in(url, "allow")
    code = parse_qs(urlsplit(landing).query)["code"][0]
    assert (await shell.finish(process, f"{code}\n")).code == 0
    assert "state (sign-in)" in (await shell.run("check")).out


async def test_denied_consent_is_told(shell: Shell) -> None:
    """The address that Amazon sends after Deny is understood."""
    process, url = await begin_login(shell)
    result = await shell.finish(process, await sign_in(url, "deny") + "\n")
    assert result.code == 1
    assert "access was denied on Amazon's page; run the command again and choose Allow" in result.err


async def test_an_expired_code_is_told(shell: Shell) -> None:
    """After five minutes the code is worth nothing."""
    process, url = await begin_login(shell)
    landing = await sign_in(url, "allow")
    shell.simulator.state.advance(301)
    result = await shell.finish(process, f"{landing}\n")
    assert result.code == 1
    assert "expires after five minutes" in result.err
    assert "run the command again" in result.err


async def test_an_ended_input_is_told(shell: Shell) -> None:
    """The input ends in a script, or with Ctrl-D."""
    process, _ = await begin_login(shell)
    result = await shell.finish(process)
    assert result.code == 1
    assert "no address or code was pasted; run the command again" in result.err


async def test_signing_in_needs_somewhere_to_keep_the_token(shell: Shell) -> None:
    """With memory: the command ends before anybody signs in for nothing."""
    shell.environ["ADS_PROXY_STATE__URL"] = "memory:"
    result = await shell.run("login", "default")
    assert (result.code, result.out) == (1, "")
    assert "set state.url: file:DIR" in result.err


async def test_state_keys_rotate(shell: Shell, tmp_path: Path) -> None:
    """A new first key encrypts what the old one did; afterwards the old one can go."""
    shell.environ["ADS_PROXY_STATE__KEY"] = "canary-old-key-0123456789"
    process, url = await begin_login(shell)
    await shell.finish(process, await sign_in(url, "allow") + "\n")
    (tmp_path / "proxy.yaml").write_text("state: {key: [canary-new-key-0123456789, canary-old-key-0123456789]}\n")
    del shell.environ["ADS_PROXY_STATE__KEY"]
    rotated = await shell.run("keys", "rotate-state", "--config", str(tmp_path / "proxy.yaml"))
    assert (rotated.code, "encrypted with the first key" in rotated.out) == (0, True)
    shell.environ["ADS_PROXY_STATE__KEY"] = "canary-new-key-0123456789"
    assert "state (sign-in)" in (await shell.run("check")).out
    shell.environ["ADS_PROXY_STATE__KEY"] = "canary-old-key-0123456789"
    wrong = await shell.run("check")
    assert (wrong.code, wrong.out) == (1, "")


@pytest.mark.parametrize(
    "pasted",
    [
        "ANcode.1\n",
        "http://localhost:8081/login/callback?code=ANcode.1&scope=x&state=mine\n",
        ' "https://amazon.com/?state=mine&code=ANcode.1"',
        "https://amazon.com/?code=ANcode.1",
        "https://amazon.com/?code=ANcode.1#x?y",
        "http://[x?code=ANcode.1",
        "?code=ANcode.1&state=mine",
        "localhost:8081/login/callback?code=ANcode.1&state=mine",
    ],
)
def test_every_shape_of_an_answer_is_understood(pasted: str) -> None:
    """The whole address, a part of it, in quotes, or the code alone."""
    assert read_answer(pasted, "mine").reveal() == "ANcode.1"


@pytest.mark.parametrize(
    ("pasted", "problem"),
    [
        ("", "no address or code was pasted"),
        ("\n", "no address or code was pasted"),
        ("what is this?", "neither an address nor a code"),
        ("Atzr|canary", "that is a token, not a code"),
        ("https://amazon.com/", "holds no code"),
        ("http://[x", "holds no code"),
        ("https://amazon.com/?code=a&state=other", "belongs to another sign-in"),
        ("https://amazon.com/?error=access_denied&state=mine", "access was denied"),
        ("https://amazon.com/?error=invalid_scope&error_description=An%20unknown%0Ascope", "An unknown?scope"),
    ],
)
def test_what_is_no_permission_is_explained(pasted: str, problem: str) -> None:
    """Each answer that cannot be used says why."""
    with pytest.raises(SignInRefused, match=re.escape(problem)):
        read_answer(pasted, "mine")
