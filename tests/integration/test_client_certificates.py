"""Clients with certificates, against the running program: by Python's ssl, by curl and by openssl."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_reload import make_certificate
from tests.support.client_certificates import CertifiedClient, Issuer, ask_once, client_context
from tests.support.patience import PATIENCE
from tests.support.programs import require_program
from tests.support.running import Serving, SimulatedAmazon, replace_file, serving

pytestmark = pytest.mark.integration

KEY = "key-of-other-with-some-length"
MESH, BATCH = "spiffe://example.org/ads/mesh", "dns:batch.example.org"


@dataclass
class Mesh:
    """The program with clients that have certificates. Its authority signs them; `ca_file` is what the proxy trusts."""

    running: Serving
    amazon: SimulatedAmazon
    folder: Path
    configuration: dict[str, Any]
    issuer: Issuer
    server: Path
    ca_file: Path

    @property
    def netloc(self) -> str:
        return self.running.netloc

    def context(self, file: Path | None = None, **options: Any) -> ssl.SSLContext:
        return client_context(self.server, file, **options)

    def issue(self, *sans: str, **options: Any) -> Path:
        return self.issuer.issue(*sans, **options)

    def ask(self, file: Path | None = None, **headers: str) -> tuple[int, str]:
        return ask_once(self.netloc, self.context(file), **headers)

    def connect(self, file: Path | None = None) -> CertifiedClient:
        return CertifiedClient(self.netloc, self.context(file))

    def reload(self, count: int, **changes: Any) -> None:
        """Change the configuration, and wait for so many reloads in all."""
        self.configuration = {**self.configuration, **changes}
        self.running.write(self.configuration)
        self.running.until(lambda: self.running.metric("config_reloads_total", result="success") == count)

    def trust(self, count: int, *issuers: Issuer) -> None:
        """Replace the file of authorities, and wait for so many reloads in all."""
        replace_file(self.ca_file, "".join(each.file.read_text() for each in issuers))
        self.running.until(lambda: self.running.metric("config_reloads_total", result="success") == count)

    def with_tls(self, **changes: Any) -> dict[str, Any]:
        return {**self.configuration["tls"], **changes}


@dataclass
class Start:
    amazon: SimulatedAmazon
    folder: Path
    issuers: list[Issuer] = field(default_factory=list)

    @contextlib.contextmanager
    def mesh(self, client_auth: str | None = None, **changes: Any) -> Iterator[Mesh]:
        issuer, server, ca_file = Issuer(self.folder), make_certificate(self.folder, "server"), self.folder / "ca.pem"
        ca_file.write_bytes(issuer.file.read_bytes())
        tls = {**server, "client_ca": str(ca_file), **({} if client_auth is None else {"client_auth": client_auth})}
        clients = [
            {"name": "mesh", "certificate": {"san": MESH}},
            {"name": "batch", "certificate": {"san": BATCH}},
            {"name": "other", "keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
        ]
        configuration = self.amazon.configuration(tls=tls, clients=clients, **changes)
        with serving(self.folder, configuration) as running:
            running.until_ready()
            yield Mesh(running, self.amazon, self.folder, configuration, issuer, Path(server["cert"]), ca_file)


@pytest.fixture
def start(amazon: SimulatedAmazon, tmp_path: Path) -> Start:
    return Start(amazon, tmp_path)


def test_a_certificate_identifies_its_client_without_a_key(start: Start) -> None:
    """SPIFFE's and DNS names; log and metrics name the client."""
    with start.mesh() as mesh:
        for name, san in (("mesh", MESH), ("batch", BATCH)):
            assert mesh.ask(mesh.issue(san)) == (200, "")
            (line,) = mesh.running.told("request", client=name, status=200)
            assert line["path"] == "/v2/profiles"
            assert mesh.running.metric("requests_total", client=name, code="200") == 1
        listed = {key["client"]: key for key in mesh.running.status()["client_keys"]}
        assert (listed["mesh"]["id"], listed["mesh"]["note"]) == ("certificate", MESH)
        assert listed["mesh"]["last_used"] is not None


def test_a_certificate_is_required_unless_it_is_optional(start: Start) -> None:
    """By default a connection without one, or with one of another authority, is none."""
    with start.mesh() as mesh:
        stranger = Issuer(start.folder, "stranger").issue(MESH)
        for file in (None, stranger, mesh.issue(MESH, seconds=-60)):
            assert mesh.ask(file, X_Ads_Proxy_Key=KEY) == (0, "")
        assert mesh.ask(mesh.issue("spiffe://example.org/ads/unknown"), X_Ads_Proxy_Key=KEY) == (200, "")
        assert mesh.ask(mesh.issue("spiffe://example.org/ads/unknown")) == (401, "certificate-rejected")


