"""`ca`: Print the certificate that clients with HTTPS_PROXY trust.

With intercept.enabled the proxy answers for Amazon's hosts, with certificates of an authority of its own. This prints
the authority's certificate as PEM, and makes the authority if there is none yet. For the last month of a certificate it
prints two, as clients need both. Fingerprint (SHA-256) and expiry go to standard error.

Example: ads-proxy ca --bundle
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.cli_options import ConfigOption, EnvFileOption
from proxy.commands.terminal import OK, complain, say, tell
from proxy.config import authority_folder, environment

if TYPE_CHECKING:
    from pathlib import Path


def ca(
    bundle: Annotated[
        bool, typer.Option("--bundle", help="Print the system's authorities too, the proxy's own behind them.")
    ] = False,
    config: ConfigOption = None,
    env_file: EnvFileOption = None,
) -> int:
    return print_authority(authority_folder(config, environment(env_file)), bundle, time.time())


def print_authority(folder: Path, with_system: bool, now: float) -> int:
    """The certificates on standard output, what they are on standard error. Raises `StartupError` where the files of
    the authority cannot be used."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    from proxy.intercept.authority import Authority
    from proxy.intercept.bundle import bundle, system_authorities

    authority = Authority.open(folder, now)
    if authority.note:
        complain(authority.note)
    if with_system and not system_authorities():
        complain(
            "this system has no authorities, so the bundle has only the proxy's own; install ca-certificates, or name "
            "a file of authorities in SSL_CERT_FILE"
        )
    for certificate in x509.load_pem_x509_certificates(authority.pem):
        digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        tell(f"SHA-256 {digest}, expires on {certificate.not_valid_after_utc:%Y-%m-%d}")
    say((bundle(authority.pem) if with_system else authority.pem).decode("ascii").rstrip("\n"))
    return OK
