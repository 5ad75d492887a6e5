"""The YAML file: strict YAML, every key with its bounds, rules between keys, and everything wrong told at once."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import AMAZON_REGIONS, Address, Client, Config, load
from proxy.config.reading.files import ReferenceReader
from proxy.errors import ConfigurationError
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
workers: 1
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
fast_path: true
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
    config = read(
        tmp_path, ACCOUNT + "listen:\nadmin:\nlimits: {max_header_fields: }\nclients:\nstate:\ntls:\nworkers:\n"
    )
    assert config.listen == Address("127.0.0.1", 8080)
    assert config.limits.max_header_fields == 200
    assert (config.limits.body_timeout, config.limits.keepalive_timeout, config.limits.max_target_bytes) == (
        30,
        75,
        8192,
    )
    assert config.clients == ()
    assert config.log.format == "auto"


def test_values_can_be_made_without_a_file() -> None:
    """Other parts' tests build a configuration in memory."""
    client = Client(name="a", key_sha256=DIGEST, accounts=None)
    assert Config(clients=(client,)).clients[0].accounts is None


@pytest.mark.parametrize("name", ["yes", "On", "NO", "off", "1", "0", "true", "FALSE"])
def test_flags_are_read_in_every_usual_spelling(tmp_path: Path, name: str) -> None:
    """YAML 1.1's words for true and false are understood where a flag is meant, and only there."""
    expected = name.lower() in ("yes", "on", "1", "true")
    assert read(tmp_path, ACCOUNT + f"fast_path: {name}\n").fast_path is expected


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
    """As two client secrets: the newer first, both known to be secrets, never three."""
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
    """Of a list, the first encrypts."""
    config = read(tmp_path, ACCOUNT + "state: {key: [canary-new-key-0123, canary-old-key-0123]}")
    assert config.state.key == (Secret("canary-new-key-0123"), Secret("canary-old-key-0123"))


