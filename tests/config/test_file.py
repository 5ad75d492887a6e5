"""The YAML file: strict YAML, every key with its bounds, rules between keys, and everything wrong told at once."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from proxy.config import Address, Client, Config, default_spill_directory, load
from proxy.config.reading.document import parse_document
from proxy.errors import ConfigurationError
from proxy.regions import AMAZON_REGIONS
from proxy.secret import Secret

ACCOUNT = "accounts: {acme: {client_id: amzn1.x, client_secret: canary-secret}}\n"
DIGEST = "ab" * 32


def read(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> Config:
    path = folder / "proxy.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(path, environ or {})


def problems_of(folder: Path, text: str | bytes, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, environ)
    return caught.value.problems


def test_the_whole_contract_is_read(tmp_path: Path) -> None:
    """Every key of a whole configuration arrives under its own name, with its type."""
    (tmp_path / "secret").write_text("canary-secret-0123456789\n")
    config = read(
        tmp_path,
        f"""
listen: 0.0.0.0:8080
admin_listen: "[::1]:8081"
allowed_hosts: [tools.internal]
allow_unauthenticated: false
admin: {{key: {{file: secret}}, open_metrics: false}}
regions:
  na: {{api_url: "http://127.0.0.1:9001", token_url: "http://127.0.0.1:9001/auth/o2/token"}}
accounts:
  acme:
    client_id: amzn1.application-oa2-client.x
    client_secret: {{file: secret}}
    refresh_token: {{env: TOKEN}}
    region: na
    default_profile: first
    default_ads_account: amzn1.ads-account.g.x
    scopes: ["advertising::campaign_management", "advertising::audiences"]
    redirect_uri: https://example.com/landing
clients:
  - {{name: reporting, key_sha256: "{DIGEST.upper()}", accounts: [acme], profiles: ["123", 456], methods: [get, POST],
     account_ids: [amzn1.ads-account.g.x, 77], unscoped_paths: ["/v2/profiles", /mcp/], access: Report,
     paths: ["/reporting/*"], requests_per_minute: 60}}
routes:
  brand-eu: {{account: acme, region: eu, profile: 123}}
state: {{url: "file:state", key: {{file: secret}}}}
tokens: {{refresh_ahead: 300, request_wait: 10}}
upstream: {{connect_timeout: 10, response_timeout: 60, idle_timeout: 60, max_connections: 256, retry_wait: 0,
           proxy: "http://user:pw@proxy:3128", ca_file: null}}
