"""Messages between supervisor and worker as bytes: four of length, then JSON. Pure; nothing is sent here.

A message is a mapping with its `kind`; what each kind holds is said where it is made.
"""

from __future__ import annotations

import json
from typing import Any, Final

from proxy.errors import AdsProxyError

_PREFIX: Final = 4
MAX_FRAME: Final = (1 << 32) - 1

Message = dict[str, Any]


class FrameMalformed(AdsProxyError):
    """What came is no message: the other side is not of this program."""


def pack(kind: str, **values: Any) -> bytes:
    """A message as it is sent. Values are what JSON holds."""
    body = json.dumps({"kind": kind, **values}, separators=(",", ":")).encode()
    return len(body).to_bytes(_PREFIX, "big") + body


class FrameReader:
    """Puts together what comes in pieces."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def __repr__(self) -> str:
        return f"<FrameReader: {len(self._waiting)} bytes waiting>"

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises `FrameMalformed`."""
        waiting, at = self._waiting, 0
        waiting += data
        messages: list[Message] = []
        while len(waiting) - at >= _PREFIX:
            end = at + _PREFIX + int.from_bytes(waiting[at : at + _PREFIX], "big")
            if len(waiting) < end:
                break
            messages.append(_read(bytes(waiting[at + _PREFIX : end])))
            at = end
        del waiting[:at]
        return messages


def _read(body: bytes) -> Message:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameMalformed(f"A frame of {len(body)} bytes is no JSON.") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise FrameMalformed("A frame without a kind.")
    return message
