"""What `keys` prints and writes: entries to paste, keys in a file, a list by end, and what to write to end a key."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from proxy.commands.configuration_file import ConfigurationFile
from proxy.commands.keys import (
    KeyTerms,
    approver_keys,
    client_keys,
    new_approver_key,
    new_key,
    print_expiry,
    print_keys,
    shown_end,
    write_approver_key,
    write_key,
)
from proxy.config import Config, load
from proxy.config.model.clients import CertificateConfig, Client
from proxy.errors import ConfigurationError
from tests.commands.test_cli import run
from tests.support.ready_program import run_ready

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OLD, NEW, OTHER, FREE = ("ab" * 32, "ac" * 32, "cd" * 32, "ef" * 32)
TEXT = f"""
accounts: {{acme: {{client_id: x, client_secret: y}}}}
clients:
  - name: reporting
    keys:
      - {{sha256: {OLD}, expires: 2027-01-31, note: old pod}}
      - {{sha256: {NEW}}}
  - {{name: bidder, keys: [{{sha256: {OTHER}, expires: 2026-11-25T11:00:00Z}}]}}
  - {{name: free, key_sha256: {FREE}}}
"""


@pytest.fixture
def configured(tmp_path: Path) -> Config:
    (tmp_path / "proxy.yaml").write_text(TEXT)
    return load(tmp_path / "proxy.yaml", {})


def test_the_list_begins_with_what_ends_first(configured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """Each key by its id, when it ends, how long that is, and its note; those without an end come last."""
    assert print_keys(configured, "table", NOW) == 0
    _, *lines = (line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines())
    assert [line[:3] for line in lines] == [
        ["bidder", "cdcdcdcdcdcd", "2026-11-25T11:00:00Z"],
        ["reporting", "abababababab", "2027-01-31"],
        ["free", "efefefefefef", "never"],
        ["reporting", "acacacacacac", "never"],
    ]
    assert lines[0][3].strip() == "expired"
    assert lines[1][3].split("  ")[0] == "in 67 days"
    assert "old pod" in lines[1][3]


def test_the_list_is_json_for_programs(configured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """With the whole digest, and the moment of the end: that of a day is midnight."""
    print_keys(configured, "json", NOW)
    first, second, *_ = json.loads(capsys.readouterr().out)
    assert (first["client"], first["ended"]) == ("bidder", True)
    assert second == {
        "client": "reporting",
        "id": "abababababab",
        "sha256": OLD,
        "note": "old pod",
        "ends_at": "2027-02-01T00:00:00Z",
        "ended": False,
    }


def test_certificates_are_listed_behind_the_keys(configured: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """By the name in them; they end by themselves."""
    mesh = Client(name="mesh", certificate=CertificateConfig(san="spiffe://example.org/ads"))
    config = configured.model_copy(update={"clients": (*configured.clients, mesh)})
    assert print_keys(config, "table", NOW) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        *("mesh", "certificate", "by", "itself", "spiffe://example.org/ads")
    ]
    print_keys(config, "json", NOW)
    last = json.loads(capsys.readouterr().out)[-1]
    assert last == {"client": "mesh", "id": "certificate", "note": "spiffe://example.org/ads"}


@pytest.mark.parametrize(
    ("asked", "expires"),
    [
        (("reporting", "abab", "2026-12-01"), ["2026-12-01", None]),
        (("reporting", "old pod", "2026-12-01T08:00:00+01:00"), ["2026-12-01T07:00:00Z", None]),
        (("reporting", "acac"), ["2027-01-31", "2026-11-25T12:00:00Z"]),
        (("free",), ["2026-11-25T12:00:00Z"]),
    ],
)
def test_what_to_write_to_end_a_key_is_printed(
    configured: Config, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], expires: list[str | None]
) -> None:
    """It can be pasted below `clients:`, with the client's other keys as they are."""
    assert print_expiry(client_keys(configured, asked[0]), NOW, *asked[1:]) == 0
    printed = capsys.readouterr()
    _, entry = yaml.load("clients:\n  - name: other\n" + printed.out, yaml.BaseLoader)["clients"]
    assert entry["name"] == asked[0]
    assert [key.get("expires") for key in entry["keys"]] == expires
    before = next(client for client in configured.clients if client.name == asked[0]).all_keys
    assert [(key["sha256"], key.get("note")) for key in entry["keys"]] == [(key.sha256, key.note) for key in before]
    assert "Nothing was changed" in printed.err
    assert ("has no other valid key" in printed.err) is (asked[0] == "free")


