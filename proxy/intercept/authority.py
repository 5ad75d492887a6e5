"""The proxy's own certificate authority: its files, its renewal, and the certificates that it issues.

Clients trust the authority's certificate, which is signed by its own key. The same key signs for hosts. Critical name
constraints in the certificate permit Amazon's hosts and exclude all IP addresses. Java does not look at the constraints
of a certificate that it trusts, only at those of the certificates below. So the authority's name and key have a second
certificate with the same constraints, the *cross certificate*, signed by a *Java root*. Trust stores for Java hold
that root instead. Its private key is thrown away: it is never written. The proxy shows the cross certificate behind
that of a host. Other clients pass over it, as they trust its name and its key.

`ca.key` holds the key and its three certificates for each generation, newest first, and is the truth. `ca.pem` holds
what clients trust, and follows from it. Both are replaced whole, the key first and under a lock, so of two processes
that start at once one makes the authority and the other reads it. `RENEW_BEFORE` its end, a generation gets a
successor: `ca.pem` then has the certificates of both, and the older one goes on signing as long as its certificates for
hosts can last, for clients that trust the older one alone.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import stat
from dataclasses import field
from typing import TYPE_CHECKING, Any

from proxy.config import check_can_be_made
from proxy.errors import StartupError, StateError
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.net.tls import AUTHORITY_NAME
from proxy.secret import Secret
from proxy.tokens import state_directory
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

# `cryptography.x509` is imported where it is used: that takes 80 ms, and most programs have no authority.

DAY = 86400.0
AUTHORITY_LIFE = 3650 * DAY
RENEW_BEFORE = 30 * DAY
LEAF_LIFE = DAY
SKEW = 3600.0
"""Seconds by which a certificate begins before it is made, for clients whose clocks are slow."""
KEY_FILE, CERTIFICATE_FILE = "ca.key", "ca.pem"
_RENEWED = "The authority has been renewed; copy {} again to clients that have a copy."
_KEY_BEGINS = b"-----BEGIN PRIVATE KEY-----"
_READABLE = 0o644
_FOR_OTHER_NAMES = "has a certificate that could sign for other names than Amazon's hosts"
_MAX_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Leaf:
    """A host's certificate with the cross certificate, and its private key, both PEM; `ends_at` is Unix time."""

    chain: bytes = field(repr=False)
    key: Secret
    ends_at: float


@dataclass(frozen=True, slots=True)
class Generation:
    """A private key that signs for hosts, its certificate, its cross certificate, and the Java root."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate
    cross: x509.Certificate
    java_root: x509.Certificate

    @property
    def ends_at(self) -> float:
        """The end of the certificates, as Unix time."""
        return self.certificate.not_valid_after_utc.timestamp()

    @property
    def hosts(self) -> frozenset[str]:
        """The names that the constraints permit: fewer than `AMAZON_HOSTS` if an older program made it."""
        return _permitted(self.certificate)

    @property
    def pem(self) -> bytes:
        """The key and the certificates, as `ca.key` has them."""
        return _key_pem(self.key) + b"".join(map(_pem, (self.certificate, self.cross, self.java_root)))


class Authority:
    """Issues certificates for Amazon's hosts, and no others."""

    def __init__(self, folder: Path | None, generations: tuple[Generation, ...], note: str = "") -> None:
        self._folder = folder
        self._generations = generations
        self.note = note
        """A sentence about what has just been made, or could not be renewed; empty otherwise."""

    def __repr__(self) -> str:
        return f"<Authority in {self._folder or 'memory'}>"

    @classmethod
    def open(cls, folder: Path, now: float) -> Authority:
        """The authority of this folder: read, made where there is none yet, renewed where it ends soon.

        Raises `StartupError` where a file cannot be used, or must not be.
        """
        try:
            found = _read(folder)
        except (OSError, StartupError):  # or another process is changing the files
            found = ()
        if _is_settled(folder, found, now):
            return cls(folder, found)
        return cls(folder, *_settle(folder, now))

    @classmethod
    def temporary(cls, now: float) -> Authority:
        """A new authority in memory alone: no other process can read its key, and it ends with this one."""
        return cls(None, (make_generation(now),))

    @classmethod
    def read(cls, folder: Path) -> Authority | None:
        """The authority of this folder as it is, None where there is none; changes nothing.

        Raises `StartupError` where a file must not be used, and `OSError` where it cannot be read.
        """
        found = _read(folder)
        return cls(folder, found) if found else None

    @property
    def folder(self) -> Path | None:
        """Where it is kept; None for one in memory alone."""
        return self._folder

    @property
    def certificate(self) -> Path | None:
        """The file with what clients must trust."""
        return None if self._folder is None else self._folder / CERTIFICATE_FILE

    @property
    def renewed(self) -> str:
        """A sentence for when it has another certificate."""
        return _RENEWED.format(self.certificate)

    @property
    def pem(self) -> bytes:
        """The certificates that clients must trust, newest first: two while a new one takes over."""
        return _trusted(self._generations)

    @property
    def java_roots(self) -> bytes:
        """What trust stores for Java hold instead of `pem`, newest first."""
        return b"".join(_pem(generation.java_root) for generation in self._generations)

    @property
    def ends_at(self) -> float:
        """When the newest certificate expires, as Unix time."""
        return self._generations[0].ends_at

    @property
    def first_ends_at(self) -> float:
        """When the oldest certificate in use expires, as Unix time: then clients must have the newest."""
        return self._generations[-1].ends_at

    def issue(self, host: str, now: float) -> Leaf:
        """A new certificate for one of `AMAZON_HOSTS`, valid for a day. Raises `ValueError` for any other host.

        The files are read again, as another process may have renewed the authority. What was read before stays where
        they cannot be used any more.
        """
        if host not in AMAZON_HOSTS:
            raise ValueError(f"{host} is not one of Amazon's hosts: the authority signs for no other")
        self.follow(now)
        generation = signing_generation(self._generations, host, now)
        return sign_leaf(generation, host, now)

    def follow(self, now: float) -> None:
        """Take the authority as its files have it now, and renew it if it ends soon; `note` tells what went wrong."""
        if self._folder is None:
            return
        key_file = self._folder / KEY_FILE
        still = "The authority that was read before is still in use"
        try:
            newest = Authority.open(self._folder, now) if key_file.exists() else None
        except (OSError, StartupError) as error:
            self.note = f"{still}. {error}"
            return
        if newest is None:
            self.note = f"{still}: {key_file} is missing. Put it back, or restart the proxy."
        else:
            self._generations, self.note = newest._generations, newest.note


