"""Questions to the admin listener of the running proxy: where it is, what it answers, and why it does not."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from proxy.commands.addresses import at_addresses
from proxy.commands.terminal import printable
from proxy.config import admin_address, admin_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import Address
    from proxy.secret import Secret


class Unanswered(Exception):
    """No answer came; the text says why, in the words of the system or of a program that does not speak HTTP."""


def find_admin(
    admin_listen: str | None, config: Path | None, environ: Mapping[str, str]
) -> tuple[Address, Secret | None]:
    """Address and key of the listener, by the options --admin-listen and --config and by variables that were read
    before: a file of them may be a pipe, which can be read once. Raises `ConfigurationError`."""
    environ = at_addresses(environ, admin_listen=admin_listen)
    return admin_address(config, environ), admin_key(config, environ)


def ask_admin(
    admin: Address, target: str, timeout: float, key: Secret | None = None, form: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer to a GET, or to a POST of the form. Raises `Unanswered`."""
    headers, body = shown_key(key), None
    if form is not None:
        headers |= {"Content-Type": b"application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
    return exchange(admin, target, timeout, headers, body)


def shown_key(key: Secret | None) -> dict[str, bytes]:
    """The header that shows the admin key, if there is one."""
    return {} if key is None else {"Authorization": f"Bearer {key.reveal()}".encode()}  # a text would leave as Latin-1


def exchange(
    admin: Address, target: str, timeout: float, headers: Mapping[str, bytes], body: bytes | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer to a GET with these headers, or to a POST of the body. Raises `Unanswered`."""
    proof = {} if body is None else {"X-Ads-Proxy-Console": b"1"}
    connection = http.client.HTTPConnection(admin.reachable.host, admin.port, timeout=timeout)
    try:
        connection.request(
            "GET" if body is None else "POST", target, body, {"Connection": b"close", **proof, **headers}
        )
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise Unanswered(printable(why)) from None
    finally:
        connection.close()


def members_of(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; none for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def explain_silence(admin: Address, why: Unanswered) -> str:
    """The problem if no program answers at this address."""
    return f"{admin} does not answer ({why}); start the proxy, or give its admin_listen with --admin-listen or --config"


def explain_status(admin: Address, code: int) -> str:
    """The problem if what answers with this status is no admin listener of ours, or wants another key."""
    if code == 401:
        return (
            f"{admin} needs the admin key; give the running proxy's configuration with --config, or set "
            "ADS_PROXY_ADMIN__KEY (or ADS_PROXY_ADMIN__KEY_FILE)"
        )
    if code == 429:
        return f"{admin} got too many wrong keys; wait a minute"
    return f"{admin} answers {code}; give the admin_listen of ads-proxy with --admin-listen or --config"