def test_secrets_are_found_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        {"ADS_PROXY_WORKERS": "0"},
    )
    text = "\n".join(told)
    assert "accounts.acme: is there twice, in lines 5 and 6; keep one" in told
    assert "accounts.acme.client_secret: the file that it names does not exist (line 5)" in told
    assert "accounts.acme.region: is not one of na, eu, fe (line 5)" in told
    assert "acounts: unknown key; did you mean 'accounts'? (line 3)" in told
    assert "log.levle: unknown key; did you mean 'level'? (line 9)" in told
    assert "drain.timeout: is out of range; it must be at least 0 (line 10)" in told
    assert "workers: is out of range; it must be at least 1 (from ADS_PROXY_WORKERS)" in told
    assert "routes.short.account: there is no such account; did you mean 'acme'?" in told
    assert "clients[0].accounts[0]: there is no such account; did you mean 'acme'?" in told
    assert "clients[0].key_sha256: must be the 64 hexadecimal digits" in text
    assert len(told) == 10


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xff\xfea\x00:\x00", "is UTF-16; save it as UTF-8"),
        (b"a: 1\nb: \xff", "line 2 is not UTF-8; save the file as UTF-8"),
        (b"a: \x01", "holds a control character at position 3; remove it"),
        ("\tlisten: x", "line 1, column 1: a tab where YAML wants spaces; indent with spaces"),
        (
            "a: b: c",
            "line 1, column 5: is not YAML: mapping values are not allowed here; a text that holds ': ' goes in",
        ),
        ("log:\n  level: info\n format: json", "line 3, column 2: is not YAML"),
        ("- a", "must hold keys such as 'listen:' at its top, not a list"),
        ("just text", "must hold keys such as 'listen:' at its top, not a single value"),
        ("a: &x 1\nb: *x", "line 1, column 4: anchors (&) and aliases (*) are not read here"),
        ("a: *x", "line 1, column 4: anchors (&) and aliases (*) are not read here"),
        ("a: !!python/object/apply:os.system [true]", "line 1, column 4: tags (!) are not read here"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins (---); a configuration is one"),
        ("a: [1, 2", "line 1, column 9: is not YAML"),
        ("a: 'x", "line 1, column 6: is not YAML"),
        ("? [a, b]\n: 1", "line 1: a key must be a plain word, not a list"),
        ("[" * 5000, "line 1, column 13: nested more deeply than any configuration is"),
        ("a: " + "{a: " * 20 + "1" + "}" * 20, "nested more deeply than any configuration is"),
        ("#" * (1 << 20) + "#", "the configuration file is too large to be the right one"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """One line, with line and column, and no traceback."""
    (told,) = problems_of(tmp_path, text)
    assert problem in told
    assert str(tmp_path / "proxy.yaml") in told


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file, a directory, and a file within a file each say what they are."""
    for path, problem in (
        (tmp_path / "none.yaml", "the configuration file does not exist; name another with --config"),
        (tmp_path, "is a directory, not a file"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            load(path, {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: 8080", "listen: is not an address; write HOST:PORT"),
        ("listen: ':8080'", "listen: names no host; write one before the port, such as 127.0.0.1, or 0.0.0.0 for all"),
        ("listen: '*:8080'", "listen: names no host"),
        ("listen: '::1:8080'", "listen: is not an address"),
        ("listen: '[::1]:99999'", "listen: has a port that does not exist; the highest is 65535"),
        ("listen: 127.0.0.256:80", "listen: is not an address"),
        ("listen: http://localhost:80", "listen: is not an address"),
        ("listen: {host: a}", "listen: is not an address"),
        ("allowed_hosts: ['*.x']", "allowed_hosts[0]: is not a host name"),
        ("allowed_hosts: {a: b}", "allowed_hosts: must be a list, not a mapping"),
        ("workers: many", "workers: must be a whole number, not a text"),
        ("workers: 65", "workers: is out of range; it must be at most 64"),
        ("workers: 2\ntelemetry: {otlp: 'http://h/v1'}", "telemetry.otlp: does not go with several workers"),
        (
            "workers: 2\nlimits: {max_connections_per_address: 3}",
            "limits.max_connections_per_address: does not go with several workers",
        ),
        ("fast_path: maybe", "fast_path: must be true or false, not a text"),
        ("log: json", "log: must hold keys, not a text"),
        ("log: {format: xml}", "log.format: is not one of auto, json, console"),
        ("log: {access_fields: [status, url]}", r"log.access_fields[1]: is not one of request_id, client, account"),
        ("tokens: {refresh_ahead: soon}", "tokens.refresh_ahead: must be a number of seconds"),
        ("tokens: {refresh_ahead: .nan}", "tokens.refresh_ahead: must be a number of seconds"),
        (
            "tokens: {refresh_ahead: true}",
            "tokens.refresh_ahead: must be a number of seconds such as 30 or 0.5, not true or false",
        ),
        ("upstream: {connect_timeout: 0}", "upstream.connect_timeout: is out of range; it must be more than 0"),
        ("upstream: {max_connections: 1.5}", "upstream.max_connections: must be a whole number"),
        ("upstream: {proxy: 'socks5://u:canary@x:1'}", "upstream.proxy: must be the outbound proxy's address"),
        ("upstream: {ca_file: /etc/none.pem}", "upstream.ca_file: the file that it names does not exist"),
        ("limits: {replay_bytes: -1}", "limits.replay_bytes: is out of range; it must be at least 0"),
        ("regions: {us: {}}", "regions.us: is not one of na, eu, fe"),
        ("regions: {na: {api_url: 'ftp://x'}}", "regions.na.api_url: is not an http:// or https:// address"),
        (
            "regions: {na: {api_url: 'http://x/v2'}}",
            "regions.na.api_url: must not have a path; write scheme, host and port alone",
        ),
        ("regions: {na: {api_url: 'http://u:canary@x'}}", "regions.na.api_url: must not hold a user or a password"),
        (
            "regions: {na: {api_url: 'http://x?a'}}",
            "regions.na.api_url: must not have a query or fragment",
        ),
        (
            "regions: {na: {token_url: 'http://x'}}",
            "regions.na.token_url: has no path; write the whole address",
        ),
        ("regions: {na: {api_url: 'http://x:port'}}", "regions.na.api_url: is not an http"),
        ("state: {url: 'redis://u:canary@h/1'}", "state.key: is missing; Redis keeps tokens for all replicas"),
        (
            "state: {key: 0123456789abcdef, url: {file: none.canary}}",
            "state.url: the file that it names does not exist",
        ),
        (
            "state: {key: 0123456789abcdef, url: {env: NOT_SET}}",
            "state.url: the environment variable that it names is not set",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis://u:canary@h:99999/1'}",
            "state.url: is not a Redis address; write redis://",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis://u:canary@h/x'}",
            "state.url: is not a Redis address; write redis://",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis+canary://h/1'}",
            "state.url: is not a Redis address; write redis://",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis://canary,h/1'}",
            "state.url: is not a Redis address; write redis://",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis+sentinel://u:canary@h/1/2/3'}",
            "state.url: is not a Redis address; write redis://",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis+cluster://u:canary@h/1'}",
            "state.url: names a database of a cluster",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'rediss://u:canary@h/1?ssl_cert_reqs=canary'}",
            "state.url: takes nothing after '?' but",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis://u:canary@h/1?ssl_ca_certs=canary'}",
            "state.url: takes nothing after '?' but",
        ),
        ("state: {url: 'file:'}", "state.url: is not a state store; write file:DIR or memory:"),
        ("state: {url: 'disk://u:canary@x'}", "state.url: is not a state store"),
        ("state: {key: short}", "state.key: is shorter than 16 bytes; make one with `openssl rand -hex 32`"),
        ("state: {key: []}", "state.key: an empty list of keys"),
        ("tls: {cert: /dev/null}", "tls.key: is missing"),
        ("routes: [a]", "routes: must hold keys, not a list"),
        ("routes: {r: {account: acme, profile: first}}", "routes.r.profile: is not a profile id (digits)"),
        ("routes: {acme: {account: acme}}", "routes.acme: is the name of an account too"),
        ("routes: {EU: {account: acme}}", "routes.EU: is the name of a region"),
        ("routes: {r: {account: acme, name: x}}", "routes.r.name: unknown key; the name is the key of the mapping"),
        ("clients: {name: a}", "clients: must be a list, not a mapping"),
        ("sources: [a]", "sources: unknown key"),
    ],
)
def test_a_wrong_value_is_told(tmp_path: Path, text: str, problem: str) -> None:
    """One sentence with the path, what is wrong and what to do; passwords are not repeated."""
    (told,) = problems_of(tmp_path, ACCOUNT + text)
    assert told.startswith(problem)
    assert "canary" not in told


@pytest.mark.parametrize(
    ("account", "problem"),
    [
        ("", "accounts.a: must hold keys, not empty"),
        ("{client_secret: s}", "accounts.a.client_id: is missing"),
        ("{client_id: , client_secret: s}", "accounts.a.client_id: is missing"),
        ("{client_id: x}", "accounts.a.client_secret: is missing"),
        ("{client_id: '<id>', client_secret: s}", "accounts.a.client_id: is a placeholder"),
        ("{client_id: 'a b', client_secret: s}", "accounts.a.client_id: holds white space"),
        ("{client_id: 5, client_secret: s}", "accounts.a.client_id: must be a text, not a number"),
        ("{client_id: x, client_secret: '${SECRET}'}", "accounts.a.client_secret: is a placeholder"),
        ("{client_id: x, client_secret: changeme}", "accounts.a.client_secret: is a placeholder"),
        ("{client_id: x, client_secret: ''}", "accounts.a.client_secret: is empty; fill it in"),
        (
            "{client_id: x, client_secret: 12345}",
            "accounts.a.client_secret: must be {file: PATH}, {env: NAME} or a text in",
        ),
        (
            "{client_id: x, client_secret: 'canary x'}",
            "accounts.a.client_secret: holds white space or control characters",
        ),
        (
            "{client_id: x, client_secret: {env: NOT_SET}}",
            "accounts.a.client_secret: the environment variable that it names is not",
        ),
        (
            "{client_id: x, client_secret: {env: EMPTY}}",
            "accounts.a.client_secret: the environment variable that it names is empty",
        ),
        ("{client_id: x, client_secret: {file: empty}}", "accounts.a.client_secret: the file that it names is empty"),
        (
            "{client_id: x, client_secret: {file: .}}",
            "accounts.a.client_secret: the file that it names is a directory, not a file",
        ),
        (
            "{client_id: x, client_secret: {file: binary}}",
            "accounts.a.client_secret: the file that it names is not UTF-8",
        ),
        (
            "{client_id: x, client_secret: {file: lines}}",
            "accounts.a.client_secret: the file that it names holds white",
        ),
        ("{client_id: x, client_secret: {file: ''}}", "accounts.a.client_secret: must name a file"),
        (
            "{client_id: x, client_secret: {path: s}}",
            "accounts.a.client_secret: must be exactly one of {file: PATH} and",
        ),
        ("{client_id: x, client_secret: {file: s, env: s}}", "accounts.a.client_secret: must be exactly one of"),
        (
            "{client_id: x, client_secret: s, default_ads_account: [a, b]}",
            "accounts.a.default_ads_account: is neither an ads account's id",
        ),
        (
            "{client_id: x, client_secret: s, default_ads_account: a b}",
            "accounts.a.default_ads_account: is neither an ads account's id",
        ),
        (
            "{client_id: x, client_secret: s, default_profile: one}",
            "accounts.a.default_profile: is neither 'first'",
        ),
        ("{client_id: x, client_secret: s, scopes: []}", "accounts.a.scopes: is empty; name at least one"),
        ("{client_id: x, client_secret: s, redirect_uri: here}", "accounts.a.redirect_uri: is not an http"),
        (
            "{client_id: x, client_secret: s, name: b}",
            "accounts.a.name: unknown key; the name is the key of the mapping",
        ),
    ],
)
def test_a_wrong_account_is_told(tmp_path: Path, account: str, problem: str) -> None:
    """Credentials are where newcomers go wrong: each mistake has its own sentence, and none repeats a secret."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    (tmp_path / "lines").write_text("canary-one\ncanary-two\n")
    (told,) = problems_of(tmp_path, f"accounts: {{a: {account}}}", {"EMPTY": ""})
    assert told.startswith(problem.replace("{folder}", str(tmp_path)))
    assert "canary" not in told


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "ü", "a" * 65, "''", "@x"])
def test_a_name_that_no_address_can_hold_is_told(tmp_path: Path, name: str) -> None:
    """Names stand in paths, in headers and in metrics."""
    (told,) = problems_of(tmp_path, f"accounts: {{'{name.strip(chr(39))}': {{client_id: x, client_secret: s}}}}")
    assert "is not a usable name; use 1 to 64 letters, digits" in told


