"""Real programs verify the proxy's certificates for Amazon's hosts, and refuse its authority's for any other name.

Each connects to a server on loopback, and names the host that it believes to reach. The other names' certificates are
signed by the authority's own key, as a thief of it would, and are shown with the cross certificate behind them, and
alone. An authority without constraints shows that the programs would accept such certificates otherwise.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import json
import re
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.intercept.authority import Authority
from proxy.intercept.bundle import java_trust_store
from proxy.intercept.contexts import Contexts
from proxy.net.pem import as_file
from tests.support.certificates import Authority as UnconstrainedAuthority
from tests.support.patience import PATIENCE
from tests.support.programs import require_program

pytestmark = pytest.mark.integration

NAMES = AMAZON, OTHER, ADDRESS = "advertising-api.amazon.com", "www.example.com", "127.0.0.1"
PASSWORD = "changeit"
VIOLATED = re.compile(
    r"(permitted|excluded) subtree violation|not permitted by any constraint|excluded by constraint|"
    r"name constraints check failed|violates the signer's constraints"
)


# --- The server


class _Answer(BaseHTTPRequestHandler):
    """Answers each GET with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any, **__: Any) -> None:
        """Nothing is logged."""


class _TlsServer(ThreadingHTTPServer):
    """Shows the certificate of the name that a client gives, and that of `ADDRESS` to a client without one."""

    def __init__(self, contexts: dict[str, ssl.SSLContext]) -> None:
        super().__init__((ADDRESS, 0), _Answer)
        self.contexts = contexts
        contexts[ADDRESS].sni_callback = self._choose

    def _choose(self, tls: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            tls.context = self.contexts[name]

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(PATIENCE)
        try:
            with self.contexts[ADDRESS].wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)
        except OSError:
            return  # the client refused the certificate

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@contextmanager
def serving(contexts: dict[str, ssl.SSLContext]) -> Iterator[int]:
    """The port of a server with these contexts."""
    with _TlsServer(contexts) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


