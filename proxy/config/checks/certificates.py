"""Whether the certificate files that a configuration names hold what they must."""

from __future__ import annotations

import ssl

from proxy.config.model.sections import Config


def broken_certificates(config: Config) -> tuple[str, ...]:
    """What cannot be used, by key."""
    problems = []
    if config.tls is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(config.tls.cert, config.tls.key, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            problems.append(f"tls: {_certificate_trouble(error)}")
    if config.upstream.ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(config.upstream.ca_file)
        except (ssl.SSLError, OSError, ValueError):
            problems.append("upstream.ca_file: the file that it names holds no certificates in PEM form")
    return tuple(problems)


def _certificate_trouble(error: Exception) -> str:
    if "KEY_VALUES_MISMATCH" in str(error):
        return "the key is not that of the certificate; give the two files that belong together"
    if "password" in str(error).lower() or "BAD_DECRYPT" in str(error):
        return "the key has a passphrase; give one without"
    return "cert and key are not a certificate chain and its private key in PEM form"
