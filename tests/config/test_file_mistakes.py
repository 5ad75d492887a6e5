"""Each wrong value of a configuration file, and the error for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.test_file import ACCOUNT, problems_of


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: 8080", "listen: is not an address; write HOST:PORT"),
        ("listen: ':8080'", "listen: has no host; write one before the port, such as 127.0.0.1, or 0.0.0.0 for all"),
        ("listen: '*:8080'", "listen: has no host"),
        ("listen: '::1:8080'", "listen: is not an address"),
        ("listen: '[::1]:99999'", "listen: has a port that does not exist; the highest is 65535"),
        ("listen: 127.0.0.256:80", "listen: is not an address"),
        ("listen: http://localhost:80", "listen: is not an address"),
        ("listen: {host: a}", "listen: is not an address"),
        ("allowed_hosts: ['*.x']", "allowed_hosts[0]: is not a host name"),
        ("allowed_hosts: {a: b}", "allowed_hosts: must be a list, not a mapping"),
        ("admin: {url: ads.example.com}", "admin.url: is not an http:// or https:// address"),
        ("admin: {url: 'https://ads.example.com/console'}", "admin.url: must not have a path"),
        (
            "admin: {url: 'https://ads.example.com'}",
            "admin.url: leads to the console from other machines; set admin.key (`openssl rand -hex 32`), or leave "
            "admin.url out",
        ),
        (
            "invites: {listen: '127.0.0.1:8080', url: 'https://a.example'}",
            "invites.listen: is the address of listen too; choose another port",
        ),
        ("intercept: {pass: [7]}", "intercept.pass[0]: is not a host pattern"),
        ("intercept: {pass: {a: b}}", "intercept.pass: must be a list, not a mapping"),
        ("intercept: {passed: [a.example]}", "intercept.passed: unknown key; did you mean 'pass'?"),
        ("intercept: {enabled: maybe}", "intercept.enabled: must be true or false"),
        ("intercept: {ca_dir: 7}", "intercept.ca_dir: must name a file, not a number"),
        ("intercept: {enabled: true, ca_dir: /ca, listen: 443}", "intercept.listen: is not an address"),
        (
            "intercept: {listen: '127.0.0.1:8443'}",
            "intercept.listen: has no effect without intercept.enabled; set intercept.enabled to true",
        ),
        (
            "intercept: {enabled: true, ca_dir: /ca, listen: '0.0.0.0:8443'}",
            "intercept.listen: can be reached from other machines, which could use your accounts without a key; "
            "listen on 127.0.0.1:8443, or add clients",
        ),
        (
            "intercept: {enabled: true, ca_dir: /ca, listen: '127.0.0.1:8080'}",
            "intercept.listen: is the address of listen too; choose another port",
        ),
        (
            "admin_listen: 127.0.0.1:9\nintercept: {enabled: true, ca_dir: /ca, listen: '127.0.0.1:9'}",
            "intercept.listen: is the address of admin_listen too; choose another port",
        ),
        (
            "invites: {listen: '127.0.0.1:9', url: 'https://a.example'}\n"
            "intercept: {enabled: true, ca_dir: /ca, listen: '127.0.0.1:9'}",
            "intercept.listen: is the address of invites.listen too; choose another port",
        ),
        (
            "state: {url: 'memory:'}\nintercept: {enabled: true}",
            "intercept.ca_dir: is missing; name a directory that outlives restarts",
        ),
        (
            "state: {url: 'redis://h/1', key: 0123456789abcdef}\nintercept: {enabled: true}",
            "intercept.ca_dir: is missing; name a directory that outlives restarts",
        ),
        (
            "reuse_port: true",
            "reuse_port: needs a state.url that all replicas share, such as redis://HOST:6379/0; with a file or memory",
        ),
        ("reuse_port: true\nstate: {url: 'memory:'}", "reuse_port: needs a state.url that all replicas share"),
        ("reuse_port: true\nstate: {url: 'file:/x'}", "reuse_port: needs a state.url that all replicas share"),
        (
            "reuse_port: 'yes'\nstate: {url: 'redis://h/1', key: 0123456789abcdef}\nlisten: 127.0.0.1:0",
            "listen: has port 0, and each replica would get a port of its own; with reuse_port, name a port",
        ),
        (
            "reuse_port: true\nstate: {url: 'redis://h/1', key: 0123456789abcdef}\n"
            "intercept: {enabled: true, ca_dir: /ca, listen: '127.0.0.1:0'}",
            "intercept.listen: has port 0, and each replica would get a port of its own; with reuse_port, name a port",
        ),
        ("upstream: {max_connections: many}", "upstream.max_connections: must be a whole number, not a text"),
        ("workers: 2", "workers: can only be 1: one program is one process now; for more cores run several replicas"),
        ("workers: many", "workers: can only be 1: "),
        ("rewrite_locations: maybe", "rewrite_locations: must be true or false, not a text"),
        ("log: json", "log: must hold keys, not a text"),
        ("log: {format: xml}", "log.format: is not one of auto, json, console"),
        ("log: {access_fields: [status, url]}", r"log.access_fields[1]: is not one of request_id, client, account"),
        ("audit: {file: 7}", "audit.file: must name a file, not a number"),
        ("audit: {file: ' '}", "audit.file: must name a file (line 2)"),
        ("audit: {objects: 7}", "audit.objects: must be true or false"),
        (
            "audit: {stdout: true, objects: true, values: [state, 'a b']}",
            "audit.values[1]: is not the name of a JSON member, such as state or budget",
        ),
        (
            "audit: {stdout: true, values: [state]}",
            "audit.values: has no effect without audit.objects; set audit.objects to true, or leave audit.values out",
        ),
        (
            "audit: {objects: true}",
            "audit.objects: has no effect without an audit stream; set audit.file or audit.stdout",
        ),
        ("tokens: {refresh_ahead: soon}", "tokens.refresh_ahead: must be a number of seconds"),
        ("tokens: {refresh_ahead: .nan}", "tokens.refresh_ahead: must be a number of seconds"),
        (
            "tokens: {refresh_ahead: true}",
            "tokens.refresh_ahead: must be a number of seconds such as 30 or 0.5, not true or false",
        ),
        ("upstream: {connect_timeout: 0}", "upstream.connect_timeout: is out of range; it must be more than 0"),
        ("upstream: {max_connections: 1.5}", "upstream.max_connections: must be a whole number"),
        ("upstream: {proxy: 'socks5://u:canary@x:1'}", "upstream.proxy: must be the outbound proxy's address"),
        ("upstream: {ca_file: /etc/none.pem}", "upstream.ca_file: the file /etc/none.pem does not exist"),
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
        ("state: {spill: 5}", "state.spill: is neither a directory nor off"),
        ("state: {spill: ''}", "state.spill: "),
        ("state: {url: 'redis://u:canary@h/1'}", "state.key: is missing; Redis keeps tokens for all replicas"),
        (
            "state: {key: 0123456789abcdef, url: {file: /none}}",
            "state.url: the file /none does not exist",
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
            "state.url: has a database, but a cluster has only 0",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'rediss://u:canary@h/1?ssl_cert_reqs=canary'}",
            "state.url: accepts only ssl_ca_certs, ssl_certfile and ssl_keyfile after '?'",
        ),
        (
            "state: {key: 0123456789abcdef, url: 'redis://u:canary@h/1?ssl_ca_certs=canary'}",
            "state.url: accepts only ssl_ca_certs, ssl_certfile and ssl_keyfile after '?'",
        ),
        ("state: {url: 'file:'}", "state.url: is not a state store; write file:DIR or memory:"),
        ("state: {url: 'disk://u:canary@x'}", "state.url: is not a state store"),
        ("state: {key: short}", "state.key: is shorter than 16 bytes; make one with `openssl rand -hex 32`"),
        ("state: {key: []}", "state.key: an empty list of keys"),
        ("tls: {cert: /dev/null}", "tls.key: is missing"),
        ("reports: {duplicates: share}", "reports.duplicates: is not one of pass, reuse"),
        ("reports: {poll_interval: -1}", "reports.poll_interval: is out of range; it must be at least 0"),
        (
            "reports: {named: {'a/b': {account: acme, every: 6h, order: {preset: x}}}}",
            "reports.named.NAME: is not a usable name",
        ),
        (
            "reports: {named: {r: {account: acme, at: '06:00', order: {columns: [a]}}}}",
            "reports.named.r.order.preset: is missing",
        ),
        (
            "reports: {named: {r: {account: acm, at: '06:00', order: {preset: x}}}}",
            "reports.named.r.account: unknown account; did you mean 'acme'?",
        ),
        (
            "reports: {named: {r: {account: acme, at: 6am, order: {preset: x}}}}",
            "reports.named.r.at: is not a time of day",
        ),
        (
            "reports: {named: {r: {account: acme, order: {preset: x}}}}",
            "reports.named.r.at: is missing, and so is every",
        ),
        (
            "reports: {named: {r: {account: acme, at: '06:00', every: 6h, order: {preset: x}}}}",
            "reports.named.r.every: is set as well as at; keep one",
        ),
        (
            "reports: {named: {r: {account: acme, every: 6, order: {preset: x}}}}",
            "reports.named.r.every: is not an interval",
        ),
        (
            "reports: {named: {r: {account: acme, every: 6y, order: {preset: x}}}}",
            "reports.named.r.every: is not an interval",
        ),
        (
            "reports: {named: {r: {account: acme, every: 6h, profiles: [], order: {preset: x}}}}",
            "reports.named.r.profiles: must be all, or a list of profile ids",
        ),
        (
            "reports: {named: {r: {account: acme, every: 6h, order: {file: /dev/null, columns: [date]}}}}",
            "reports.named.r.order.columns: is set as well as file",
        ),
        ("reports: {named: {r: daily}}", "reports.named.r: must hold keys, not a text"),
        ("routes: [a]", "routes: must hold keys, not a list ("),
        ("routes: {r: {account: acme, profile: first}}", "routes.r.profile: is not a profile id (digits)"),
        ("routes: {acme: {account: acme}}", "routes.acme: is the name of an account too"),
        ("routes: {EU: {account: acme}}", "routes.EU: is the name of a region"),
        ("routes: {r: {account: acme, name: x}}", "routes.r.name: unknown key; the name is the key of the mapping"),
        ("clients: {name: a}", "clients: must be a list, not a mapping"),
        ("sources: [a]", "sources: unknown key"),
        ("log: {3f9a0c1b7d-canary: x}", "log: holds an unknown key, '3f9a…'; there are: format,"),
    ],
)
def test_a_wrong_value_is_told(tmp_path: Path, text: str, problem: str) -> None:
    """One sentence with the path, what is wrong and what to do; passwords are not repeated."""
    (told,) = problems_of(tmp_path, ACCOUNT + text)
    assert told.startswith(problem)
    assert "canary" not in told


@pytest.mark.parametrize(
    "pattern",
    ["https://a.example", "a.example:443", "a.example/x", "10.0.0.1", "[::1]", "::1", "0x7f.0x1", "*.*", "a.*", "**",
     "*a.example", "", "a b", "-a.example", "a..example", "\u2100.example", f"{'a' * 64}.example"],
)  # fmt: skip
def test_a_wrong_pattern_of_hosts_is_told(tmp_path: Path, pattern: str) -> None:
    """Only names, as tunnels lead to port 443 of a host with a name."""
    (told,) = problems_of(tmp_path, f"{ACCOUNT}intercept: {{pass: ['{pattern}']}}")
    assert told.startswith(
        "intercept.pass[0]: is not a host pattern; write a name such as files.example.com, *.example"
    )


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
            "accounts.a.client_secret: must be {file: PATH}, {env: NAME}, {command: [PROGRAM, ...]} or a text in",
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
            "accounts.a.client_secret: the file {folder} is a directory; name a file",
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
            "accounts.a.client_secret: must be exactly one of {file: PATH}, {env: NAME} and",
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
    """Names appear in paths, in headers and in metrics."""
    (told,) = problems_of(tmp_path, f"accounts: {{'{name.strip(chr(39))}': {{client_id: x, client_secret: s}}}}")
    assert "is not a usable name; use 1 to 64 letters, digits" in told
