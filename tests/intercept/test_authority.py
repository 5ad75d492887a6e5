"""The authority of a folder: made once, private, renewed in time, and never used if it could sign for other names."""

from __future__ import annotations

import datetime
import ipaddress
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from proxy.errors import StartupError
from proxy.intercept import authority as module
from proxy.intercept.authority import (
    AUTHORITY_LIFE,
    DAY,
    LEAF_LIFE,
    RENEW_BEFORE,
    Authority,
    Leaf,
    refuse_unless_private,
)
from proxy.intercept.hosts import AMAZON_HOSTS
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT

NOW = 1_800_000_000.0
HOST = "advertising-api.amazon.com"
OURSELVES = 65532
OPEN = """
import sys, time, pathlib
from proxy.intercept.authority import Authority
print("ready", flush=True)
sys.stdin.readline()
sys.stdout.buffer.write(Authority.open(pathlib.Path(sys.argv[1]), float(sys.argv[2])).pem)
"""
"""A process that opens the authority when it is told to."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ca"


def trusted(authority: Authority) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(authority.pem)


def verify(leaf: Leaf, trust: bytes, host: str, now: float) -> None:
    """Raises `VerificationError` where a client that trusts these certificates refuses that of the host."""
    own, *behind = x509.load_pem_x509_certificates(leaf.chain)
    verifier = (
        PolicyBuilder()
        .store(Store(x509.load_pem_x509_certificates(trust)))
        .time(datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None))
        .build_server_verifier(x509.DNSName(host))
    )
    verifier.verify(own, behind)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- What is made


def test_it_is_made_at_first_and_read_afterwards(folder: Path) -> None:
    """Only the first opening has something to tell."""
    first, second = Authority.open(folder, NOW), Authority.open(folder, NOW + 1)
    assert first.pem == second.pem == (folder / "ca.pem").read_bytes()
    assert first.note == f"An authority has been made; clients must trust {folder / 'ca.pem'}."
    assert second.note == ""
    assert first.ends_at == NOW + AUTHORITY_LIFE


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_its_user_reads_the_key(umask: int, folder: Path) -> None:
    """Under any umask; the certificate is for all users who reach the folder."""
    before = os.umask(umask)
    try:
        Authority.open(folder / "below", NOW)
    finally:
        os.umask(before)
    assert [mode(path) for path in (folder, folder / "below")] == [0o700, 0o700]
    assert {path.name: mode(path) for path in (folder / "below").iterdir()} == {
        "ca.key": 0o600,
        "ca.pem": 0o644,
        "lock": 0o600,
    }


def test_a_folder_that_is_there_keeps_its_mode(folder: Path) -> None:
    """Its owner may let others reach the certificate."""
    folder.mkdir()
    folder.chmod(0o755)
    Authority.open(folder, NOW)
    assert mode(folder) == 0o755


def three(authority: Authority) -> dict[str, x509.Certificate]:
    """The certificates of a new authority."""
    [own], [java_root] = trusted(authority), x509.load_pem_x509_certificates(authority.java_roots)
    _, cross = x509.load_pem_x509_certificates(authority.issue(HOST, NOW).chain)
    return {"its own": own, "the cross certificate": cross, "the Java root": java_root}


@pytest.mark.parametrize(("which", "path_length"), [("its own", 0), ("the cross certificate", 0), ("the Java root", 1)])
def test_each_certificate_may_sign_for_amazons_hosts_alone(which: str, path_length: int, folder: Path) -> None:
    """What restricts it is critical, so a verifier that does not know it refuses it."""
    certificate = three(Authority.open(folder, NOW))[which]
    found = {each.oid: each for each in certificate.extensions}
    assert found[x509.BasicConstraints.oid].value == x509.BasicConstraints(ca=True, path_length=path_length)
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    assert {each.value for each in constraints.permitted_subtrees or ()} == AMAZON_HOSTS.keys()
    assert [each.value for each in constraints.excluded_subtrees or ()] == [
        ipaddress.ip_network("0.0.0.0/0"),
        ipaddress.ip_network("::/0"),
    ]
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH
    ]
    critical = (x509.BasicConstraints, x509.NameConstraints, x509.KeyUsage)
    assert {oid for oid, each in found.items() if each.critical} == {kind.oid for kind in critical}
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)


def test_the_files_are_a_pair(folder: Path) -> None:
    """The first key in one is that of the first certificate in the other, which it signed; in a renewal as well."""
    first = Authority.open(folder, NOW)
    for now in (NOW, first.ends_at - 1):
        Authority.open(folder, now)
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        assert certificate.public_key() == key.public_key()
        certificate.verify_directly_issued_by(certificate)


def test_the_cross_certificate_has_the_authoritys_name_and_key(folder: Path) -> None:
    """So verifiers take either of the two for the issuer of a host's certificate."""
    own, cross, java_root = three(Authority.open(folder, NOW)).values()
    cross.verify_directly_issued_by(java_root)
    assert (cross.subject, cross.public_key()) == (own.subject, own.public_key())
    assert [
        cross.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest,
        cross.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier,
    ] == [each.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest for each in (own, java_root)]
    assert java_root.subject != own.subject