def test_an_unverified_certificate_fails_the_handshake_where_it_is_optional_too(start: Start) -> None:
    """Without one, a key decides."""
    with start.mesh("optional") as mesh:
        stranger = Issuer(start.folder, "stranger").issue(MESH)
        for file in (stranger, mesh.issue(MESH, seconds=-60), mesh.issuer.issue(MESH, server=True)):
            assert mesh.ask(file, X_Ads_Proxy_Key=KEY) == (0, "")
        assert mesh.ask(mesh.issue(MESH)) == (200, "")
        assert mesh.ask(None, X_Ads_Proxy_Key=KEY) == (200, "")
        assert mesh.ask(None) == (401, "client-unknown")


@pytest.mark.parametrize("field", ["X_Ads_Proxy_Key", "Authorization"])
def test_a_key_next_to_a_certificate_is_one_of_the_same_client(start: Start, field: str) -> None:
    """Another client's is refused, again and again; Amazon's own tokens in Authorization are no client's."""
    with start.mesh() as mesh:
        both = {
            "name": "both",
            "certificate": {"san": "dns:both"},
            "key_sha256": hashlib.sha256(b"own key").hexdigest(),
        }
        mesh.reload(1, clients=[*mesh.configuration["clients"], both])
        for _ in range(3):
            assert mesh.ask(mesh.issue(MESH), **{field: KEY}) == (403, "clients-differ")
        with mesh.connect(mesh.issue("dns:both")) as client:
            for _ in range(3):
                assert client.ask(**{field: "own key"})[0] == 200
                assert client.ask()[0] == 200
        with mesh.connect(mesh.issue(MESH)) as client:
            for _ in range(3):
                assert client.ask(Authorization="Bearer Atza|something")[0] == 200
        assert {line["client"] for line in mesh.running.told("request", 9, status=200)} == {"both", "mesh"}


def test_a_removed_client_is_refused_on_its_open_connections(start: Start) -> None:
    """With the next request; a change of its permissions and a client that takes over the name take effect likewise."""
    with start.mesh() as mesh, contextlib.ExitStack() as opened:
        clients = [opened.enter_context(mesh.connect(mesh.issue(MESH))) for _ in range(8)]
        assert {client.ask()[0] for client in clients for _ in range(3)} == {200}
        mesh.reload(1, clients=[{"name": "mesh", "certificate": {"san": MESH}, "methods": ["POST"]}])
        assert {client.ask()[1]["type"].rpartition(":")[2] for client in clients} == {"not-permitted"}
        mesh.reload(2, clients=mesh.configuration["clients"] + [{"name": "b", "certificate": {"san": BATCH}}])
        mesh.reload(3, clients=[{"name": "b", "certificate": {"san": MESH}}])
        assert {client.ask()[0] for client in clients} == {200}
        assert len(mesh.running.told("request", 8, client="b", status=200)) == 8
        mesh.reload(4, clients=[{"name": "b", "certificate": {"san": BATCH}}])
        assert {client.ask()[1]["type"].rpartition(":")[2] for client in clients} == {"certificate-rejected"}


def test_authorities_change_without_a_restart(start: Start) -> None:
    """An added one leaves open connections alone. A removed one ends them, and is not accepted again."""
    second = Issuer(start.folder, "second")
    with start.mesh() as mesh, contextlib.ExitStack() as opened:
        old, new = mesh.issue(MESH), second.issue(MESH)
        kept = [opened.enter_context(mesh.connect(old)) for _ in range(8)]
        assert {client.ask()[0] for client in kept} == {200}
        assert mesh.ask(new) == (0, "")
        mesh.trust(1, mesh.issuer, second)
        assert {mesh.ask(new) for _ in range(8)} == {(200, "")}
        assert {client.ask()[0] for client in kept} == {200}
        mesh.trust(2, second)
        assert {mesh.ask(old) for _ in range(8)} == {(0, "")}
        assert {mesh.ask(new) for _ in range(8)} == {(200, "")}
        for client in kept:
            with pytest.raises((OSError, http.client.HTTPException)):
                client.ask()