def changes(printed: str) -> list[str]:
    """The lines of a difference that go, and those that come."""
    return [line for line in printed.splitlines()[2:] if line[0] in "+-"]


@pytest.mark.parametrize(
    ("asked", "expires"),
    [
        (("reporting", "abab", "--on", "2026-12-01"), ["2026-12-01", "never"]),
        (("reporting", "old pod", "--on", "2026-12-01T08:00:00+01:00"), ["2026-12-01T07:00:00Z", "never"]),
        (("reporting", "acac", "--on", "2028-01-01"), ["2027-01-31", "2028-01-01"]),
        (("free", "--on", "2028-01-01"), ["2028-01-01"]),
    ],
)
@pytest.mark.usefixtures("configured")
def test_the_expiry_of_a_key_is_written(tmp_path: Path, asked: tuple[str, ...], expires: list[str]) -> None:
    """Of this key alone; a single `key_sha256` becomes a list. A dry run shows the same difference."""
    path = tmp_path / "proxy.yaml"
    before = load(path, {}).clients
    dry = run(tmp_path, "keys", "expire", *asked, "--dry-run", "--config", "proxy.yaml")
    assert (dry.returncode, path.read_text()) == (0, TEXT), dry.stderr
    ended = run(tmp_path, "keys", "expire", *asked, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout) == (0, dry.stdout), ended.stderr
    for old, new in zip(before, load(path, {}).clients, strict=True):
        assert [(key.sha256, key.note) for key in new.all_keys] == [(key.sha256, key.note) for key in old.all_keys]
        if new.name == asked[0]:
            assert [shown_end(key.expires) for key in new.all_keys] == expires
        else:
            assert new == old
    assert ("has no other valid key" in ended.stderr) is (asked[0] == "free")
    assert len(changes(ended.stdout)) <= 3


@pytest.mark.usefixtures("configured")
def test_a_key_expires_at_once(tmp_path: Path) -> None:
    """Without a day. Twice does no harm."""
    for _ in range(2):
        ended = run(tmp_path, "keys", "expire", "free", "--config", "proxy.yaml")
        assert ended.returncode == 0, ended.stderr
        assert "of client free has expired. A running proxy applies it within 5 seconds." in ended.stderr
    (free,) = (client for client in load(tmp_path / "proxy.yaml", {}).clients if client.name == "free")
    assert free.all_keys[0].expires is not None
    assert free.all_keys[0].expires <= datetime.now(UTC)


def test_keys_that_variables_set_are_printed(tmp_path: Path) -> None:
    """No file has them; --dry-run would promise one."""
    environ = {
        "ADS_PROXY_ACCOUNTS": "{a: {client_id: x, client_secret: s}}",
        "ADS_PROXY_CLIENTS": f"[{{name: free, key_sha256: {FREE}}}]",
    }
    ended = run_ready(tmp_path, ("keys", "expire", "free", "--on", "2028-01-01"), environ)
    assert (ended.returncode, "Nothing was changed" in ended.stderr) == (0, True)
    assert yaml.safe_load(ended.stdout)[0]["name"] == "free"
    dry = run_ready(tmp_path, ("keys", "expire", "free", "--dry-run"), environ)
    assert (dry.returncode, dry.stdout) == (2, "")
    assert "keys expire: --dry-run needs keys in a file" in dry.stderr


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        (("reportin",), "keys expire: unknown client; did you mean 'reporting'?"),
        (("reporting",), "keys expire: several keys match KEY; the keys are: abababababab, acacacacacac"),
        (("reporting", "a"), "keys expire: several keys match KEY; the keys are: abababababab, acacacacacac"),
        (("reporting", "cdcd"), "keys expire: unknown KEY; the keys are: abababababab, acacacacacac"),
        (("free", "", "tomorrow"), "--on is neither a day, such as 2027-01-31"),
    ],
)
def test_what_cannot_be_ended_is_told(configured: Config, asked: tuple[str, ...], problem: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError) as caught:
        print_expiry(client_keys(configured, asked[0]), NOW, *asked[1:])
    (told,) = caught.value.problems
    assert told.startswith(problem)