def test_nothing_keeps_the_private_key_of_the_java_root(folder: Path) -> None:
    """With it, somebody could sign a cross certificate without constraints, which Java would believe."""
    java_root = three(Authority.open(folder, NOW))["the Java root"]
    text = (folder / "ca.key").read_bytes()
    assert text.count(b"PRIVATE KEY-----") == 2
    key = serialization.load_pem_private_key(text, None)
    assert key.public_key() != java_root.public_key()


def test_two_authorities_have_different_names(tmp_path: Path) -> None:
    """A list of trusted certificates shows which machine's each is."""
    names = {trusted(Authority.open(tmp_path / name, NOW))[0].subject.rfc4514_string() for name in "ab"}
    assert len(names) == 2
    assert all(name.startswith("CN=ads-proxy authority ") for name in names)


# --- What it issues


def test_a_leaf_is_for_one_host_and_a_day(folder: Path) -> None:
    """Clients whose clocks are an hour slow accept it too."""
    authority = Authority.open(folder, NOW)
    leaf = authority.issue(HOST, NOW + 5.5)
    certificate, issuer = x509.load_pem_x509_certificates(leaf.chain)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName(HOST)]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    assert ExtendedKeyUsageOID.SERVER_AUTH in extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert (
        extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        == issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )
    assert certificate.not_valid_before_utc.timestamp() == NOW + 5 - 3600
    assert certificate.not_valid_after_utc.timestamp() == leaf.ends_at == NOW + 5 + DAY
    assert "PRIVATE" not in repr(leaf)


def test_each_leaf_has_a_key_and_a_number_of_its_own(folder: Path) -> None:
    """Two processes with the same authority never use one number twice."""
    authority = Authority.open(folder, NOW)
    leaves = [authority.issue(HOST, NOW) for _ in range(2)]
    certificates = [x509.load_pem_x509_certificates(leaf.chain)[0] for leaf in leaves]
    assert len({certificate.serial_number for certificate in certificates}) == 2
    assert len({leaf.key.reveal() for leaf in leaves}) == 2


@pytest.mark.parametrize("host", sorted(AMAZON_HOSTS))
def test_clients_accept_the_leaf_of_each_host(host: str, folder: Path) -> None:
    """They trust the authority's certificate, or the Java root, alone."""
    authority = Authority.open(folder, NOW)
    for trust in (authority.pem, authority.java_roots):
        verify(authority.issue(host, NOW), trust, host, NOW)


@pytest.mark.parametrize(
    "host", ["www.example.com", "amazon.com", f"x.{HOST}", HOST.upper(), f"{HOST}.", "*.amazon.com", "127.0.0.1", ""]
)
def test_it_issues_for_no_other_host(host: str, folder: Path) -> None:
    """Even where the constraints would permit the name."""
    with pytest.raises(ValueError, match="not one of Amazon's hosts"):
        Authority.open(folder, NOW).issue(host, NOW)


# --- Renewal


def test_it_is_renewed_a_month_before_its_end(folder: Path) -> None:
    """Not a second earlier."""
    first = Authority.open(folder, NOW)
    assert Authority.open(folder, first.ends_at - RENEW_BEFORE - 1).pem == first.pem
    renewed = Authority.open(folder, first.ends_at - RENEW_BEFORE)
    assert renewed.pem.endswith(first.pem)
    assert len(trusted(renewed)) == 2
    assert "has been renewed; copy" in renewed.note
    assert renewed.pem == (folder / "ca.pem").read_bytes()
    assert renewed.ends_at == first.ends_at - RENEW_BEFORE + AUTHORITY_LIFE
    assert (mode(folder / "ca.key"), mode(folder / "ca.pem")) == (0o600, 0o644)