def signing_generation(generations: tuple[Generation, ...], host: str, now: float) -> Generation:
    """The oldest one that permits the host and ends behind a certificate made now: clients that trust a newer one
    trust it as well. The newest where there is none."""
    lasting = [each for each in generations if each.ends_at >= now + LEAF_LIFE and host in each.hosts]
    return lasting[-1] if lasting else generations[0]


def needs_successor(newest: Generation, now: float) -> bool:
    """Whether it ends soon, or does not permit all hosts."""
    return newest.ends_at <= now + RENEW_BEFORE or newest.hosts != AMAZON_HOSTS.keys()


def check_before_start(folder: Path) -> None:
    """Raise the `StartupError` that `Authority.open` would, but make and change nothing."""
    try:
        if not _read(folder):
            check_can_be_made(folder)
    except OSError as error:
        raise _unusable(folder, state_directory.reason(error)) from error


def _unusable(folder: Path, why: str) -> StartupError:
    return StartupError(
        f"intercept.ca_dir: the authority in {folder} can neither be read nor made: {why}. Let this user "
        f"write the folder, or put {KEY_FILE} and {CERTIFICATE_FILE} there that the proxy made elsewhere."
    )


# --- The files ------------------------------------------------------------------------------------------


def _is_settled(folder: Path, found: tuple[Generation, ...], now: float) -> bool:
    """Whether nothing has to be made, renewed, removed or written."""
    return (
        bool(found)
        and not needs_successor(found[0], now)
        and all(generation.ends_at > now for generation in found)
        and _read_shown(folder) == _trusted(found)
    )


