"""The folder of a demo: a configuration with two accounts, keys, a named report, an open invitation, a week of audit.

All of it is invented, and lives as long as the demo. The commands that read a configuration work with it from another
terminal: `ads-proxy audit show --config FOLDER/proxy.yaml`. Where no folder can be written, there is no more than two
accounts and keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from dataclasses import field
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from proxy.app.rules import DEMO_CLIENT
from proxy.audit.chain import OPENED, seal
from proxy.audit.file import AuditFile
from proxy.audit.records import dated, note, record_of
from proxy.commands.invite import opened_ledger
from proxy.config import load
from proxy.config.model.values import parse_address
from proxy.events import (
    AdminSignedIn,
    ChangedObjects,
    ClientKeyChanged,
    ConfigReloaded,
    ItemCounts,
    KeyChange,
    MemberValue,
    Outcome,
    RequestFinished,
    SignInFinished,
    SignInOutcome,
    WriteOutcome,
)
from proxy.net.pem import as_file
from proxy.regions import REGION_NAMES
from proxy.secret import KEY_PREFIX
from proxy.tokens.invitation import link, signing_key
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.config import Config
    from proxy.events import Event

ACCOUNTS: Final = ("default", "globex")
AGENT, OPTIMIZER, REPORT = "agent", "optimizer", "campaigns"
_PROFILE: Final = "1110000000000001"
_DAY: Final = 86400.0
_WEEK: Final = 7
_INVITED_FOR: Final = 7 * _DAY


@dataclass(frozen=True, slots=True)
class PreparedDemo:
    """A demo's configuration, and the secrets that its banner shows. `file` is the configuration's file, None without a
    folder. `invitation` is the path of an open link."""

    config: Config
    file: Path | None
    agent_key: str = field(repr=False)
    invitation: str = field(repr=False)


def prepare(
    folder: Path | None, simulator: Mapping[str, Any], variables: Mapping[str, str], now: float
) -> PreparedDemo:
    """Write the folder's files, if there is one. `variables` are the settings of the environment that stay in force."""
    key = KEY_PREFIX + secrets.token_urlsafe(24)
    tokens = simulator["refresh_token"], _add_user(simulator["control_url"], ACCOUNTS[1])
    text = configuration(simulator, tokens, key, variables, keeps_files=folder is not None)
    if folder is None:
        with as_file(text.encode()) as unnamed:
            return PreparedDemo(load(Path(unnamed), dict(variables)), None, key, "")
    path = folder / "proxy.yaml"
    path.write_text(text, encoding="utf-8")
    config = load(path, dict(variables))
    assert config.audit.file is not None
    write_audit(config.audit.file, now)
    return PreparedDemo(config, path, key, asyncio.run(_invite(config)) if config.invites.url else "")


def configuration(
    simulator: Mapping[str, Any],
    refresh_tokens: tuple[str, str],
    agent_key: str,
    variables: Mapping[str, str],
    *,
    keeps_files: bool,
) -> str:
    """The text of the configuration. The second account is another user's at the simulator, with its own profiles."""
    app = {key: simulator[key] for key in ("client_id", "client_secret")}
    tokens = zip(ACCOUNTS, refresh_tokens, strict=True)
    of_agent = {"name": AGENT, "key_sha256": hashlib.sha256(agent_key.encode()).hexdigest(), "access": "read"}
    of_optimizer = {"name": OPTIMIZER, "key_sha256": _unused_key(), "accounts": [*ACCOUNTS]}
    urls = ("api_url", "token_url", "auth_grant_url", "mcp_url")
    content = {
        "listen": variables["ADS_PROXY_LISTEN"],
        "admin_listen": variables["ADS_PROXY_ADMIN_LISTEN"],
        "accounts": {name: {**app, "refresh_token": token, "region": "na"} for name, token in tokens},
        "clients": [
            {"name": DEMO_CLIENT, "key_sha256": _unused_key()},
            {**of_agent, "accounts": [ACCOUNTS[0]], "profiles": [_PROFILE], "unscoped_paths": ["/v2/profiles"]},
            of_optimizer,
        ],
        "regions": {name: {key: simulator[f"{key}s"][name] for key in urls} for name in REGION_NAMES},
        **(_kept(variables) if keeps_files else {"state": {"url": "memory:"}}),
    }
    head = "# The configuration of a demo. The answers come from the built-in simulator, not from Amazon.\n"
    return head + yaml.safe_dump(content, sort_keys=False)