def test_the_entry_of_a_new_key_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """The entry comes with the key, has expiry and note, and holds the digest, not the key."""
    assert new_key("reporting", KeyTerms("2027-01-31", 'the "new" pod \N{ROCKET}')) == 0
    printed = capsys.readouterr()
    made = yaml.safe_load(printed.out)
    lines = printed.err.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("  - name"))
    (entry,) = yaml.load("\n".join(lines[begin : begin + 3]), yaml.BaseLoader)
    (key,) = entry["keys"]
    assert key == {"sha256": made["key_sha256"], "expires": "2027-01-31", "note": 'the "new" pod \N{ROCKET}'}
    assert made["key"] not in printed.err


@pytest.mark.parametrize("name", ["007", "true", "1e5", "2027-02-30", "reporting"])
def test_a_name_is_printed_so_that_it_stays_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Some names are numbers, days or truths in YAML without quotes."""
    assert new_key(name, KeyTerms()) == 0
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out)["name"] == name
    (entry,) = yaml.safe_load(printed.err[printed.err.index("  - name:") : printed.err.index("next to")])
    assert entry["name"] == name


def file_of(tmp_path: Path) -> ConfigurationFile:
    return ConfigurationFile.open("keys new", tmp_path / "proxy.yaml", {})


@pytest.mark.parametrize("name", ["reporting", "free", "bidder"])
def test_a_second_key_is_written_next_to_those_of_the_client(
    tmp_path: Path, configured: Config, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A single `key_sha256` becomes a list; the digest on standard output is in force, and the key stands nowhere."""
    assert write_key(file_of(tmp_path), name, KeyTerms("2027-03-31", "new pod"), dry_run=False) == 0
    printed = capsys.readouterr()
    made = yaml.safe_load(printed.out)
    present, after = configured.clients, load(tmp_path / "proxy.yaml", {}).clients
    for before, client in zip(present, after, strict=True):
        *kept, last = client.all_keys if client.name == name else (*client.all_keys, None)
        assert kept == [*before.all_keys]
        assert last is None or (last.sha256, last.note) == (made["key_sha256"], "new pod")
        assert last is None or shown_end(last.expires) == "2027-03-31"
    assert hashlib.sha256(made["key"].encode()).hexdigest() == made["key_sha256"]
    assert made["key"] not in printed.err + (tmp_path / "proxy.yaml").read_text()
    suggested = [line.split()[3:5] for line in printed.err.splitlines() if line.startswith("ads-proxy keys expire")]
    assert suggested == [
        [name, key.sha256[:12]] for client in present for key in client.all_keys if client.name == name
    ]


