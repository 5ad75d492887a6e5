"""The small process that replaces `python -m proxy`: it passes its arguments, environment, folder and streams to the
ready program.

Run by its path with `-I -S`, as what it imports is all that it costs: tests/support/ready_program.py has the other end.
"""

import json
import os
import socket
import sys


def main() -> int:
    """The exit code of the program; where a signal ended it, end by that signal."""
    _, place, *arguments = sys.argv
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(place)
        wanted = {"arguments": arguments, "environ": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - quick to start
        socket.send_fds(server, [json.dumps(wanted).encode()], [0, 1, 2])
        for stream in (0, 1):  # only the program reads and writes them
            os.close(stream)
        server.recv(16)  # the process's id
        code = int(server.recv(16))
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    os._exit(main())
