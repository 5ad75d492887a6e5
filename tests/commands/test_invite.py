"""`invite` without a running proxy: what it prints, keeps and refuses."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from proxy.commands.invite import make_link, print_invitations, revoke
from proxy.config import Config, load
from proxy.errors import ConfigurationError
from proxy.secret import Secret
from proxy.tokens.invitation import is_signed, read_claim, signing_key
from tests.admin.fixtures import FakeProgram, administer
from tests.support.ready_program import run_ready

INVITES = "invites: {listen: 127.0.0.1:8082, url: 'https://consent.test', sender: Example Ltd}\n"


def configured(folder: Path, more: str = INVITES, state: str | None = None, admin: str = "127.0.0.1:1") -> Config:
    """A configuration whose default `admin` has no listener."""
    accounts = f"accounts: {{acme: {{client_id: c, client_secret: the-secret}}}}\nadmin_listen: {admin}\n"
    (folder / "proxy.yaml").write_text(f"{accounts}state: {{url: '{state or f'file:{folder}/s'}'}}\n{more}")
    return load(folder / "proxy.yaml", {})


def test_a_link_is_printed_listed_and_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has the link alone, and standard error the advice; the next command knows the link."""
    config = configured(tmp_path)
    assert make_link(config, "acme", 7) == 0
    out, err = capsys.readouterr()
    token = out.strip().removeprefix("https://consent.test/invite/")
    claim = read_claim(token)
    assert claim is not None
    assert claim.account == "acme"
    assert is_signed(token, signing_key(Secret("the-secret")))
    assert "Add https://consent.test/invite/callback to the return URLs" in err
    assert "If another person than before gives the consent: Amazon Marketing Stream subscriptions" in err
    assert print_invitations(config) == 0
    assert f"{claim.id}  acme" in (listed := capsys.readouterr().out)
    assert "open" in listed
    assert revoke(config, claim.id) == 0
    assert revoke(config, claim.id) == 1
    print_invitations(config)
    assert "revoked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "state", "said"),
    [
        ("", None, "invites.url: is not set; set it"),
        (INVITES, "memory:", "does not share links with the running proxy"),
    ],
)
def test_a_link_needs_somewhere_to_lead_and_to_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, state: str | None, said: str
) -> None:
    """Otherwise none is made, and the reason is told."""
    assert make_link(configured(tmp_path, more, state), "acme", 7) == 1
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True)


def test_an_unknown_account_is_told(tmp_path: Path) -> None:
    """With the choices."""
    with pytest.raises(ConfigurationError, match="invite: unknown account; did you mean 'acme'"):
        make_link(configured(tmp_path), "acne", 7)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("invites: {listen: 127.0.0.1:8082}\n", "invites.url: is missing"),
        ("invites: {listen: 127.0.0.1:8080, url: 'https://c.test'}\n", "invites.listen: is the address of listen too"),
        (
            "invites: {listen: 127.0.0.1:1, url: 'https://c.test'}\n",
            "invites.listen: is the address of admin_listen",
        ),
        ("invites: {listen: 127.0.0.1:8082, url: 'https://c.test/x'}\n", "invites.url: must not have a path"),
        ("invites: {listen: 127.0.0.1:8082, url: 'https://c.test', sender: ''}\n", "invites.sender: must be a name"),
    ],
)
def test_half_a_listener_is_refused(tmp_path: Path, more: str, problem: str) -> None:
    """Each problem names its key and what to write."""
    with pytest.raises(ConfigurationError, match=problem):
        configured(tmp_path, more)


@pytest.mark.parametrize("arguments", ["", "acme --list", "--list --revoke acme", "acme --revoke acme"])
def test_the_command_does_one_thing(tmp_path: Path, arguments: str) -> None:
    """ACCOUNT, --list and --revoke exclude each other."""
    result = run_ready(tmp_path, ["invite", *arguments.split()], {})
    assert (result.returncode, result.stdout) == (2, "")
    assert "ads-proxy: invite: give either ACCOUNT, --list or --revoke ID" in result.stderr


def test_links_are_listed_and_revoked_at_the_command_line(tmp_path: Path) -> None:
    """With the same options as for making one."""
    configured(tmp_path)
    options = ("--config", "proxy.yaml")
    made = run_ready(tmp_path, ["invite", "acme", "--days", "3", *options], {})
    assert made.returncode == 0
    which = re.findall(r"^ads-proxy invite --revoke (\S+) --config proxy.yaml$", made.stderr, re.MULTILINE)
    assert which[0] in run_ready(tmp_path, ["invite", "--list", *options], {}).stdout
    revoked = run_ready(tmp_path, ["invite", "--revoke", *which, *options], {})
    assert (revoked.returncode, revoked.stdout) == (0, f"{which[0]} (acme) is revoked\n")


def test_a_url_alone_is_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The links lead below /invite/ of the admin listener, by whatever stands before it."""
    assert make_link(configured(tmp_path, "invites: {url: 'https://consent.test'}\n"), "acme", 7) == 0
    assert capsys.readouterr().out.startswith("https://consent.test/invite/")


@pytest.mark.parametrize("knows", [False, True])
async def test_a_running_proxy_must_know_invitations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], knows: bool
) -> None:
    """`invites` waits for a restart: until then the link would lead nowhere, so none is made."""
    async with administer(FakeProgram(invites=knows)) as admin:
        config = configured(tmp_path, admin=f"127.0.0.1:{admin.port}")
        code = await asyncio.to_thread(make_link, config, "acme", 7)
    out, err = capsys.readouterr()
    assert code == (0 if knows else 1)
    assert bool(out) is knows
    assert ("started without this section; restart it, then run this command again" in err) is not knows


def test_a_proxy_that_does_not_run_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The link is made, and the answer says what was not checked."""
    assert make_link(configured(tmp_path), "acme", 7) == 0
    assert "could not check whether the running proxy has `invites`: 127.0.0.1:1 does not answer" in (
        capsys.readouterr().err
    )