limits: {{header_timeout: 10, max_header_bytes: 65536, replay_bytes: 262144, max_connections: 10000}}
drain: {{delay: 0, timeout: 30}}
rewrite_locations: true
log: {{format: json, level: info, access: true}}
""",
        {"TOKEN": "Atzr|token"},
    )
    assert (config.listen, config.admin_listen) == (Address("0.0.0.0", 8080), Address("::1", 8081))
    assert config.regions["na"].api_url == "http://127.0.0.1:9001"
    assert config.regions["na"].mcp_url == AMAZON_REGIONS["na"]["mcp_url"]
    assert config.regions["fe"].model_dump() == AMAZON_REGIONS["fe"]
    account = config.accounts["acme"]
    assert account.refresh_token == Secret("Atzr|token")
    assert (account.default_profile, account.scopes[1]) == ("first", "advertising::audiences")
    assert account.default_ads_account == "amzn1.ads-account.g.x"
    client = config.clients[0]
    assert (client.key_sha256, client.methods, client.profiles) == (DIGEST, ("GET", "POST"), ("123", "456"))
    assert (client.account_ids, client.access) == (("amzn1.ads-account.g.x", "77"), "report")
    assert client.unscoped_paths == ("/v2/profiles", "/mcp/")
    route = config.routes["brand-eu"]
    assert (route.name, route.account, route.region, route.profile) == ("brand-eu", "acme", "eu", "123")
    assert config.state.url == f"file:{tmp_path}/state"
    assert config.state.key == config.admin.key == account.client_secret
    assert config.upstream.proxy == Secret("http://user:pw@proxy:3128")
    assert config.sources == (tmp_path / "proxy.yaml", tmp_path / "secret")


def test_everything_has_a_default(tmp_path: Path) -> None:
    """An account is enough; absent keys, and keys with nothing after them, mean the default."""
    config = read(tmp_path, ACCOUNT + "listen:\nadmin:\nlimits: {max_header_fields: }\nclients:\nstate:\ntls:\n")
    assert config.listen == Address("127.0.0.1", 8080)
    assert config.limits.max_header_fields == 200
    assert (config.limits.body_timeout, config.limits.keepalive_timeout, config.limits.max_target_bytes) == (
        30,
        75,
        8192,
    )
    assert config.clients == ()
    assert config.log.format == "auto"
    assert config.rewrite_locations is True


def test_interception_is_read(tmp_path: Path) -> None:
    """The directory starts where the file is."""
    keys = 'enabled: true, ca_dir: authority, listen: "127.0.0.1:8443", pass: ["*.example.com"]'
    section = read(tmp_path, f"{ACCOUNT}intercept: {{{keys}}}").intercept
    assert (section.enabled, section.ca_dir) == (True, tmp_path / "authority")
    assert (section.listen, section.passed) == (Address("127.0.0.1", 8443), ("*.example.com",))


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("[]", ()),
        ("", ("*.amazonaws.com",)),
        ("'*'", ("*",)),
        ("['*.Example.COM', files.example.com.]", ("*.example.com", "files.example.com")),
        ("['*.bücher.example', STRASSE.example]", ("*.xn--bcher-kva.example", "strasse.example")),
    ],
)
def test_hosts_to_pass_are_compared_as_names_are(tmp_path: Path, written: str, read_as: tuple[str, ...]) -> None:
    """In lower case, in ASCII, without a final dot; an empty list passes nothing, an empty key means the default."""
    assert read(tmp_path, ACCOUNT + f"intercept: {{pass: {written}}}").intercept.passed == read_as


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("state: {url: 'file:/var/lib/proxy'}", "/var/lib/proxy/ca"),
        ("state: {url: 'file:/var/lib/proxy'}\nintercept: {ca_dir: /etc/ca}", "/etc/ca"),
        ("state: {url: 'memory:'}\nintercept: {ca_dir: /etc/ca}", "/etc/ca"),
        ("state: {url: 'memory:'}", None),
        ("state: {url: 'redis://h/1', key: 0123456789abcdef}", None),
    ],
)
def test_the_authority_is_in_the_state_directory_by_default(tmp_path: Path, text: str, folder: str | None) -> None:
    """A state without a directory leaves it to `ca_dir`."""
    assert read(tmp_path, ACCOUNT + text).authority_folder == (None if folder is None else Path(folder))


def test_values_can_be_made_without_a_file() -> None:
    """Other parts' tests build a configuration in memory."""
    client = Client(name="a", key_sha256=DIGEST, accounts=None)
    assert Config(clients=(client,)).clients[0].accounts is None


