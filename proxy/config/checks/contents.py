"""What is wrong with a configuration whose keys are all valid: secrets that open two things, and certificate files that
do not hold what they must. These files are read here.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from proxy.config.model.key_names import shown_file
from proxy.config.model.sections import Config


def shared_admin_key(config: Config) -> tuple[str, ...]:
    """Each place where an approver's key is the admin key."""
    if config.admin.key is None:
        return ()
    digest = hashlib.sha256(config.admin.key.reveal().encode()).hexdigest()
    return tuple(
        f"approvals.approvers[{position}].keys[{place}].sha256: is the key of admin.key too; make another with "
        "`ads-proxy keys new --approver NAME`, or set approvals.admin: true for the admin key"
        for position, approver in enumerate(config.approvals.approvers)
        for place, key in enumerate(approver.keys)
        if key.sha256 == digest
    )


def broken_certificates(config: Config) -> tuple[str, ...]:
    """What cannot be used, by key."""
    problems = []
    if config.tls is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(config.tls.cert, config.tls.key, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            problems.append(f"tls: {_certificate_problem(error)}")
        problems += _authority_problems("tls.client_ca", config.tls.client_ca)
    problems += _authority_problems("upstream.ca_file", config.upstream.ca_file)
    return tuple(problems)


def _authority_problems(key: str, file: Path | None) -> list[str]:
    """What is wrong with a file of authorities, if there is one."""
    if file is None:
        return []
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError, ValueError):
        return [f"{key}: {shown_file(Path(file))} holds no certificates in PEM form; name a PEM file"]
    return []


def _certificate_problem(error: Exception) -> str:
    if "KEY_VALUES_MISMATCH" in str(error):
        return "the key belongs to another certificate; give two files that belong together"
    if "password" in str(error).lower() or "BAD_DECRYPT" in str(error):
        return "the key has a passphrase; give a key without one"
    return "cert and key are not a certificate chain and its private key in PEM form"
