"""`audit show --approved` and `audit undo`: what they print of approved writes, and what they send."""

from __future__ import annotations

import hashlib
import http.server
import json
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.audit import ChangeFilter, show, undo_record
from proxy.errors import ConfigurationError
from tests.commands.test_audit import write, written

VIOLATION = {"rule": "budget", "path": "campaigns[0].budget.budget", "value": "500", "currency": "USD", "limit": "200"}
CHANGES = [
    {"object": "campaign/1", "member": "budget.budget", "before": "100", "after": "500"},
    {"object": "campaign/1", "member": "name", "before": None, "after": '"x"'},
    {"object": "", "member": "state", "before": "", "after": '"PAUSED"'},
]
SPEND = {
    "verdict": "approved",
    "approval": "a1b2",
    "approver": "anna",
    "violations": [VIOLATION],
    "changes": CHANGES,
    "further_changes": 3,
}


def approved(day: str = "24", **spend: Any) -> dict[str, Any]:
    record = write(day, region="na", items={"succeeded": 1, "failed": 0}, spend={**SPEND, **spend})
    return {**record, "url": {"path": "/sp/campaigns"}}


def decision(action: str, minute: int) -> dict[str, Any]:
    return {
        "@timestamp": f"2026-11-24T17:{minute}:00.000Z",
        "event": {"action": action},
        "ads_proxy": {"approval": "a1b2"},
    }


RECORDS = [
    decision("approval-requested", 10),
    decision("approval-decided", 15),
    write("23", spend={"verdict": "within"}),
    approved(),
    approved("25", approval="c3d4", changes=CHANGES[:1], further_changes=0),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "audit.jsonl", RECORDS)


# --- show --approved


def test_approved_writes_are_shown_with_who_and_what(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asked and approved, when it was sent, its outcome, and each value before and after."""
    assert show((path,), ChangeFilter(approved=True)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "record 4: UpdateSponsoredProductsCampaigns, success (1 of 1), approved",
        "    asked by agent at 2026-11-24 17:10:00: approval a1b2",
        "    approved by anna at 2026-11-24 17:15:00",
        "    sent at 2026-11-24 17:20:01 for acme, 3511",
        "    over: budget 500 USD, limit 200 (campaigns[0].budget.budget)",
        "    campaign/1 budget.budget: 100 -> 500",
        '    campaign/1 name: not known -> "x"',
        '    new object state: none -> "PAUSED"',
        "    and 3 more",
        "",
        "record 5: UpdateSponsoredProductsCampaigns, success (1 of 1), approved",
        "    asked by agent: approval c3d4",
        "    approved by anna",
        "    sent at 2026-11-25 17:20:01 for acme, 3511",
        "    over: budget 500 USD, limit 200 (campaigns[0].budget.budget)",
        "    campaign/1 budget.budget: 100 -> 500",
    ]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (ChangeFilter(approved=True, day="2026-11-25"), 1),
        (ChangeFilter(approved=True, object="campaign/1"), 2),
        (ChangeFilter(approved=True, object="campaign/2"), 0),
        (ChangeFilter(approved=True, member="budget.budget"), 2),
        (ChangeFilter(approved=True, member="name"), 1),
        (ChangeFilter(approved=True, client="other"), 0),
    ],
)
def test_approved_writes_are_chosen(
    path: Path, capsys: pytest.CaptureFixture[str], wanted: ChangeFilter, count: int
) -> None:
    """Also by objects and members that they changed, without `audit.objects`."""
    assert show((path,), wanted) == 0
    said = capsys.readouterr()
    assert said.out.count("approved by") == count
    assert ("No change was found." in said.err) == (count == 0)


def test_odd_records_of_approved_writes_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The values are restored as far as they go."""
    odd = approved(changes=["text", {"member": 5}], violations=["text"], further_changes="")
    assert show((written(tmp_path / "audit.jsonl", [odd]),), ChangeFilter(approved=True)) == 0
    assert "    unknown object 5: not known unchanged" in capsys.readouterr().out.splitlines()


# --- undo


class Proxy:
    """Answers like the proxy, with `status` and `body`, and keeps what it got."""

    def __init__(self) -> None:
        self.status, self.body = 207, b'{"campaigns": {"success": [{"index": 0}], "error": []}}'
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                """Nothing is logged."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    found = Proxy()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


@pytest.fixture
def config(tmp_path: Path, proxy: Proxy) -> Path:
    """A configuration whose client listener is the fake proxy, with one client."""
    client = {"name": "anna", "keys": [{"sha256": hashlib.sha256(b"anna-key").hexdigest()}]}
    account = {"client_id": "amzn1.x", "client_secret": "a-secret", "refresh_token": "Atzr|x", "region": "na"}
    listen = f"127.0.0.1:{proxy.server.server_address[1]}"
    file = tmp_path / "proxy.yaml"
    file.write_text(json.dumps({"listen": listen, "accounts": {"acme": account}, "clients": [client]}))
    return file


def undo(path: Path, config: Path, number: int = 5, **options: Any) -> int:
    return undo_record(number, [path], config=config, **options)


BODY = {"campaigns": [{"campaignId": "1", "budget": {"budget": 100}}]}


def test_undo_prints_a_command(path: Path, config: Path, proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """For a shell, with the key from a variable; nothing is sent."""
    assert undo(path, config) == 0
    said = capsys.readouterr()
    words = shlex.split(said.out.replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", "PUT", f"http://127.0.0.1:{proxy.server.server_port}/@acme/na/sp/campaigns"]
    assert "X-Ads-Proxy-Key: $CLIENT_KEY" in words
    assert "Amazon-Advertising-API-Scope: 3511" in words
    assert json.loads(words[-1]) == BODY
    assert (said.err, proxy.requests) == ("", [])


def test_undo_says_what_it_leaves(path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, so that the command can be piped to a shell."""
    assert undo(path, config, 4) == 0
    said = capsys.readouterr()
    assert said.out.startswith("curl ")
    assert said.err.splitlines() == [
        "ads-proxy: undo: 3 further members that the write set are not in the record.",
        "ads-proxy: undo: campaign/1: name was not known before the write.",
        "ads-proxy: undo: The write created objects: that cannot be undone; archive them instead.",
    ]


@pytest.mark.parametrize("send", [False, True])
def test_a_write_that_cannot_be_undone_is_another_exit_code(
    path: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], send: bool
) -> None:
    key = tmp_path / "key"
    key.write_text("anna-key")
    assert undo(path, config, 3, send=send, key_file=key) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not of a write that an approver approved" in said.err


