"""A configuration handed to another process: what arrives equals what was sent, secrets included."""

from __future__ import annotations

import json
from pathlib import Path

from proxy.config import Config, load
from proxy.config.serialization import PIECE_ACCOUNTS, from_document, from_pieces, to_document, to_pieces

WHOLE = """
listen: 127.0.0.1:0
admin_listen: "[::1]:8081"
allowed_hosts: [tools.internal]
admin: {{key: {{file: {secret}}}}}
accounts:
  acme:
    client_id: amzn1.x
    client_secret: [{{file: {secret}}}, canary-older]
    refresh_token: canary-refresh
    consented_on: 2026-07-01
    default_profile: first
  other: {{client_id: amzn1.y, client_secret: canary-second, region: eu}}
clients:
  - {{name: reporting, key_sha256: "{digest}", accounts: [acme], methods: [GET], requests_per_minute: 60}}
  - name: buyer
    key_sha256: "{third}"
    spend: {{budget: {{USD: 200, EUR: 180.50}}, bid_adjustment: "50", states: [paused], new_per_day: 3}}
  - {{name: agent, keys: [{{sha256: "{other}", expires: 2027-01-31, note: pod}}]}}
approvals:
  approvers: [{{name: anna, keys: [{{sha256: "{fourth}", expires: 2027-01-31}}]}}]
  valid_for: 60
routes: {{brand: {{account: acme, region: eu, profile: "123"}}}}
operations: [{{method: GET, path: "/x/{{id}}", scope: never}}]
state: {{url: "file:{folder}", key: {{file: {secret}}}}}
upstream: {{proxy: "http://user:canary-proxy@127.0.0.1:3128"}}
notify: {{command: [/bin/true], webhook: "https://example.com/canary-webhook"}}
log: {{access_fields: [client, status]}}
intercept: {{enabled: true, ca_dir: {folder}, listen: "127.0.0.1:8443", pass: [files.example.com]}}
reports:
  named:
    daily: {{account: acme, at: "06:30", order: {{preset: spCampaigns, columns: [date, cost]}}}}
    often: {{account: other, every: 6h, profiles: [1], order: {{preset: spCampaigns, time_unit: SUMMARY}}}}
"""


def read(folder: Path, text: str) -> Config:
    path = folder / "proxy.yaml"
    path.write_text(text)
    return load(path, {})


def test_a_configuration_arrives_as_it_was_sent(tmp_path: Path) -> None:
    """Every kind of value that the model has, through JSON and back."""
    (tmp_path / "secret").write_text("canary-secret-0123456789\n")
    digests = {"digest": "ab" * 32, "other": "cd" * 32, "third": "ef" * 32, "fourth": "12" * 32}
    sent = read(tmp_path, WHOLE.format(secret=tmp_path / "secret", folder=tmp_path, **digests))
    came = from_document(json.loads(json.dumps(to_document(sent))))
    assert came == sent
    assert came.secrets() == sent.secrets()
    assert (came.sources, type(came.listen), came.clients[1].keys) == (
        sent.sources,
        type(sent.listen),
        sent.clients[1].keys,
    )
    assert came.model_copy(update={"workers": 3}).workers == 3


def test_the_defaults_arrive(tmp_path: Path) -> None:
    """A configuration with few settings arrives with all defaults."""
    sent = read(tmp_path, "accounts: {acme: {client_id: amzn1.x, client_secret: canary}}")
    assert from_document(json.loads(json.dumps(to_document(sent)))) == sent


def accounts(folder: Path, **regions: str) -> Config:
    """A configuration of these accounts."""
    entries = "".join(
        f"  {name}: {{client_id: amzn1.x, client_secret: canary-{name}, region: {region}}}\n"
        for name, region in regions.items()
    )
    return read(folder, f"accounts:\n{entries}")


def test_only_accounts_that_changed_are_sent_again(tmp_path: Path) -> None:
    """The process keeps its unchanged accounts; accounts that it has beyond these are removed."""
    known = accounts(tmp_path, same="na", changed="na", gone="na")
    sent = accounts(tmp_path, new="fe", changed="eu", same="na")
    pieces = json.loads(json.dumps(list(to_pieces(sent, (known,)))))
    assert ["canary-" + name in json.dumps(pieces) for name in ("new", "changed", "same")] == [True, True, False]
    came = from_pieces(pieces, known)
    assert came == sent
    assert list(came.accounts) == ["new", "changed", "same"]
    assert came.accounts["same"] is known.accounts["same"]


def test_an_account_is_sent_if_one_process_has_it_otherwise(tmp_path: Path) -> None:
    """Some have the first, some the second configuration: all of them get the third."""
    known = [accounts(tmp_path, acme=region) for region in ("na", "eu")]
    sent = accounts(tmp_path, acme="na")
    pieces = json.loads(json.dumps(list(to_pieces(sent, known))))
    assert [from_pieces(pieces, each) for each in known] == [sent, sent]


def test_many_accounts_are_sent_a_few_at_a_time(tmp_path: Path) -> None:
    """The reading process can do other things in between."""
    known = accounts(tmp_path, first="na")
    names = [f"acct-{number}" for number in range(2 * PIECE_ACCOUNTS + 1)]
    sent = accounts(tmp_path, **dict.fromkeys(names, "na"))
    *pieces, rest = json.loads(json.dumps(list(to_pieces(sent, (known,)))))
    assert [len(piece) for piece in pieces] == [PIECE_ACCOUNTS, PIECE_ACCOUNTS, 1]
    assert from_pieces((*pieces, rest), known) == sent