def _settle(folder: Path, now: float) -> tuple[tuple[Generation, ...], str]:
    """Make, renew and write what is due; gives what is in force then, and a note on that. Raises `StartupError`."""
    try:
        _make_private(folder)
        with state_directory.locked(folder):
            return _renew(folder, now)
    except (OSError, StateError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        return _use_unchanged(folder, now, state_directory.reason(cause) if isinstance(cause, OSError) else str(error))


def _renew(folder: Path, now: float) -> tuple[tuple[Generation, ...], str]:
    """Write the files as they must be, unless another process did; while the folder is locked."""
    state_directory.sweep(folder)
    found = _read(folder)
    if _is_settled(folder, found, now):
        return found, ""
    kept, note = _valid(found, now), ""
    if not kept or needs_successor(kept[0], now):
        note = _what_was_made(folder, found, kept)
        kept = (make_generation(now), *kept)
    state_directory.replace(folder / KEY_FILE, b"".join(generation.pem for generation in kept))
    state_directory.replace(folder / CERTIFICATE_FILE, _trusted(kept), _READABLE)
    return kept, note


def _use_unchanged(folder: Path, now: float, why: str) -> tuple[tuple[Generation, ...], str]:
    """What is valid in a folder that cannot be written, such as a mounted secret."""
    try:
        kept = _valid(_read(folder), now)
    except OSError as error:
        kept, why = (), state_directory.reason(error)
    if not kept:
        raise _unusable(folder, why)
    if not needs_successor(kept[0], now):
        return kept, ""
    return kept, f"The authority in {folder} could not be renewed: {why}. Let this user write the folder."


def _valid(generations: tuple[Generation, ...], now: float) -> tuple[Generation, ...]:
    return tuple(generation for generation in generations if generation.ends_at > now)


def _make_private(folder: Path) -> None:
    """Make a folder for this user alone, and what is missing above it likewise: it may become the state directory."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def _what_was_made(folder: Path, found: tuple[Generation, ...], kept: tuple[Generation, ...]) -> str:
    where = folder / CERTIFICATE_FILE
    if kept:
        return _RENEWED.format(where)
    if found:
        return f"The authority had expired, and has been replaced; clients must trust {where} again."
    return f"An authority has been made; clients must trust {where}."


def _read(folder: Path) -> tuple[Generation, ...]:
    """The generations of a folder, newest first; none where it has no authority. Raises `OSError` or `StartupError`."""
    key_file, certificate_file = folder / KEY_FILE, folder / CERTIFICATE_FILE
    shown = _read_shown(folder)  # before the key, which is written before it
    try:
        descriptor = os.open(key_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if shown is not None:
            raise _refused(certificate_file, f"has no {KEY_FILE} next to it") from None
        return ()
    try:
        refuse_unless_private(key_file, os.fstat(descriptor), os.geteuid())
        found = _parse(key_file, os.read(descriptor, _MAX_BYTES))
    finally:
        os.close(descriptor)
    if shown is not None:
        _refuse_foreign(certificate_file, shown, found)
    return found


def _read_shown(folder: Path) -> bytes | None:
    """What clients are shown; None where it was not written yet. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / CERTIFICATE_FILE).read_bytes()
    return None


def _refused(path: Path, why: str) -> StartupError:
    return StartupError(
        f"intercept.ca_dir: {path} {why}. Put back both {KEY_FILE} and {CERTIFICATE_FILE} as the proxy made them, or "
        "remove both: a new authority is made then, which clients must trust."
    )


def refuse_unless_private(path: Path, facts: os.stat_result, user: int) -> None:
    """Raise `StartupError` for a key file that others than this user can use. A mounted secret belongs to root, and may
    be read by the group that this user is in."""
    mounted = facts.st_uid == 0 != user
    if not stat.S_ISREG(facts.st_mode):
        raise StartupError(f"intercept.ca_dir: {path} is not a file; remove it.")
    if facts.st_uid != user and not mounted:
        raise StartupError(
            f"intercept.ca_dir: {path} belongs to another user; run as that user, or set intercept.ca_dir to another "
            "folder."
        )
    if facts.st_mode & (0o037 if mounted else 0o077):
        raise StartupError(
            f"intercept.ca_dir: {path} can be read or written by other users, who could sign with it. Remove "
            f"{KEY_FILE} and {CERTIFICATE_FILE}: a new authority is made then, which clients must trust. If no other "
            f"user has read it, close it instead with: chmod 600 {path}"
        )


def _trusted(generations: tuple[Generation, ...]) -> bytes:
    return b"".join(_pem(generation.certificate) for generation in generations)


def _refuse_foreign(path: Path, content: bytes, found: tuple[Generation, ...]) -> None:
    """Certificates that are missing are written again; clients would trust another one for any name."""
    from cryptography import x509

    try:
        shown = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise _refused(path, "is damaged") from None
    if not {*shown} <= {generation.certificate for generation in found}:
        raise _refused(path, f"has a certificate that does not belong to {KEY_FILE}")


# --- The certificates -----------------------------------------------------------------------------------


def _parse(path: Path, content: bytes) -> tuple[Generation, ...]:
    """The generations in a key file. Each is checked: what could sign for other names is never used."""
    opening, *parts = content.split(_KEY_BEGINS)
    try:
        found = tuple(map(_parse_generation, parts))
    except (ValueError, TypeError):
        raise _refused(path, "is damaged, or not an authority that the proxy made") from None
    if not found or opening.strip():
        raise _refused(path, "is damaged, or not an authority that the proxy made")
    for generation in found:
        if problem := _problem(generation):
            raise _refused(path, problem)
    return found


