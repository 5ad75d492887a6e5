"""What the system has accepted on a listening socket, and nobody has taken yet: a close resets all of it.

So it is emptied first, and nothing may come in behind: Linux is told to overlook who asks that socket for a connection
(they ask again, and are refused then, or reach another instance), and those who had asked before get a moment to end
their handshake. On other systems a moment remains.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys
import time

_SO_ATTACH_FILTER = 26
_SYN_WITHOUT_ACK = (
    (0x30, 0, 0, 13),  # load the byte of flags of the TCP header
    (0x54, 0, 0, 0x12),  # keep SYN and ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone: go on; else skip one
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take
)
"""A program of the classic packet filter (linux/filter.h)."""
_HANDSHAKE = 0.002
"""Seconds: on one machine a handshake takes some ten microseconds, in one data centre less than this."""


def take_all(listening: socket.socket) -> list[socket.socket]:
    """The connections in the queue; the socket takes no more. It must be closed next."""
    _overlook_newcomers(listening)
    time.sleep(_HANDSHAKE)  # nothing else matters so much, and it is once in a program's life
    listening.setblocking(False)
    taken: list[socket.socket] = []
    with contextlib.suppress(OSError):  # none is left, or no file may be opened
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            taken.append(connection)
    return taken


def _overlook_newcomers(listening: socket.socket) -> None:
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("=HBBI", *step) for step in _SYN_WITHOUT_ACK)
    kept = ctypes.create_string_buffer(program, len(program))
    attached = struct.pack("@HP", len(_SYN_WITHOUT_ACK), ctypes.addressof(kept))
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