@pytest.mark.parametrize("name", ["yes", "On", "NO", "off", "1", "0", "true", "FALSE"])
def test_flags_are_read_in_every_usual_spelling(tmp_path: Path, name: str) -> None:
    """YAML 1.1's words for true and false are understood where a flag is meant, and only there."""
    expected = name.lower() in ("yes", "on", "1", "true")
    assert read(tmp_path, ACCOUNT + f"rewrite_locations: {name}\n").rewrite_locations is expected


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Windows editors put one at the beginning."""
    assert read(tmp_path, b"\xef\xbb\xbf" + ACCOUNT.encode()).accounts


def test_secret_files_lose_their_last_line_break_only(tmp_path: Path) -> None:
    """What an editor adds at the end is no part of the secret."""
    (tmp_path / "s").write_bytes(b"\xef\xbb\xbfpart|one\r\n")
    config = read(tmp_path, "accounts: {a: {client_id: x, client_secret: {file: s}}}")
    assert config.accounts["a"].secrets[0].reveal() == "part|one"


def test_a_state_key_may_be_any_bytes(tmp_path: Path) -> None:
    """Sixteen bytes from a random source are a key."""
    (tmp_path / "key").write_bytes(bytes(range(240, 256)))
    config = read(tmp_path, ACCOUNT + "state: {key: {file: key}}")
    assert isinstance(config.state.key, Secret)
    assert config.state.key.reveal().encode("latin-1") == bytes(range(240, 256))


def test_two_refresh_tokens_while_one_is_being_changed(tmp_path: Path) -> None:
    """The newer one comes first, both are known to be secrets, and there are never three."""
    file = tmp_path / "proxy.yaml"
    (tmp_path / "new").write_text("Atzr|newer\n")
    both = "accounts: {acme: {client_id: c, client_secret: s, refresh_token: [{file: new}, 'Atzr|older']}}"
    file.write_text(both)
    config = load(file, {})
    newer, older = config.accounts["acme"].refresh_tokens
    assert newer is not None and older is not None
    assert (newer.reveal(), older.reveal()) == ("Atzr|newer", "Atzr|older")
    assert {newer, older} <= {*config.secrets()}
    file.write_text(both.replace("'Atzr|older'", "b, c"))
    with pytest.raises(
        ConfigurationError, match=r"accounts\.acme\.refresh_token: must be one secret, or a list of two"
    ):
        load(file, {})


def test_two_client_secrets_while_one_is_being_changed(tmp_path: Path) -> None:
    """The newer first; each may be a reference, both are known to be secrets, and there are never three."""
    (tmp_path / "new").write_text("the-newer-secret\n")
    file = tmp_path / "proxy.yaml"
    file.write_text("accounts: {acme: {client_id: c, client_secret: [{file: new}, the-older-secret]}}")
    config = load(file, {})
    newer, older = config.accounts["acme"].secrets
    assert older is not None
    assert (newer.reveal(), older.reveal()) == ("the-newer-secret", "the-older-secret")
    assert {newer, older} <= {*config.secrets()}
    for wrong in ("[]", "[a]", "[a, b, c]"):
        file.write_text(f"accounts: {{acme: {{client_id: c, client_secret: {wrong}}}}}")
        with pytest.raises(
            ConfigurationError, match=r"accounts\.acme\.client_secret: must be one secret, or a list of two"
        ):
            load(file, {})


def test_several_state_keys_rotate(tmp_path: Path) -> None:
    """The first key of a list encrypts."""
    config = read(tmp_path, ACCOUNT + "state: {key: [canary-new-key-0123, canary-old-key-0123]}")
    assert config.state.key == (Secret("canary-new-key-0123"), Secret("canary-old-key-0123"))


def test_secrets_are_found_next_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the configuration file, not where the program was started; `~/` is the home."""
    (tmp_path / "s").write_text("beside")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "t").write_text("at-home")
    monkeypatch.chdir("/")
    text = "accounts: {a: {client_id: x, client_secret: {file: s}, refresh_token: {file: ~/t}}}"
    account = read(tmp_path, text, {"HOME": str(tmp_path / "home")}).accounts["a"]
    assert account.secrets[0].reveal() == "beside"
    assert account.refresh_token == Secret("at-home")


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Faults of syntax, of values, of unknown keys and between keys come in one answer, each with its path."""
    told = problems_of(
        tmp_path,
        """
listen: 0.0.0.0:8080
acounts: {}
accounts:
  acme: {client_id: x, client_secret: {file: none}, region: us}
  acme: {client_id: y}