def _kept(variables: Mapping[str, str]) -> dict[str, Any]:
    """The sections that keep files.

    Invitations need the port of the admin listener: there are none if the system is to choose it (0).
    """
    admin_port = parse_address(variables["ADS_PROXY_ADMIN_LISTEN"]).port
    order = {"preset": "spCampaigns", "columns": ["date", "campaignName", "impressions", "clicks", "cost"]}
    return {
        "state": {"url": "file:state"},
        "audit": {"file": "audit.jsonl", "objects": True, "values": ["state", "budget", "bid"]},
        **({"invites": {"url": f"http://localhost:{admin_port}"}} if admin_port else {}),
        "reports": {
            "duplicates": "reuse",
            "poll_interval": 5,
            "keep": {"dir": "reports"},
            "named": {REPORT: {"account": ACCOUNTS[0], "profiles": "all", "order": order, "days": 7, "every": "1h"}},
        },
    }


def _unused_key() -> str:
    """The digest of a key that was thrown away."""
    return hashlib.sha256(secrets.token_bytes(32)).hexdigest()


def _add_user(control: str, user: str) -> str:
    """Give the simulator a further user with profiles of its own, and return its refresh token."""
    body = json.dumps({"user": user, "profiles_per_region": 2}).encode()
    asked = urlsplit(control)
    connection = HTTPConnection(asked.hostname or "", asked.port, timeout=10)
    try:
        connection.request("POST", "/control/users", body)
        return str(json.load(connection.getresponse())["refresh_token"])
    finally:
        connection.close()


async def _invite(config: Config) -> str:
    """Make an invitation for the second account, and return its path."""
    account = config.accounts[ACCOUNTS[1]]
    async with opened_ledger(config) as ledger:
        made = await ledger.make(account.name, _INVITED_FOR, "demo")
    return link("", made, signing_key(account.secrets[0]))


# --- a week of audit -----------------------------------------------------------------------------------------


def write_audit(path: Path, now: float) -> None:
    """Write the records of the last seven days as the proxy itself would have."""
    file = AuditFile(path)
    head = file.end.head
    try:
        for at, record in _week(now):
            line, head = seal(dated(record, at), head)
            file.write(line)
        file.settle(head, closed=True)
    finally:
        file.close()


def _week(now: float) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """Each record with its time: the wall clock, in seconds."""
    begin = now - _WEEK * _DAY
    yield begin, note(OPENED, {})
    for day in range(_WEEK):
        for minutes, event in enumerate(_events_of(day)):
            record = record_of(event)
            assert record is not None, event
            yield begin + day * _DAY + 3600.0 + minutes * 540.0, record


def _events_of(day: int) -> Iterator[Event]:
    if day == 0:
        yield SignInFinished(ACCOUNTS[0], SignInOutcome.CONNECTED, "")
        yield ClientKeyChanged(AGENT, "5d41402abc4b", KeyChange.ADDED, "", None)
        yield ConfigReloaded(True, (), ("clients",), ())
    if day % 3 == 1:
        yield AdminSignedIn("127.0.0.1")
    yield _write("/sp/campaigns", "PUT", f"campaign/30000000000{day}", MemberValue("", "state", "PAUSED"))
    yield _write("/sp/keywords", "PUT", f"keyword/50000000000{day}", MemberValue("", "bid", f"{0.8 + day / 10:.2f}"))
    if day == 4:
        yield _write("/sp/campaigns", "POST", "", MemberValue("", "budget", "5000"), failed=1)
    yield _write("/sp/campaigns", "PUT", "campaign/300000000001", MemberValue("", "state", "ENABLED"))


def _write(path: str, method: str, changed: str, value: MemberValue, failed: int = 0) -> RequestFinished:
    """One write of the optimizer to the first account."""
    outcome = Outcome.FAILURE if failed else Outcome.SUCCESS
    objects = (changed,) if changed else ()
    return RequestFinished(
        request_id=secrets.token_hex(16),
        client=OPTIMIZER,
        account=ACCOUNTS[0],
        region="na",
        method=method,
        path=path,
        status=207,
        amazon_request_id=secrets.token_hex(8).upper(),
        bytes_in=120,
        bytes_out=90,
        duration=0.21,
        upstream=0.2,
        overhead=0.0001,
        attempts=1,
        refusal="",
        detail="",
        fault="",
        profile=_PROFILE,
        operation=f"{method.lower()}{path.rpartition('/')[2].capitalize()}",
        operation_class="write",
        upstream_status=207,
        write=WriteOutcome(outcome, ItemCounts(1 - failed, failed)),
        changes=ChangedObjects(objects, 0, (value.member,), (MemberValue(changed, value.member, value.value),)),
    )
