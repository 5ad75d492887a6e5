"""Clients of a configuration file, listening openly, certificates, and files that may not be read."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxy.config import Config, load
from proxy.config.reading.files import ReferenceReader
from proxy.errors import ConfigurationError
from tests.config.test_file import ACCOUNT, DIGEST, problems_of, read
from tests.support.client_certificates import Issuer


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
        ([client(accounts="acme, acne")], "clients[0].accounts[1]: unknown account; did you mean 'acme'?"),
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
        ([client(access=None)], "clients[0].access: is not one of read, report, write, admin"),
        ([client(access="owner")], "clients[0].access: is not one of read, report, write, admin"),
        ([client(unscoped_paths=["/", "/v2/profiles", "/mcp/", "/a.b/c-d_e~1"])], ""),
        ([client(unscoped_paths=[7])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/@acme/mcp"])], "clients[0].unscoped_paths[0]: is compared without the prefix"),
        ([client(unscoped_paths=["/eu/mcp"])], "clients[0].unscoped_paths[0]: is compared without the prefix"),
        ([client(unscoped_paths=["/amc/*"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        (
            [client(unscoped_paths=["/v2/profiles?x=1"])],
            "clients[0].unscoped_paths[0]: must be one exact, unambiguous path",
        ),
        (
            [client(unscoped_paths=["/v2/%70rofiles"])],
            "clients[0].unscoped_paths[0]: must be one exact, unambiguous path",
        ),
        ([client(unscoped_paths=["//v2"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/v2/../x"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/a;b"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["v2"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/a b"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/.x"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/x."])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/\u00fc"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        ([client(unscoped_paths=["/a//"])], "clients[0].unscoped_paths[0]: must be one exact, unambiguous path"),
        (
            [client(unscoped_paths=["/accounts/{accountId}/dsp"])],
            "clients[0].unscoped_paths[0]: must be one exact, unambiguous path",
        ),
        ([client(requests_per_minute=0)], "clients[0].requests_per_minute: is out of range; it must be at least 1"),
        ([client(name="anonymous")], "clients[0].name: 'anonymous' is the name of clients without a key"),
        ([client(), client(key_sha256="cd" * 32)], "clients[1].name: is the name of clients[0] too"),
        ([client(), client(name="b")], "clients[1].key_sha256: is the key of clients[0] too"),
        ([client(key="canary-key")], "clients[0].key: unknown key; did you mean 'keys'?"),
        ([client(keys=[{"sha256": "cd" * 32}])], "clients[0].key_sha256: is set as well as keys; move it into keys"),
        ([{"name": "a"}], "clients[0].keys: is missing, and so is key_sha256; make a key"),
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
        ([client(accounts={"acme": "read"})], "clients[0].accounts: must be a list, not a mapping"),
        ([keyed([DIGEST])], "clients[0].keys[0]: must hold keys, not a text"),
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
        ("admin_listen: 127.0.0.1:8080", "admin_listen: is the address of listen too"),
        ("listen: 127.0.0.1:8081", "admin_listen: is the address of listen too"),
        ("listen: 127.9.9.9:8080", ""),
        ("listen: '[::ffff:127.0.0.1]:8080'", ""),
        ("listen: localhost:0\nadmin_listen: localhost:0", ""),
        ("listen: 0.0.0.0:8080\nallow_unauthenticated: true", ""),
        (f"listen: 0.0.0.0:8080\nclients: [{{name: a, key_sha256: {DIGEST}}}]", ""),
        ("admin_listen: 0.0.0.0:8081\nadmin: {key: canary-admin-key-1}", ""),
    ],
)
def test_listening_openly_takes_a_decision(tmp_path: Path, text: str, problem: str) -> None:
    """Beyond loopback the clients' listener needs keys or an explicit word, and the admin listener its key."""
    if not problem:
        assert read(tmp_path, ACCOUNT + text)
        return
    (told,) = problems_of(tmp_path, ACCOUNT + text)
    assert told.startswith(problem)


def test_the_refusal_to_listen_openly_names_three_ways_out(tmp_path: Path) -> None:
    """Loopback, keys, or the explicit word."""
    (told,) = problems_of(tmp_path, ACCOUNT + "listen: 0.0.0.0:8080")
    assert all(way in told for way in ("127.0.0.1:8080", "ads-proxy keys new", "allow_unauthenticated: true"))


SAN = "spiffe://example.org/ads"


def certified(san: Any, name: str = "mesh") -> dict[str, Any]:
    return {"name": name, "certificate": {"san": san}}


@pytest.fixture
def with_tls(tmp_path: Path) -> dict[str, str]:
    """The section `tls` with the files that it names."""
    make_certificate(tmp_path, "a")
    return {"cert": "a.crt", "key": "a.key", "client_ca": "a.crt"}


@pytest.mark.parametrize(
    "san", [SAN, "spiffe://a_b.c-d/x/y_z/1.2", "dns:ads.example.org", "dns:localhost", f"dns:{'a.' * 126}b"]
)
def test_a_certificate_is_enough_for_a_client(tmp_path: Path, with_tls: dict[str, str], san: str) -> None:
    """Instead of keys, and next to them."""
    second = {**certified(f"{SAN}/other", "both"), "key_sha256": DIGEST}
    config = read(tmp_path, ACCOUNT + yaml.safe_dump({"tls": with_tls, "clients": [certified(san), second]}))
    assert [client.certificate and client.certificate.san for client in config.clients] == [san, f"{SAN}/other"]
    assert config.tls is not None
    assert config.tls.client_ca in config.sources