def client(**keys: Any) -> dict[str, Any]:
    return {"name": "a", "key_sha256": DIGEST, **keys}


def keyed(keys: list[Any]) -> dict[str, Any]:
    return {"name": "a", "keys": keys}


@pytest.mark.parametrize(
    ("written", "ends"),
    [
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 3, 1, tzinfo=UTC)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31 12:00:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ('"2027-01-31"', datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("by", ["file", "environment"])
def test_a_day_ends_at_midnight_utc_and_a_time_when_it_says(
    tmp_path: Path, written: str, ends: datetime, by: str
) -> None:
    """A key is good on the whole of its last day, wherever the program runs; YAML may know dates or not."""
    clients = f"[{{name: a, keys: [{{sha256: {DIGEST}, expires: {written}, note: of the pod}}]}}]"
    file = ACCOUNT + (f"clients: {clients}" if by == "file" else "")
    read_in = read(tmp_path, file, {} if by == "file" else {"ADS_PROXY_CLIENTS": clients})
    (key,) = read_in.clients[0].all_keys
    assert (key.sha256, key.expires, key.note) == (DIGEST, ends, "of the pod")


@pytest.mark.parametrize(
    ("clients", "problem"),
    [
        ([client(accounts=[])], "clients[0].accounts: an empty list would permit nothing"),
        ([client(accounts="acme, acne")], "clients[0].accounts[1]: there is no such account; did you mean 'acme'?"),
        ([client(paths=None)], "clients[0].paths: an empty list would permit nothing"),
        ([client(paths=["reporting"])], "clients[0].paths[0]: is not a path pattern"),
        ([client(paths=["/a/../b"])], "clients[0].paths[0]: would match nothing"),
        ([client(paths=["/a?b"])], "clients[0].paths[0]: must hold a path alone"),
        ([client(methods=["GET "])], ""),
        ([client(methods=["G T"])], "clients[0].methods[0]: is not an HTTP method"),
        ([client(profiles=["first"])], "clients[0].profiles[0]: is not a profile id"),
        ([client(account_ids=None)], "clients[0].account_ids: an empty list would permit nothing"),
        ([client(account_ids=[])], "clients[0].account_ids: an empty list would permit nothing"),
        ([client(account_ids=["a,b"])], "clients[0].account_ids[0]: is not an account id"),
        ([client(account_ids=[True])], "clients[0].account_ids[0]: is not an account id"),
        ([client(account_ids=["x" * 129])], "clients[0].account_ids[0]: is not an account id"),
        ([client(account_ids=["x" * 128])], ""),
        ([client(access=None)], "clients[0].access: is not one of read, report, write"),
        ([client(access="admin")], "clients[0].access: is not one of read, report, write"),
        ([client(unscoped_paths=["/", "/v2/profiles", "/mcp/", "/a.b/c-d_e~1"])], ""),
        ([client(unscoped_paths=[7])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/@acme/mcp"])], "clients[0].unscoped_paths[0]: is compared without the prefix"),
        ([client(unscoped_paths=["/eu/mcp"])], "clients[0].unscoped_paths[0]: is compared without the prefix"),
        ([client(unscoped_paths=["/amc/*"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/v2/profiles?x=1"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/v2/%70rofiles"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["//v2"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/v2/../x"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/a;b"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["v2"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/a b"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/.x"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/x."])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/\u00fc"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        ([client(unscoped_paths=["/a//"])], "clients[0].unscoped_paths[0]: must be one exact path"),
        (
            [client(unscoped_paths=["/accounts/{accountId}/dsp"])],
            "clients[0].unscoped_paths[0]: must be one exact path",
        ),
        ([client(requests_per_minute=0)], "clients[0].requests_per_minute: is out of range; it must be at least 1"),
        ([client(name="anonymous")], "clients[0].name: 'anonymous' is what callers without a key are called"),
        ([client(), client(key_sha256="cd" * 32)], "clients[1].name: is the name of clients[0] too"),
        ([client(), client(name="b")], "clients[1].key_sha256: is the key of clients[0] too"),
        ([client(key="canary-key")], "clients[0].key: unknown key; did you mean 'keys'?"),
        ([client(keys=[{"sha256": "cd" * 32}])], "clients[0].key_sha256: is set beside keys; make it one of keys"),
        ([{"name": "a"}], "clients[0].keys: is missing, and so is key_sha256: nobody could be this client"),
        ([keyed([])], "clients[0].keys: is missing, and so is key_sha256"),
        ([keyed([{}])], "clients[0].keys[0].sha256: is missing"),
        ([keyed([{"sha256": "canary"}])], "clients[0].keys[0].sha256: must be the 64 hexadecimal digits"),
        (
            [keyed([{"sha256": DIGEST}, {"sha256": DIGEST}])],
            "clients[0].keys[1].sha256: is the key of clients[0].keys[0].sha256 too",
        ),
        (
            [keyed([{"sha256": DIGEST}]), {"name": "b", "key_sha256": DIGEST.upper()}],
            "clients[1].key_sha256: is the key of clients[0].keys[0].sha256 too",
        ),
        ([keyed([{"sha256": DIGEST, "expires": "canary"}])], "clients[0].keys[0].expires: is neither a day, such as"),
        ([keyed([{"sha256": DIGEST, "expires": 20270131}])], "clients[0].keys[0].expires: is neither a day, such as"),
        (
            [keyed([{"sha256": DIGEST, "expires": "2027-01-31T12:00:00"}])],
            "clients[0].keys[0].expires: is neither a day, such as",
        ),
        ([keyed([{"sha256": DIGEST, "note": "a\nb"}])], "clients[0].keys[0].note: must be a name of 1 to 100"),
        ([keyed([{"sha256": DIGEST, "expires": None, "note": None}])], ""),
        (["a"], "clients[0]: must hold keys, not a text"),
    ],
)
def test_a_wrong_client_is_told(tmp_path: Path, clients: list[Any], problem: str) -> None:
    """A client's policy is never wider than what was meant."""
    text = ACCOUNT + yaml.safe_dump({"clients": clients})
    if not problem:
        assert read(tmp_path, text).clients
        return
    (told,) = problems_of(tmp_path, text)
    assert told.startswith(problem)
    assert "canary" not in told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: 0.0.0.0:8080", "listen: can be reached from other machines"),
        ("listen: '[::]:8080'", "listen: can be reached from other machines"),
        ("listen: proxy.internal:8080", "listen: can be reached from other machines"),
        ("listen: 0.0.0.0:8080\nallow_unauthenticated:", "listen: can be reached from other machines"),
        ("listen: 0.0.0.0:8080\nallow_unauthenticated: perhaps", "allow_unauthenticated: "),
        ("admin_listen: 0.0.0.0:8081", "admin_listen: can be reached from other machines; set admin.key"),
        ("admin_listen: 127.0.0.1:8080", "admin_listen: is the tools' address too"),
        ("listen: 127.0.0.1:8081", "admin_listen: is the tools' address too"),
        ("listen: 127.9.9.9:8080", ""),
        ("listen: '[::ffff:127.0.0.1]:8080'", ""),
        ("listen: localhost:0\nadmin_listen: localhost:0", ""),
        ("listen: 0.0.0.0:8080\nallow_unauthenticated: true", ""),
        (f"listen: 0.0.0.0:8080\nclients: [{{name: a, key_sha256: {DIGEST}}}]", ""),
        ("admin_listen: 0.0.0.0:8081\nadmin: {key: canary-admin-key-1}", ""),
    ],
)
def test_listening_openly_takes_a_decision(tmp_path: Path, text: str, problem: str) -> None:
    """Beyond loopback the tools' side needs keys or an explicit word, and the admin side its key."""
    if not problem:
        assert read(tmp_path, ACCOUNT + text)
        return
    (told,) = problems_of(tmp_path, ACCOUNT + text)
    assert told.startswith(problem)


def test_the_refusal_to_listen_openly_names_three_ways_out(tmp_path: Path) -> None:
    """Loopback, keys, or the explicit word."""
    (told,) = problems_of(tmp_path, ACCOUNT + "listen: 0.0.0.0:8080")
    assert all(way in told for way in ("127.0.0.1:8080", "ads-proxy keys new", "allow_unauthenticated: true"))


def make_certificate(folder: Path, name: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=x", "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")],
        check=True,
        capture_output=True,
    )  # fmt: skip


def test_certificates_are_tried_before_they_are_needed(tmp_path: Path) -> None:
    """A pair that does not belong together, or is no certificate at all, is found at the start."""
    make_certificate(tmp_path, "a")
    make_certificate(tmp_path, "b")
    config = read(tmp_path, ACCOUNT + "tls: {cert: a.crt, key: a.key}\nupstream: {ca_file: b.crt}")
    assert config.tls is not None
    assert {config.tls.cert, config.tls.key, config.upstream.ca_file} <= {*config.sources}
    ssl.create_default_context(cafile=config.upstream.ca_file)
    (told,) = problems_of(tmp_path, ACCOUNT + "tls: {cert: a.crt, key: b.key}")
    assert told.startswith("tls: the key is not that of the certificate")
    (told,) = problems_of(tmp_path, ACCOUNT + "tls: {cert: a.key, key: a.key}")
    assert told.startswith("tls: cert and key are not a certificate chain")
    (told,) = problems_of(tmp_path, ACCOUNT + "upstream: {ca_file: a.key}")
    assert told.endswith("holds no certificates in PEM form")


def test_a_file_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says that this user may not read it."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigurationError, match="permission denied for this user"):
        load(tmp_path / "proxy.yaml", {})


def test_a_reading_remembers_files_that_are_missing(tmp_path: Path) -> None:
    """A secret file that appears later is a change."""
    references = ReferenceReader({}, tmp_path)
    with pytest.raises(ValueError, match="accounts"):
        Config.model_validate(
            {"accounts": {"a": {"client_id": "x", "client_secret": {"file": "later"}}}}, context=references
        )
    assert references.files == [tmp_path / "later"]


def test_what_is_logged_of_a_reading_holds_no_variable(tmp_path: Path) -> None:
    """The environment is full of secrets, and the text of what reads it names files alone."""
    references = ReferenceReader({"SECRET": "canary"}, tmp_path)
    assert references.variable("SECRET") == "canary"
    assert repr(references) == f"ReferenceReader(directory={tmp_path!r}, files=[])"


def test_a_key_of_an_earlier_version_is_told_its_new_name(tmp_path: Path) -> None:
    """An error, so that a limit which was set is not silently the default."""
    (problem,) = problems_of(tmp_path, ACCOUNT + "limits: {max_headers: 100}\n")
    assert problem.startswith("limits.max_headers: is now called 'max_header_fields'; rename it")