clients: [{name: a, key_sha256: zz, accounts: [acne]}]
routes: {short: {account: acm}}
log: {levle: info}
drain: {timeout: -1}
""",
        {"ADS_PROXY_UPSTREAM__MAX_CONNECTIONS": "0"},
    )
    text = "\n".join(told)
    assert "accounts.acme: is there twice, in lines 5 and 6; keep one" in told
    assert (
        f"accounts.acme.client_secret: the file {tmp_path / 'none'} does not exist; create it, or correct "
        "the path (line 5)" in told
    )
    assert "accounts.acme.region: is not one of na, eu, fe (line 5)" in told
    assert "acounts: unknown key; did you mean 'accounts'? (line 3)" in told
    assert "log.levle: unknown key; did you mean 'level'? (line 9)" in told
    assert "drain.timeout: is out of range; it must be at least 0 (line 10)" in told
    assert (
        "upstream.max_connections: is out of range; it must be at least 1 (from ADS_PROXY_UPSTREAM__MAX_CONNECTIONS)"
        in told
    )
    assert "routes.short.account: unknown account; did you mean 'acme'?" in told
    assert "clients[0].accounts[0]: unknown account; did you mean 'acme'?" in told
    assert "clients[0].key_sha256: must be the 64 hexadecimal digits" in text
    assert len(told) == 10


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xff\xfea\x00:\x00", "is UTF-16; save it as UTF-8"),
        (b"a: 1\nb: \xff", "line 2 is not UTF-8; save the file as UTF-8"),
        (b"a: \x01", "holds a control character at position 3; remove it"),
        ("\tlisten: x", "line 1, column 1: is not YAML: a tab in the indentation; indent with spaces"),
        (
            "a: b: c",
            "line 1, column 5: is not YAML: mapping values are not allowed here; a text that holds ': ' goes in",
        ),
        ("log:\n  level: info\n format: json", "line 3, column 2: is not YAML"),
        ("- a", "must hold keys such as 'listen:' at its top, not a list"),
        ("just text", "must hold keys such as 'listen:' at its top, not a single value"),
        ("a: &x 1\nb: *x", "line 1, column 4: anchors (&) and aliases (*) are not supported"),
        ("a: *x", "line 1, column 4: anchors (&) and aliases (*) are not supported"),
        ("a: !!python/object/apply:os.system [true]", "line 1, column 4: tags (!) are not supported"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins (---); keep one"),
        ("a: [1, 2", "line 1, column 9: is not YAML"),
        ("a: 'x", "line 1, column 6: is not YAML"),
        ("? [a, b]\n: 1", "line 1: a key must be a plain word, not a list"),
        ("[" * 2000, "line 1, column 13: nested more deeply than any configuration is"),
        ("a: " + "{a: " * 20 + "1" + "}" * 20, "nested more deeply than any configuration is"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """One line, with line and column, and no traceback."""
    (told,) = problems_of(tmp_path, text)
    assert problem in told
    assert str(tmp_path / "proxy.yaml") in told


@pytest.mark.long
def test_a_file_of_ten_thousand_accounts_is_read(tmp_path: Path) -> None:
    """Two megabytes and more: the file that a fleet for 10,000 accounts needs."""
    entry = "  acct-{0:05}: {{client_id: amzn1.application-oa2-client.{0:032}, client_secret: canary-{0:0128}}}"
    text = "accounts:\n" + "\n".join(map(entry.format, range(10_000)))
    assert len(text) > 2_000_000
    assert len(read(tmp_path, text).accounts) == 10_000


def test_a_file_over_64_mib_is_refused_with_the_limit(tmp_path: Path) -> None:
    """The limit keeps a wrong file, such as a disk image, out of memory."""
    path = tmp_path / "proxy.yaml"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert problem == f"--config: the file {path} is too large; name another file; it can have 64 MiB"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1, 2", "is not YAML: a bracket is missing; close the list or mapping"),
        ("log:\n  level: info\n format: json", "line 3, column 2: is not YAML: the indentation does not fit"),
        ("a: b: c", "line 1, column 5: is not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins (---)"),
        ("a: &x 1", "line 1, column 4: anchors (&) and aliases (*) are not supported"),
        ("- a", "must hold keys such as 'listen:' at its top, not a list"),
        ("log: {level: info}\nlog: {level: debug}", "log: is there twice, in lines 1 and 2; keep one"),
        ("a: \x01", "holds a control character"),
    ],
)
def test_mistakes_in_a_large_file_are_told_too(tmp_path: Path, text: str, problem: str) -> None:
    """A large file is read by libyaml alone, whose errors have other words than those of PyYAML's parser."""
    told = problems_of(tmp_path, text + "\n" + "# padding\n" * 110_000)
    assert any(problem in each for each in told), told