def test_a_broken_file_of_authorities_changes_nothing(start: Start) -> None:
    """The reload is refused; the authorities before it stay."""
    with start.mesh() as mesh:
        file = mesh.issue(MESH)
        replace_file(mesh.ca_file, "no certificate")
        problems = mesh.running.until(lambda: mesh.running.status()["config"]["problems"])
        assert problems[0].startswith("tls.client_ca: ")
        assert mesh.ask(file) == (200, "")


def test_whether_a_certificate_is_required_changes_without_a_restart(start: Start) -> None:
    """Connections without one end when it becomes required, with the next request at the latest."""
    with start.mesh("optional") as mesh, mesh.connect() as bare, mesh.connect(mesh.issue(MESH)) as certified:
        assert bare.ask(X_Ads_Proxy_Key=KEY)[0] == certified.ask()[0] == 200
        mesh.reload(1, tls=mesh.with_tls(client_auth="required"))
        with pytest.raises((OSError, http.client.HTTPException)):
            bare.ask(X_Ads_Proxy_Key=KEY)
        assert mesh.ask(None, X_Ads_Proxy_Key=KEY) == (0, "")
        assert mesh.ask(mesh.issue(MESH)) == (200, "")
        mesh.reload(2, tls=mesh.with_tls(client_auth="optional"))
        assert mesh.ask(None, X_Ads_Proxy_Key=KEY) == (200, "")
        without = {key: value for key, value in mesh.configuration["tls"].items() if not key.startswith("client_")}
        mesh.reload(3, tls=without, clients=mesh.configuration["clients"][2:])
        assert mesh.ask(mesh.issue(MESH)) == (401, "client-unknown")
        assert mesh.ask(None, X_Ads_Proxy_Key=KEY) == (200, "")


def test_an_intermediate_authority_is_trusted_for_itself(start: Start) -> None:
    """Without its root in the file. With the root alone, the client sends it along."""
    with start.mesh() as mesh:
        between = Issuer(start.folder, "between", mesh.issuer)
        assert mesh.ask(between.issue(MESH)) == (0, "")
        assert mesh.ask(between.issue(MESH, chain=(between,))) == (200, "")
        mesh.trust(1, between)
        assert mesh.ask(between.issue(MESH)) == (200, "")
        assert mesh.ask(mesh.issue(MESH)) == (0, "")