def test_send_sends_it_as_the_client_with_the_key(
    path: Path, config: Path, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    key.write_text("anna-key\n")
    assert undo(path, config, send=True, key_file=key) == 0
    ((method, target, headers, body),) = proxy.requests
    assert (method, target, body) == ("PUT", "/@acme/na/sp/campaigns", BODY)
    assert headers["X-Ads-Proxy-Key"] == "anna-key"
    assert headers["Content-Type"] == "application/vnd.spCampaign.v3+json"
    assert capsys.readouterr().out == "PUT /@acme/na/sp/campaigns: 207, success (1 of 1)\n"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            403,
            b'{"detail": "Nothing was changed. A person was asked."}',
            "undo: Nothing was changed. A person was asked.",
        ),
        (500, b"<html>", "undo: <html>"),
        (207, b'{"campaigns": {"success": [], "error": [{"index": 0}]}}', 'undo: {"campaigns": '),
    ],
)
def test_a_refusal_of_the_undoing_is_said(
    path: Path,
    config: Path,
    proxy: Proxy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    status: int,
    body: bytes,
    said: str,
) -> None:
    """The undoing is under the limits of its client as any other write."""
    key = tmp_path / "key"
    key.write_text("anna-key")
    proxy.status, proxy.body = status, body
    assert undo(path, config, send=True, key_file=key) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"PUT /@acme/na/sp/campaigns: {status}, failure")
    assert said in printed.err


def test_send_needs_a_key(path: Path, config: Path, proxy: Proxy) -> None:
    """Unless the proxy asks for none."""
    with pytest.raises(ConfigurationError, match="add --key-file FILE"):
        undo(path, config, send=True)
    open_to_all = config.with_name("open.yaml")
    open_to_all.write_text(json.dumps({**json.loads(config.read_text()), "clients": []}))
    assert undo(path, open_to_all, send=True) == 0
    assert "X-Ads-Proxy-Key" not in proxy.requests[0][2]


def test_a_proxy_that_is_away_is_said(path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = config.with_name("key")
    key.write_text("anna-key")
    assert undo(path, config, send=True, key_file=key, listen="127.0.0.1:1") == 1
    assert "the proxy at http://127.0.0.1:1 does not answer: Connection refused" in capsys.readouterr().err


def test_changed_files_send_nothing(path: Path, config: Path, proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """A record that somebody changed could name any value. Printing says what is wrong, too."""
    path.write_bytes(path.read_bytes().replace(b'"before":"100"', b'"before":"900"'))
    key = config.with_name("key")
    key.write_text("anna-key")
    assert undo(path, config, send=True, key_file=key) == 1
    assert "nothing was sent, as the files are not as they were written" in capsys.readouterr().err
    assert undo(path, config) == 1
    said = capsys.readouterr()
    assert (said.out.startswith("curl"), "line 5" in said.err) == (True, True)
    assert proxy.requests == []


def test_an_unknown_number_is_said(path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert undo(path, config, 99) == 1
    assert "no record has the number 99" in capsys.readouterr().err


def test_the_port_must_be_known(path: Path, config: Path) -> None:
    with pytest.raises(ConfigurationError, match="add --listen HOST:PORT"):
        undo(path, config, listen="127.0.0.1:0")


def test_the_file_of_the_configuration_is_read(path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one, the command says how to name files."""
    with pytest.raises(ConfigurationError, match="`ads-proxy audit undo 5 FILE`"):
        undo_record(5, None, config=config)
    config.write_text(json.dumps({**json.loads(config.read_text()), "audit": {"file": str(path)}}))
    assert undo_record(5, None, config=config) == 0
    assert capsys.readouterr().out.startswith("curl ")
