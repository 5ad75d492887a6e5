"""What of TLS is in force stays so, whatever becomes of its files."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509

from proxy.access.clients import Budgets
from proxy.app.rules import make_clients, make_routing_table, make_rules
from proxy.app.server_tls import NO_CERTIFICATES, ServerCertificate, ServerTls, TrustedClients
from proxy.config import Config, load
from proxy.config.model.sections import TlsSection
from proxy.errors import ConfigurationError, ListenError
from proxy.net.deadlines import Deadlines
from proxy.net.names import Names
from proxy.routing.table import EmptyDirectory
from proxy.upstream.pool import Pools
from tests.support.certificates import Authority
from tests.support.client_certificates import Issuer

NAME = "127.0.0.1"
BROKEN = "-----BEGIN CERTIFICATE-----\nno certificate\n"


class Files:
    """The files of a configuration; `write` replaces them."""

    def __init__(self, path: Path) -> None:
        self.authority = Authority(path)
        self.pair, self.ca_file = path / f"{NAME}.pem", path / "trusted.pem"
        self.write()

    def write(self, *, is_rsa: bool = False) -> int:
        """The serial number of the certificate."""
        self.authority.context(NAME, is_rsa=is_rsa)
        self.ca_file.write_bytes(self.authority.ca_file.read_bytes())
        return x509.load_pem_x509_certificate(self.pair.read_bytes()).serial_number

    def config(self) -> Config:
        variables = {
            "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
            "AMAZON_ADS_CLIENT_SECRET": "canary-secret-of-some-length",
            "ADS_PROXY_STATE__URL": "memory:",
            "ADS_PROXY_TLS__CERT": str(self.pair),
            "ADS_PROXY_TLS__KEY": str(self.pair),
            "ADS_PROXY_UPSTREAM__CA_FILE": str(self.ca_file),
        }
        return load(None, variables)

    def shown(self, tls: ServerTls) -> int:
        """The serial number of the certificate that a client gets in a handshake."""
        assert tls.context is not None
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = tls.context.wrap_bio(to_server, to_client, server_side=True)
        trusting = ssl.create_default_context(cafile=self.authority.ca_file)
        client = trusting.wrap_bio(to_client, to_server, server_hostname=NAME)
        for _ in range(3):
            for end in (client, server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        return int(dict(client.getpeercert() or {})["serialNumber"], 16)  # type: ignore[arg-type]  # a text, by its name


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_certificate_with_another_kind_of_key_replaces_the_one_before(files: Files) -> None:
    """OpenSSL keeps one of each kind, and lets the client choose: the old one would be shown until it has expired."""
    config, tls = files.config(), ServerTls()
    tls.begin(config)
    for is_rsa in (True, False, True):
        serial = files.write(is_rsa=is_rsa)
        certificate = tls.reread(config)
        assert certificate is not None
        tls.show(certificate)
        assert files.shown(tls) == serial


@pytest.mark.parametrize("name", ["pair", "ca_file"])
def test_a_broken_file_changes_nothing(files: Files, name: str) -> None:
    """The reload is refused, and what was in force stays so."""
    config = files.config()
    tls = ServerTls()
    tls.begin(config)
    before, serial = (tls.certificate, tls.authorities.pem), files.shown(tls)
    getattr(files, name).write_text(BROKEN)
    with pytest.raises((ListenError, ConfigurationError)):
        tls.reread(config)
    assert (tls.certificate, tls.authorities.pem) == before
    assert files.shown(tls) == serial


async def test_connections_to_amazon_believe_the_authorities_that_were_read(files: Files) -> None:
    """Whatever became of the file by then."""
    config, tls = files.config(), ServerTls()
    tls.begin(config)
    files.ca_file.write_text(BROKEN)
    table = make_routing_table(config, EmptyDirectory())
    rules = make_rules(config, table, make_clients(config, b"key", Budgets()), authorities=tls.authorities, demo=False)
    loop = asyncio.get_running_loop()
    pools = Pools(Deadlines(loop), Names())
    pools.apply(rules.pool_settings, rules.endpoints)
    assert pools._dialer._context is tls.authorities.context


def test_the_end_of_a_certificate_is_that_of_the_first_in_its_file(tmp_path: Path) -> None:
    """A chain follows it, whose ends are others."""
    authority = Authority(tmp_path)
    authority.context("127.0.0.1")
    pair = tmp_path / "127.0.0.1.pem"
    own = x509.load_pem_x509_certificate(pair.read_bytes())
    pair.write_bytes(pair.read_bytes() + authority.ca_file.read_bytes())
    assert ServerCertificate.read(TlsSection(cert=pair, key=pair)).ends_at == own.not_valid_after_utc.timestamp()


def test_a_key_of_another_certificate_is_told_without_it(tmp_path: Path) -> None:
    """The error names the keys of the configuration; neither it nor the value shows what the files hold."""
    authority = Authority(tmp_path)
    for name in ("127.0.0.1", "127.0.0.2"):
        authority.context(name)
    one, other = tmp_path / "127.0.0.1.pem", tmp_path / "127.0.0.2.pem"
    with pytest.raises(ListenError, match=r"correct tls\.cert and tls\.key") as caught:
        ServerCertificate.read(TlsSection(cert=authority.ca_file, key=other))
    secret = one.read_text().splitlines()[1]
    assert secret not in str(caught.value)
    assert repr(ServerCertificate.read(TlsSection(cert=one, key=one))) == (
        "ServerCertificate(key=***, clients=TrustedClients(required=False, digests=frozenset()))"
    )


# --- what is demanded of clients


def trusted(*names: str, required: bool = True) -> TrustedClients:
    return TrustedClients(b"pem", required, frozenset(names))


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        (NO_CERTIFICATES, NO_CERTIFICATES, True),
        (NO_CERTIFICATES, trusted("a", required=False), True),
        (NO_CERTIFICATES, trusted("a"), False),
        (trusted("a", required=False), trusted("a"), False),
        (trusted("a"), trusted("a", required=False), True),
        (trusted("a"), trusted("a", "b"), True),
        (trusted("a", "b"), trusted("a"), False),
        (trusted("a"), trusted("b", required=False), False),
        (trusted("a"), NO_CERTIFICATES, False),
    ],
)
def test_a_connection_stays_where_it_would_be_accepted_again(
    before: TrustedClients, after: TrustedClients, stays: bool
) -> None:
    """A peer is told as far as is known: not which authority signed its certificate, nor whether it has one."""
    assert after.admits(before) is stays


class Opened:
    """A transport whose handshake began with this context."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context

    def get_extra_info(self, name: str) -> object:
        return self._context if name == "sslcontext" else None