@pytest.mark.parametrize(
    "value",
    ["yes", "no", "0o17", "017", "1e3", "1.5", "-3", "~", "null", "''", "'1'", '"true"', "true", "2027-01-31", "1_000"],
)
def test_a_large_file_has_the_values_of_a_small_one(value: str) -> None:
    """Both parsers give the same scalars."""
    small = parse_document(f"a: {value}\nb: [{value}]".encode(), "small")
    large = parse_document(f"a: {value}\nb: [{value}]\n{'# padding' * 120_000}".encode(), "large")
    assert large.values == small.values
    assert large.lines == small.lines


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file, a directory, and a file within a file each say what they are."""
    for path, problem in (
        (tmp_path / "none.yaml", r"^--config: the file /\S+/none\.yaml does not exist; create it, or correct the path"),
        (tmp_path, "is a directory; name a file"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            load(path, {})


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_STATE_HOME": "/var/state", "HOME": "/home/u"}, "/var/state/ads-proxy-spill"),
        ({"HOME": "/"}, "/var/lib/ads-proxy/spill"),
        ({}, "/var/lib/ads-proxy/spill"),
    ],
)
def test_a_user_without_a_home_has_a_directory_for_copies_too(environ: dict[str, str], directory: str) -> None:
    """The container image has no home either."""
    assert default_spill_directory(environ) == directory


def test_a_named_report(tmp_path: Path) -> None:
    text = """
reports:
  duplicates: reuse
  named:
    sp-daily: {account: acme, profiles: [12], order: {preset: spCampaigns, columns: [date, cost]}, at: 06:30}
    sp-often: {account: acme, profiles: all, order: {preset: spCampaigns, time_unit: SUMMARY}, every: 6h}
"""
    reports = read(tmp_path, ACCOUNT + text).reports
    assert reports is not None
    assert (reports.duplicates, reports.poll_interval, reports.reuse_for) == ("reuse", 60, 900)
    daily, often = reports.named["sp-daily"], reports.named["sp-often"]
    assert (daily.name, daily.profiles, daily.at, daily.every) == ("sp-daily", ("12",), time(6, 30), None)
    assert (daily.order.time_unit, daily.order.columns) == ("daily", ("date", "cost"))
    assert (often.profiles, often.at, often.every, often.order.time_unit) == ("all", None, 21600, "summary")


def test_a_bad_name_hides_no_mistake_of_its_neighbours(tmp_path: Path) -> None:
    """What stands under a refused name is not told, since it has no place; all the rest is."""
    text = "accounts: {'a b': {client_id: amzn1.x}, good: {client_id: amzn1.x, client_secret: s, region: us}}"
    told = problems_of(tmp_path, text)
    assert [problem.partition(":")[0] for problem in told] == ["accounts.NAME", "accounts.good.region"]


@pytest.mark.parametrize("at", ["24:00", "7:00", "-1", "1440", "true", "[6]"])
def test_what_is_no_time_of_day(tmp_path: Path, at: str) -> None:
    """YAML takes 06:00 without quotation marks for 360."""
    report = f"{{account: acme, at: {at}, order: {{preset: spCampaigns}}}}"
    (told,) = problems_of(tmp_path, f"{ACCOUNT}reports: {{named: {{r: {report}}}}}")
    assert told.startswith("reports.named.r.at: is not a time of day; write HH:MM")