@pytest.mark.usefixtures("configured")
def test_a_dry_run_writes_nothing_and_shows_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The difference is its answer."""
    assert write_key(file_of(tmp_path), "free", KeyTerms(), dry_run=True) == 0
    printed = capsys.readouterr()
    assert (tmp_path / "proxy.yaml").read_text() == TEXT
    assert "adsproxy_" not in printed.out + printed.err
    removed, added = (line for line in printed.out.splitlines()[2:] if line[0] in "+-")
    assert removed == f"-  - {{name: free, key_sha256: {FREE}}}"
    assert added.startswith(f'+  - {{name: free, keys: [{{sha256: "{FREE}"}}, {{sha256: "')
    assert printed.err == "Nothing was written.\n"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("reportin", "keys new: unknown client; did you mean 'reporting'? (`ads-proxy client add reportin` adds it)"),
        ("a b", "keys new: NAME is not a usable name"),
    ],
)
def test_an_unknown_client_gets_no_key(tmp_path: Path, name: str, problem: str) -> None:
    """The entry of a client needs permissions, which `client add` asks for."""
    with pytest.raises(ConfigurationError) as caught:
        write_key(file_of(tmp_path), name, KeyTerms(), dry_run=False)
    assert caught.value.problems[0].startswith(problem)
    assert (tmp_path / "proxy.yaml").read_text() == TEXT


def test_a_dry_run_needs_a_file(tmp_path: Path) -> None:
    """Without one, nothing would be written anyway."""
    ended = run(tmp_path, "keys", "new", "reporting", "--dry-run")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("ads-proxy: keys new: --dry-run needs --config FILE")


@pytest.mark.parametrize(
    ("terms", "problem"), [(KeyTerms("soon"), "--expires is neither"), (KeyTerms("", "a\nb"), "--note must be a name")]
)
def test_terms_that_the_configuration_would_refuse_are_refused(terms: KeyTerms, problem: str) -> None:
    """Before a key is made."""
    with pytest.raises(ConfigurationError) as caught:
        new_key("reporting", terms)
    assert caught.value.problems[0].startswith(problem)


# --- approvers

ANNA = "12" * 32
APPROVERS = {
    "without a section": "",
    "with an empty section": "approvals:\n",
    "with terms": "approvals:\n  valid_for: 60\n",
    "with another": f"approvals:\n  approvers:\n    - {{name: ben, keys: [{{sha256: {ANNA}}}]}}\n",
    "on one line": f"approvals: {{approvers: [{{name: ben, keys: [{{sha256: {ANNA}}}]}}]}}\n",
    "with a key": f"approvals:\n  approvers:\n    - name: anna\n      keys:\n        - sha256: {ANNA}\n",
}


def test_the_key_of_an_approver_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """The section comes with the key, and holds the digest, not the key."""
    assert new_approver_key("anna", KeyTerms("2027-01-31", "laptop")) == 0
    printed = capsys.readouterr()
    made = yaml.safe_load(printed.out)
    section = printed.err[printed.err.index("approvals:") : printed.err.index("next to")]
    key = {"sha256": made["key_sha256"], "expires": "2027-01-31", "note": "laptop"}
    assert yaml.load(section, yaml.BaseLoader) == {"approvals": {"approvers": [{"name": "anna", "keys": [key]}]}}
    assert hashlib.sha256(made["key"].encode()).hexdigest() == made["key_sha256"]
    assert made["key"] not in printed.err


UNFINISHED = {
    "clients that need one": f"clients:\n  - {{name: agent, key_sha256: {'34' * 32}, spend: {{beyond: approve}}}}\n",
    "an approver without keys": "approvals:\n  approvers:\n    - name: anna\n",
}


@pytest.mark.parametrize("section", UNFINISHED.values(), ids=UNFINISHED)
def test_the_first_key_of_an_approver_makes_a_file_valid(tmp_path: Path, section: str) -> None:
    """The error about such a file names this command, so the command takes the file."""
    text = "accounts:\n  acme: {client_id: x, client_secret: y}\n" + section
    (tmp_path / "proxy.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match="`ads-proxy keys new --approver NAME`"):
        load(tmp_path / "proxy.yaml", {})
    dry = run_ready(tmp_path, ("keys", "new", "--approver", "anna", "--config", "proxy.yaml", "--dry-run"), {})
    assert (dry.returncode, (tmp_path / "proxy.yaml").read_text()) == (0, text)
    made = run_ready(tmp_path, ("keys", "new", "--approver", "anna", "--config", "proxy.yaml"), {})
    digest = yaml.safe_load(made.stdout)["key_sha256"]
    (anna,) = load(tmp_path / "proxy.yaml", {}).approvals.approvers
    assert (anna.name, [key.sha256 for key in anna.keys]) == ("anna", [digest])


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("approvals: x", "approvals: must hold keys, not a text"),
        ("approvals: {approvers: x}", "approvals.approvers[0]: must hold keys, not a text"),
        ("approvals: {approvers: [x]}", "approvals.approvers[0]: must hold keys, not a text"),
        ("approvals: {approvers: [{keys: []}]}", "approvals.approvers[0].name: is missing"),
        ("approvals: {approvers: [{name: anna, keys: 7}]}", "approvals.approvers[0].keys: must be a list"),
        ("approvals: {approvers: [{name: ben}]}", "approvals.approvers[0].keys: is missing"),
        ("listen: x", "listen: is not an address"),
    ],
)
def test_no_key_is_made_for_a_file_with_other_problems(tmp_path: Path, section: str, problem: str) -> None:
    """They are told, and the file stays as it is."""
    text = f"accounts:\n  acme: {{client_id: x, client_secret: y}}\n{section}\n"
    (tmp_path / "proxy.yaml").write_text(text)
    ended = run_ready(tmp_path, ("keys", "new", "--approver", "anna", "--config", "proxy.yaml"), {})
    assert (ended.returncode, ended.stdout, (tmp_path / "proxy.yaml").read_text()) == (2, "", text)
    assert ended.stderr.startswith(f"ads-proxy: {problem}")


@pytest.mark.parametrize("section", APPROVERS.values(), ids=APPROVERS)
def test_the_key_of_an_approver_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str) -> None:
    """Next to the approver's present keys, or as a new approver; all else stays."""
    (tmp_path / "proxy.yaml").write_text(TEXT + section)
    before = load(tmp_path / "proxy.yaml", {})
    assert write_approver_key(file_of(tmp_path), "anna", KeyTerms("", "laptop"), dry_run=False) == 0
    printed = capsys.readouterr()
    made = yaml.safe_load(printed.out)
    after = load(tmp_path / "proxy.yaml", {})
    (anna,) = (each for each in after.approvals.approvers if each.name == "anna")
    assert (anna.keys[-1].sha256, anna.keys[-1].note) == (made["key_sha256"], "laptop")
    assert len(anna.keys) == (2 if "anna" in section else 1)
    assert after.clients == before.clients
    assert after.approvals.valid_for == before.approvals.valid_for
    assert [each for each in after.approvals.approvers if each.name != "anna"] == [
        each for each in before.approvals.approvers if each.name != "anna"
    ]
    assert made["key"] not in printed.err + (tmp_path / "proxy.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("admin", "keys new: --approver: 'admin' decides by the admin key; take another"),
        ("a b", "keys new: --approver is not a usable name"),
    ],
)
def test_a_name_that_no_approver_can_have_gets_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, problem: str
) -> None:
    """Neither to paste nor in a file."""
    (tmp_path / "proxy.yaml").write_text(TEXT)
    with pytest.raises(ConfigurationError) as pasted:
        new_approver_key(name, KeyTerms())
    with pytest.raises(ConfigurationError) as written:
        write_approver_key(file_of(tmp_path), name, KeyTerms(), dry_run=False)
    assert pasted.value.problems == written.value.problems
    assert pasted.value.problems[0].startswith(problem)
    assert capsys.readouterr().out == ""
    assert (tmp_path / "proxy.yaml").read_text() == TEXT