def test_a_handshake_that_began_under_other_demands_is_dropped(files: Files) -> None:
    """A reload came in between. What it was verified by is told by its own context."""
    tls, one, other = ServerTls(), Issuer(files.pair.parent, "one"), Issuer(files.pair.parent, "other")
    file = files.pair.parent / "clients.pem"
    section = TlsSection(cert=files.pair, key=files.pair, client_ca=file)

    def show(*issuers: Issuer) -> bool:
        file.write_bytes(b"".join(each.file.read_bytes() for each in issuers))
        return tls.show(ServerCertificate.read(section))

    show(one)
    first = cast(asyncio.BaseTransport, Opened(tls.context))
    digests = tls.trusted_clients.digests
    assert tls.authorities_of(first) == digests
    assert show(one, other)
    assert tls.authorities_of(first) == digests < tls.trusted_clients.digests
    assert not show(other)
    assert tls.authorities_of(first) is None
    assert tls.authorities_of(cast(asyncio.BaseTransport, Opened(None))) is None


def test_a_file_without_an_authority_is_told(files: Files) -> None:
    """By the key of the configuration."""
    section = TlsSection(cert=files.pair, key=files.pair, client_ca=files.pair.parent / "broken.pem")
    (files.pair.parent / "broken.pem").write_text(BROKEN)
    with pytest.raises(ListenError, match=r"tls\.client_ca: the file cannot be used"):
        ServerCertificate.read(section)