def _parse_generation(part: bytes) -> Generation:
    """What `Generation.pem` wrote, without its first line. Raises `ValueError` or `TypeError` for anything else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = serialization.load_pem_private_key(_KEY_BEGINS + part, None)
    certificate, cross, java_root = x509.load_pem_x509_certificates(part)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("another kind of key")
    return Generation(key, certificate, cross, java_root)


def _problem(generation: Generation) -> str:
    """What keeps a generation from being used, empty where it is in order."""
    from cryptography.exceptions import InvalidSignature

    own, cross, java_root = generation.certificate, generation.cross, generation.java_root
    key = generation.key.public_key()
    if not own.public_key() == cross.public_key() == key or own.subject != cross.subject:
        return "has a key that does not belong to its certificates"
    try:
        for certificate, issuer in ((own, own), (cross, java_root), (java_root, java_root)):
            certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return "has a certificate with another signature than the proxy's"
    hosts = generation.hosts
    if not hosts or not hosts <= AMAZON_HOSTS.keys():
        return _FOR_OTHER_NAMES
    for certificate, path_length in ((own, 0), (cross, 0), (java_root, 1)):
        if any(each not in certificate.extensions for each in _authority_extensions(path_length, hosts)):
            return _FOR_OTHER_NAMES
    return ""


def _permitted(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names that its constraints permit; none where they permit anything else."""
    from cryptography import x509

    try:
        subtrees = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
    except x509.ExtensionNotFound:
        return frozenset()
    names = [each.value for each in subtrees or () if isinstance(each, x509.DNSName)]
    return frozenset(names) if len(names) == len(subtrees or ()) else frozenset()


def make_generation(now: float) -> Generation:
    """A new key with its certificates; the private key of the Java root is discarded."""
    from cryptography.hazmat.primitives.asymmetric import ec

    key, java_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = f"{AUTHORITY_NAME} {os.urandom(4).hex()}"
    java_name = f"{name} Java root"
    times = _times(now, AUTHORITY_LIFE)
    authority = _Certified(name, key.public_key(), times, _authority_extensions(0, AMAZON_HOSTS))
    java_root = _Certified(java_name, java_key.public_key(), times, _authority_extensions(1, AMAZON_HOSTS))
    return Generation(
        key, _sign(authority, name, key), _sign(authority, java_name, java_key), _sign(java_root, java_name, java_key)
    )


def sign_leaf(generation: Generation, host: str, now: float) -> Leaf:
    """A certificate for this name, whatever it is: the constraints of the generation are what restricts names."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    extensions = (
        x509.Extension(x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=False, path_length=None)),
        x509.Extension(x509.KeyUsage.oid, True, _key_usage(signs_certificates=False)),
        _server_auth(),
        x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName([x509.DNSName(host)])),
    )
    [name] = generation.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    leaf = _Certified(host, key.public_key(), _times(now, LEAF_LIFE), extensions)
    signed = _sign(leaf, str(name.value), generation.key)
    chain = _pem(signed) + _pem(generation.cross)
    return Leaf(chain, Secret(_key_pem(key).decode("ascii")), signed.not_valid_after_utc.timestamp())


@dataclass(frozen=True, slots=True)
class _Certified:
    """What a certificate says of its owner."""

    name: str
    key: ec.EllipticCurvePublicKey
    times: tuple[datetime.datetime, datetime.datetime]
    extensions: tuple[x509.Extension[Any], ...]


def _sign(subject: _Certified, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    begins, ends = subject.times
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject.name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(subject.key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject.key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for extension in subject.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256())


def _authority_extensions(path_length: int, hosts: Collection[str]) -> tuple[x509.Extension[Any], ...]:
    """What makes a certificate an authority's, and restricts it. Subdomains of the hosts are permitted as well: to
    exclude them, some verifiers know a name with a leading dot, and others refuse all certificates for it."""
    from cryptography import x509

    constraints = x509.NameConstraints(
        permitted_subtrees=[x509.DNSName(host) for host in sorted(hosts)],
        excluded_subtrees=[x509.IPAddress(ipaddress.ip_network(every)) for every in ("0.0.0.0/0", "::/0")],
    )
    return (
        x509.Extension(x509.BasicConstraints.oid, True, x509.BasicConstraints(ca=True, path_length=path_length)),
        x509.Extension(x509.KeyUsage.oid, True, _key_usage(signs_certificates=True)),
        _server_auth(),
        x509.Extension(x509.NameConstraints.oid, True, constraints),
    )


def _server_auth() -> x509.Extension[x509.ExtendedKeyUsage]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    return x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _times(now: float, life: float) -> tuple[datetime.datetime, datetime.datetime]:
    made = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    return made - datetime.timedelta(seconds=SKEW), made + datetime.timedelta(seconds=life)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