@pytest.mark.parametrize(
    "san",
    [
        *("", "mesh", "ads.example.org", "uri:spiffe://example.org/ads", "https://example.org/ads", "SPIFFE://a/b"),
        *("spiffe://example.org", "spiffe://example.org/", f"{SAN}/", "spiffe://example.org//ads", "spiffe:///ads"),
        *("spiffe://example.org/../ads", "spiffe://example.org/.", f"{SAN}/*", f"{SAN}?x", f"{SAN}#x", f"{SAN}%2f"),
        *("spiffe://Example.org/ads", "spiffe://example.org:443/ads", "spiffe://a@example.org/ads", f"{SAN} "),
        *(f"spiffe://{'a' * 256}/ads", f"{SAN}/{'a' * 2048}", "dns:", "dns:*.example.org", "dns:ADS.example.org"),
        *("dns:a..b", "dns:.a", "dns:a.", f"dns:{'a' * 64}.org", f"dns:{'a.' * 127}b", "email:a@b.c", 7, [SAN]),
    ],
)
def test_a_name_of_another_form_is_told(tmp_path: Path, with_tls: dict[str, str], san: Any) -> None:
    """A wrong name could be of no certificate, or of more than one."""
    (told,) = problems_of(tmp_path, ACCOUNT + yaml.safe_dump({"tls": with_tls, "clients": [certified(san)]}))
    assert told.startswith("clients[0].certificate.san: is not a name of a client certificate; write spiffe://")


@pytest.mark.parametrize(
    ("tls", "clients", "problem"),
    [
        ({"client_ca": None}, [certified(SAN)], "clients[0].certificate: needs tls.client_ca, by which"),
        (None, [certified(SAN)], "clients[0].certificate: needs TLS on the client listener: tls.cert, tls.key and"),
        ({}, [certified(SAN), certified(SAN, "b")], "clients[1].certificate.san: is the name of clients[0]"),
        ({}, [{"name": "a", "certificate": {}}], "clients[0].certificate.san: is missing"),
        ({}, [{"name": "a", "certificate": SAN}], "clients[0].certificate: must hold keys, not a text"),
        ({}, [{"name": "a", "certificate": None}], "clients[0].keys: is missing, and so is key_sha256"),
        ({"client_ca": None, "client_auth": "optional"}, [client()], "tls.client_auth: has no effect without"),
        ({"client_auth": "perhaps"}, [client()], "tls.client_auth: is not one of optional, required"),
        ({"client_ca": "missing.pem"}, [client()], "tls.client_ca: the file "),
        ({"client_ca": "a.key"}, [client()], "tls.client_ca: the file "),
    ],
)
def test_certificates_without_what_verifies_them_are_told(
    tmp_path: Path, with_tls: dict[str, str], tls: dict[str, Any] | None, clients: list[Any], problem: str
) -> None:
    """Nothing that looks like a protection is without effect."""
    section = {} if tls is None else {"tls": {k: v for k, v in {**with_tls, **tls}.items() if v is not None}}
    (told,) = problems_of(tmp_path, ACCOUNT + yaml.safe_dump({**section, "clients": clients}))
    assert told.startswith(problem)


def make_certificate(folder: Path, name: str) -> None:
    issuer = Issuer(folder, name)
    key = issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    issuer.file.rename(folder / f"{name}.crt")
    (folder / f"{name}.key").write_bytes(key)


def test_certificates_are_tried_before_they_are_needed(tmp_path: Path) -> None:
    """A pair that does not belong together, or is no certificate at all, is found at the start."""
    make_certificate(tmp_path, "a")
    make_certificate(tmp_path, "b")
    config = read(tmp_path, ACCOUNT + "tls: {cert: a.crt, key: a.key}\nupstream: {ca_file: b.crt}")
    assert config.tls is not None
    assert {config.tls.cert, config.tls.key, config.upstream.ca_file} <= {*config.sources}
    ssl.create_default_context(cafile=config.upstream.ca_file)
    (told,) = problems_of(tmp_path, ACCOUNT + "tls: {cert: a.crt, key: b.key}")
    assert told.startswith("tls: the key belongs to another certificate")
    (told,) = problems_of(tmp_path, ACCOUNT + "tls: {cert: a.key, key: a.key}")
    assert told.startswith("tls: cert and key are not a certificate chain")
    (told,) = problems_of(tmp_path, ACCOUNT + "upstream: {ca_file: a.key}")
    assert told.endswith("holds no certificates in PEM form; name a PEM file")


def test_a_file_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says that this user may not read it."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigurationError, match="permission denied; let this user read it"):
        load(tmp_path / "proxy.yaml", {})


def test_a_reading_remembers_files_that_are_missing(tmp_path: Path) -> None:
    """A secret file that appears later is a change."""
    references = ReferenceReader({}, tmp_path)
    with pytest.raises(ValueError, match="accounts"):
        Config.model_validate(
            {"accounts": {"a": {"client_id": "x", "client_secret": {"file": "later"}}}}, context=references
        )
    assert references.files == {tmp_path / "later": None}


def test_what_is_logged_of_a_reading_holds_no_variable(tmp_path: Path) -> None:
    """The environment is full of secrets, and the text of what reads it names files alone."""
    references = ReferenceReader({"SECRET": "canary"}, tmp_path)
    assert references.variable("SECRET") == "canary"
    assert repr(references) == f"ReferenceReader(directory={tmp_path!r}, files={{}}, remarks=[])"


def test_a_key_of_an_earlier_version_is_told_its_new_name(tmp_path: Path) -> None:
    """An error, so that a limit which was set is not silently the default."""
    (problem,) = problems_of(tmp_path, ACCOUNT + "limits: {max_headers: 100}\n")
    assert problem.startswith("limits.max_headers: is now called 'max_header_fields'; rename it")
