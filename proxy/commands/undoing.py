"""What `audit undo` prints, and sends through the proxy: the write that restores what an approved write changed."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any

from proxy.audit.write_outcome import judge_outcome
from proxy.commands.addresses import at_addresses
from proxy.commands.asking import members_of
from proxy.commands.env import read_key_file
from proxy.commands.terminal import FAILED, OK, complain, printable, say, tell
from proxy.config import load
from proxy.errors import ConfigurationError
from proxy.events import Outcome
from proxy.secret import Secret
from proxy.spend.undo import undo_of
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import Address
    from proxy.spend.undo import UndoWrite

TIMEOUT = 60.0
"""Seconds for an answer: Amazon takes up to half a minute for a write."""
_SHOWN = 2000
"""Characters of an answer that are printed."""
KEY_HEADER = "X-Ads-Proxy-Key"


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """Where the running proxy takes clients' requests. `needs_key` tells that it asks clients for a key."""

    address: Address
    has_tls: bool
    needs_key: bool
    key: Secret | None = None

    @classmethod
    def of(
        cls, config: Path | None, environ: Mapping[str, str], listen: str | None, key_file: Path | None
    ) -> ProxyAddress:
        """The client listener of the configuration, and the key in the file. Raises `ConfigurationError`."""
        loaded = load(config, at_addresses(environ, listen=listen))
        address = loaded.listen.reachable
        if not address.port:
            raise ConfigurationError(("listen: the system chose the port; add --listen HOST:PORT",))
        key = None if key_file is None else Secret(read_key_file(key_file))
        return cls(address, loaded.tls is not None, bool(loaded.clients), key)

    @property
    def url(self) -> str:
        return f"{'https' if self.has_tls else 'http'}://{self.address}"


def print_undo(record: Mapping[str, Any], proxy: ProxyAddress) -> int:
    """Print the writes as commands of a shell, and what they leave as it is. Returns the exit code."""
    undo = undo_of(record)
    for sentence in undo.left:
        tell(f"ads-proxy: undo: {printable(sentence)}")
    for write in undo.writes:
        say(as_command(write, proxy.url, needs_key=proxy.needs_key))
    return OK if undo.writes else FAILED


def as_command(write: UndoWrite, url: str, *, needs_key: bool) -> str:
    """A write as a command of curl. The key comes from a variable of the shell. Pure."""
    key = [f'-H "{KEY_HEADER}: $CLIENT_KEY"'] if needs_key else []
    headers = [f"-H {_quoted(f'{name}: {value}')}" for name, value in write.headers.items()]
    parts = [f"curl -X {write.method} {_quoted(url + write.target)}", *key, *headers, f"--data {_quoted(write.body)}"]
    return " \\\n    ".join(parts)


def _quoted(value: str) -> str:
    """A text between single quotes, in which a shell changes nothing."""
    return "'" + value.replace("'", "'\\''") + "'"


def send_undo(record: Mapping[str, Any], proxy: ProxyAddress) -> int:
    """Send the writes through the proxy, one after the other as long as they succeed. Returns the exit code; raises
    `ConfigurationError` without a key that the proxy asks for."""
    if proxy.needs_key and proxy.key is None:
        problem = (
            "--send: the proxy asks its clients for a key; add --key-file FILE with the key of the client to send as"
        )
        raise ConfigurationError((problem,))
    undo = undo_of(record)
    for sentence in undo.left:
        tell(f"ads-proxy: undo: {printable(sentence)}")
    for write in undo.writes:
        if not _send(write, proxy):
            return FAILED
    return OK if undo.writes else FAILED


def _send(write: UndoWrite, proxy: ProxyAddress) -> bool:
    """Whether a write succeeded. What became of it is printed."""
    named = f"{write.method} {write.target}"
    try:
        status, content_type, body = _exchange(write, proxy)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        complain(f"undo: {named}: the proxy at {proxy.url} does not answer: {printable(why)}")
        return False
    found = judge_outcome(status, content_type, body)
    items = f" ({found.items.succeeded} of {sum(found.items)})" if found.items is not None else ""
    say(f"{named}: {status}, {found.outcome}{items}")
    if found.outcome is not Outcome.SUCCESS:
        complain(f"undo: {printable(_why(body))}")
    return found.outcome is Outcome.SUCCESS


def _exchange(write: UndoWrite, proxy: ProxyAddress) -> tuple[int, bytes, bytes]:
    """Status, media type and body of the answer. Raises `OSError` and `HTTPException`."""
    host, port = proxy.address.host, proxy.address.port
    if proxy.has_tls:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    headers = {**write.headers, "Connection": "close", "User-Agent": "ads-proxy"}
    if proxy.key is not None:
        headers[KEY_HEADER] = proxy.key.reveal()
    try:
        connection.request(write.method, write.target, write.body.encode(), headers)
        response = connection.getresponse()
        return response.status, (response.getheader("Content-Type") or "").encode(), response.read()
    finally:
        connection.close()


def _why(body: bytes) -> str:
    """What an answer says went wrong: the sentence of the proxy, or the beginning of what Amazon says."""
    detail = members_of(body).get("detail")
    return detail if isinstance(detail, str) else body[:_SHOWN].decode("utf-8", "replace")
