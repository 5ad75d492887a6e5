"""The section `approvals` and `spend.beyond`: who may approve, for how long, and what is refused there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import ApprovalsSection, Config, load, notes
from proxy.errors import ConfigurationError

ONE = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "HOME": "/home/u"}
ANNA, BEN, AGENT = "ab" * 32, "cd" * 32, "ef" * 32
APPROVER = {"name": "anna", "keys": [{"sha256": ANNA}]}
ADMIN_KEY = "an-admin-key-of-16-bytes"


def read(folder: Path, approvals: Any = None, spend: Any = None, **more: Any) -> Config:
    """A configuration with this section, and a client with this under `spend`."""
    client = {"name": "agent", "key_sha256": AGENT, "access": "write"} | ({} if spend is None else {"spend": spend})
    values = {"clients": [client], **({} if approvals is None else {"approvals": approvals}), **more}
    file = folder / "proxy.yaml"
    file.write_text(yaml.safe_dump(values))
    return load(file, ONE)


def problems(folder: Path, approvals: Any = None, spend: Any = None, **more: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(folder, approvals, spend, **more)
    return [problem.partition(" (line")[0] for problem in raised.value.problems]


def test_nobody_approves_by_default(tmp_path: Path) -> None:
    """The defaults, which a client with limits has, too."""
    config = read(tmp_path, spend={})
    assert config.approvals == ApprovalsSection()
    assert (config.approvals.valid_for, config.approvals.pending_for) == (3600, 86400)
    assert (config.approvals.max_pending, config.approvals.admin) == (100, False)
    spend = config.clients[0].spend
    assert spend is not None
    assert spend.beyond == "refuse"
    assert notes(config) == ()


def test_approvers_have_keys_like_those_of_clients(tmp_path: Path) -> None:
    """A digest with an end and a note; several keys of one approver."""
    keys = [{"sha256": ANNA.upper(), "expires": "2027-01-31", "note": "laptop"}, {"sha256": BEN}]
    config = read(tmp_path, {"approvers": [{"name": "anna", "keys": keys}], "valid_for": 60}, {"beyond": "Approve"})
    (approver,) = config.approvals.approvers
    first, second = approver.keys
    assert (approver.name, first.sha256, first.note, second.sha256) == ("anna", ANNA, "laptop", BEN)
    assert first.expires is not None
    assert first.expires.isoformat() == "2027-02-01T00:00:00+00:00"
    assert config.approvals.valid_for == 60


def test_the_environment_says_it_too() -> None:
    """Approvers as a list, the rest by name."""
    environ = {
        **ONE,
        "ADS_PROXY_APPROVALS__APPROVERS": f"[{{name: anna, keys: [{{sha256: {ANNA}}}]}}]",
        "ADS_PROXY_APPROVALS__PENDING_FOR": "600",
        "ADS_PROXY_APPROVALS__MAX_PENDING": "3",
        "ADS_PROXY_APPROVALS__ADMIN": "true",
        "ADS_PROXY_ADMIN__KEY": ADMIN_KEY,
    }
    section = load(None, environ).approvals
    assert [approver.name for approver in section.approvers] == ["anna"]
    assert (section.pending_for, section.max_pending, section.admin) == (600, 3, True)


@pytest.mark.parametrize("name", ["ADS_PROXY_APPROVER_KEY", "ADS_PROXY_APPROVER_KEY_FILE"])
def test_the_key_of_the_commands_is_no_key_of_the_configuration(name: str) -> None:
    """An approver's shell may hold it next to the variables of the proxy."""
    assert load(None, {**ONE, name: "x"}).approvals == ApprovalsSection()