def test_a_certificate_ends_while_its_request_waits(start: Start) -> None:
    """The rest of the body comes after the end: nothing of the request leaves. The connection ends with the answer."""
    with start.mesh() as mesh:
        body = b'{"name": "x"}'
        began, file = time.time(), mesh.issue(MESH, seconds=4)
        with mesh.connect(file) as client:
            lines = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            client.tls.sendall(b"POST /sp/campaigns HTTP/1.1\r\n" + lines.encode() + body[:5])
            mesh.running.until(lambda: time.time() > began + 4.5)
            client.tls.sendall(body[5:])
            answer = b"".join(iter(lambda: client.tls.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"certificate-rejected" in answer
        assert mesh.ask(file) == (0, "")


def test_connections_end_with_a_response_before_their_certificate_does(start: Start) -> None:
    """No request is refused for a certificate that its client has renewed already."""
    with start.mesh() as mesh:
        with mesh.connect(mesh.issue(MESH, seconds=60)) as client:
            assert client.ask()[0] == 200
            assert not client.is_open
        with mesh.connect(mesh.issue(MESH, seconds=3600)) as client:
            assert client.ask()[0] == 200
            assert client.is_open


def test_no_session_of_tls_1_3_is_resumed(start: Start) -> None:
    """Each connection verifies its certificate."""
    with start.mesh() as mesh:
        context = mesh.context(mesh.issue(MESH))
        with CertifiedClient(mesh.netloc, context) as first:
            assert first.ask()[0] == 200
            assert first.tls.version() == "TLSv1.3"
            session = first.tls.session
            assert session is None or not session.has_ticket
        if session is not None:
            with resumed(mesh, context, session) as second:
                assert not second.session_reused


def test_a_session_of_tls_1_2_outlives_neither_certificate_nor_authority(start: Start) -> None:
    """The session may be resumed meanwhile."""
    second = Issuer(start.folder, "second")
    with start.mesh() as mesh:
        began, context = time.time(), mesh.context(mesh.issue(MESH, seconds=5), tls_1_2=True)
        lasting = mesh.context(mesh.issue(MESH), tls_1_2=True)
        sessions = []
        for each in (context, lasting):
            with CertifiedClient(mesh.netloc, each) as client:
                sessions.append(client.tls.session)
                assert client.ask()[0] == 200
        with resumed(mesh, context, sessions[0]) as tls:
            assert tls.session_reused
            assert answer_to(tls).startswith(b"HTTP/1.1 200 ")
        mesh.running.until(lambda: time.time() > began + 5.5)
        with resumed(mesh, context, sessions[0]) as tls:
            assert answer_to(tls).startswith(b"HTTP/1.1 401 ")
        mesh.trust(1, second)
        assert mesh.ask(mesh.issue(MESH)) == (0, "")
        with pytest.raises(OSError), resumed(mesh, lasting, sessions[1]):
            pass


@contextlib.contextmanager
def resumed(mesh: Mesh, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Iterator[ssl.SSLSocket]:
    """A connection that tries to resume a session."""
    host, port = mesh.netloc.split(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=host, session=session) as tls,
    ):
        yield tls


def answer_to(tls: ssl.SSLSocket) -> bytes:
    """The first bytes of the answer to a GET."""
    tls.sendall(b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return tls.recv(65536)


def test_curl_and_openssl_are_served(start: Start) -> None:
    """The page has the commands; openssl is asked for a certificate without names of authorities."""
    with start.mesh("optional") as mesh:
        file, url = mesh.issue(MESH), f"{mesh.running.proxy_url}/v2/profiles"
        command = (require_program("curl"), "-sS", "--cacert", mesh.server, "-o", os.devnull, "-w", "%{http_code}")
        certified = subprocess.run([*command, "--cert", file, "--key", file, url], check=True, capture_output=True)
        assert certified.stdout == b"200"
        assert subprocess.run([*command, url], check=True, capture_output=True).stdout == b"401"
        said = subprocess.run(
            [require_program("openssl"), "s_client", "-connect", mesh.netloc, "-CAfile", mesh.server, "-cert", file,
             "-key", file, "-quiet"],
            input=b"GET /v2/profiles HTTP/1.0\r\n\r\n", check=False, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        assert b"HTTP/1.1 200 OK" in said.stdout


def test_a_tunnel_belongs_to_the_certificate_of_its_connection(start: Start) -> None:
    """HTTPS_PROXY needs no key then. A key of another client is refused, and a certificate of no client needs a key."""
    intercept = {"enabled": True, "ca_dir": str(start.folder / "ca")}
    with start.mesh("optional", intercept=intercept) as mesh:
        program, authority = require_program("curl"), start.folder / "ca" / "ca.pem"
        command = f"-sS --proxy-cacert {mesh.server} --cacert {authority} -o {os.devnull}".split()

        def through(file: Path | None, login: str = "") -> str:
            shown = [] if file is None else ["--proxy-cert", str(file), "--proxy-key", str(file)]
            proxy = f"https://{login}127.0.0.1:{mesh.netloc.partition(':')[2]}"
            asked = [
                "-w",
                "%{http_code} %{http_connect}",
                "-x",
                proxy,
                "https://advertising-api.amazon.com/v2/profiles",
            ]
            said = subprocess.run([program, *command, *shown, *asked], check=False, capture_output=True, text=True)
            return said.stdout

        own, unknown = mesh.issue(MESH), mesh.issue("dns:nobody.example.org")
        assert through(own) == "200 200"
        assert len(mesh.running.told("request", client="mesh", path="/v2/profiles")) == 1
        assert through(None) == through(unknown) == "000 407"
        assert through(unknown, f"other:{KEY}@") == "200 200"
        assert through(own, f"other:{KEY}@") == "000 403"
        mesh.reload(1, clients=mesh.configuration["clients"][1:])
        assert through(own) == "000 407"


def test_the_token_endpoint_needs_no_key_of_a_client_with_a_certificate(start: Start) -> None:
    """Its placeholder is good on connections with the certificate alone."""
    with start.mesh("optional") as mesh:
        file = mesh.issue(MESH)
        connection = http.client.HTTPSConnection(mesh.netloc, context=mesh.context(file), timeout=PATIENCE)
        with contextlib.closing(connection):
            form = "grant_type=refresh_token&refresh_token=acme&client_id=any&client_secret=any"
            connection.request("POST", "/auth/o2/token", form, {"Content-Type": "application/x-www-form-urlencoded"})
            answer = connection.getresponse()
            assert answer.status == 200
            token = json.loads(answer.read())["access_token"]
        assert mesh.ask(file, Authorization=f"Bearer {token}") == (200, "")
        assert mesh.ask(None, Authorization=f"Bearer {token}") == (401, "placeholder-rejected")
        assert mesh.ask(mesh.issue(BATCH), Authorization=f"Bearer {token}") == (401, "placeholder-rejected")
