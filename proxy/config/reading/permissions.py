"""Who else may read or change a file that holds a secret. Pure: the mode of an open file in, a sentence out.

The file that is judged is the one that was opened, so a link counts as what it leads to.
"""

from __future__ import annotations

import shlex
import stat
from typing import TYPE_CHECKING

from proxy.config.model.expected import Expected, ShownFile, WrongValue

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def judge(path: Path, mode: int, *, own: bool) -> str:
    """A note about a file that others can read, or nothing. Raises `WrongValue` for one that others can change.

    `own` tells whether the process's user owns the file. A group may read the files of another user: that is how
    Kubernetes (`fsGroup`), systemd and certificate tools give a process its secrets.
    """
    if not stat.S_ISREG(mode):
        return ""
    if mode & _OTHERS_WRITE:
        raise WrongValue(Expected.FILE_WRITABLE, place=ShownFile(f"the file {path}"))
    quoted = shlex.quote(str(path))
    if own and mode & (stat.S_IRGRP | stat.S_IROTH):
        readers = "every user of this machine" if mode & stat.S_IROTH else "its group"
        return f"The mode of the secret file {path} lets {readers} read it; run `chmod 600 {quoted}`."
    if mode & stat.S_IROTH:
        return (
            f"The mode of the secret file {path} lets every user of this machine read it; as its owner run "
            f"`chmod o-r {quoted}`, or mount it with mode 0440 and a group of this process."
        )
    return ""