@pytest.mark.parametrize(
    ("approvals", "said"),
    [
        ({"approver": []}, "approvals.approver: unknown key; did you mean 'approvers'?"),
        ({"valid_for": 0}, "approvals.valid_for: is out of range; it must be at least 1"),
        ({"valid_for": 604801}, "approvals.valid_for: is out of range; it must be at most 604800"),
        ({"pending_for": 0.5}, "approvals.pending_for: is out of range; it must be at least 1"),
        ({"pending_for": 604801}, "approvals.pending_for: is out of range; it must be at most 604800"),
        ({"max_pending": 0}, "approvals.max_pending: is out of range; it must be at least 1"),
        ({"max_pending": 1001}, "approvals.max_pending: is out of range; it must be at most 1000"),
        ({"admin": "perhaps"}, "approvals.admin: must be true or false, not a text"),
        ({"approvers": [{"keys": [{"sha256": ANNA}]}]}, "approvals.approvers[0].name: is missing; add it"),
        (
            {"approvers": [{"name": "anna"}]},
            "approvals.approvers[0].keys: is missing; make a key with `ads-proxy keys new --approver NAME`",
        ),
        (
            {"approvers": [{"name": "anna", "keys": []}]},
            "approvals.approvers[0].keys: is missing; make a key with `ads-proxy keys new --approver NAME`",
        ),
        (
            {"approvers": [{"name": "admin", "keys": [{"sha256": ANNA}]}]},
            "approvals.approvers[0].name: 'admin' is who decides by the admin key; take another",
        ),
        (
            {"approvers": [APPROVER, {"name": "anna", "keys": [{"sha256": BEN}]}]},
            "approvals.approvers[1].name: is the name of approvals.approvers[0] too; take another",
        ),
        (
            {"approvers": [APPROVER, {"name": "ben", "keys": [{"sha256": BEN}, {"sha256": ANNA.upper()}]}]},
            "approvals.approvers[1].keys[1].sha256: is the key of approvals.approvers[0].keys[0].sha256 too; "
            "make another with `ads-proxy keys new --approver NAME`",
        ),
        (
            {"approvers": [{"name": "anna", "keys": [{"sha256": AGENT}]}]},
            "approvals.approvers[0].keys[0].sha256: is the key of clients[0] too; "
            "make another with `ads-proxy keys new --approver NAME`",
        ),
    ],
)
def test_a_wrong_section_is_told(tmp_path: Path, approvals: Any, said: str) -> None:
    """The key, and what to do."""
    assert problems(tmp_path, approvals) == [said]


def test_an_approver_has_another_key_than_the_admin(tmp_path: Path) -> None:
    """The digest of the admin key is known once the key is read."""
    digest = hashlib.sha256(ADMIN_KEY.encode()).hexdigest()
    keys = [{"sha256": ANNA}, {"sha256": digest}]
    (said,) = problems(tmp_path, {"approvers": [{"name": "anna", "keys": keys}]}, admin={"key": ADMIN_KEY})
    assert said.startswith("approvals.approvers[0].keys[1].sha256: is the key of admin.key too; make another with")
    assert read(tmp_path, {"approvers": [APPROVER]}, admin={"key": ADMIN_KEY}).approvals.approvers


@pytest.mark.parametrize("approvals", [None, {}, {"approvers": []}, {"admin": False}, {"valid_for": 60}])
def test_somebody_must_be_able_to_approve(tmp_path: Path, approvals: Any) -> None:
    """Each client with writes that nobody could approve."""
    (said,) = problems(tmp_path, approvals, {"beyond": "approve"})
    assert said.startswith("clients[0].spend.beyond: no approver is configured; add a person to approvals.approvers (")


@pytest.mark.parametrize(
    ("approvals", "spend", "beginnings"),
    [
        ({"approvers": [APPROVER]}, {"beyond": "approve"}, []),
        ({"approvers": [APPROVER]}, {"beyond": "refuse"}, []),
        (None, {"beyond": "approve", "mode": "observe"}, ["The beyond of client agent has no effect: with mode: obs"]),
        (
            {"approvers": [{"name": "anna", "keys": [{"sha256": ANNA, "expires": "2026-01-01"}]}]},
            {"beyond": "approve"},
            ["Every key of approver anna has expired. Make a key with `ads-proxy keys new --approver anna`."],
        ),
        (
            {"approvers": [{"name": "anna", "keys": [{"sha256": ANNA, "expires": "2026-01-01"}, {"sha256": BEN}]}]},
            {"beyond": "approve"},
            [],
        ),
    ],
)
def test_what_is_worth_a_word_is_noted(tmp_path: Path, approvals: Any, spend: Any, beginnings: list[str]) -> None:
    """A valid configuration that does less, or permits more, than it may seem."""
    told = notes(read(tmp_path, approvals, spend))
    assert len(told) == len(beginnings)
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(told, beginnings, strict=True))


@pytest.mark.parametrize("admin", [{}, {"url": "http://localhost"}, {"key": None}])
@pytest.mark.parametrize("approvals", [{"admin": True}, {"admin": "yes", "approvers": [APPROVER]}])
def test_the_admin_key_decides_only_where_there_is_one(tmp_path: Path, approvals: Any, admin: Any) -> None:
    """Without it, every program that reaches the admin listener could approve, clients included."""
    said = problems(tmp_path, approvals, {"beyond": "approve"}, admin=admin)
    assert [each for each in said if each.startswith("approvals.admin: every program that reaches the admin")]


def test_the_admin_key_decides_without_a_note(tmp_path: Path) -> None:
    """Where there is an admin key, to let it decide is a choice."""
    assert notes(read(tmp_path, {"admin": True}, {"beyond": "approve"}, admin={"key": ADMIN_KEY})) == ()
