"""A question to the admin listener of the running proxy."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from proxy.commands.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.config import Address
    from proxy.secret import Secret


class Unanswered(Exception):
    """No answer came; the text says why, in the words of the system or of a program that does not speak HTTP."""


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