def stolen(folder: Path, name: x509.GeneralName, *behind: x509.Certificate) -> ssl.SSLContext:
    """A server's context with a certificate for a name, signed by the key in `ca.key`, and others behind it."""
    content = (folder / "ca.key").read_bytes()
    issuer = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer = serialization.load_pem_private_key(content, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    assert signer.public_key() == issuer.public_key()
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stolen")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    shown = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in (certificate, *behind))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with as_file(shown + key.private_bytes(serialization.Encoding.PEM, form, plain)) as pem:
        context.load_cert_chain(pem)
    return context


@dataclass(frozen=True)
class Attempt:
    """A connection to the server on `port` that is believed to be `name`. `trust` and `store` are the client's
    authorities, as PEM and for Java."""

    name: str
    port: int
    trust: Path
    store: Path


@dataclass(frozen=True)
class Servers:
    """The attempts at our authority's certificates, shown with the cross certificate and alone, and those at an
    authority's without constraints."""

    crossed: tuple[Attempt, ...]
    alone: tuple[Attempt, ...]
    unconstrained: tuple[Attempt, ...]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("authorities")
    ca_dir, trust = folder / "ca", folder / "ca" / "ca.pem"
    authority = Authority.open(ca_dir, time.time())
    _, cross = x509.load_pem_x509_certificates(authority.issue(AMAZON, time.time()).chain)
    address = x509.IPAddress(ipaddress.ip_address(ADDRESS))
    crossed, alone = (
        {OTHER: stolen(ca_dir, x509.DNSName(OTHER), *behind), ADDRESS: stolen(ca_dir, address, *behind)}
        for behind in ((cross,), ())
    )
    crossed[AMAZON] = Contexts(authority, time.time).find(AMAZON)
    alone[AMAZON] = stolen(ca_dir, x509.DNSName(AMAZON))
    company = UnconstrainedAuthority(folder)
    unconstrained = {name: company.context(name) for name in NAMES}
    stores = folder / "ours.p12", folder / "company.p12"
    for store, pem in zip(stores, (b"", company.ca_file.read_bytes()), strict=True):
        store.write_bytes(java_trust_store(pem, authority, PASSWORD))
    with serving(crossed) as first, serving(alone) as second, serving(unconstrained) as third:
        yield Servers(
            tuple(Attempt(name, first, trust, stores[0]) for name in NAMES),
            tuple(Attempt(name, second, trust, stores[0]) for name in NAMES),
            tuple(Attempt(name, third, company.ca_file, stores[1]) for name in NAMES),
        )


# --- The clients: each gives what it says of each attempt, empty where it accepted the certificate


def run(*command: str | Path) -> str:
    """What a program says on both streams; empty if it exits with 0."""
    done = subprocess.run(
        [*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def curl(attempts: Sequence[Attempt]) -> list[str]:
    program = require_program("curl")
    return [
        run(
            *(program, "-sS", "--noproxy", "*", "--cacert", each.trust, "--capath", "/dev/null"),
            *("--connect-to", f"{each.name}:443:{ADDRESS}:{each.port}", f"https://{each.name}/"),
        )
        for each in attempts
    ]


def openssl(attempts: Sequence[Attempt]) -> list[str]:
    program = require_program("openssl")
    return [
        run(
            *(program, "s_client", "-brief", "-verify_return_error", "-CAfile", each.trust, "-no-CApath"),
            *("-connect", f"{ADDRESS}:{each.port}"),
            *(("-noservername", "-verify_ip") if each.name == ADDRESS else ("-verify_hostname",)),
            each.name,
            *(() if each.name == ADDRESS else ("-servername", each.name)),
        )
        for each in attempts
    ]


PYTHON = """
import json, socket, ssl, sys
said = []
for name, port, trust in json.loads(sys.argv[1]):
    context = ssl.create_default_context(cafile=trust)
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            context.wrap_socket(plain, server_hostname=name).close()
    except ssl.SSLError as error:
        said.append(str(error))
    else:
        said.append("")
print(json.dumps(said))
"""
NODE = """
const tls = require("node:tls"), fs = require("node:fs");
const attempt = ([name, port, trust]) => new Promise((tell) => {
  const servername = name === "127.0.0.1" ? "" : name;
  const open = tls.connect({host: "127.0.0.1", port, servername, ca: fs.readFileSync(trust)});
  open.on("secureConnect", () => { open.destroy(); tell(""); });
  open.on("error", (error) => tell(String(error)));
});
Promise.all(JSON.parse(process.argv[1]).map(attempt)).then((said) => console.log(JSON.stringify(said)));
"""


def scripted(*command: str) -> Callable[[Sequence[Attempt]], list[str]]:
    """A client that is a script: it takes all attempts as JSON, and prints what it says of them."""

    def connect(attempts: Sequence[Attempt]) -> list[str]:
        wanted = json.dumps([[each.name, each.port, str(each.trust)] for each in attempts])
        program = [require_program(command[0]), *command[1:], wanted]
        said: list[str] = json.loads(subprocess.run(program, capture_output=True, timeout=PATIENCE, check=True).stdout)
        return said

    return connect


def go(attempts: Sequence[Attempt]) -> list[str]:
    """promtool is a Go program whose trusted authorities and server name can be given."""
    program = require_program("promtool")
    said = []
    for each in attempts:
        terms = {"ca_file": str(each.trust)} | ({} if each.name == ADDRESS else {"server_name": each.name})
        file = each.store.with_name(f"{each.name}-{each.port}.yml")
        file.write_text(json.dumps({"tls_config": terms}), encoding="utf-8")  # YAML, too
        url = f"https://{ADDRESS}:{each.port}"
        said.append(run(program, "check", "healthy", f"--http.config.file={file}", f"--url={url}"))
    return said


def gnutls(attempts: Sequence[Attempt]) -> list[str]:
    program = require_program("gnutls-cli")
    return [
        run(
            *(program, f"--x509cafile={each.trust}", f"--port={each.port}", f"--verify-hostname={each.name}"),
            *(("--disable-sni",) if each.name == ADDRESS else (f"--sni-hostname={each.name}",)),
            ADDRESS,
        )
        for each in attempts
    ]


JAVA = """
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.util.List;
import javax.net.ssl.*;

public class Connect {
    public static void main(String[] attempts) throws Exception {
        for (String attempt : attempts) {
            String[] parts = attempt.split(",");
            KeyStore trusted = KeyStore.getInstance("PKCS12");
            try (FileInputStream file = new FileInputStream(parts[2])) {
                trusted.load(file, "changeit".toCharArray());
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(trusted);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            int port = Integer.parseInt(parts[1]);
            try (Socket plain = new Socket("127.0.0.1", port);
                    SSLSocket tls = (SSLSocket) context.getSocketFactory().createSocket(plain, parts[0], port, true)) {
                SSLParameters terms = tls.getSSLParameters();
                terms.setEndpointIdentificationAlgorithm("HTTPS");
                tls.setSSLParameters(terms);
                tls.startHandshake();
                System.out.println();
            } catch (SSLException error) {
                System.out.println(error);
            }
        }
    }
}
"""


def java(attempts: Sequence[Attempt]) -> list[str]:
    """The default trust manager of Java's own TLS, with the trust store that is made for clients."""
    program = require_program("java")
    require_program("javac")  # a source is run as it is, with the compiler
    source = attempts[0].store.with_name("Connect.java")
    source.write_text(JAVA, encoding="utf-8")
    wanted = [f"{each.name},{each.port},{each.store}" for each in attempts]
    command = [program, "-XX:TieredStopAtLevel=1", str(source), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.splitlines()


CLIENTS: dict[str, Callable[[Sequence[Attempt]], list[str]]] = {
    "curl": curl,
    "OpenSSL": openssl,
    "Python": scripted(sys.executable, "-c", PYTHON),
    "Node": scripted("node", "-e", NODE),
    "Go": go,
    "GnuTLS": gnutls,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_the_authority_can_sign_for_amazons_hosts_alone(
    client: Callable[[Sequence[Attempt]], list[str]], servers: Servers
) -> None:
    """The program accepts Amazon's host, and refuses another name and an address for the constraints, with or without
    the cross certificate; it would accept both from an authority without constraints."""
    said = client((*servers.crossed, *servers.alone, *servers.unconstrained))
    for amazon, name, address in (said[:3], said[3:6]):
        assert amazon == ""
        assert VIOLATED.search(name), name
        assert VIOLATED.search(address), address
    assert said[6:] == ["", "", ""]


def test_java_finds_the_constraints_by_the_cross_certificate(servers: Servers) -> None:
    """Java accepts nothing without it: its trust store has the Java root in place of the authority's certificate."""
    said = java((*servers.crossed, *servers.alone, *servers.unconstrained))
    assert said[0] == ""
    assert all(map(VIOLATED.search, said[1:3])), said
    assert all("unable to find valid certification path" in each for each in said[3:6]), said
    assert said[6:] == ["", "", ""]


def test_java_does_not_look_at_the_constraints_of_what_it_trusts(servers: Servers) -> None:
    """In a store with the authority's certificate, such as one by keytool, the authority could sign for every name."""
    store = servers.crossed[0].store.with_name("by-keytool.p12")
    terms = ("-storetype", "PKCS12", "-keystore", store, "-storepass", PASSWORD)
    run(require_program("keytool"), "-importcert", "-noprompt", *terms, "-file", servers.crossed[0].trust)
    assert java([replace(each, store=store) for each in (*servers.crossed, *servers.alone)]) == [""] * 6
