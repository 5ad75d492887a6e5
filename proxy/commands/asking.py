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
    headers, body = {"Connection": b"close"}, None
    if form is not None:
        headers |= {"X-Ads-Proxy-Console": b"1", "Content-Type": b"application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}".encode()  # a text would leave as Latin-1
    connection = http.client.HTTPConnection(admin.reachable.host, admin.port, timeout=timeout)
    try:
        connection.request("GET" if form is None else "POST", target, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise Unanswered(printable(why)) from None
    finally:
        connection.close()