def test_clients_with_either_file_accept_leaves_during_the_overlap(folder: Path) -> None:
    """The older one signs for as long as its leaves can last; then clients need the newer file."""
    first = Authority.open(folder, NOW)
    renewed = Authority.open(folder, first.ends_at - RENEW_BEFORE)
    last = first.ends_at - LEAF_LIFE
    for now in (first.ends_at - RENEW_BEFORE, last):
        for trust in (first.pem, renewed.pem, first.java_roots, renewed.java_roots):
            verify(renewed.issue(HOST, now), trust, HOST, now)
    after = renewed.issue(HOST, last + 1)
    for trust in (renewed.pem, renewed.java_roots):
        verify(after, trust, HOST, last + 1)
    assert x509.load_pem_x509_certificates(after.chain)[0].issuer == trusted(renewed)[0].subject


def test_an_expired_certificate_is_no_longer_shown(folder: Path) -> None:
    """The files are written again without it."""
    first = Authority.open(folder, NOW)
    renewed = Authority.open(folder, first.ends_at - RENEW_BEFORE)
    later = Authority.open(folder, first.ends_at)
    assert renewed.pem == later.pem + first.pem
    assert (folder / "ca.pem").read_bytes() == later.pem
    assert later.note == ""


def test_an_expired_authority_is_replaced(folder: Path) -> None:
    """There is nothing to overlap with, and the note tells what clients need."""
    first = Authority.open(folder, NOW)
    second = Authority.open(folder, first.ends_at)
    assert trusted(second) != trusted(first)
    assert len(trusted(second)) == 1
    assert "had expired" in second.note