def test_approvers_of_a_variable_are_not_written(tmp_path: Path) -> None:
    """The variable replaces what the file would say."""
    (tmp_path / "proxy.yaml").write_text(TEXT)
    environ = {"ADS_PROXY_APPROVALS__APPROVERS": f"[{{name: anna, keys: [{{sha256: {ANNA}}}]}}]"}
    file = ConfigurationFile.open("keys new", tmp_path / "proxy.yaml", environ)
    with pytest.raises(ConfigurationError, match="ADS_PROXY_APPROVALS__APPROVERS sets"):
        write_approver_key(file, "anna", KeyTerms(), dry_run=False)


@pytest.mark.parametrize("names", [[], ["reporting", "--approver", "anna"]])
def test_a_key_is_for_a_client_or_for_an_approver(tmp_path: Path, names: list[str]) -> None:
    """One of the two has to be named."""
    ended = run(tmp_path, "keys", "new", *names)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "give the NAME of a client, or --approver NAME" in ended.stderr


def test_approvers_are_among_the_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list tells them from clients."""
    (tmp_path / "proxy.yaml").write_text(TEXT + APPROVERS["with another"])
    config = load(tmp_path / "proxy.yaml", {})
    print_keys(config, "table", NOW)
    assert "ben (approver)" in capsys.readouterr().out
    print_keys(config, "json", NOW)
    (ben,) = (each for each in json.loads(capsys.readouterr().out) if "client" not in each)
    assert (ben["approver"], ben["id"]) == ("ben", "121212121212")


def test_what_to_write_to_end_the_key_of_an_approver_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The section can be pasted below `approvers:`; without another key, the command that makes one is told."""
    (tmp_path / "proxy.yaml").write_text(TEXT + APPROVERS["with another"])
    owner = approver_keys(load(tmp_path / "proxy.yaml", {}), "ben")
    assert print_expiry(owner, NOW, on="2026-12-01") == 0
    printed = capsys.readouterr()
    section = yaml.load(f"approvals:\n  approvers:\n{printed.out}", yaml.BaseLoader)
    keys = [{"sha256": owner.keys[0].sha256, "expires": "2026-12-01"}]
    assert section == {"approvals": {"approvers": [{"name": "ben", "keys": keys}]}}
    assert "Approver ben has no other valid key; make one with `ads-proxy keys new --approver ben`" in printed.err