def test_an_authority_for_fewer_hosts_gets_a_successor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older program made it. It goes on signing for its hosts, as clients trust it."""
    fewer = {host: use for host, use in AMAZON_HOSTS.items() if host != HOST}
    with monkeypatch.context() as patched:
        patched.setattr(module, "AMAZON_HOSTS", fewer)
        first = Authority.open(folder, NOW)
    renewed = Authority.open(folder, NOW)
    assert len(trusted(renewed)) == 2
    verify(renewed.issue("api.amazon.com", NOW), first.pem, "api.amazon.com", NOW)
    verify(renewed.issue(HOST, NOW), renewed.pem, HOST, NOW)


def test_a_running_process_takes_what_another_one_renewed(folder: Path) -> None:
    """When it issues a leaf."""
    running = Authority.open(folder, NOW)
    renewed = Authority.open(folder, running.ends_at - RENEW_BEFORE)
    running.issue(HOST, NOW)
    assert running.pem == renewed.pem


def test_a_running_process_renews_by_itself(folder: Path) -> None:
    """Nobody has to restart it in ten years."""
    running = Authority.open(folder, NOW)
    before = running.pem
    running.issue(HOST, running.ends_at - RENEW_BEFORE)
    assert running.pem != before
    assert running.pem == (folder / "ca.pem").read_bytes()
    assert "renewed" in running.note


@pytest.mark.parametrize("taken", [("ca.key",), ("ca.key", "ca.pem")])
def test_a_running_process_goes_on_where_its_files_are_gone(taken: tuple[str, ...], folder: Path) -> None:
    """The program makes no other authority, which its clients would not trust."""
    running = Authority.open(folder, NOW)
    for name in taken:
        (folder / name).unlink()
    verify(running.issue(HOST, NOW), running.pem, HOST, NOW)
    assert not (folder / "ca.key").exists()
    assert "still in use" in running.note
    assert "is missing" in running.note


def test_a_running_process_goes_on_where_its_key_was_opened_to_others(folder: Path) -> None:
    """The note says what is wrong, as a start would."""
    running = Authority.open(folder, NOW)
    (folder / "ca.key").chmod(0o644)
    verify(running.issue(HOST, NOW), running.pem, HOST, NOW)
    assert "still in use" in running.note
    assert "other users" in running.note


def test_an_authority_in_memory_has_no_files() -> None:
    """The authority lasts as long as its process."""
    authority = Authority.temporary(NOW)
    verify(authority.issue(HOST, NOW), authority.pem, HOST, NOW)
    assert authority.folder is None


# --- Several processes


@pytest.mark.parametrize("case", ["made", "renewed"])
def test_processes_that_start_at_once_have_one_authority(case: str, folder: Path) -> None:
    """One makes or renews it, the others read what it wrote."""
    now = NOW
    if case == "renewed":
        now = Authority.open(folder, NOW).ends_at - 1
    command = [sys.executable, "-c", OPEN, str(folder), str(now)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()
        printed = {process.communicate(timeout=PATIENCE)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert printed == {(folder / "ca.pem").read_bytes()}
    assert len(x509.load_pem_x509_certificates(printed.pop())) == (1 if case == "made" else 2)


@pytest.mark.parametrize("interrupted", ["ca.pem is missing", "ca.pem is the older one"])
def test_a_change_that_was_interrupted_is_completed(interrupted: str, folder: Path) -> None:
    """The key is written first, and the certificates follow from it."""
    first = Authority.open(folder, NOW)
    second = Authority.open(folder, first.ends_at - RENEW_BEFORE)
    if interrupted == "ca.pem is missing":
        (folder / "ca.pem").unlink()
    else:
        (folder / "ca.pem").write_bytes(first.pem)
    assert Authority.open(folder, first.ends_at - RENEW_BEFORE).pem == second.pem
    assert (folder / "ca.pem").read_bytes() == second.pem


# --- What is refused


def foreign(path: Path, *, constraints: bool = False) -> bytes:
    """A company's authority, its key and its certificate three times, as `ca.key` would have them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Company Root")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime.fromtimestamp(NOW, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(NOW + AUTHORITY_LIFE, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    if constraints:
        subtrees = [x509.DNSName(HOST), x509.DNSName("example.com")]
        builder = builder.add_extension(x509.NameConstraints(subtrees, None), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path.parent.mkdir(exist_ok=True)
    return private_pem(key) + certificate * 3


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def certificates_in(content: bytes) -> bytes:
    return content[content.index(b"-----BEGIN CERTIFICATE") :]


def replaced_key(key_file: Path) -> None:
    other = private_pem(ec.generate_private_key(ec.SECP256R1()))
    write_private(key_file, other + certificates_in(key_file.read_bytes()))


def rsa_key(key_file: Path) -> None:
    write_private(key_file, private_pem(rsa.generate_private_key(65537, 2048)) + certificates_in(key_file.read_bytes()))


def java_root_of_another(key_file: Path) -> None:
    other = Authority.temporary(NOW).java_roots
    own, _, _ = key_file.read_bytes().rpartition(b"-----BEGIN CERTIFICATE")
    write_private(key_file, own + other)


def cross_of_another(key_file: Path) -> None:
    """Another authority's cross certificate and its root, behind this one's own certificate."""
    own, end, _ = key_file.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    content = b"".join(generation.pem for generation in Authority.temporary(NOW)._generations)
    _, _, other = content.partition(b"-----END CERTIFICATE-----\n")
    write_private(key_file, own + end + other)


def plain_pair(key_file: Path) -> None:
    """The key and its certificate, as other programs make them."""
    own, end, _ = key_file.read_bytes().partition(b"-----END CERTIFICATE-----\n")
    write_private(key_file, own + end)


def replace_by_folder(key_file: Path) -> None:
    key_file.unlink()
    key_file.mkdir(mode=0o700)


def write_shown(key_file: Path, content: bytes) -> None:
    key_file.with_name("ca.pem").write_bytes(content)


def shown_beside(key_file: Path) -> bytes:
    return key_file.with_name("ca.pem").read_bytes()


DAMAGED = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
NOT_OURS = "a certificate that does not belong to ca.key"
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "readable by a group": (lambda key: key.chmod(0o640), "can be read or written by other users"),
    "readable by all": (lambda key: key.chmod(0o604), "can be read or written by other users"),
    "writable by all": (lambda key: key.chmod(0o602), "can be read or written by other users"),
    "no key": (lambda key: key.unlink(), "ca.pem has no ca.key next to it"),
    "empty key": (lambda key: write_private(key, b""), "ca.key is damaged"),
    "cut key": (lambda key: write_private(key, key.read_bytes()[:-200]), "ca.key is damaged"),
    "text before it": (lambda key: write_private(key, b"x" + key.read_bytes()), "ca.key is damaged"),
    "another key": (replaced_key, "a key that does not belong to its certificates"),
    "an RSA key": (rsa_key, "ca.key is damaged, or not an authority that the proxy made"),
    "another Java root": (java_root_of_another, "a certificate with another signature"),
    "another cross certificate": (cross_of_another, "a key that does not belong to its certificates"),
    "a pair without them": (plain_pair, "ca.key is damaged, or not an authority that the proxy made"),
    "a company's authority": (lambda key: write_private(key, foreign(key)), "could sign for other names"),
    "one for more names": (
        lambda key: write_private(key, foreign(key, constraints=True)),
        "could sign for other names",
    ),
    "a damaged certificate": (lambda key: write_shown(key, DAMAGED), "ca.pem is damaged"),
    "an empty certificate": (lambda key: write_shown(key, b""), "ca.pem is damaged"),
    "another certificate": (lambda key: write_shown(key, Authority.temporary(NOW).pem), NOT_OURS),
    "a further certificate": (
        lambda key: write_shown(key, shown_beside(key) + certificates_in(foreign(key))),
        NOT_OURS,
    ),
    "a folder": (replace_by_folder, "ca.key is not a file"),
}


@pytest.mark.parametrize(("spoil", "problem"), REFUSED.values(), ids=REFUSED)
def test_a_pair_that_must_not_be_used_stops_the_start(
    spoil: Callable[[Path], None], problem: str, folder: Path
) -> None:
    """The message names the file, and what to do; nothing is written."""
    Authority.open(folder, NOW)
    spoil(folder / "ca.key")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(StartupError) as refusal:
        Authority.open(folder, NOW)
    assert problem in str(refusal.value)
    assert str(refusal.value).startswith(f"intercept.ca_dir: {folder}/ca.")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("owner", "bits", "problem"),
    [
        (OURSELVES, 0o600, ""),
        (OURSELVES, 0o400, ""),
        (OURSELVES, 0o440, "can be read or written by other users"),
        (4711, 0o600, "belongs to another user"),
        (4711, 0o640, "belongs to another user"),
        (0, 0o400, ""),
        (0, 0o440, ""),
        (0, 0o444, "can be read or written by other users"),
        (0, 0o460, "can be read or written by other users"),
    ],
)
def test_a_mounted_secret_may_be_trusted(owner: int, bits: int, problem: str) -> None:
    """Kubernetes lets the group of the pod read it; any other owner could sign with the key."""
    facts = os.stat_result((stat.S_IFREG | bits, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    if not problem:
        refuse_unless_private(Path("ca.key"), facts, OURSELVES)
        return
    with pytest.raises(StartupError, match=f"^intercept.ca_dir: ca.key {problem}"):
        refuse_unless_private(Path("ca.key"), facts, OURSELVES)


# --- A folder that cannot be written


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """No lock can be made, as on a file system that is mounted for reading."""
    real = os.open

    def refuse(path: str | Path, flags: int, *further: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *further)

    monkeypatch.setattr(os, "open", refuse)


def test_a_folder_for_reading_serves_an_authority_that_is_there(folder: Path, request: pytest.FixtureRequest) -> None:
    """Until it expires; before that, the note tells that it cannot be renewed."""
    first = Authority.open(folder, NOW)
    request.getfixturevalue("read_only")
    assert Authority.open(folder, NOW).note == ""
    (folder / "ca.pem").unlink()
    assert Authority.open(folder, NOW).pem == first.pem
    assert Authority.open(folder, NOW).note == ""
    late = Authority.open(folder, first.ends_at - 1)
    assert late.pem == first.pem
    assert late.note.startswith(f"The authority in {folder} could not be renewed: Read-only file system.")
    with pytest.raises(StartupError, match="neither be read nor made: Read-only file system"):
        Authority.open(folder, first.ends_at)


@pytest.mark.usefixtures("read_only")
def test_a_folder_for_reading_without_an_authority_stops_the_start(folder: Path) -> None:
    """The message says where and what to do."""
    folder.mkdir()
    with pytest.raises(StartupError, match=rf"{folder} can neither be read nor made: Read-only.*Let this user"):
        Authority.open(folder, NOW)


def test_a_file_for_the_folder_stops_the_start(folder: Path) -> None:
    """The authority is not replaced."""
    folder.write_text("not a folder")
    with pytest.raises(StartupError, match="neither be read nor made: Not a directory"):
        Authority.open(folder, NOW)