def test_an_old_key_of_an_approver_ends_as_the_new_one_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The suggested command names the approver and the old key."""
    (tmp_path / "proxy.yaml").write_text(TEXT + APPROVERS["with another"])
    write_approver_key(file_of(tmp_path), "ben", KeyTerms(), dry_run=False)
    suggested = capsys.readouterr().err.splitlines()[-1]
    assert suggested == "ads-proxy keys expire --approver ben 121212121212"
    ended = run(tmp_path, *suggested.split()[1:], "--config", "proxy.yaml")
    assert ended.returncode == 0
    assert len(changes(ended.stdout)) == 2
    assert "Key 121212121212 of approver ben has expired" in ended.stderr
    ben = load(tmp_path / "proxy.yaml", {}).approvals.approvers[-1]
    assert [key.expires is None for key in ben.keys] == [False, True]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ([], "keys expire: give the name of a CLIENT, or --approver NAME"),
        (["--approver", "ben", "reporting", "1212"], "keys expire: with --approver NAME give KEY alone, and no CLIENT"),
        (["--approver", "bob"], "keys expire: unknown approver; the approvers are: ben"),
        (["--approver", "benn"], "keys expire: unknown approver; did you mean 'ben'?"),
        (["ben"], "(for the approver: `ads-proxy keys expire --approver ben --config proxy.yaml`)"),
        (["--approver", "ben", "ab"], "keys expire: unknown KEY; the keys are: 121212121212"),
    ],
)
def test_what_cannot_be_ended_of_an_approver_is_told(tmp_path: Path, asked: list[str], problem: str) -> None:
    """With what to do instead; an approver's name alone is no client."""
    (tmp_path / "proxy.yaml").write_text(TEXT + APPROVERS["with another"])
    ended = run(tmp_path, "keys", "expire", *asked, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert problem in ended.stderr
